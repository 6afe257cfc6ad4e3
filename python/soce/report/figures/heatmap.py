"""The correlations as a heatmap: red and blue that grow out of the page's own colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.report.cells import plain
from soce.report.figures.canvas import (
    FAINT,
    INK,
    LINE,
    NEGATIVE,
    POSITIVE,
    SMALL,
    SOFT,
    cut,
    rectangle,
    widest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas
    from soce.scores.table import Floats

_READABLE: Final = 8.0
"""Pixels of a row below which a name cannot be read."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Correlations in the order of drawing."""

    rho: Floats  # (n, n), NaN where undefined
    names: Sequence[str]
    frames: Sequence[tuple[int, int]]
    """First and count of neighbours that are framed together."""

    def _layout(self, width: float) -> tuple[float, float, bool]:
        """Return the margin of the names, the side of a cell, and whether there are names."""
        margin = min(widest(self.names, SMALL) + 10, 0.3 * width)
        cell = min(58.0, (width - margin - 8) / max(len(self.names), 1))
        if cell >= _READABLE:
            return margin, cell, True
        return 4.0, (width - 4.0 - 8) / len(self.names), False

    def height(self, width: float) -> float:
        """Return how high it is, in pixels."""
        margin, cell, is_named = self._layout(width)
        return 4 + cell * len(self.names) + (margin if is_named else 0) + 14 + 34

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        margin, cell, is_named = self._layout(canvas.width)
        size = len(self.names)
        side = cell * size
        axes = canvas.axes(margin, 4, side, side)
        axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
        self._cells(canvas, axes, cell)
        for first, count in self.frames:
            frame: dict[str, Any] = {"edgecolor": INK, "linewidth": 1.8, "clip_on": False, "zorder": 3}
            rectangle(axes, (first, first), count, count, fill=False, **frame)
        if is_named:
            points = min(SMALL, max(6.5, cell * 0.72))
            for place, text in enumerate(self.names):
                short = cut(text, margin - 10, points)
                style: dict[str, Any] = {"ha": "right", "fontsize": points, "color": INK}
                axes.text(-6 / cell, place + 0.5, short, va="center_baseline", **style)
                upright: dict[str, Any] = {"va": "center", "rotation": 90, "rotation_mode": "anchor"}
                axes.text(place + 0.5, size + 6 / cell, short, **style, **upright)
        _scale(canvas, margin, side + margin + 14 if is_named else side + 14)

    def _cells(self, canvas: Canvas, axes: Axes, cell: float) -> None:
        """Fill the cells, and write their values where there is room."""
        gap = (1.0 if cell > 8 else 0.0) / cell
        style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": INK}
        style["fontsize"] = min(SMALL, cell * 0.35)
        for i, j in np.ndindex(self.rho.shape):
            value = float(self.rho[i, j])
            is_known = value == value and i != j
            colour, alpha = _colour(value) if is_known else (FAINT, 1.0)
            at, fill = (j + gap / 2, i + gap / 2), {"facecolor": colour, "alpha": alpha}
            patch = rectangle(axes, at, 1 - gap, 1 - gap, linewidth=0, **fill)
            if is_known and len(self.names) <= 40:
                canvas.tip(patch, f"{self.names[i]} and {self.names[j]}: ρ = {plain(value, 3)}")
            if i != j and cell >= 23:
                axes.text(j + 0.5, i + 0.5, "·" if value != value else _short(value), **style)


def _colour(rho: float) -> tuple[str, float]:
    return POSITIVE if rho > 0 else NEGATIVE, round(math.pow(min(1.0, abs(rho)), 1.15), 3)


def _short(value: float) -> str:
    """Return rho in two digits: .97, −.48, 1.0."""
    text = plain(value)
    return text[:-1] if text.endswith("1.00") else text.replace("0.", ".", 1)


def _scale(canvas: Canvas, left: float, top: float) -> None:
    """Draw what the colours mean, as a strip from -1 to 1."""
    steps, width = 20, min(220.0, canvas.width - left - 10)
    axes = canvas.axes(left, top, width, 12)
    axes.set(xlim=(-1, 1), ylim=(0, 1), yticks=[])
    values = [(step + 0.5) / steps * 2 - 1 for step in range(steps)]
    canvas.strip(axes, [_colour(value) for value in values])
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "ρ = 0", "0.5", "1"])
    axes.tick_params(axis="x", labelcolor=SOFT, pad=3)
    rectangle(axes, (-1, 0), 2, 1, fill=False, edgecolor=LINE, linewidth=1)
