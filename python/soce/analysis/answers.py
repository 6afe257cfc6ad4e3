"""Answers of models to the items of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from soce.analysis.checks import named_once, outcomes_by_item, same_items
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
        for what, names in (("model", self.models), ("item", self.items)):
            if len(names) < 2:
                refuse(
                    f"there are answers of {len(names)} {what}(s), at least 2 are needed",
                    "clusters are found by which models solve which items",
                )
            object.__setattr__(self, f"{what}s", named_once(names, what))
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
        """Return answers from model → item → outcome; all models must have been asked the same items."""
        models = tuple(outcomes)
        items = tuple(outcomes[models[0]]) if models else ()
        for model in models[1:]:
            same_items(models[0], items, model, outcomes[model])
        values = np.array([[outcomes[model][item] for model in models] for item in items], dtype=np.float64)
        return cls(items, models, values.reshape(len(items), len(models)))

    @classmethod
    def of_evaluations(cls, evaluations: Mapping[str, Evaluation]) -> Self:
        """Return answers from evaluations that have outcomes by item, where more is better.

        Items are called ``category/item`` where categories are several.
        """
        outcomes: dict[str, dict[str, float]] = {}
        for model, evaluation in evaluations.items():
            by_category = outcomes_by_item(evaluation, model)
            outcomes[model] = {
                item if len(by_category) == 1 else f"{category}/{item}": outcome
                for category, by_item in by_category.items()
                for item, outcome in by_item.items()
            }
        return cls.of(outcomes)
