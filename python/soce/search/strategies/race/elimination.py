"""Who is still in the race: candidates that are compared with leaders, item by item in a random order."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.search.strategies.race.surface import smooth
from soce.search.strategies.race.wealth import Wealth

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROWTH: Final = 4 / 3
"""How many times more items have been seen after each rung."""


class Elimination:
    """Candidates by their places, what was seen of each, and who may still be the best.

    One candidate a* is the best; of several it is the first, so the preferred ones come first. Two things can
    go wrong for it, each with a chance of half of delta at most over the order of the items:

    - It is dropped. For every candidate there is one wealth, which is bet on leaders being better than it,
      and by which it is dropped. Who leads is settled before the next items are seen. Nobody is better than
      a*, so its wealth is a supermartingale whoever leads.
    - The race ends with another one than a*, from which a* was taken to be within epsilon while it is better
      by more. There is a wealth for every pair for this, so a* is in m - 1 tests of m candidates, each with
      an equal part of the chance. Without epsilon there are none, and all of delta is for the first kind.

    Parameters
    ----------
    shares : array of shape (n_candidates, n_models)
        Weights of each candidate, by which it is known which are alike.
    n_items : int
        Items in all.
    bound : float
        No two candidates differ on an item by more; in the units of what is heard.
    epsilon : float
        In the same units: so much may be missed.
    delta : float
        Share of the orders of the items that may lead astray.
    """

    def __init__(
        self, shares: NDArray[np.float64], *, n_items: int, bound: float, epsilon: float, delta: float
    ) -> None:
        n = len(shares)
        self.alive: list[int] = [*range(n)]
        """Who is in, in the order in which rows are heard."""
        self.n_seen = 0
        self._shares, self._n_items, self._bound, self._epsilon = shares, n_items, bound, epsilon
        self._worse_at = log((2 if epsilon else 1) / delta)
        self._near_at = log(2 * max(1, n - 1) / delta)
        self._rows = np.zeros((n, 0))
        self._means, self._counts = np.zeros(n), np.zeros(n)
        self._worse = Wealth(n, n_items, bound)
        self._near: dict[int, Wealth] = {}
        """Leader → bets on each of those who are in that it is better by less than epsilon."""

    @property
    def order(self) -> list[int]:
        """Who is in, the likeliest winner first."""
        if not self.n_seen:
            return [*self.alive]
        values = smooth(self._shares, self._means, self._counts)
        return sorted(self.alive, key=lambda one: (-values[one], one))

    @property
    def leaders(self) -> list[int]:
        """With whom all others are compared next."""
        best = min(self.alive, key=lambda one: (-self._means[one], one))
        return [*dict.fromkeys([best, self.order[0]])]

    @property
    def is_decided(self) -> bool:
        """Whether one is left, or somebody leads from whom all others are within epsilon."""
        return len(self.alive) == 1 or any(map(self.is_near_all, self.leaders))

    def mean(self, one: int) -> float:
        """Return the mean of what was heard of a candidate: what its objective seems to be."""
        return float(self._means[one])

    def hear(self, values: NDArray[np.float64]) -> list[int]:
        """Take in the next items of those who are in, a row each; return who is dropped.

        The mean of a row over all items is the candidate's objective.
        """
        places = [self.alive.index(leader) for leader in self.leaders]
        sums = self._rows.sum(axis=1)
        self._worse.draw(values[places][:, None] - values, sums[places][:, None] - sums)
        for leader, wealth in self._near.items():
            self._bet_near(wealth, self.alive.index(leader), values, sums)
        self._rows = np.concatenate([self._rows, values], axis=1)
        self.n_seen += values.shape[1]
        self._means[self.alive] = self._rows.mean(axis=1)
        self._counts[self.alive] = self.n_seen
        is_in = self._worse.most < self._worse_at
        if not is_in.any():  # all but impossible, but somebody must win
            is_in[self.alive.index(self.leaders[0])] = True
        return [] if is_in.all() else self._drop(is_in)

    def _drop(self, is_in: NDArray[np.bool_]) -> list[int]:
        dropped = [one for one, stays in zip(self.alive, is_in.tolist(), strict=True) if not stays]
        self.alive = [one for one, stays in zip(self.alive, is_in.tolist(), strict=True) if stays]
        self._rows = self._rows[is_in]
        self._worse.keep(is_in)
        self._near = {one: wealth for one, wealth in self._near.items() if one in self.alive}
        for wealth in self._near.values():
            wealth.keep(is_in)
        return dropped

    def is_near_all(self, one: int) -> bool:
        """Whether all who are in are known to be better than this one by less than epsilon, or not at all."""
        if len(self.alive) == 1 or not self._epsilon:
            return len(self.alive) == 1
        place = self.alive.index(one)
        if one not in self._near:
            self._near[one] = Wealth(len(self.alive), self._n_items, self._bound - self._epsilon)
            self._bet_near(self._near[one], place, self._rows, np.zeros(len(self.alive)))
        return bool((np.delete(self._near[one].most, place) >= self._near_at).all())

    def _bet_near(
        self, wealth: Wealth, place: int, values: NDArray[np.float64], sums: NDArray[np.float64]
    ) -> None:
        n_before = self._n_items - wealth.n_left
        before = sums[place] - sums + self._epsilon * n_before
        wealth.draw((values[place] - values + self._epsilon)[None], before[None])


def rung_sizes(n_items: int, fewest: int) -> list[int]:
    """Return how many items have been seen after each rung, all of them after the last.

    Examples
    --------
    >>> rung_sizes(1000, 200)
    [236, 315, 421, 562, 750, 1000]
    """
    sizes = [n_items]
    while int(sizes[0] / GROWTH) >= fewest:
        sizes.insert(0, int(sizes[0] / GROWTH))
    return sizes
