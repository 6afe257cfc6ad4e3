"""Drawings with a row for each thing: bars with intervals, and differences around zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from soce.report.figures.canvas import (
    FAINT,
    INK,
    LINE,
    PAPER,
    SINGLE,
    SMALL,
    SOFT,
    SOUP,
    TEXT,
    UNIFORM,
    cut,
    draw,
    text_width,
    widest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas

_PITCH: Final = 30.0
_COLOURS: Final = {"single": SINGLE, "uniform": UNIFORM, "soup": SOUP}


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: a value from 0, or a difference."""

    label: str
    value: float
    text: str
    """The value as people read it."""
    kind: Literal["single", "uniform", "soup"] = "single"
    low: float | None = None
    high: float | None = None
    other: float | None = None
    """Another value of the same thing, drawn as a ring."""
    tip: str = ""


def bars(
    rows: Sequence[Bar], width: int, *, name: str, title: str, description: str, axis: str, full: float | None
) -> str:
    """Return bars from 0 with intervals as lines and other values as rings.

    Parameters
    ----------
    rows : sequence of Bar
        From top to bottom.
    width : int
        In pixels.
    name, title, description : str
        See `draw`.
    axis : str
        What the values are.
    full : float, optional
        Largest possible value: the axis goes no further.
    """

    def paint(canvas: Canvas) -> None:
        reach = max([*(row.value for row in rows), *(row.high or 0 for row in rows)], default=1.0)
        reach = max([reach, *(row.other or 0 for row in rows)])
        reach = (min(reach * 1.04, full * 1.02) if full else reach * 1.04) or 1.0
        least = min([0.0, *(row.value for row in rows), *(row.low or 0 for row in rows)])
        axes = _place(canvas, rows, axis, (least, reach))
        for place, row in enumerate(rows):
            (bar,) = axes.barh([place], [row.value], height=0.56, color=_COLOURS[row.kind], linewidth=0)
            canvas.tip(bar, row.tip or f"{row.label}: {row.text}")
            _whisker(axes, row, place)
            if row.other is not None:
                axes.plot(
                    [row.other],
                    [place],
                    "o",
                    markersize=7,
                    markerfacecolor=PAPER,
                    markeredgecolor=INK,
                    markeredgewidth=1.4,
                )

    return draw(name, width, _height(len(rows)), paint, title=title, description=description)


def differences(
    rows: Sequence[Bar], width: int, *, name: str, title: str, description: str, axis: str
) -> str:
    """Return differences as dots with intervals around a line at zero; hollow ones cannot be told from it."""

    def paint(canvas: Canvas) -> None:
        ends = [0.0]
        for row in rows:
            ends += [row.value, row.low or row.value, row.high or row.value]
        room = 0.06 * (max(ends) - min(ends) or 1.0)
        axes = _place(canvas, rows, axis, (min(ends) - room, max(ends) + room))
        axes.axvline(0, color=SOFT, linewidth=1.4)
        for place, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.plot(
                    [row.low, row.high],
                    [place, place],
                    color=_COLOURS[row.kind],
                    linewidth=2.4,
                    solid_capstyle="round",
                )
            is_sure = row.low is None or row.high is None or row.low > 0 or row.high < 0
            (dot,) = axes.plot(
                [row.value],
                [place],
                "o",
                markersize=9 if canvas.width >= 500 else 7,
                markerfacecolor=_COLOURS[row.kind] if is_sure else PAPER,
                markeredgecolor=_COLOURS[row.kind],
                markeredgewidth=2,
            )
            canvas.tip(dot, row.tip or f"{row.label}: {row.text}")

    return draw(name, width, _height(len(rows)), paint, title=title, description=description)


def _height(n_rows: int) -> float:
    return 6 + _PITCH * n_rows + 42


def _place(canvas: Canvas, rows: Sequence[Bar], axis: str, ends: tuple[float, float]) -> Axes:
    """Return axes between the labels and the values, with a grid that hardly shows."""
    from matplotlib.ticker import MaxNLocator

    # A bold line is wider.
    left = min(1.08 * widest([row.label for row in rows]) + 12, 0.38 * canvas.width)
    right = 1.08 * widest([row.text for row in rows]) + 14
    height = _PITCH * len(rows)
    axes = canvas.axes(left, 6, canvas.width - left - right, height)
    axes.set(xlim=ends, ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4 if canvas.width < 500 else 7))
    axes.grid(axis="x", color=LINE)
    axes.tick_params(axis="x", pad=4)
    axes.set_xlabel(cut(axis, canvas.width - 8, SMALL), labelpad=4)
    # Under the drawing, not under the axes: a long one would be cut at the edge of a narrow drawing.
    middle = left + (canvas.width - left - right) / 2
    half = min(text_width(axis, SMALL), canvas.width - 8) / 2
    shift = max(half + 2 - middle, 0) + min(canvas.width - half - 2 - middle, 0)
    axes.xaxis.set_label_coords(0.5 + shift / (canvas.width - left - right), -26 / height)
    for place, row in enumerate(rows):
        y = 6 + _PITCH * (place + 0.5)
        weight = "bold" if row.kind == "soup" else "normal"
        _write(
            canvas,
            left - 10,
            y,
            cut(row.label, (left - 12) / (1.08 if weight == "bold" else 1.0)),
            side="right",
            weight=weight,
        )
        _write(canvas, canvas.width - 2, y, row.text, side="right", weight=weight)
        if place:
            axes.axhline(place - 0.5, color=FAINT, linewidth=1, zorder=0)
    return axes


def _write(canvas: Canvas, x: float, y: float, text: str, *, side: str, weight: str) -> None:
    canvas.figure.text(
        x / canvas.width,
        1 - y / canvas.height,
        text,
        ha=side,
        va="center_baseline",
        fontsize=TEXT,
        fontweight=weight,
        color=INK,
    )


def _whisker(axes: Axes, row: Bar, place: int) -> None:
    if row.low is None or row.high is None:
        return
    axes.plot([row.low, row.high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
    for end in (row.low, row.high):
        axes.plot([end, end], [place - 0.13, place + 0.13], color=INK, linewidth=1.6, solid_capstyle="butt")
