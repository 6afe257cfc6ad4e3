"""Which items a step is about: known from seed and step alone, so that a fit can go on anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Key = tuple[str, str]


@dataclass(frozen=True)
class ItemBatches:
    """Items of all categories in turn, of each in an order by chance, another one each time through.

    So every category counts the same, as in the mean of their scores, however many items it has.

    Examples
    --------
    >>> batches = ItemBatches({"math": ["q1", "q2"], "code": ["p1"]}, size=2, seed=0)
    >>> sorted(batches.keys(0)), len(batches.keys(7))
    ([('code', 'p1'), ('math', 'q1')], 2)
    """

    items: Mapping[str, Sequence[str]]
    size: int
    seed: int

    def keys(self, step: int) -> list[Key]:
        """Return category and id of the items of a step, counted from 0."""
        categories, orders = sorted(self.items), dict[tuple[str, int], list[str]]()
        keys = []
        for place in range(step * self.size, (step + 1) * self.size):
            times, number = divmod(place, len(categories))
            category = categories[number]
            epoch, turn = divmod(times, len(self.items[category]))
            if (category, epoch) not in orders:
                orders[category, epoch] = self._order(category, epoch)
            keys.append((category, orders[category, epoch][turn]))
        return keys

    def _order(self, category: str, epoch: int) -> list[str]:
        def drawn(item: str) -> tuple[bytes, str]:
            text = f"{self.seed}:{epoch}:{len(category)}:{category}:{item}"
            return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), item

        return sorted(self.items[category], key=drawn)
