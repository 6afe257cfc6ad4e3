"""Scores kept answers by other tasks, without a model, and files the outcomes as a search would."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import Evaluation, refuse
from soce.evaluate.several import joined
from soce.evaluate.tasks.items import Tasks
from soce.evaluate.tasks.keys import answer_keys, item_keys
from soce.evaluate.tasks.scoring import score_answers
from soce.exceptions import SoceError
from soce.files.plain import Plain
from soce.search.known_tasks import evaluator_of, tasks_evaluators
from soce.search.scoring import objective_value, scale_of
from soce.search.soup import without_zeros
from soce.store.evaluations import EvaluationStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.answers import Answer
    from soce.evaluate.evaluation import Evaluator, Scale
    from soce.evaluate.tasks.item import Item
    from soce.search.run import ItemSet, Run
    from soce.search.soup import Parts

    Key = tuple[str, str]

_MOST: int = 100_000
"""Soups of a grid that are looked for."""


@dataclass(frozen=True, slots=True)
class ChangedItem(Plain):
    """An item whose outcome another scorer changes."""

    category: str
    item: str
    before: float
    after: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class RescoredArm(Plain):
    """An arm's scores before and after, on the reported items whose answers are kept."""

    label: str
    before: Mapping[str, float | None]
    """Category → score; None if the category had another shape."""
    after: Mapping[str, float]
    n: Mapping[str, int]
    value_before: float | None
    value_after: float | None
    """The objective; None if it needs what is not there."""
    scale_before: Scale | None
    scale_after: Scale | None
    changed: tuple[ChangedItem, ...]


@dataclass(frozen=True, slots=True)
class Rescoring(Plain):
    """What other tasks make of the answers that are kept."""

    on: ItemSet
    n_soups: int
    """Models and soups whose answers are kept."""
    n_outcomes: int
    """Outcomes that follow from them."""
    n_filed: int
    """Those that the store did not have yet."""
    n_without: int
    """Items of the other tasks to which no answer is kept: these need the model."""
    arms: tuple[RescoredArm, ...]


@dataclass(slots=True)
class _Registered:
    """What a store looks at of an evaluator: which key each of its items has."""

    tasks: Tasks
    identity: Mapping[str, Any]

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return every category's items."""
        return self.tasks.item_ids()

    def item_keys(self) -> dict[str, dict[str, str]]:
        """Return what the items' outcomes are filed under."""
        return item_keys(self.tasks, self.identity)


def rescore(run: Run, scored: Sequence[Tasks], tasks: Tasks, *, on: ItemSet = "report") -> Rescoring:
    """Score the answers that a run has kept by other tasks, and keep the outcomes in its store.

    An answer counts for an item that asks the same in the same way: prompt, choices, length and stops. A
    search by the other tasks, with the same settings, then finds these outcomes and asks no model for them.

    Parameters
    ----------
    run : Run
    scored : sequence of Tasks
        Those that the run was scored on, see `find_tasks`; of several, those whose answers are meant.
    tasks : Tasks
        Those to score by.
    on : {"report", "selection"}
        Of a run with other tasks to report on: whose answers.

    Raises
    ------
    EvaluationError
        The tasks are not those that were scored, no answer is kept, or none fits the other tasks.
    """
    evaluators = {one["tasks"]: one for one in tasks_evaluators(run, on)}
    if run.identity is None or not scored or any(one.digest not in evaluators for one in scored):
        refuse("the tasks are not those that the run was scored on", "name the file that it was scored on")
    identity = evaluators[scored[0].digest]  # of several the others' too, but for the tasks
    other = {**identity, "tasks": tasks.digest}
    ingredients = run.identity.ingredients
    old = EvaluationStore(run.search, ingredients=ingredients, evaluator=evaluator_of(run, on))
    new = EvaluationStore(run.search, ingredients=ingredients, evaluator=other)
    work = _Work.of(Tasks(tuple(item for one in scored for item in one.items)), tasks, identity)
    n_soups = n_outcomes = n_filed = 0
    for parts in _soups(run):
        recipe = run.pool.recipe(parts)
        known = old.known(recipe)
        found = None if known is None else work.evaluation(known)
        if found is None:
            continue
        if not n_soups:
            new.register(cast("Evaluator", _Registered(tasks, other)))
        n_soups += 1
        n_outcomes += sum(map(len, (found.item_ids() or {}).values()))
        n_filed += new.add(recipe, found, is_whole=False)
    if not n_soups:
        refuse(
            "no answer is kept that the other tasks could score",
            "answers are kept of evaluators that hand them over; the items must ask the same in the same way",
            str(run.search),
        )
    arms = () if run.result is None else tuple(_arms(run, work, on))
    return Rescoring(on, n_soups, n_outcomes, n_filed, len(work.without), arms)


