"""Bets against the claim that the mean of a population is 0 or less, made as its members are drawn.

Waudby-Smith and Ramdas, "Confidence sequences for sampling without replacement", arXiv:2006.04347, and
"Estimating means of bounded random variables by betting", arXiv:2010.09686.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BETS: Final = (0.8, 0.3, 0.1, 0.03)
"""Shares of what may be staked at most. Each is bet all the way, and their wealths are averaged: that is a
bet as well, nearly as good as the best of them, which nobody knows beforehand."""
_ROUNDING: Final = 1e-9
"""Of the bound: more than sums of floats are wrong by."""
_BLOCK: Final = 32
"""Draws between two looks at the wealth: logarithms are slow, and products of so many factors are floats."""


class Wealth:
    """The wealths of somebody who bets, on each of some populations, that its mean is above 0.

    Members come in a uniformly random order, without replacement. If the mean is 0 or less, what is left has
    a mean of m = -S / (N - t) at most after t of N with the sum S, so that a factor 1 + c (x - m) / (b + m)
    is 1 or less on average, whatever came before, and never negative if no member is below -b. The wealth is
    then a nonnegative supermartingale that begins at 1: the chance that it ever reaches 1 / alpha is at most
    alpha (Ville). Which populations a wealth is bet on next may depend on all that came before.

    Parameters
    ----------
    n_wealths, n_members : int
        How many wealths, and the size of each population.
    bound : float
        No member is below minus this.
    """

    def __init__(self, n_wealths: int, n_members: int, bound: float) -> None:
        self.most = np.zeros(n_wealths)
        """Logarithm of the largest of each so far, at the looks that were taken."""
        self.n_left = n_members
        self._bound, self._rounding = bound, _ROUNDING * abs(bound) + 1e-300
        self.logs = np.zeros((len(BETS), n_wealths))

    def draw(self, members: NDArray[np.float64], before: NDArray[np.float64]) -> None:
        """Bet on the next members of populations, equal parts of each wealth on each that it is bet on.

        Parameters
        ----------
        members : array of shape (n_populations_each, n_wealths, n)
        before : array of shape (n_populations_each, n_wealths)
            Sum of what was drawn of each population.
        """
        n = members.shape[2]
        sums = before[..., None] + np.cumsum(members, axis=2) - members
        means = -sums / (self.n_left - np.arange(n))
        room = self._bound + means
        # No sum of what is left could make up for the lead: the mean is above 0, without a doubt.
        is_sure = (room < -self._rounding).any(axis=(0, 2))
        stakes = np.maximum((members - means) / np.maximum(room, self._rounding), -1.0)
        factors = (
            1 + np.array(BETS)[:, None, None, None] * stakes
        )  # (n_bets, n_populations_each, n_wealths, n)
        steps = np.log(np.multiply.reduceat(factors, np.arange(0, n, _BLOCK), axis=3)).cumsum(axis=3)
        logs = self.logs[..., None] + _mean(steps, axis=1)
        self.most = np.where(is_sure, np.inf, np.maximum(self.most, _mean(logs, axis=0).max(axis=1)))
        self.logs = logs[..., -1]
        self.n_left -= n

    def keep(self, wealths: NDArray[np.bool_]) -> None:
        """Forget the others."""
        self.most, self.logs = self.most[wealths], self.logs[:, wealths]


def _mean(logs: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the logarithm of the mean."""
    if logs.shape[axis] == 1:
        return logs.squeeze(axis)
    top = logs.max(axis=axis, keepdims=True)
    mean: NDArray[np.float64] = np.log(np.exp(logs - top).mean(axis=axis)) + top.squeeze(axis)
    return mean
