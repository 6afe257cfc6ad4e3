"""Scores recipes once: what is known is found, what is not is claimed, evaluated and kept."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.evaluate.evaluation import refuse
from soce.evidence.per_item import exact_score
from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.objective import LinearObjective
from soce.scores.table import Column, ScoreTable
from soce.search.executors.executor import EvaluationJob
from soce.search.executors.inline import InlineExecutor
from soce.search.flights import TICKETS, Flight, flying
from soce.store.evaluations import EvaluationStore, n_items_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation, Evaluator, Scale
    from soce.recipes.model import Recipe
    from soce.scores.objective import Objective
    from soce.search.executors.executor import EvaluationDone, Executor
    from soce.search.flights import Flights
    from soce.search.strategies.space import Items

_log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """What a search is doing."""

    stage: str
    """``single models``, ``uniform soups``, the strategy's name, or ``held-out items``."""
    done: int
    """Soups of this stage that are scored."""
    total: int
    """Soups of this stage that were proposed so far."""
    items_done: int
    items_total: int
    """Of the soups being scored; 0 of 0 between two."""
    n_evaluated: int
    """Calls of the evaluator in this run; what was known already costs none."""
    n_items: int = 0
    """Items that these were asked for, as far as the evaluator tells."""
    n_replicas: int = 1
    """Soups that are scored at once."""


