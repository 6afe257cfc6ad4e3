"""Drawings with a row for each thing: bars with intervals, and differences around zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from soce.report.figures.canvas import (
    FAINT,
    INK,
    LINE,
    PAPER,
    SINGLE,
    SMALL,
    SOFT,
    SOUP,
    UNIFORM,
    cut,
    text_width,
    widest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas

RowKind: TypeAlias = Literal["single", "uniform", "soup"]

_PITCH: Final = 30.0
_BOLDER: Final = 1.08
"""How much wider bold text is."""
_COLOURS: Final = {"single": SINGLE, "uniform": UNIFORM, "soup": SOUP}


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: a value from 0, or a difference."""

    label: str
    value: float
    text: str
    """The value as people read it."""
    kind: RowKind = "single"
    interval: tuple[float, float] | None = None
    other: float | None = None
    """Another value of the same thing, drawn as a ring."""
    tip: str = ""

    @property
    def reach(self) -> tuple[float, ...]:
        """All that the axis must show."""
        return (self.value, *(self.interval or ()), *(() if self.other is None else (self.other,)))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows from top to bottom."""

    rows: Sequence[Bar]
    axis: str
    """What the values are."""

    def height(self, width: float) -> float:  # noqa: ARG002
        """Return how high it is, in pixels."""
        return 6 + _PITCH * len(self.rows) + 42

    def _axes(self, canvas: Canvas, ends: tuple[float, float]) -> Axes:
        """Return axes between the labels and the values, with a grid that hardly shows."""
        from matplotlib.ticker import MaxNLocator

        left = min(_BOLDER * widest([row.label for row in self.rows]) + 12, 0.38 * canvas.width)
        width = canvas.width - left - (_BOLDER * widest([row.text for row in self.rows]) + 14)
        height = _PITCH * len(self.rows)
        axes = canvas.axes(left, 6, width, height)
        axes.set(xlim=ends, ylim=(len(self.rows) - 0.5, -0.5), yticks=[])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4 if canvas.width < 500 else 7))
        axes.grid(axis="x", color=LINE)
        axes.tick_params(axis="x", pad=4)
        axes.set_xlabel(cut(self.axis, canvas.width - 8, SMALL), labelpad=4)
        # Under the drawing, not under the axes: a long one would be cut at the edge of a narrow drawing.
        middle = left + width / 2
        half = min(text_width(self.axis, SMALL), canvas.width - 8) / 2
        shift = max(half + 2 - middle, 0) + min(canvas.width - half - 2 - middle, 0)
        axes.xaxis.set_label_coords(0.5 + shift / width, -26 / height)
        for place, row in enumerate(self.rows):
            y = 6 + _PITCH * (place + 0.5)
            is_soup = row.kind == "soup"
            weight = "bold" if is_soup else "normal"
            style: dict[str, Any] = {"ha": "right", "va": "center_baseline", "fontweight": weight}
            canvas.write(left - 10, y, cut(row.label, (left - 12) / (_BOLDER if is_soup else 1.0)), **style)
            canvas.write(canvas.width - 2, y, row.text, **style)
            if place:
                axes.axhline(place - 0.5, color=FAINT, linewidth=1, zorder=0)
        return axes


@dataclass(frozen=True, slots=True)
class Bars(_Rows):
    """Bars from 0 with intervals as lines and other values as rings."""

    full: float | None = None
    """Largest possible value: the axis goes no further."""

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        reach = max((end for row in self.rows for end in row.reach), default=1.0)
        reach = (min(reach * 1.04, self.full * 1.02) if self.full else reach * 1.04) or 1.0
        least = min([0.0, *(end for row in self.rows for end in (row.value, *(row.interval or ())))])
        axes = self._axes(canvas, (least, reach))
        for place, row in enumerate(self.rows):
            (bar,) = axes.barh([place], [row.value], height=0.56, color=_COLOURS[row.kind], linewidth=0)
            canvas.tip(bar, row.tip or f"{row.label}: {row.text}")
            if row.interval:
                line: dict[str, Any] = {"color": INK, "linewidth": 1.6, "solid_capstyle": "butt"}
                axes.plot(row.interval, [place, place], **line)
                for end in row.interval:
                    axes.plot([end, end], [place - 0.13, place + 0.13], **line)
            if row.other is not None:
                canvas.dot(axes, (row.other, place), ms=7, mfc=PAPER, mec=INK, mew=1.4)


@dataclass(frozen=True, slots=True)
class Differences(_Rows):
    """Differences as dots with intervals around a line at zero; hollow where no interval leaves zero out."""

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        ends = [0.0, *(end for row in self.rows for end in row.reach)]
        room = 0.06 * (max(ends) - min(ends) or 1.0)
        axes = self._axes(canvas, (min(ends) - room, max(ends) + room))
        axes.axvline(0, color=SOFT, linewidth=1.4)
        for place, row in enumerate(self.rows):
            colour = _COLOURS[row.kind]
            if row.interval:
                axes.plot(row.interval, [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
            is_sure = row.interval is not None and not row.interval[0] <= 0 <= row.interval[1]
            canvas.dot(
                axes,
                (row.value, place),
                ms=9 if canvas.width >= 500 else 7,
                mfc=colour if is_sure else PAPER,
                mec=colour,
                mew=2,
                tip=row.tip or f"{row.label}: {row.text}",
            )
