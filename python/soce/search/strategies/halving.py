"""Successive halving: all points of the grid on few items, the better ones on more."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from soce.search.refusal import refuse
from soce.search.strategies.grid import points
from soce.search.strategies.space import ScoredSoup, Strategy, StrategyOutcome, best_of, preference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from soce.search.strategies.space import Items, Space


@dataclass(frozen=True, slots=True)
class SuccessiveHalving(Strategy):
    """Scores all points on a part of the items, keeps the best 1/`factor`, and so on with more items.

    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification", arXiv:1502.07943. The items of a rung
    are all in the next one, so none is evaluated twice.
    """

    name: ClassVar[str] = "successive-halving"

    factor: int = 3
    """How many times fewer soups and more items from rung to rung."""
    fewest: int = 10
    """Items of a category on the first rung, if it has so many."""
    budget: int | None = None
    """Most points of the grid."""
    seed: int = 0
    """Which items come first."""

    def run(self, space: Space) -> StrategyOutcome:
        """Go from rung to rung."""
        if space.items is None:
            refuse(
                "successive halving needs an evaluator that can score a part of its items",
                "take another strategy, such as grid or cmaes",
            )
        if self.factor < 2 or self.fewest < 1:
            refuse(f"factor {self.factor} and fewest {self.fewest} make no rungs", "2 and 1 are the least")
        rungs = self.rungs(space.items, space.pool.n_points)
        left, experts = points(space, self.budget), space.pool.experts
        n_candidates = len(left)
        history: list[dict[int, Fraction]] = [{} for _ in left]
        trace: list[dict[str, object]] = []
        for items in rungs[:-1]:
            n_items = sum(map(len, items.values()))
            values = space.values(left, items=items)
            for past, value in zip(history, values, strict=True):
                past[n_items] = value
            order = sorted(range(len(left)), key=lambda i: (-values[i], preference(left[i], experts)))
            kept = sorted(order[: -(-len(left) // self.factor)])
            for i in sorted(set(order) - set(kept)):
                space.leave_out(left[i], history[i])
            trace.append(
                {"items": n_items, "soups": len(left), "kept": len(kept), "best": float(max(values))}
            )
            left, history = [left[i] for i in kept], [history[i] for i in kept]
        values = space.values(left, rungs=history)
        n_items = sum(map(len, space.items.values()))
        trace.append({"items": n_items, "soups": len(left), "kept": 1, "best": float(max(values))})
        tried = tuple(ScoredSoup(soup, value) for soup, value in zip(left, values, strict=True))
        best, tied = best_of(tried, experts)
        return StrategyOutcome(tried, best, tied, n_candidates, {"rungs": trace})

    def rungs(self, items: Items, n_soups: int) -> list[Items]:
        """Return the items of each rung, all of them on the last."""
        ordered = {category: self._order(category, ids) for category, ids in items.items()}
        rungs: list[Items] = [dict(items)]
        share = self.factor
        while share <= n_soups:
            fewer = {
                category: ids[: min(len(ids), max(self.fewest, -(-len(ids) // share)))]
                for category, ids in ordered.items()
            }
            if sum(map(len, fewer.values())) >= sum(map(len, rungs[0].values())):
                break
            rungs.insert(0, fewer)
            share *= self.factor
        return rungs

    def _order(self, category: str, ids: Sequence[str]) -> list[str]:
        def key(item: str) -> tuple[bytes, str]:
            text = f"rung:{self.seed}:{len(category)}:{category}:{item}"
            return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), item

        return sorted(ids, key=key)
