"""The greedy soup: models in the order of their scores, each kept if the uniform soup gets better."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from soce.search.strategies.space import ScoredSoup, StrategyOutcome

if TYPE_CHECKING:
    from soce.search.strategies.space import Space


@dataclass(frozen=True, slots=True)
class Greedy:
    """Adds models to a uniform soup while its objective grows: n - 1 soups for n models.

    Parameters
    ----------
    accept : {"gt", "ge"}
        Keep a model if the soup with it is better, or if it is at least as good. Public implementations
        disagree; with ``ge`` duplicates are kept.
    over : {"experts", "candidates"}
        Which models: those that were selected, or all.

    References
    ----------
    .. [1] Wortsman et al., "Model soups", arXiv:2203.05482, Recipe 1.

    Notes
    -----
    Models with equal scores go by name, whatever the order they were given in. Members are averaged anew
    every time, exactly.
    """

    name: ClassVar[str] = "greedy"

    accept: Literal["gt", "ge"] = "gt"
    over: Literal["experts", "candidates"] = "experts"

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        return {"name": self.name, **asdict(self)}

    def run(self, space: Space) -> StrategyOutcome:
        """Order the models, then try them one after the other."""
        models = sorted(space.experts if self.over == "experts" else space.candidates)
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
            steps.append({"model": model, "value": value, "best_before": best.value, "kept": is_kept})
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
            "order": [{"model": model, "value": scores[model]} for model in order],
            "tied": [group for group in tied if len(group) > 1],
            "steps": steps,
            "members": members,
        }
        others = tuple(one for one in tried if one.value == best.value and one is not best)
        return StrategyOutcome(tuple(tried), best, others, len(tried), trace)
