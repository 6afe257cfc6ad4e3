"""The paper's strategy: every point of the grid."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from soce.search.strategies.space import ScoredSoup, StrategyOutcome, best_of, distinct, refuse

if TYPE_CHECKING:
    from soce.search.strategies.space import Parts, Space


@dataclass(frozen=True, slots=True)
class Grid:
    """Scores every point of the grid, and the uniform soup.

    Parameters
    ----------
    budget : int, optional
        Most soups to score; a larger grid is refused, because a part of it would be no fair sample.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, lines 13-18.
    """

    name: ClassVar[str] = "grid"

    budget: int | None = None

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        return {"name": self.name, **asdict(self)}

    def run(self, space: Space) -> StrategyOutcome:
        """Score all points."""
        soups = points(space, self.budget)
        tried = tuple(ScoredSoup(soup, value) for soup, value in zip(soups, space.values(soups), strict=True))
        best, tied = best_of(tried, space.experts)
        return StrategyOutcome(tried, best, tied, len(tried), {"points": space.grid.count})


def points(space: Space, budget: int | None) -> list[Parts]:
    """Return the soups of the grid; refuse more than the budget."""
    if budget is not None and space.grid.count > budget:
        refuse(
            f"the grid has {space.grid.count} points, the budget is {budget}",
            "raise the budget, take a coarser grid, or a strategy that samples: cmaes, gp or tpe",
        )
    return distinct(dict(zip(space.experts, parts, strict=True)) for parts in space.grid)