class Scorer:
    """An evaluator whose scores are kept in the store of its identity.

    Whatever evaluates, in this process or elsewhere, only this one keeps scores; without an `executor` it
    evaluates here.
    """

    def __init__(
        self,
        store: EvaluationStore,
        evaluator: Evaluator,
        *,
        executor: Executor | None = None,
        on_progress: Callable[[SearchProgress], object] | None = None,
    ) -> None:
        self.evaluator = evaluator
        self._executor = InlineExecutor() if executor is None else executor
        self.n_evaluated = self.n_items = 0
        self.stage = ""
        self.asks_whole = getattr(evaluator, "scores_whole", evaluator.item_ids() is None)
        self.categories: tuple[str, ...] | None = None
        self._store = store
        self._on_progress = on_progress
        self._done = self._total = 0
        store.register(evaluator)

    @classmethod
    def of(
        cls,
        evaluator: Evaluator,
        folder: str | os.PathLike[str],
        *,
        ingredients: Mapping[str, object],
        executor: Executor | None = None,
        on_progress: Callable[[SearchProgress], object] | None = None,
    ) -> Scorer:
        """Return the scorer that keeps its scores in the folder of a search; ingredients are identities."""
        store = EvaluationStore(folder, ingredients=ingredients, evaluator=evaluator.identity)
        return cls(store, evaluator, executor=executor, on_progress=on_progress)

    @property
    def store(self) -> EvaluationStore:
        """Where the scores are kept."""
        return self._store

    def begin(self, stage: str) -> None:
        """Begin another stage."""
        self.stage, self._done, self._total = stage, 0, 0
        _log.info("scoring: %s", stage)

    def step(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is in which nothing is scored."""
        self.stage, self._done, self._total = stage, done, total
        self._tell(0, 0)

    def score(
        self,
        recipes: Sequence[Recipe],
        items: Items | None,
        *,
        on_scored: Callable[[int, Evaluation], object] | None = None,
        with_answers: bool = True,
    ) -> list[Evaluation]:
        """Return the evaluation of each recipe over these items, over all if None.

        Recipes that another worker is scoring are waited for, after all others. `on_scored` is called with
        the place and the evaluation of each, in one order however many are scored at once. Without answers
        what is known is found faster.
        """
        found: dict[int, Evaluation] = {}
        turns: deque[int] = deque()  # places in the order in which they are told of
        self._total += len(recipes)

        def tell() -> None:
            while turns and turns[0] in found:
                place = turns.popleft()
                if on_scored is not None:
                    on_scored(place, found[place])
                self._done += 1
                self._tell(*flights.items)

        def land(timeout: float | None = None) -> None:
            landed = flights.land(timeout)
            if landed is not None:
                flight, done = landed
                with flight.lease:
                    known = self._keep(flight.job, done, items)
                found.update(dict.fromkeys(flight.places, known))
                tell()

        with flying(self._executor, lambda: self._tell(*flights.items)) as flights:
            while len(found) < len(recipes):
                before = len(found)
                self._store.refresh()
                for place, recipe in enumerate(recipes):
                    if place in found or place in turns:
                        continue
                    known = self._store.find(recipe, items, with_answers=with_answers)
                    if known is None:
                        known = self._begin(flights, place, recipe, items)
                    if known is not None:
                        self._check_categories(known, items)
                        found[place] = known
                    elif not flights.has(place):
                        continue  # another worker scores it
                    turns.append(place)
                    tell()
                    while flights.is_full:
                        land()
                if len(flights):
                    is_waited_for = len(found) + len(turns) < len(recipes)
                    land(_POLL_SECONDS if is_waited_for else None)
                elif len(found) == before:
                    time.sleep(_POLL_SECONDS)
                    self._tell(0, 0)
        return [found[place] for place in range(len(recipes))]

    def _begin(self, flights: Flights, place: int, recipe: Recipe, items: Items | None) -> Evaluation | None:
        """Begin to score a recipe unless another worker does; what it finished just before is returned."""
        key = self._store.key(recipe)
        if flights.join(key, place):
            return None
        with ExitStack() as lease:
            if not lease.enter_context(self._store.claim(recipe)):
                return None
            self._store.refresh()  # a worker may have finished it just before
            known = self._store.find(recipe, items)
            if known is None:
                # One that cannot say what its items are cannot leave some out either: it scores all of them.
                missing = None if items is None or self.asks_whole else self._store.missing(recipe, items)
                job = EvaluationJob(next(TICKETS), self.evaluator, recipe, missing)
                flights.start(Flight(key, job, [place], lease.pop_all()))
        return known

    def _keep(self, job: EvaluationJob, done: EvaluationDone, items: Items | None) -> Evaluation:
        """Keep what came of a job, and return all that is known by now of these items."""
        evaluation, is_whole = done.evaluation, job.items is None
        self.n_evaluated += 1
        self.n_items += n_items_of(evaluation)
        needed = items if is_whole else job.items
        if needed is not None:
            _check_items(evaluation, needed)
        self._check_categories(evaluation, needed)  # before it is kept
        self._store.register(self.evaluator)  # some tell their items' keys only now
        self._store.add(job.recipe, evaluation, is_whole=is_whole, seconds=done.seconds)
        _log.info("scored soup %d of %d of %s", self._done + 1, self._total, self.stage)
        known = self._store.find(job.recipe, items)
        assert known is not None
        self._check_categories(known, items)
        return known

    def _check_categories(self, evaluation: Evaluation, items: Items | None) -> None:
        names = tuple(evaluation.categories)
        if items is not None:
            expected = tuple(items)
        elif self.categories is None:
            self.categories = expected = names
        else:
            expected = self.categories
        for name in sorted(set(expected) ^ set(names)):
            if name in names and items is not None:
                continue  # more than was asked for does no harm
            what = "no score for the" if name not in names else "a score for another"
            refuse(
                f"the evaluator gave {what} category `{shown(name)}`",
                "every soup must be scored in the same categories",
            )

    def _tell(self, done: int, total: int) -> None:
        if self._on_progress is not None:
            counts = self._done, self._total, done, total, self.n_evaluated, self.n_items
            self._on_progress(SearchProgress(self.stage, *counts, self._executor.capacity))


def _check_items(evaluation: Evaluation, wanted: Items) -> None:
    """Refuse an evaluation that lacks some of the items that were asked for."""
    told = evaluation.item_ids()
    if told is None:
        refuse(
            "the evaluator named its items and then gave no outcomes by item",
            "an evaluator without outcomes returns None from `item_ids`",
        )
    for category, ids in wanted.items():
        given = frozenset(told.get(category, ()))
        lacking = [item for item in ids if item not in given]
        if lacking:
            refuse(
                f"category `{shown(category)}`: the evaluator gave no outcome for {len(lacking)} of "
                f"{counted(len(ids), 'item')}, the first is `{shown(lacking[0])}`"
            )


def n_items(objective: Objective, evaluation: Evaluation) -> int | None:
    """Return the number of items behind the scores that the objective needs; None if one is unknown."""
    needed = score_weights(objective, evaluation) or evaluation.categories
    counts = [evaluation.categories[name].n for name in needed]
    return None if None in counts else sum(count for count in counts if count is not None)


def table_of(evaluations: Mapping[str, Evaluation]) -> ScoreTable:
    """Return evaluations as a table, one row each, the categories in the order of the first."""
    first = next(iter(evaluations.values()))
    columns = tuple(
        Column(
            name,
            scale=None if name in first.geometric else first.scale,
            higher_is_better=first.higher_is_better[name],
        )
        for name in first.categories
    )

    def cells(field: str) -> np.ndarray:
        rows = [
            [getattr(one.categories[name], field) for name in first.categories]
            for one in evaluations.values()
        ]
        return np.array(rows, dtype=float)  # None becomes NaN

    return ScoreTable(
        tuple(evaluations),
        columns,
        cells("score"),
        counts=cells("n"),
        stderrs=cells("stderr"),
        source="evaluation",
        kind="evaluation",
    )


def exact_objective(objective: Objective, evaluation: Evaluation) -> Fraction:
    """Return the objective of one evaluation, larger is better, without a rounding error.

    Two soups are equal where these are, in whatever order items and categories come. Of an objective that is
    no sum of columns, the float that it computes.
    """
    weights = score_weights(objective, evaluation)
    if weights is not None:
        return sum((weight * exact_score(evaluation, name) for name, weight in weights.items()), Fraction(0))
    value = float(objective.values(table_of({"soup": evaluation}))[0])
    if not math.isfinite(value):
        refuse(f"the objective `{shown(objective.name)}` of a soup is {value}", "it must be a number")
    return Fraction(value)


def objective_value(objective: Objective, evaluation: Evaluation) -> float:
    """Return the objective of one evaluation, rounded once."""
    return float(exact_objective(objective, evaluation))


def scale_of(evaluation: Evaluation) -> Scale | None:
    """Return the scale of all scores; None if one is a geometric mean, which has a unit of its own."""
    return None if evaluation.geometric else evaluation.scale


def score_weights(objective: Objective, evaluation: Evaluation) -> dict[str, Fraction] | None:
    """Return what the score of each category counts in the objective; None if it is not a sum of them.

    Those of categories where lower is better are negative.
    """
    if not isinstance(objective, LinearObjective):
        return None
    return objective.signed(table_of({"soup": evaluation}))
