"""The heatmap of correlations for a terminal: numbers first, so that it reads the same without colour."""

from __future__ import annotations

import math
from itertools import product
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from soce.exceptions import shown
from soce.selection.clusters import cluster_categories
from soce.selection.correlation import critical_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import Floats
    from soce.selection.correlation import Correlation

_NARROW, _WIDE = 3, 4
"""Columns of a cell: a sign and two digits, with or without a space before."""
_MIN_NAME, _MAX_NAME = 12, 32
_MAX_CLUSTERS: Final = 12

# The ends and the middle of the colour map of the drawn heatmap, softer at the ends: text stands on it.
_NEGATIVE, _MIDDLE, _POSITIVE = (67, 147, 195), (247, 247, 247), (214, 96, 77)


def heatmap(correlation: Correlation, *, width: int) -> Text:
    """Return the correlations as lines of text, rho x 100 in clustered order, and a caption.

    Where the categories do not fit into so many columns, clusters of them are shown, and it says so. A
    console without colour prints the same characters.

    Examples
    --------
    >>> from soce.selection.correlation import correlate_categories
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "flat": [1, 1, 1, 1]}
    >>> table = ScoreTable.of(columns, models=["a", "b", "c", "d"])
    >>> print(heatmap(correlate_categories(table), width=60))
              1   2   3
    1 code    —  72   ·
    2 math   72   —   ·
    3 flat    ·   ·   —
    ρ × 100 of 3 categories over 4 models, cut at 99, clustered.
    |ρ| < 0.95 cannot be told from 0 at 5 %. · is undefined.
    """
    order = correlation.order()
    places = [correlation.categories.index(name) for name in order]
    rho = correlation.rho[np.ix_(places, places)].copy()
    np.fill_diagonal(rho, np.nan)
    n_models = len(correlation.population)
    critical = critical_correlation(n_models)
    notes = [f"|ρ| < {critical:.2f} cannot be told from 0 at 5 %."]
    layout = _fit(order, width)
    if layout is not None:
        lead = f"ρ × 100 of {len(order)} categories over {n_models} models, cut at 99, clustered."
        if np.isnan(rho).sum() > len(order):
            notes.append("· is undefined.")
        return _block(order, rho, layout, caption=[lead, *notes], width=width, own="—")
    names, means = _between_clusters(correlation, width=width)
    if not names:
        return Text("no two categories have a defined correlation")
    lead = (
        f"{len(order)} categories do not fit into {width} columns: mean ρ × 100 between and within "
        f"{len(names)} clusters of them, over {n_models} models."
    )
    layout = _fit(names, width) or (_NARROW, _MIN_NAME)
    return _block(names, means, layout, caption=[lead, *notes], width=width, own=None)


def heatmap_text(correlation: Correlation) -> str:
    """Return the heatmap for stdout: as wide as the terminal, plain unless it is one; see `heatmap`."""
    console = Console()
    with console.capture() as capture:
        console.print(heatmap(correlation, width=console.width))
    return capture.get().rstrip("\n")


def _fit(names: Sequence[str], width: int) -> tuple[int, int] | None:
    """Return the columns of a cell and of a name, or None if there is no room for so many."""
    longest = min(_MAX_NAME, max(cell_len(shown(name)) for name in names))
    digits = len(str(len(names)))
    for cell in (_WIDE, _NARROW):
        room = width - digits - 2 - max(cell, digits + 1) * len(names)  # a space around each name
        if room >= longest or (cell == _NARROW and room >= _MIN_NAME):
            return max(cell, digits + 1), min(longest, room)
    return None


def _block(
    names: Sequence[str],
    rho: Floats,
    layout: tuple[int, int],
    *,
    caption: Sequence[str],
    width: int,
    own: str | None,
) -> Text:
    """Return header, rows and caption; `own` stands on the diagonal instead of its number."""
    cell, name_width = layout
    digits = len(str(len(names)))
    text = Text(" " * (digits + 2 + name_width), no_wrap=True)
    text.append("".join(f"{number:>{cell}}" for number in range(1, len(names) + 1)), style="dim")
    for number, (name, row) in enumerate(zip(names, rho.tolist(), strict=True), start=1):
        text.append(f"\n{number:>{digits}} ", style="dim")
        label = Text(shown(name))
        label.truncate(name_width, overflow="ellipsis", pad=True)
        text.append(label.append(" "))
        for place, value in enumerate(row, start=1):
            if own is not None and place == number:
                text.append(f"{own:>{cell}}", style="dim")
            elif math.isnan(value):
                text.append(f"{'·':>{cell}}", style="dim")
            else:
                text.append(f"{max(-99, min(99, round(100 * value))):>{cell}}", style=_shade(value))
    together = " ".join(caption).replace(" %", "\xa0%").replace(" < ", "\xa0<\xa0")  # no line ends there
    for line in wrap(together, width, break_long_words=False, break_on_hyphens=False):
        text.append("\n" + line.replace("\xa0", " "), style="dim")
    return text


def _shade(value: float) -> Style:
    """Return black on a colour between blue, white and red; each is light enough for black."""
    end = _POSITIVE if value > 0 else _NEGATIVE
    share = min(abs(value), 1.0)
    mixed = [round(middle + (far - middle) * share) for middle, far in zip(_MIDDLE, end, strict=True)]
    return Style(color=Color.from_rgb(0, 0, 0), bgcolor=Color.from_rgb(*mixed))


def _between_clusters(correlation: Correlation, *, width: int) -> tuple[list[str], Floats]:
    """Return labels of as many clusters as fit, and the mean rho between them, on the diagonal within."""
    n_defined = len(correlation.categories) - len(correlation.undefined)
    n_clusters = min(n_defined, _MAX_CLUSTERS, max(2, (width - 4 - _MIN_NAME) // _WIDE))
    if not n_clusters:
        return [], np.empty((0, 0))
    clusters = cluster_categories(correlation, n_clusters=n_clusters)
    members = [[correlation.categories.index(name) for name in cluster] for cluster in clusters]
    rho = correlation.rho.copy()
    np.fill_diagonal(rho, np.nan)
    means = np.full((n_clusters, n_clusters), np.nan)
    for (i, first), (j, second) in product(enumerate(members), repeat=2):
        defined = [value for value in rho[np.ix_(first, second)].flat if not math.isnan(value)]
        if defined:
            means[i, j] = math.fsum(defined) / len(defined)
    return [f"{len(cluster)}: {', '.join(cluster)}" for cluster in clusters], means
