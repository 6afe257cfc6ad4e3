"""The correlations as a heatmap, in axes of matplotlib or in a PNG, SVG or PDF file.

The report draws its own (`soce.report.figures.heatmap`): it lives in a page, with that page's colours.
"""

from __future__ import annotations

import os
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from soce.exceptions import OutputError, Problem, shown
from soce.files.atomic import staged
from soce.files.extras import install
from soce.selection.clusters import cluster_categories
from soce.selection.correlation import critical_correlation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soce.scores.table import Floats
    from soce.selection.correlation import Correlation

FORMATS: Final = ("png", "svg", "pdf")

_MAX_VALUES: Final = 40
"""Most categories for which numbers in the cells can be read."""
_MAX_NAMES: Final = 150
_MAX_NAME: Final = 44
_JOINED: Final = 0.5
"""Mean correlation from which neighbours are framed as one cluster."""
_DARK: Final = 0.7
"""From this |rho| on white stands out more from the colour map than black does."""
_INK: Final = "#222222"
_STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a figure looks the same everywhere
    "hatch.color": "#b0b0b0",
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "soce",  # ids would be random
    "text.color": _INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "text.usetex": False,
}


def check_plot(path: str | os.PathLike[str]) -> None:
    """Refuse what `save_heatmap` would refuse for its name alone, before any work is done."""
    path = Path(path)
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        what = f"a `{shown(path.suffix)}`" if path.suffix else "a file without suffix"
        _refuse(path, f"cannot draw {what}", "end the name in .png, .svg or .pdf")
    path.parent.stat()  # a directory that is not there is an OSError that names it
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        _refuse(path, "drawing needs matplotlib", install("report"))


def save_heatmap(correlation: Correlation, path: str | os.PathLike[str]) -> Path:
    """Draw the correlations into a file as `plot_correlation` does, and replace what was there.

    The path ends in ``.png``, ``.svg`` or ``.pdf`` and is returned. The same correlation gives the same bytes
    with the same matplotlib.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with staged(path) as partial, mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph .* missing")  # drawn as a box
        figure = Figure()
        _draw(_fill(figure, correlation), correlation, fills=True)
        # Margins are cut to what is drawn.
        figure.savefig(partial, format=kind, dpi=160, metadata=metadata, bbox_inches="tight", pad_inches=0.15)
    return path


def plot_correlation(correlation: Correlation, *, ax: Axes | None = None) -> Axes:
    """Draw the correlations as a heatmap in clustered order, as in the paper's Figure 1.

    Parameters
    ----------
    correlation : Correlation
    ax : matplotlib Axes, optional
        Where to draw; a new figure of pyplot, as large as the numbers in its cells need, if left out.

    Returns
    -------
    Axes
        What was drawn in. The scale is to its right, names and caption are ticks and label.

    Examples
    --------
    >>> from soce import correlate_categories, plot_correlation, read_scores
    >>> axes = plot_correlation(correlate_categories(read_scores("paper:flores36")))
    >>> axes.get_title(loc="left")
    'How categories move together'
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        if ax is None:
            from matplotlib import pyplot as plt

            _draw(axes := _fill(plt.figure(), correlation), correlation, fills=True)
        else:
            _draw(axes := ax, correlation, fills=False)
    return axes


def _fill(figure: Figure, correlation: Correlation) -> Axes:
    """Return axes that fill a figure, which becomes as large as the cells need."""
    size = len(correlation.categories)
    inches = 0.36 if size > 24 else 0.44
    cell = inches if size <= _MAX_VALUES else min(0.22, max(0.03, 16 / size))
    side = max(size * cell, 2.2)
    figure.set_size_inches(side, side)
    return figure.add_axes((0, 0, 1, 1))


def _draw(axes: Axes, correlation: Correlation, *, fills: bool) -> None:
    """Draw; axes that fill a figure have the scale beside it, others give it room of their own."""
    from matplotlib.patches import Rectangle

    order = correlation.order()
    places = [correlation.categories.index(name) for name in order]
    rho = correlation.rho[np.ix_(places, places)]
    size = len(order)
    box = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted())
    side = min(box.width, box.height)  # inches
    has_values = size <= _MAX_VALUES
    _draw_cells(axes, rho, inches=side / size)
    if has_values:
        _write_values(axes, rho, points=min(8.0, 20 * side / size))
    fewest = 2 if has_values else 4  # frames of a few small cells hide more than they show
    for cluster in cluster_categories(correlation, min_correlation=_JOINED):
        if len(cluster) >= fewest:
            start, count = min(map(order.index, cluster)), len(cluster)
            frame = Rectangle(
                (start, start), count, count, fill=False, edgecolor=_INK, linewidth=1.4, zorder=3
            )
            axes.add_patch(frame).set_clip_on(False)
    _name_categories(axes, order, inches=side / size)
    # What stands around the cells is placed in inches and grows a little with them: alike for 3 and for 300.
    zoom = min(2.0, max(1.0, side / 8))
    height = min(side, 3.2 * zoom) / side
    bar = axes.inset_axes((1 + 0.2 / side, 1 - height, 0.14 * zoom / side, height)) if fills else None
    _draw_scale(bar, axes, correlation, zoom=zoom)
    axes.set_title("How categories move together", loc="left", fontsize=12 * zoom, pad=10 * zoom)
    caption = textwrap.fill(_caption(correlation, rho), width=max(46, int(side * 13 / zoom)))
    # The label of the axis: below the names, wherever these end.
    axes.set_xlabel(caption, fontsize=8.5 * zoom, loc="left", labelpad=10 * zoom, color=_INK, linespacing=1.4)
    axes.xaxis.label.set_horizontalalignment("left")


