"""How the objective depends on the weights: a curve for two experts, a map for three, slices for more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Final

from soce.report.cells import plain
from soce.report.figures.canvas import (
    FAINT,
    INK,
    LINE,
    PAPER,
    SMALL,
    SOFT,
    SOUP,
    TEXT,
    UNIFORM,
    cut,
    text_width,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas

_HALF: Final = math.sqrt(3) / 2
"""Height of a triangle whose sides are 1."""


@dataclass(frozen=True, slots=True)
class Point:
    """A soup that was scored."""

    weights: tuple[float, ...]
    """One for each expert; they sum to 1."""
    value: float
    is_best: bool = False
    is_reference: bool = False
    """A single expert: scored, but not one of the candidates."""
    label: str = ""

    def tip(self, experts: Sequence[str]) -> str:
        """Return weights and value."""
        used = [pair for pair in zip(self.weights, experts, strict=True) if pair[0]]
        return f"{' + '.join(f'{weight:.3g} {name}' for weight, name in used)}: {plain(self.value)}"


@dataclass(frozen=True, slots=True)
class _Weights:
    """Soups of some experts."""

    points: Sequence[Point]
    experts: Sequence[str]
    axis: str
    """What the values are."""

    @property
    def candidates(self) -> list[Point]:
        """The soups that were tried."""
        return [point for point in self.points if not point.is_reference]

    def _dot(self, canvas: Canvas, axes: Axes, x: float, point: Point, *, is_small: bool = False) -> None:
        style: dict[str, Any] = {"mfc": UNIFORM, "mec": PAPER, "mew": 0.8, "ms": 7.5, "zorder": 4}
        if point.is_best:
            style |= {"mfc": SOUP, "mec": INK, "mew": 1.8, "ms": 10.0, "zorder": 5}
        elif point.is_reference:
            style |= {"mfc": PAPER, "mec": SOFT, "mew": 1.6, "ms": 8.0}
        elif is_small:
            style |= {"ms": 5.0, "alpha": 0.65, "zorder": 2}
        tip = f"{point.label + ': ' if point.label else ''}{point.tip(self.experts)}"
        canvas.dot(axes, (x, point.value), tip=tip, clip_on=False, **style)


@dataclass(frozen=True, slots=True)
class Curve(_Weights):
    """The objective against the weight of the first of two experts."""

    title: ClassVar = "The objective along the line between the two experts"
    caption: ClassVar = "Every dot is a soup; the large one was chosen. Rings are the experts alone."

    def height(self, width: float) -> float:  # noqa: ARG002
        """Return how high it is, in pixels."""
        return 330

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        from matplotlib.ticker import MaxNLocator

        axes = canvas.axes(54, 26, canvas.width - 54 - 16, 250)
        ordered = sorted(self.points, key=lambda point: point.weights[0])
        places = [point.weights[0] for point in ordered]
        axes.plot(places, [point.value for point in ordered], color=UNIFORM, lw=1.8)
        for place, point in zip(places, ordered, strict=True):
            self._dot(canvas, axes, place, point)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.grid(color=FAINT)
        axes.grid(axis="y", color=LINE)
        axes.margins(y=0.1)
        axes.tick_params(axis="y", labelsize=SMALL, labelcolor=SOFT)
        canvas.write(2, 11, cut(self.axis, canvas.width - 8, SMALL), size=SMALL, color=SOFT)
        axes.set(xlim=(-0.03, 1.03))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        label = f"weight of {self.experts[0]}; the rest is {self.experts[1]}"
        axes.set_xlabel(cut(label, canvas.width - 70, SMALL))


@dataclass(frozen=True, slots=True)
class Slices(_Weights):
    """A panel for each expert: all soups by its weight, and a line through the best at each weight."""

    title: ClassVar = "The objective by the weight of each expert"
    caption: ClassVar = (
        "Every dot is a soup, shown once in each panel; the line is the best soup at each weight, and the "
        "large dot the chosen one."
    )

    def _grid(self, width: float) -> tuple[int, int, float]:
        """Return panels across, panels down, and the pitch of the rows of panels."""
        across = max(1, min(len(self.experts), 4 if width >= 600 else 2))
        down = -(-len(self.experts) // across)
        return across, down, 236.0 if down == 1 else 190.0

    def height(self, width: float) -> float:
        """Return how high it is, in pixels."""
        _, down, pitch = self._grid(width)
        return 24 + pitch * down

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        across, _, pitch = self._grid(canvas.width)
        values = [point.value for point in self.candidates]
        room = 0.08 * (max(values) - min(values) or 1.0)
        left, gap = 44.0, 14.0
        panel = (canvas.width - left - gap * (across - 1) - 6) / across
        for place, expert in enumerate(self.experts):
            row, column = divmod(place, across)
            axes = canvas.axes(left + column * (panel + gap), 46 + row * pitch, panel, pitch - 66)
            best = self._best_by_weight(place)
            ordered = sorted(best)
            axes.plot(ordered, [best[weight] for weight in ordered], color=SOUP, lw=1.8, zorder=3)
            for point in sorted(self.candidates, key=lambda point: point.is_best):
                self._dot(canvas, axes, point.weights[place], point, is_small=True)
            axes.set(ylim=(min(values) - room, max(values) + room))
            self._ticks(axes, place, is_first=column == 0)
            axes.set_title(cut(expert, panel - 6, TEXT), loc="left", fontsize=TEXT, color=INK, pad=6)
        # Over the panels: beside them there is no room on a phone.
        canvas.write(2, 13, cut(self.axis, canvas.width - 8, SMALL), size=SMALL, color=SOFT, va="center")

    def _best_by_weight(self, place: int) -> dict[float, float]:
        """Return the best value at each weight of an expert.

        The uniform soup is left out where it stands alone, off the grid: nothing was optimised at its weight.
        """
        found: dict[float, list[Point]] = {}
        for point in self.candidates:
            found.setdefault(round(point.weights[place], 9), []).append(point)
        return {
            weight: max(point.value for point in held)
            for weight, held in found.items()
            if len(found) == 1 or len(held) > 1 or len(set(held[0].weights)) > 1
        }

    def _ticks(self, axes: Axes, place: int, *, is_first: bool) -> None:
        from matplotlib.ticker import MaxNLocator

        weights = [round(point.weights[place], 9) for point in self.candidates]
        low, high = min(weights), max(weights)
        room = 0.06 * (high - low or 1.0)
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−") if is_first else "")
        axes.grid(color=LINE)
        axes.tick_params(axis="y", labelsize=SMALL, labelcolor=SOFT)


@dataclass(frozen=True, slots=True)
class Ternary(_Weights):
    """The objective over the triangle of three weights: fuller is better, a ring marks the chosen."""

    title: ClassVar = "The objective over the triangle of weights"
    caption: ClassVar = (
        "Every dot is a soup, fuller is better; the nearer to a corner, the more of that expert. The ring "
        "marks the chosen one. Numbers at the corners are the experts alone."
    )

    def height(self, width: float) -> float:
        """Return how high it is, in pixels."""
        return 40.0 + self._side(width) * _HALF + 38 + 54

    def _side(self, width: float) -> float:
        return min(width - 2 * 26.0, 430.0)

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        top, side = 40.0, self._side(canvas.width)
        left = (canvas.width - side) / 2
        axes = canvas.axes(left, top, side, side * _HALF)
        axes.set(xlim=(0, 1), ylim=(0, _HALF), xticks=[], yticks=[])
        _triangle(axes)
        values = [point.value for point in self.candidates]
        low, high = min(values), max(values)
        size = 2 * min(22.0, max(4.0, 0.40 * self._spacing() * side))
        for point in self.candidates:
            share = 0.0 if high == low else (point.value - low) / (high - low)
            at = _at(point.weights)
            dot: dict[str, Any] = {"ms": size, "mew": 0, "clip_on": False}
            canvas.dot(axes, at, mfc=PAPER, mec=PAPER, zorder=2, **dot)
            tip, alpha = point.tip(self.experts), _fill(share)
            canvas.dot(axes, at, mfc=SOUP, mec=SOUP, alpha=alpha, zorder=3, tip=tip, **dot)
        for point in self.candidates:
            if point.is_best:
                ring: dict[str, Any] = {"ms": size + 5, "mfc": "none", "mec": INK, "mew": 2.2}
                canvas.dot(axes, _at(point.weights), clip_on=False, zorder=5, **ring)
        self._corners(canvas, left=left, top=top, side=side)
        self._strip(canvas, low, high)

    def _spacing(self) -> float:
        """Return the smallest distance of two points."""
        pairs = combinations({_at(point.weights) for point in self.candidates}, 2)
        return max(0.02, min((math.dist(*pair) for pair in pairs), default=0.2))

    def _corners(self, canvas: Canvas, *, left: float, top: float, side: float) -> None:
        whole = [point for point in self.points if 1.0 in point.weights]
        alone = {point.weights.index(1.0): f" {plain(point.value)}" for point in whole}
        bottom = top + side * _HALF
        room = canvas.width / 2 - 8
        corners = ((left + side / 2, top - 20), (left, bottom + 20), (left + side, bottom + 20))
        for place, (corner, y) in enumerate(corners):
            value = alone.get(place, "")
            text = cut(self.experts[place], room - text_width(value)) + value
            half = text_width(text) / 2 + 4
            canvas.write(min(max(corner, half), canvas.width - half), y, text, ha="center", va="center")

    def _strip(self, canvas: Canvas, low: float, high: float) -> None:
        """Draw what the fill means."""
        width, steps = min(220.0, canvas.width * 0.5), 16
        axes = canvas.axes((canvas.width - width) / 2, canvas.height - 50, width, 10)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        canvas.strip(axes, [(SOUP, _fill((step + 0.5) / steps)) for step in range(steps)])
        axes.set_xticks([0, 1], [plain(low, 1), plain(high, 1)])
        axes.set_xlabel(cut(self.axis, canvas.width - 20, SMALL), labelpad=2)


def _fill(share: float) -> float:
    """Return how opaque a dot is, from the worst soup to the best."""
    return round(0.12 + 0.88 * math.pow(share, 1.5), 3)


def _at(weights: Sequence[float]) -> tuple[float, float]:
    """Return where a point lies: the first expert above, the second left, the third right."""
    return weights[2] + weights[0] / 2, weights[0] * _HALF


def _triangle(axes: Axes) -> None:
    axes.plot([0, 1, 0.5, 0], [0, 0, _HALF, 0], color=SOFT, linewidth=1.2, clip_on=False, zorder=1)
    for step in (0.2, 0.4, 0.6, 0.8):
        rest = 1 - step
        for ends in (
            ((step, rest, 0.0), (step, 0.0, rest)),
            ((rest, step, 0.0), (0.0, step, rest)),
            ((rest, 0.0, step), (0.0, rest, step)),
        ):
            (x0, y0), (x1, y1) = (_at(end) for end in ends)
            axes.plot([x0, x1], [y0, y1], color=LINE, linewidth=1, zorder=0)
