"""Several evaluators as one: the categories of all of them, scored one after the other."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import Evaluation, chosen_items, no_progress, refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.corpus import Corpus
    from soce.evaluate.evaluation import Evaluator, OnProgress
    from soce.recipes.model import Recipe


class SeveralEvaluators:
    """An evaluator with the categories of several, which share a live model if they need one.

    Parameters
    ----------
    evaluators : sequence of Evaluator
        At least one; all name their items, no two have a category in common. `close` closes them.

    Raises
    ------
    EvaluationError
        One cannot name its items, or a category belongs to two.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self.evaluators = (*evaluators,)
        self._items: list[Mapping[str, tuple[str, ...]]] = []
        for evaluator in self.evaluators:
            items = evaluator.item_ids()
            if items is None:
                message = "an evaluator that cannot name its items is no one of several"
                refuse(message, "let it score alone")
            self._items.append(items)
        refuse_shared_categories([category for items in self._items for category in items])

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe: what it depends on with each of them."""
        return {"evaluators": [dict(evaluator.identity) for evaluator in self.evaluators]}

    @property
    def soup(self) -> Any:  # noqa: ANN401 - whatever live model they share
        """The live model of the first; None if it has none."""
        return getattr(self.evaluators[0], "soup", None)

    @property
    def scores_whole(self) -> bool:
        """Whether one of them scores all of its items whichever are asked for."""
        return any(getattr(evaluator, "scores_whole", False) for evaluator in self.evaluators)

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return every category's items."""
        return {category: ids for items in self._items for category, ids in items.items()}

    def item_contents(self) -> dict[str, Mapping[str, str]] | None:
        """Return what tells items apart, of those evaluators that say so."""
        told = [evaluator.item_contents() for evaluator in self._telling("item_contents")]
        return {name: found for one in told if one is not None for name, found in one.items()} or None

    def item_keys(self) -> dict[str, Mapping[str, str]] | None:
        """Return what outcomes are filed under; None if one of the evaluators does not say it."""
        telling = self._telling("item_keys")
        told = [evaluator.item_keys() for evaluator in telling]
        if len(telling) < len(self.evaluators) or None in told:
            return None
        return {name: found for one in told for name, found in one.items()}

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Return the scores by all evaluators that have some of the items, see `Evaluator.score`."""
        wanted = self.item_ids() if items is None else chosen_items(self.item_ids(), items)
        tell, done, total = on_progress or no_progress, 0, sum(map(len, wanted.values()))
        found = []
        for evaluator, known in zip(self.evaluators, self._items, strict=True):
            own = {category: ids for category, ids in wanted.items() if category in known}
            if own:
                n_items = sum(map(len, own.values()))
                tell_part = partial(_tell_part, tell, (done, n_items, total))
                found.append(evaluator.score(recipe, items=own, on_progress=tell_part))
                done += n_items
        return joined(found)

    def close(self) -> None:
        """Close all of them."""
        for evaluator in self.evaluators:
            evaluator.close()

    def _telling(self, method: str) -> list[Any]:
        return [evaluator for evaluator in self.evaluators if hasattr(evaluator, method)]


def refuse_shared_categories(categories: Sequence[str]) -> None:
    """Raise EvaluationError if a category is there twice."""
    if twice := [category for category, count in Counter(categories).items() if count > 1]:
        message = f"the category `{shown(twice[0])}` is scored by two evaluators"
        refuse(message, "give it another name in one of them")


def _tell_part(tell: OnProgress, items: tuple[int, int, int], done: int, total: int) -> None:
    """Tell what an evaluator has done of its part, of items before, in it and in all."""
    before, own, whole = items
    tell(before + (own * done // total if total else 0), whole)


def joined(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return evaluations of one recipe as one; scales that differ are none."""
    scales = {evaluation.scale for evaluation in evaluations}
    return Evaluation.of_items(
        {name: _told(one, name) for one in evaluations for name in one.categories},
        scale=scales.pop() if len(scales) == 1 else None,
        higher_is_better={
            name: better for one in evaluations for name, better in one.higher_is_better.items()
        },
        geometric=[name for one in evaluations for name in one.geometric],
        notes=[*dict.fromkeys(note for one in evaluations for note in one.notes)],
        answers={name: told for one in evaluations for name, told in one.answers.items()},
    )


def _told(evaluation: Evaluation, category: str) -> Mapping[str, float] | Corpus:
    if category in evaluation.corpora:
        return evaluation.corpora[category]
    return (evaluation.items or {})[category]
