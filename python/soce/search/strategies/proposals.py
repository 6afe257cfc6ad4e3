"""Proposals of samplers, for more experts than a grid can hold: reals that become parts of the grid's whole.

What is scored, recorded and kept is the parts; a proposal that rounds to a known recipe costs nothing. Every
sampler is seeded and sees values only, so a search that is run again makes the same proposals and finds their
scores already there: that is how it resumes, and how several workers follow one search.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from soce.search.making import Making
from soce.search.refusal import refuse
from soce.search.strategies.space import ScoredSoup, StrategyOutcome, best_of, same_soup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.search.soup import Parts
    from soce.search.strategies.space import Space
    from soce.selection.weights import WeightGrid

DEFAULT_BUDGET: Final = 100
"""Different soups that a sampler scores if nobody says how many."""
_PATIENCE: Final = 20
"""Proposals in a row that bring nothing new before a sampler is stopped: on a coarse grid all repeat some."""


class Proposals:
    """Rounds what a sampler proposes, scores what is new, and knows when the budget is spent.

    A proposal has a number from 0 to 1 for each of `names`.
    """

    def __init__(self, space: Space, budget: int) -> None:
        if budget < 1:
            refuse(f"the budget is {budget}", "one soup at least must be scored")
        pool = space.pool
        self._experts = sorted(pool.experts)  # proposals do not depend on the experts' order
        self._space, self._making = space, pool.making or Making()
        self._ranges = [*self._making.ranges]
        n = len(self._experts)
        self._n_rows = (1 + len(self._making.groups)) if self._making.has_weights and n > 1 else 0
        groups = [f"{group}: " for group in self._making.groups[: self._n_rows - 1]] + [""] * (
            self._n_rows > 0
        )
        self.names = [f"{group}{name}" for group in groups for name in self._experts]
        self.names += [f"{name} of the method" for name in self._ranges]
        is_finite = not self._ranges and self._n_rows < 2
        self._budget = min(budget, pool.weights.count if self._n_rows else 1) if is_finite else budget
        self._known: dict[object, ScoredSoup] = {}
        self._n_proposals = self._n_repeated = 0
        equal = dict.fromkeys(self._experts, 1)
        self._add([self._soup([equal] * max(self._n_rows, 1), [0.5] * len(self._ranges))])

    @property
    def goes_on(self) -> bool:
        """Whether there is something left to try."""
        return len(self._known) < self._budget and self._n_repeated < _PATIENCE

    def score(self, proposals: Sequence[Sequence[float]]) -> list[float]:
        """Return the value of each proposal, of the first ones only if the budget ends in between."""
        soups: list[Parts] = []
        new: set[object] = set()
        for proposal in proposals:
            soup = self._rounded(proposal)
            key = same_soup(soup)
            if key not in self._known and key not in new:
                if len(self._known) + len(new) >= self._budget:
                    break
                new.add(key)
            soups.append(soup)
        self._n_proposals += len(soups)
        self._n_repeated = 0 if new else self._n_repeated + len(soups)
        self._add(soups)
        return [float(self._known[same_soup(soup)].value) for soup in soups]

    def _rounded(self, proposal: Sequence[float]) -> Parts:
        """Return the soup that is nearest to a proposal."""
        n = len(self._experts)
        rows: list[Parts] = [dict.fromkeys(self._experts, 1)]
        if self._n_rows:
            shares = [proposal[n * row : n * (row + 1)] for row in range(self._n_rows)]
            grid = self._space.pool.weights
            rows = [dict(zip(self._experts, round_to_parts(one, grid), strict=True)) for one in shares]
        return self._soup(rows, proposal[n * self._n_rows :])

    def _soup(self, rows: Sequence[Parts], at: Sequence[float]) -> Parts:
        """Return the soup with the weights of each group, and of the others last."""
        if self._space.pool.making is None:
            return rows[-1]
        making = self._making
        values = {name: making.between(name, share) for name, share in zip(self._ranges, at, strict=True)}
        groups = list(zip(making.groups, rows, strict=False))
        return making.soup(rows[-1], base=self._space.pool.base, values=values, rows=groups)

    def _add(self, soups: Sequence[Parts]) -> None:
        fresh = {same_soup(soup): soup for soup in soups if same_soup(soup) not in self._known}
        values = self._space.values(list(fresh.values())) if fresh else []
        for key, value in zip(fresh, values, strict=True):
            self._known[key] = ScoredSoup(fresh[key], value)

    def outcome(self) -> StrategyOutcome:
        """Return what the proposals came to."""
        tried = tuple(self._known.values())
        best, tied = best_of(tried, self._space.pool.experts)
        trace = {"proposals": self._n_proposals, "different": len(tried)}
        return StrategyOutcome(tried, best, tied, len(tried), trace)


def round_to_parts(shares: Sequence[float], grid: WeightGrid) -> tuple[int, ...]:
    """Return the parts of the grid nearest to these shares, by largest remainder.

    Shares are in any unit; all zero means equal ones. What is above the most parts of one model goes to the
    others in proportion. Equal remainders go to the first.

    Examples
    --------
    >>> from soce.selection.weights import WeightGrid
    >>> round_to_parts([0.56, 0.25, 0.19], WeightGrid(3))
    (6, 2, 2)
    """
    n = len(shares)
    if n == 1:
        return (1,)
    wanted = [Fraction(max(share, 0.0)) for share in shares]
    if not any(wanted):
        wanted = [Fraction(1)] * n
    free = grid.whole - n * grid.minimum
    width = (grid.whole if grid.maximum is None else grid.maximum) - grid.minimum
    # Shares below the least are raised to it, so what is shared out is what lies above.
    above = [max(share / sum(wanted) * grid.whole - grid.minimum, Fraction(0)) for share in wanted]
    if not any(above):
        above = [Fraction(1)] * n
    quotas = [Fraction(0)] * n
    open_places = set(range(n))
    left = Fraction(free)
    while open_places and left:
        total = sum(above[i] for i in open_places)
        scale = {i: above[i] / total if total else Fraction(1, len(open_places)) for i in open_places}
        full = {i for i in open_places if scale[i] * left >= width}
        if not full:
            for i in open_places:
                quotas[i] = scale[i] * left
            break
        for i in full:
            quotas[i] = Fraction(width)
        left -= width * len(full)
        open_places -= full
    parts = [int(quota) for quota in quotas]
    order = sorted(range(n), key=lambda i: (parts[i] - quotas[i], i))
    for i in [i for i in order if parts[i] < width][: free - sum(parts)]:
        parts[i] += 1
    return tuple(part + grid.minimum for part in parts)
