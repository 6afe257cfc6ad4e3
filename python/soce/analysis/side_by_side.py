"""What models said to the same items, side by side, and a sample of what a soup wins and loses by it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Literal, TypeAlias

from soce.analysis.checks import compared_with, known, same_items
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from soce.evaluate.answers import Answer
    from soce.evaluate.evaluation import Evaluation

Which: TypeAlias = Literal["all", "failed", "won", "lost", "cut"]
"""All items, or those that the first model failed, on which it did better or worse than every other one, or
of which some answer ended by length."""


@dataclass(frozen=True, slots=True)
class Said(Plain):
    """What one model said to an item, and what that was worth."""

    model: str
    outcome: float | None
    """None if items have no outcome of their own, as under a corpus metric."""
    answer: Answer | None
    """None if it was not kept."""
    is_better: bool = True
    """Whether a larger outcome is better."""

    @property
    def is_right(self) -> bool | None:
        """Whether the item was solved; None for outcomes that are graded or no share of full marks."""
        return None if self.outcome not in (0.0, 1.0) or not self.is_better else self.outcome == 1.0


@dataclass(frozen=True, slots=True)
class ItemAnswers(Plain):
    """One item, and what each model said to it, the first one being compared with the others."""

    category: str
    item: str
    said: tuple[Said, ...]
    TOLD = ("prompt_digest",)

    @property
    def prompt_digest(self) -> str | None:
        """Digest of what the models were given, see `Answer.prompt`; None without any answer."""
        return next((one.answer.prompt for one in self.said if one.answer is not None), None)

    @property
    def has_answers(self) -> bool:
        """Whether the first model's answer was kept."""
        return self.said[0].answer is not None

    def of(self, models: Iterable[str]) -> ItemAnswers:
        """Return what these models said, in their order."""
        by_name = {one.model: one for one in self.said}
        return ItemAnswers(self.category, self.item, tuple(by_name[name] for name in models))

    def matches(self, which: Which) -> bool:
        """Whether the item is of this kind."""
        if which == "cut":
            return any(one.answer is not None and one.answer.is_cut for one in self.said)
        first, *others = self.said
        if which == "all":
            return True
        if first.outcome is None:
            return False
        if which == "failed":
            return first.is_better and first.outcome < 1
        sign = (1 if which == "won" else -1) * (1 if first.is_better else -1)
        outcomes = [one.outcome for one in others]
        return bool(outcomes) and all(
            outcome is not None and sign * (first.outcome - outcome) > 0 for outcome in outcomes
        )


def side_by_side(
    evaluations: Mapping[str, Evaluation], *, categories: Sequence[str] | None = None
) -> tuple[ItemAnswers, ...]:
    """Return every item with what each model said to it.

    Parameters
    ----------
    evaluations : mapping of model to Evaluation
        Of the same items; the first model is the one that the others are compared with.
    categories : sequence of str, optional
        Only these.

    Raises
    ------
    EvaluationError
        Items that are not told apart, or not the same for all; a category that there is not.

    Examples
    --------
    >>> from soce.evaluate.answers import Answer
    >>> from soce.evaluate.evaluation import Evaluation
    >>> def says(text, outcome):
    ...     return Evaluation.of_items(
    ...         {"math": {"q1": outcome}}, answers={"math": {"q1": Answer("6f1c", text=text)}}
    ...     )
    >>> (found,) = side_by_side({"soup": says("42", 1.0), "math": says("41", 0.0)})
    >>> found.matches("won"), [(one.model, one.answer.text, one.is_right) for one in found.said]
    (True, [('soup', '42', True), ('math', '41', False)])
    """
    by_model = {name: _said(name, evaluation) for name, evaluation in evaluations.items()}
    first, *others = by_model
    for name in others:
        same_items(first, by_model[first], name, by_model[name])
    names = list(dict.fromkeys(category for category, _ in by_model[first]))
    for category in categories or ():
        if category not in names:
            refuse(f"there is no category `{shown(category)}`", nearest(category, names, "categories"))
    return tuple(
        ItemAnswers(category, item, tuple(found[category, item] for found in by_model.values()))
        for category, item in by_model[first]
        if categories is None or category in categories
    )


def _said(name: str, evaluation: Evaluation) -> dict[tuple[str, str], Said]:
    ids = evaluation.item_ids()
    if ids is None:
        refuse(
            f"the scores of `{shown(name)}` do not tell items apart",
            "take an evaluator that gives an outcome for each item",
        )
    outcomes, answers = evaluation.items or {}, evaluation.answers
    return {
        (category, item): Said(
            name,
            outcomes.get(category, {}).get(item),
            answers.get(category, {}).get(item),
            evaluation.higher_is_better[category],
        )
        for category, items in ids.items()
        for item in items
    }


@dataclass(frozen=True, slots=True)
class WinsAndLosses(Plain):
    """Items that tell a soup from its best ingredient, a few of them with what was said."""

    soup: str
    best: str
    """The ingredient that it is compared with."""
    n_won: int
    """Items on which the soup does better than that ingredient."""
    n_lost: int
    n_won_from_all: int
    """Those of `n_won` on which it does better than every ingredient."""
    n_lost_to_all: int
    won: tuple[ItemAnswers, ...]
    """A few of those whose answers are kept, if there are any those that are won from every ingredient."""
    lost: tuple[ItemAnswers, ...]


def wins_and_losses(
    evaluations: Mapping[str, Evaluation],
    soup: str,
    parents: Sequence[str],
    *,
    best: str,
    limit: int = 4,
) -> WinsAndLosses:
    """Return a sample of the items that a soup wins from its best ingredient and loses to it.

    The sample is the same whenever the items are: they are taken in the order of a digest of their names,
    from each category in turn, and first those that no ingredient does as well on as the soup (or, of those
    lost, as badly).

    Parameters
    ----------
    evaluations : mapping of model to Evaluation
    soup, best : str
    parents : sequence of str
        All ingredients, `best` among them.
    limit : int
        Items of each kind.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Tables 6 and 7.
    """
    names = compared_with(soup, parents, "ingredient")
    items = side_by_side({name: known(evaluations, name, "evaluation") for name in (soup, *names)})
    won, lost = ([one for one in items if one.of((soup, best)).matches(which)] for which in ("won", "lost"))
    from_all = [one for one in won if one.matches("won")]
    to_all = [one for one in lost if one.matches("lost")]
    return WinsAndLosses(
        soup,
        best,
        len(won),
        len(lost),
        len(from_all),
        len(to_all),
        _sample(from_all, won, limit),
        _sample(to_all, lost, limit),
    )


def _sample(first: Sequence[ItemAnswers], then: Sequence[ItemAnswers], limit: int) -> tuple[ItemAnswers, ...]:
    """Return items to read, those of `first` before the others."""
    there = {(one.category, one.item) for one in first}
    others = [one for one in then if (one.category, one.item) not in there]
    return tuple(islice((one for part in (first, others) for one in _in_turn(part)), limit))


def _in_turn(items: Sequence[ItemAnswers]) -> Iterator[ItemAnswers]:
    """Return items from each category in turn, within one in the order of a digest."""
    by_category: dict[str, list[ItemAnswers]] = {}
    for one in sorted((one for one in items if one.has_answers), key=_rank):
        by_category.setdefault(one.category, []).append(one)
    rounds = zip_longest(*(by_category[name] for name in sorted(by_category)))
    return (one for found in rounds for one in found if one is not None)


def _rank(one: ItemAnswers) -> bytes:
    text = f"{len(one.category)}:{one.category}:{one.item}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
