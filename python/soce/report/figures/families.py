"""Soups beside their parents, a column each: in how many categories they are better, and their means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.report.cells import plain
from soce.report.figures.canvas import FAINT, LINE, SINGLE, SMALL, SOFT, SOUP, TEXT, UNIFORM, cut, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from soce.report.figures.canvas import Canvas

_LEFT: Final = 44.0
_PANEL: Final = 150.0
_HEAD: Final = 46.0
_GAP: Final = 22.0


@dataclass(frozen=True, slots=True)
class FamilyColumn:
    """A soup and its parents."""

    label: str
    better_than_one: int
    better_than_all: int
    low: float
    """Mean of the parent whose mean is lowest."""
    high: float
    mean: float
    """Of the soup."""


@dataclass(frozen=True, slots=True)
class Families:
    """The two panels of the paper's Figure 5: counts of categories above, means below."""

    columns: Sequence[FamilyColumn]
    n_categories: int
    axis: str
    """What the means are."""

    def height(self, width: float) -> float:  # noqa: ARG002
        """Return how high it is, in pixels."""
        return 2 * (_HEAD + _PANEL) + _GAP + 26

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""
        places = range(len(self.columns))
        size = max(2.5, min(7.0, 0.5 * (canvas.width - _LEFT) / len(self.columns)))
        above = self._panel(canvas, 0, f"categories, of {self.n_categories}")
        self._legend(canvas, 0, (("better than a parent", UNIFORM), ("better than all parents", SOUP)))
        above.set_ylim(0, self.n_categories * 1.06)
        for counts, colour in (
            ([one.better_than_one for one in self.columns], UNIFORM),
            ([one.better_than_all for one in self.columns], SOUP),
        ):
            above.plot(places, counts, color=colour, lw=1.4, alpha=0.5)
            above.plot(places, counts, "o", color=colour, ms=size, mew=0)
        top = _HEAD + _PANEL + _GAP
        below = self._panel(canvas, top, self.axis)
        self._legend(canvas, top, (("lowest to highest parent", SINGLE), ("soup", SOUP)))
        for place, one in enumerate(self.columns):
            line: dict[str, Any] = {"color": SINGLE, "lw": size, "solid_capstyle": "butt", "alpha": 0.55}
            below.plot([place, place], [one.low, one.high], **line)
            below.plot([place, place], [one.low, one.high], "_", color=SINGLE, ms=size + 3, mew=2)
            tip = (
                f"{one.label}: {plain(one.mean)}, parents {plain(one.low)} to {plain(one.high)}; better than "
                f"a parent in {one.better_than_one} and than all in {one.better_than_all} categories"
            )
            canvas.dot(below, (place, one.mean), ms=size + 1.5, color=SOUP, mew=0, tip=tip)
        below.set_xlabel(cut("soups, the best mean first", canvas.width - _LEFT, SMALL), labelpad=6)

    def _panel(self, canvas: Canvas, top: float, axis: str) -> Axes:
        from matplotlib.ticker import MaxNLocator

        axes = canvas.axes(_LEFT, top + _HEAD, canvas.width - _LEFT - 8, _PANEL)
        axes.set(xlim=(-0.7, len(self.columns) - 0.3), xticks=[])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=top == 0))
        axes.grid(axis="y", color=LINE)
        axes.grid(axis="x", color=FAINT)
        axes.tick_params(axis="y", labelsize=SMALL, labelcolor=SOFT)
        canvas.write(2, top + 30, cut(axis, canvas.width - 8, SMALL), size=SMALL, color=SOFT)
        return axes

    def _legend(self, canvas: Canvas, top: float, entries: Sequence[tuple[str, str]]) -> None:
        x = 2.0
        for words, colour in entries:
            canvas.write(x, top + 11, "●", color=colour, size=TEXT)
            canvas.write(x + 14, top + 11, words, size=TEXT)
            x += 30 + text_width(words, TEXT)
