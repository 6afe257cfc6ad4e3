"""How long an evaluation takes, from those whose time was taken."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Pace(Plain):
    """What an evaluation takes: a part of its own, such as the mixing of the soup, and one for each item."""

    seconds_per_evaluation: float
    seconds_per_item: float

    @classmethod
    def of(cls, timings: Iterable[tuple[int, float]]) -> Pace | None:
        """Return the pace of evaluations of so many items in so many seconds; None if there are none.

        Of those with equally many items the median counts, since the first of a program takes longer. A line
        is fitted to these; where all had equally many, nothing tells the two parts apart, and it goes through
        zero.

        Examples
        --------
        >>> Pace.of([(100, 12.0), (100, 30.0), (100, 12.0), (10, 3.0)])
        Pace(seconds_per_evaluation=2.0, seconds_per_item=0.1)
        >>> Pace.of([(50, 5.0)])
        Pace(seconds_per_evaluation=0.0, seconds_per_item=0.1)
        """
        by_size: dict[int, list[float]] = defaultdict(list)
        for n_items, seconds in timings:
            by_size[n_items].append(seconds)
        if not by_size:
            return None
        points = [(size, median(found), len(found)) for size, found in by_size.items()]
        total = sum(count for _, _, count in points)
        middle = sum(size * count for size, _, count in points) / total
        usual = sum(seconds * count for _, seconds, count in points) / total
        spread = sum(count * (size - middle) ** 2 for size, _, count in points)
        if not spread:
            return cls(0.0, usual / middle) if middle else cls(usual, 0.0)
        slope = sum(count * (size - middle) * (seconds - usual) for size, seconds, count in points) / spread
        if slope <= 0:
            return cls(usual, 0.0)
        start = usual - slope * middle
        return cls(start, slope) if start >= 0 else cls(0.0, usual / middle)

    def seconds(self, n_evaluations: int, n_items: int | None) -> float | None:
        """Return an estimate; None if it takes a number of items that nobody knows."""
        if n_items is None:
            return (
                None
                if self.seconds_per_item and n_evaluations
                else n_evaluations * self.seconds_per_evaluation
            )
        return n_evaluations * self.seconds_per_evaluation + n_items * self.seconds_per_item
