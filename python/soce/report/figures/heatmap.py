"""The correlations as a heatmap: red and blue that grow out of the page's own colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.report.figures.canvas import FAINT, INK, LINE, NEGATIVE, POSITIVE, SMALL, SOFT, cut, draw, widest
from soce.report.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas
    from soce.scores.table import Floats

_ROOM: Final = 8.0
"""Pixels of a row below which a name cannot be read."""


def heatmap(
    rho: Floats,
    names: Sequence[str],
    frames: Sequence[tuple[int, int]],
    width: int,
    *,
    name: str,
    title: str,
    description: str,
) -> str:
    """Return a heatmap.

    Parameters
    ----------
    rho : array of shape (n, n)
        In the order of drawing; NaN where undefined.
    names : sequence of str
    frames : sequence of (first, count)
        Neighbours that are framed together.
    width : int
    name, title, description : str
        See `draw`.
    """
    size = len(names)
    margin = min(widest(names, SMALL) + 10, 0.3 * width)
    cell = min(58.0, (width - margin - 8) / max(size, 1))
    named = cell >= _ROOM
    if not named:
        margin = 4.0
        cell = (width - margin - 8) / size
    has_values = cell >= 23
    side = cell * size
    points = min(SMALL, max(6.5, cell * 0.72))

    def paint(canvas: Canvas) -> None:
        axes = canvas.axes(margin, 4, side, side)
        axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
        _cells(canvas, axes, rho, names, gap=1.0 if cell > 8 else 0.0, cell=cell)
        if has_values:
            _values(axes, rho, points=min(SMALL, cell * 0.35))
        for first, count in frames:
            _frame(axes, first, count)
        if named:
            for place, text in enumerate(names):
                short = cut(text, margin - 10, points)
                axes.text(
                    -6 / cell,
                    place + 0.5,
                    short,
                    ha="right",
                    va="center_baseline",
                    fontsize=points,
                    color=INK,
                )
                axes.text(
                    place + 0.5,
                    size + 6 / cell,
                    short,
                    ha="right",
                    va="center",
                    rotation=90,
                    rotation_mode="anchor",
                    fontsize=points,
                    color=INK,
                )
        _scale(canvas, margin, side + margin + 14 if named else side + 14)

    height = 4 + side + (margin if named else 0) + 14 + 34
    return draw(name, width, height, paint, title=title, description=description)


def _cells(canvas: Canvas, axes: Axes, rho: Floats, names: Sequence[str], *, gap: float, cell: float) -> None:
    from matplotlib.patches import Rectangle

    inset = gap / cell
    for i in range(len(names)):
        for j in range(len(names)):
            value = float(rho[i, j])
            is_known = value == value and i != j
            patch = Rectangle(
                (j + inset / 2, i + inset / 2),
                1 - inset,
                1 - inset,
                facecolor=(POSITIVE if value > 0 else NEGATIVE) if is_known else FAINT,
                alpha=round(min(1.0, abs(value)) ** 1.15, 3) if is_known else 1.0,
                linewidth=0,
            )
            axes.add_patch(patch)
            if is_known and len(names) <= 40:
                canvas.tip(patch, f"{names[i]} and {names[j]}: ρ = {plain(value, 3)}")


def _values(axes: Axes, rho: Floats, *, points: float) -> None:
    for i, j in np.ndindex(rho.shape):
        value = float(rho[i, j])
        if i != j:
            text = "·" if value != value else _short(value)
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center_baseline", fontsize=points, color=INK)


def _short(value: float) -> str:
    """Return rho in two digits without the zero before the point.

    Examples
    --------
    >>> _short(0.974), _short(-0.4827), _short(0.0), _short(1.0)
    ('.97', '−.48', '.00', '1.0')
    """
    text = plain(value)
    return "1.0" if text == "1.00" else "−1.0" if text == "−1.00" else text.replace("0.", ".", 1)


def _frame(axes: Axes, first: int, count: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (first, first), count, count, fill=False, edgecolor=INK, linewidth=1.8, clip_on=False, zorder=3
        )
    )


def _scale(canvas: Canvas, left: float, top: float) -> None:
    """Draw what the colours mean, as a strip from -1 to 1."""
    from matplotlib.patches import Rectangle

    steps, width = 20, min(220.0, canvas.width - left - 10)
    axes = canvas.axes(left, top, width, 12)
    axes.set(xlim=(-1, 1), ylim=(0, 1), yticks=[])
    for step in range(steps):
        value = (step + 0.5) / steps * 2 - 1
        axes.add_patch(
            Rectangle(
                (value - 1 / steps, 0),
                2 / steps,
                1,
                facecolor=POSITIVE if value > 0 else NEGATIVE,
                alpha=round(abs(value) ** 1.15, 3),
                linewidth=0,
            )
        )
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "ρ = 0", "0.5", "1"])
    axes.tick_params(axis="x", labelcolor=SOFT, pad=3)
    axes.add_patch(Rectangle((-1, 0), 2, 1, fill=False, edgecolor=LINE, linewidth=1))
