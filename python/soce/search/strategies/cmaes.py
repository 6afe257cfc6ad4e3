"""CMA-ES: evolution of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from soce.search.refusal import refuse
from soce.search.strategies.proposals import DEFAULT_BUDGET, Proposals
from soce.search.strategies.space import Strategy

if TYPE_CHECKING:
    from soce.search.strategies.space import Space, StrategyOutcome


@dataclass(frozen=True, slots=True)
class CmaEs(Strategy):
    """Evolution of a normal distribution over the shares: Hansen, arXiv:1604.00772."""

    name: ClassVar[str] = "cmaes"

    budget: int = DEFAULT_BUDGET
    """Different soups to score, the uniform one among them."""
    seed: int = 0
    population: int | None = None
    """Proposals of a generation, which workers share out; 4 + 3 ln(n) otherwise."""
    sigma: float = 0.25
    """Standard deviation of the first generation; shares before scaling lie between 0 and 1."""

    def run(self, space: Space) -> StrategyOutcome:
        """Evolve until the budget is spent."""
        found = Proposals(space, self.budget)
        if len(found.names) > 1:
            try:
                import numpy as np
                from cmaes import CMA  # type: ignore[import-untyped]
            except ImportError as error:
                refuse(f"the package cmaes cannot be imported: {error}", "pip install 'soce[search]'")
            n = len(found.names)
            optimizer = CMA(
                mean=np.full(n, 0.5),
                sigma=self.sigma,
                bounds=np.array([[0.0, 1.0]] * n),
                seed=self.seed,
                population_size=self.population,
            )
            while found.goes_on and not optimizer.should_stop():
                proposals = [optimizer.ask() for _ in range(optimizer.population_size)]
                values = found.score([proposal.tolist() for proposal in proposals])
                if len(values) < len(proposals):
                    break
                optimizer.tell(
                    [(proposal, -value) for proposal, value in zip(proposals, values, strict=True)]
                )
        return found.outcome()