def _draw_cells(axes: Axes, rho: Floats, *, inches: float) -> None:
    from matplotlib.patches import Rectangle

    size = len(rho)
    axes.add_patch(Rectangle((0, 0), size, size, facecolor="#ececec", hatch="/////", linewidth=0, zorder=0))
    edges = np.arange(size + 1)
    mesh = axes.pcolormesh(
        edges,
        edges,
        np.ma.masked_array(rho, mask=np.isnan(rho) | np.eye(size, dtype=bool)),
        cmap="RdBu_r",  # blue and red differ for every kind of colour vision, and both darken from the middle
        vmin=-1,
        vmax=1,
        edgecolors="white" if inches > 0.12 else "none",
        linewidth=0.6 if inches > 0.12 else 0,
        rasterized=size > _MAX_VALUES * 2,
    )
    mesh.set_zorder(1)
    # A category with itself tells nothing, and a dark diagonal would draw the eye.
    for place in np.nonzero(~np.isnan(np.diagonal(rho)))[0].tolist():
        axes.add_patch(Rectangle((place, place), 1, 1, facecolor="#d5d5d5", linewidth=0, zorder=0.5))
    axes.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


def _write_values(axes: Axes, rho: Floats, *, points: float) -> None:
    for i, j in np.argwhere(~np.isnan(rho) & ~np.eye(len(rho), dtype=bool)).tolist():
        colour = "white" if abs(rho[i, j]) > _DARK else _INK
        text = f"{rho[i, j]:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=points, color=colour)


def _name_categories(axes: Axes, order: tuple[str, ...], *, inches: float) -> None:
    if len(order) > _MAX_NAMES:
        axes.set(xticks=[], yticks=[])
        return
    names = [shown(name) for name in order]
    names = [name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…" for name in names]
    points = min(9.0, 72 * inches * 0.8)
    middle = np.arange(len(order)) + 0.5
    axes.set_yticks(middle, names, fontsize=points)
    axes.set_xticks(middle, names, fontsize=points, rotation=90)


def _draw_scale(bar: Axes | None, axes: Axes, correlation: Correlation, *, zoom: float) -> None:
    scale = axes.figure.colorbar(
        axes.collections[0], cax=bar, ax=None if bar else axes, ticks=[-1, -0.5, 0, 0.5, 1], fraction=0.05
    )
    scale.outline.set_visible(False)
    bar = scale.ax
    bar.tick_params(labelsize=8 * zoom, length=2)
    bar.set_yticklabels(["\u22121", "\u22120.5", "0", "0.5", "1"])
    bar.set_ylabel("ρ", fontsize=10 * zoom, rotation=0, va="center")
    critical = critical_correlation(len(correlation.population))
    for value in (-critical, critical):
        # It juts out: dark on dark, at the ends of the scale, it would not be seen.
        bar.plot([-0.45, 1], [value, value], color=_INK, linewidth=1, clip_on=False)


def _caption(correlation: Correlation, rho: Floats) -> str:
    off = ~np.eye(len(rho), dtype=bool)
    counts = correlation.n[off & (correlation.n >= correlation.min_overlap)]
    n = len(correlation.population)
    fewest, most = (int(counts.min()), int(counts.max())) if counts.size else (n, n)
    # Spaces that do not break keep a sign and its number on one line.
    critical = critical_correlation(n)
    models = f"{n} models" if fewest == n else f"{fewest}–{most} models with both scores"
    parts = [
        f"Pearson's ρ of {len(rho)} categories, n\u00a0=\u00a0{models}",
        f"|ρ|\u00a0<\u00a0{critical:.2f} (marks on the scale) cannot be told from 0 at 5\u00a0%",
        f"Order: average linkage; frames: mean ρ\u00a0≥\u00a0{_JOINED}",
    ]
    if np.isnan(rho).any():
        parts.append("Hatched: undefined")
    if len(rho) > _MAX_NAMES:
        parts.append("Too many names to write")
    return ". ".join(parts) + "."


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise OutputError.of([Problem("output", os.fspath(path), None, message, hint)])