@dataclass(slots=True)
class _Work:
    """Which item of the tasks that were scored gives its answer to which of the others."""

    source: Mapping[Key, Key]
    """Other item → the one whose answer it takes."""
    items: Mapping[Key, Item]
    """The other items, of those with a source."""
    without: tuple[Item, ...]
    is_unit: bool
    """Whether all of the other tasks' outcomes are shares of full marks."""
    scored: frozenset[str]
    """Categories of the tasks that were scored."""

    @classmethod
    def of(cls, scored: Tasks, tasks: Tasks, identity: Mapping[str, object]) -> _Work:
        by_answer: dict[str, list[Key]] = defaultdict(list)
        for key, digest in answer_keys(scored, identity).items():
            by_answer[digest].append(key)
        asked = answer_keys(tasks, identity)
        source = {}
        for key, digest in asked.items():
            same = by_answer.get(digest, [])
            if same:  # the one of that name, if several ask the same
                source[key] = key if key in same else min(same)
        items = {item.key: item for item in tasks.items if item.key in source}
        keys = {key for of in item_keys(scored, identity).values() for key in of.values()}
        filed = item_keys(tasks, identity)  # as they are, such as those that only a model scores
        without = tuple(
            item
            for item in tasks.items
            if item.key not in source and filed[item.category][item.id] not in keys
        )
        is_unit = not any(item.kind == "perplexity" for item in tasks.items)
        return cls(source, items, without, is_unit, frozenset(scored.item_ids()))

    def evaluation(self, known: Evaluation) -> Evaluation | None:
        """Return what the answers of an evaluation are worth; None if none of them is kept."""
        answers: dict[str, dict[str, Answer]] = {}
        for (category, item), (of, name) in self.source.items():
            answer = known.answers.get(of, {}).get(name)
            if answer is not None:
                answers.setdefault(category, {})[item] = answer
        if not answers:
            return None
        outcomes = score_answers(self.items.values(), answers)
        has_corpora = any(isinstance(found, Corpus) for found in outcomes.values())
        scale: Scale | None = "unit" if self.is_unit and not has_corpora else None
        return Evaluation.of_items(outcomes, scale=scale, answers=answers)


def _soups(run: Run) -> Iterator[Parts]:
    """Return every soup that may have been scored, once."""
    found: list[Parts] = [{name: 1} for name in run.pool.names]
    if run.result is not None:
        found += [arm.parts for arm in run.result.arms]
        found += [one.parts for one in (*run.result.ranked, *run.result.tied)]
    if isinstance(members := (run.population or {}).get("members"), list):
        found += [dict(one["parts"]) for one in members]
    grid = run.pool.weights if run.selection is None else run.selection.grid
    if run.result is None and len(run.pool.experts) > 1 and grid.count <= _MOST:
        found += [run.pool.soup(parts) for parts in grid]
        found += [dict.fromkeys(names, 1) for names in (run.pool.experts, run.pool.names)]
    there = set()
    for parts in found:
        used = without_zeros(parts)
        key = run.pool.recipe(used).id
        if key not in there:
            there.add(key)
            yield used


def _arms(run: Run, work: _Work, on: ItemSet) -> Iterator[RescoredArm]:
    assert run.result is not None
    for arm in run.result.arms:
        known = run.evaluation(arm.recipe, on=on)
        found = None if known is None else work.evaluation(known)
        if known is not None and found is not None:
            yield _arm(run, arm.label, known, found, work)


def _arm(run: Run, label: str, known: Evaluation, found: Evaluation, work: _Work) -> RescoredArm:
    before: dict[str, float | None] = {}
    changed = []
    for category, ids in (found.item_ids() or {}).items():
        sources = [work.source[category, item] for item in ids]
        names = {of for of, _ in sources}
        before[category] = None
        if len(names) == 1:
            (of,) = names
            only = known.restricted({of: [item for _, item in sources]})
            before[category] = only.categories[of].score
        for item, (of, name) in zip(ids, sources, strict=True):
            one = (known.items or {}).get(of, {}).get(name)
            other = (found.items or {}).get(category, {}).get(item)
            if one is not None and other is not None and one != other:
                changed.append(ChangedItem(category, item, one, other, found.answers[category][item]))
    return RescoredArm(
        label,
        before,
        {name: score.score for name, score in found.categories.items()},
        {name: len(ids) for name, ids in (found.item_ids() or {}).items()},
        _value(run, known),
        _value(run, _beside(known, found, work)),
        scale_of(known),
        scale_of(found),
        tuple(changed),
    )


def _beside(known: Evaluation, found: Evaluation, work: _Work) -> Evaluation:
    """Return what was found with the scores of categories that other evaluators score."""
    own = work.scored | found.categories.keys()
    rest = {name: ids for name, ids in (known.item_ids() or {}).items() if name not in own}
    return joined([known.restricted(rest), found]) if rest else found


def _value(run: Run, evaluation: Evaluation) -> float | None:
    with suppress(SoceError):
        return None if run.objective is None else objective_value(run.objective, evaluation)
    return None
