"""The paper's strategy: every point of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from soce.search.refusal import refuse
from soce.search.strategies.space import ScoredSoup, Strategy, StrategyOutcome, best_of, distinct

if TYPE_CHECKING:
    from soce.search.soup import Parts
    from soce.search.strategies.space import Space


@dataclass(frozen=True, slots=True)
class Grid(Strategy):
    """Scores every point of the grid: lines 13 to 18 of the paper's Algorithm 1."""

    name: ClassVar[str] = "grid"

    budget: int | None = None
    """Most points; a larger grid is refused, because a part of it would be no fair sample."""

    def run(self, space: Space) -> StrategyOutcome:
        """Score all points."""
        soups = points(space, self.budget)
        tried = tuple(ScoredSoup(soup, value) for soup, value in zip(soups, space.values(soups), strict=True))
        best, tied = best_of(tried, space.pool.experts)
        return StrategyOutcome(tried, best, tied, len(tried), {"points": space.pool.n_points})


def points(space: Space, budget: int | None) -> list[Parts]:
    """Return the soups of the grid; refuse more than the budget."""
    if budget is not None and space.pool.n_points > budget:
        refuse(
            f"the grid has {space.pool.n_points} points, the budget is {budget}",
            "raise the budget, take a coarser grid, or a strategy that samples: cmaes, gp or tpe",
        )
    return distinct(space.pool.points())
