"""How the objective depends on the weights: a curve for two experts, a map for three, slices for more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
    draw,
    text_width,
)
from soce.report.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas

_HALF: Final = math.sqrt(3) / 2


@dataclass(frozen=True, slots=True)
class Point:
    """A soup that was scored."""

    weights: tuple[float, ...]
    """One for each expert; they sum to 1."""
    value: float
    is_best: bool = False
    is_reference: bool = False
    """A single expert, or the uniform soup: scored, but not one of the candidates."""
    label: str = ""

    def tip(self, experts: Sequence[str]) -> str:
        """Return weights and value."""
        mix = " + ".join(
            f"{weight:.3g} {name}" for weight, name in zip(self.weights, experts, strict=True) if weight
        )
        return f"{mix}: {plain(self.value)}"


def curve(
    points: Sequence[Point],
    experts: Sequence[str],
    width: int,
    *,
    name: str,
    title: str,
    description: str,
    axis: str,
) -> str:
    """Return the objective against the weight of the first of two experts."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.axes(54, 26, canvas.width - 54 - 16, 250)
        ordered = sorted(points, key=lambda point: point.weights[0])
        axes.plot(
            [point.weights[0] for point in ordered], [point.value for point in ordered], color=UNIFORM, lw=1.8
        )
        for point in ordered:
            _dot(canvas, axes, point.weights[0], point, experts)
        _finish(canvas, axes, axis)
        axes.set(xlim=(-0.03, 1.03))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_xlabel(cut(f"weight of {experts[0]}; the rest is {experts[1]}", canvas.width - 70, SMALL))

    return draw(name, width, 330, paint, title=title, description=description)


