"""The greedy soup: models in the order of their scores, each kept if the uniform soup gets better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from soce.search.strategies.space import ScoredSoup, Strategy, StrategyOutcome

if TYPE_CHECKING:
    from soce.search.strategies.space import Space


@dataclass(frozen=True, slots=True)
class Greedy(Strategy):
    """Adds models to a uniform soup while its objective grows: n - 1 soups for n models.

    Recipe 1 of Wortsman et al., "Model soups", arXiv:2203.05482. Models with equal scores go by name.
    """

    name: ClassVar[str] = "greedy"

    accept: Literal["gt", "ge"] = "gt"
    """Keep a model if the soup with it is better, or at least as good: then duplicates are kept as well."""
    over: Literal["experts", "candidates"] = "experts"

    def run(self, space: Space) -> StrategyOutcome:
        """Order the models, then try them one after the other."""
        models = sorted(space.pool.experts if self.over == "experts" else space.pool.names)
        scores = dict(zip(models, space.values([{model: 1} for model in models]), strict=True))
        order = sorted(models, key=lambda model: (-scores[model], model))
        members = [order[0]]
        best = ScoredSoup({order[0]: 1}, scores[order[0]])
        tried = [best]
        steps: list[dict[str, object]] = []
        for model in order[1:]:
            soup = dict.fromkeys([*members, model], 1)
            (value,) = space.values([soup])
            is_kept = value > best.value or (self.accept == "ge" and value == best.value)
            tried.append(ScoredSoup(soup, value))
            before = float(best.value)
            steps.append({"model": model, "value": float(value), "best_before": before, "kept": is_kept})
            if is_kept:
                members.append(model)
                best = tried[-1]
        tied = [
            sorted(model for model in order if scores[model] == score)
            for score in sorted({*scores.values()}, reverse=True)
        ]
        trace = {
            "accept": self.accept,
            "over": self.over,
            "order": [{"model": model, "value": float(scores[model])} for model in order],
            "tied": [group for group in tied if len(group) > 1],
            "steps": steps,
            "members": members,
        }
        others = tuple(one for one in tried if one.value == best.value and one is not best)
        return StrategyOutcome(tuple(tried), best, others, len(tried), trace)
