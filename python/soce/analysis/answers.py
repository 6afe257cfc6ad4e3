"""Answers of models to the items of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluation
    from soce.scores.table import Floats


@dataclass(frozen=True, eq=False, slots=True)
class Answers:
    """Answers of models to items, 0 or 1 or graded; larger is better.

    Parameters
    ----------
    items : sequence of str
        Unique.
    models : sequence of str
        Unique, two or more.
    values : array of shape (n_items, n_models)
        No holes.

    Raises
    ------
    EvaluationError
        Fewer than two models or items, repeated names, another shape, values that are not finite.

    Examples
    --------
    >>> answers = Answers.of({"a": {"q1": 1, "q2": 0}, "b": {"q1": 0, "q2": 1}})
    >>> answers.items, answers.models
    (('q1', 'q2'), ('a', 'b'))
    """

    items: tuple[str, ...]
    models: tuple[str, ...]
    values: Floats

    def __post_init__(self) -> None:
        """Check everything, and make the array read-only."""
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "models", tuple(self.models))
        for what, names, least in (("item", self.items, 2), ("model", self.models, 2)):
            if len(names) < least:
                refuse(
                    f"there are answers of {len(names)} {what}(s), at least {least} are needed",
                    "clusters are found by which models solve which items",
                )
            if len(set(names)) < len(names):
                twice = min(name for name in set(names) if names.count(name) > 1)
                refuse(f"the {what} `{shown(twice)}` is there twice", f"give every {what} once")
        values = np.array(self.values, dtype=np.float64)
        if values.shape != (len(self.items), len(self.models)):
            refuse(
                f"the answers have shape {values.shape}, expected {(len(self.items), len(self.models))}",
                "a row for each item, a column for each model",
            )
        wrong = np.argwhere(~np.isfinite(values))
        if wrong.size:
            row, column = wrong[0].tolist()
            refuse(
                f"item `{shown(self.items[row])}`, model `{shown(self.models[column])}`: the answer is "
                f"{values[row, column]}",
                "leave out items that some model was not asked",
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, outcomes: Mapping[str, Mapping[str, float]]) -> Self:
        """Return answers from each model's outcome on each item.

        Parameters
        ----------
        outcomes : mapping of model to mapping of item to outcome

        Raises
        ------
        EvaluationError
            The models were asked different items.
        """
        models = tuple(outcomes)
        if not models:
            refuse("there are answers of 0 model(s), at least 2 are needed", "give those of several models")
        items = tuple(outcomes[models[0]])
        for model in models[1:]:
            differing = sorted(set(items) ^ set(outcomes[model]))
            if differing:
                refuse(
                    f"`{shown(models[0])}` and `{shown(model)}` were asked different items: {len(differing)} "
                    f"are in one only, the first is `{shown(differing[0])}`",
                    "leave out items that some model was not asked",
                )
        values = np.array([[outcomes[model][item] for model in models] for item in items], dtype=np.float64)
        return cls(items, models, values.reshape(len(items), len(models)))

    @classmethod
    def of_evaluations(cls, evaluations: Mapping[str, Evaluation]) -> Self:
        """Return answers from evaluations; items are called ``category/item`` where categories are several.

        Raises
        ------
        EvaluationError
            An evaluation without outcomes by item, different items, categories where lower is better.
        """
        outcomes: dict[str, dict[str, float]] = {}
        for model, evaluation in evaluations.items():
            if not evaluation.items:
                refuse(
                    f"the scores of `{shown(model)}` do not tell items apart",
                    "clusters take an evaluator that gives an outcome for each item",
                )
            lower = [name for name in evaluation.items if not evaluation.higher_is_better[name]]
            if lower:
                refuse(f"lower is better in category `{shown(min(lower))}`", "leave the category out")
            is_one = len(evaluation.items) == 1
            outcomes[model] = {
                item if is_one else f"{category}/{item}": outcome
                for category, found in evaluation.items.items()
                for item, outcome in found.items()
            }
        return cls.of(outcomes)