def slices(
    points: Sequence[Point],
    experts: Sequence[str],
    width: int,
    *,
    name: str,
    title: str,
    description: str,
    axis: str,
) -> str:
    """Return a panel for each expert: all soups by its weight, and a line through the best at each weight."""
    across = max(1, min(len(experts), 4 if width >= 600 else 2))
    down = -(-len(experts) // across)
    pitch = 236.0 if down == 1 else 190.0
    values = [point.value for point in points if not point.is_reference]
    room = 0.08 * (max(values) - min(values) or 1.0)
    ends = min(values) - room, max(values) + room

    def paint(canvas: Canvas) -> None:
        left, gap = 44.0, 14.0
        panel = (canvas.width - left - gap * (across - 1) - 6) / across
        for place, expert in enumerate(experts):
            row, column = divmod(place, across)
            axes = canvas.axes(left + column * (panel + gap), 46 + row * pitch, panel, pitch - 66)
            best = _best_by_weight(points, place)
            ordered = sorted(best)
            axes.plot(ordered, [best[weight] for weight in ordered], color=SOUP, lw=1.8, zorder=3)
            for point in sorted(points, key=lambda point: point.is_best):
                if not point.is_reference:
                    _dot(canvas, axes, point.weights[place], point, experts, small=True)
            axes.set(ylim=ends)
            _ticks(
                axes, column, [round(point.weights[place], 9) for point in points if not point.is_reference]
            )
            axes.set_title(cut(expert, panel - 6, TEXT), loc="left", fontsize=TEXT, color=INK, pad=6)
        # Over the panels: beside them there is no room on a phone.
        canvas.figure.text(
            2 / canvas.width,
            1 - 13 / canvas.height,
            cut(axis, canvas.width - 8, SMALL),
            fontsize=SMALL,
            color=SOFT,
            va="center",
        )

    return draw(name, width, 24 + pitch * down, paint, title=title, description=description)


def _best_by_weight(points: Sequence[Point], place: int) -> dict[float, float]:
    """Return the best value at each weight of an expert.

    The uniform soup is left out where it stands alone, off the grid: nothing was optimised at its weight.
    """
    found: dict[float, list[Point]] = {}
    for point in points:
        if not point.is_reference:
            found.setdefault(round(point.weights[place], 9), []).append(point)
    return {
        weight: max(point.value for point in held)
        for weight, held in found.items()
        if len(found) == 1 or len(held) > 1 or len(set(held[0].weights)) > 1
    }


def _ticks(axes: Axes, column: int, weights: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = min(weights, default=0.0), max(weights, default=1.0)
    room = 0.06 * (high - low or 1.0)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−") if column == 0 else "")
    axes.grid(color=LINE)
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor=SOFT)


def ternary(
    points: Sequence[Point],
    experts: Sequence[str],
    width: int,
    *,
    name: str,
    title: str,
    description: str,
    axis: str,
) -> str:
    """Return the objective over the triangle of three weights: fuller is better, a ring marks the chosen."""
    candidates = [point for point in points if not point.is_reference]
    low = min(point.value for point in candidates)
    high = max(point.value for point in candidates)
    top, room = 40.0, 26.0
    side = min(width - 2 * room, 430.0)
    height = top + side * _HALF + 38 + 54

    def paint(canvas: Canvas) -> None:
        left = (canvas.width - side) / 2
        axes = canvas.axes(left, top, side, side * _HALF)
        axes.set(xlim=(0, 1), ylim=(0, _HALF), xticks=[], yticks=[])
        _triangle(axes)
        spacing = _spacing(candidates)
        radius = min(22.0, max(4.0, 0.40 * spacing * side))
        for point in candidates:
            share = 0.0 if high == low else (point.value - low) / (high - low)
            x, y = _at(point.weights)
            (under,) = axes.plot(
                x, y, "o", markersize=2 * radius, color=PAPER, markeredgewidth=0, clip_on=False
            )
            under.set_zorder(2)
            (dot,) = axes.plot(
                x,
                y,
                "o",
                markersize=2 * radius,
                markerfacecolor=SOUP,
                alpha=round(0.12 + 0.88 * share**1.5, 3),
                markeredgewidth=0,
                clip_on=False,
                zorder=3,
            )
            canvas.tip(dot, point.tip(experts))
        for point in candidates:
            if point.is_best:
                x, y = _at(point.weights)
                axes.plot(
                    x,
                    y,
                    "o",
                    markersize=2 * radius + 5,
                    markerfacecolor="none",
                    markeredgecolor=INK,
                    markeredgewidth=2.2,
                    clip_on=False,
                    zorder=5,
                )
        _corners(canvas, experts, points, left=left, top=top, side=side)
        _strip(canvas, low, high, axis, height)

    return draw(name, width, height, paint, title=title, description=description)


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


def _spacing(points: Sequence[Point]) -> float:
    """Return the smallest distance of two points."""
    places = [_at(point.weights) for point in points]
    found = [
        math.dist(one, other) for place, one in enumerate(places) for other in places[:place] if one != other
    ]
    return max(0.02, min(found, default=0.2))


def _corners(
    canvas: Canvas, experts: Sequence[str], points: Sequence[Point], *, left: float, top: float, side: float
) -> None:
    alone = {point.weights.index(1.0): f" {plain(point.value)}" for point in points if 1.0 in point.weights}
    bottom = top + side * _HALF
    room = canvas.width / 2 - 8
    corners = ((left + side / 2, top - 20), (left, bottom + 20), (left + side, bottom + 20))
    for place, (corner, y) in enumerate(corners):
        value = alone.get(place, "")
        text = cut(experts[place], room - text_width(value)) + value
        half = text_width(text) / 2 + 4
        x = min(max(corner, half), canvas.width - half)
        canvas.figure.text(
            x / canvas.width, 1 - y / canvas.height, text, ha="center", va="center", fontsize=TEXT, color=INK
        )


def _strip(canvas: Canvas, low: float, high: float, axis: str, height: float) -> None:
    from matplotlib.patches import Rectangle

    width = min(220.0, canvas.width * 0.5)
    axes = canvas.axes((canvas.width - width) / 2, height - 50, width, 10)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    for step in range(16):
        share = (step + 0.5) / 16
        axes.add_patch(
            Rectangle(
                (step / 16, 0), 1 / 16, 1, facecolor=SOUP, alpha=round(0.12 + 0.88 * share**1.5, 3), lw=0
            )
        )
    axes.set_xticks([0, 1], [plain(low, 1), plain(high, 1)])
    axes.set_xlabel(cut(axis, canvas.width - 20, SMALL), labelpad=2)


def _dot(
    canvas: Canvas, axes: Axes, x: float, point: Point, experts: Sequence[str], *, small: bool = False
) -> None:
    if point.is_best:
        face, edge, size = SOUP, INK, 10.0
    elif point.is_reference:
        face, edge, size = PAPER, SOFT, 8.0
    else:
        face, edge, size = (UNIFORM, PAPER, 5.0 if small else 7.5)
    (dot,) = axes.plot(
        [x],
        [point.value],
        "o",
        markersize=size,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=1.8 if point.is_best else 0.8 if not point.is_reference else 1.6,
        alpha=0.65 if small and not point.is_best else 1.0,
        zorder=5 if point.is_best else 2 if small else 4,
        clip_on=False,
    )
    canvas.tip(dot, f"{point.label + ': ' if point.label else ''}{point.tip(experts)}")


def _finish(canvas: Canvas, axes: Axes, axis: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.grid(color=FAINT)
    axes.grid(axis="y", color=LINE)
    axes.margins(y=0.1)
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor=SOFT)
    canvas.figure.text(
        2 / canvas.width,
        1 - 11 / canvas.height,
        cut(axis, canvas.width - 8, SMALL),
        fontsize=SMALL,
        color=SOFT,
    )
