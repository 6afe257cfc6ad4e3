"""What a search would do, before a model is loaded: which soups it would score, and what that would cost.

The strategy itself is run, on the scores that are known, until it asks for one that is not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from soce.files.digests import digest_of
from soce.files.plain import Plain
from soce.recipes.model import same_path_key
from soce.recipes.names import parts_of
from soce.scores.objective import LinearObjective, Mean, parse_objective
from soce.search.arms import by_stage, planned_arms
from soce.search.executors.open import count_of
from soce.search.identity import ingredient_identities
from soce.search.items import SearchItems, refuse_same_tasks
from soce.search.ledger import Count, Ledger
from soce.search.measure import measured_table
from soce.search.named_arms import FITTED
from soce.search.pace import Pace
from soce.search.scoring import exact_objective
from soce.search.strategies.greedy import Greedy
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.race.race import Race, race_items
from soce.search.strategies.registry import strategy_of
from soce.search.strategies.space import same_soup
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe
    from soce.scores.objective import Objective
    from soce.scores.table import ScoreTable
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.search.soup import Parts
    from soce.search.strategies.space import Items, Strategy


@dataclass(frozen=True, slots=True)
class StageForecast(Plain):
    """One stage of a search, such as the single models."""

    stage: str
    soups: int
    """Different soups that are asked for."""
    missing: int
    """Evaluations to be made: of soups of which some item is not known."""
    items: int | None
    """Outcomes that are asked for, one for each soup and item; None if the evaluator tells no items apart."""
    missing_items: int | None
    """Those that are not known."""
    more_soups: int = 0
    """At most so many more, which nobody can name before these are scored."""
    more_items: int = 0
    """And at most so many outcomes of them."""


@dataclass(frozen=True, slots=True)
class Forecast(Plain):
    """What a search would do."""

    TOLD = ("missing", "missing_items", "more_soups", "seconds", "most_seconds", "machine_bytes")

    candidates: tuple[str, ...]
    experts: tuple[str, ...]
    """Empty if they depend on scores that are missing."""
    n_soups: int | None
    """Points of the grid of weights; None without experts."""
    strategy: str
    executor: str
    """What would evaluate."""
    at_once: int | None
    """Soups that it scores at once; None if nobody knows before it runs."""
    stages: tuple[StageForecast, ...]
    checkpoint_bytes: int
    """Size of all candidates' shards."""
    read_bytes: int
    """What is read of them for the evaluations that are named."""
    engine: str | None
    """The serving engine that would be asked, with its version; None if none is."""
    device: str | None
    """Where the live model would be; None if no model is live in this process."""
    model_bytes: int | None
    """What it would take there, without batches; that of one replica if there are several."""
    device_bytes: int | None
    """What the device has."""
    pace: Mapping[str, Pace]
    """Stage → what evaluations took so far; left out where nobody knows."""
    race_items: tuple[int, int] | None = None
    """Outcomes that a race through the grid asks for, at least and at most; None where none can be run."""

    @property
    def missing(self) -> int:
        """Evaluations to be made."""
        return sum(one.missing for one in self.stages)

    @property
    def missing_items(self) -> int | None:
        """Outcomes to be found; None if an evaluator tells no items apart."""
        counts = [one.missing_items for one in self.stages]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def more_soups(self) -> int:
        """At most so many evaluations more."""
        return sum(one.more_soups for one in self.stages)

    @property
    def machine_bytes(self) -> int | None:
        """What the models take that are on this machine at once; None if nobody knows how many there are."""
        is_here = self.executor.startswith(("inline", "processes"))
        return self.model_bytes * (self.at_once or 1) if is_here and self.model_bytes is not None else None

    @property
    def seconds(self) -> float | None:
        """An estimate of the time that the evaluations take; None if nothing says how long one takes."""
        return self._seconds(with_more=False)

    @property
    def most_seconds(self) -> float | None:
        """The same with all that may be proposed."""
        return self._seconds(with_more=True)

    def _seconds(self, *, with_more: bool) -> float | None:
        total = 0.0
        for one in self.stages:
            soups, items = one.missing, one.missing_items
            if with_more:
                soups, items = soups + one.more_soups, None if items is None else items + one.more_items
            pace = self.pace.get(one.stage)
            seconds = pace.seconds(soups, items) if pace is not None else None if soups else 0.0
            if seconds is None:
                return None
            total += seconds / min(self.at_once or 1, max(1, soups))
        return total


def _engine_of(identity: Mapping[str, object]) -> str | None:
    engine = identity.get("engine")
    return None if engine is None else f"{engine} {identity.get(str(engine), '')}".rstrip()


class Forecaster:
    """Goes through a search without scoring anything.

    Parameters
    ----------
    models : Pool
        All candidates; who the experts are may not be known yet.
    evaluator : Evaluator
        What soups are chosen by. It is asked for its identity and its items only.
    folder : path-like
        That of the search. Nothing is written; it need not be there.
    options : SearchOptions
    held_out_evaluator : Evaluator, optional
        Other tasks to report on.
    """

    def __init__(
        self,
        models: Pool,
        evaluator: Evaluator,
        *,
        folder: str | os.PathLike[str],
        options: SearchOptions,
        held_out_evaluator: Evaluator | None = None,
    ) -> None:
        refuse_same_tasks(evaluator, held_out_evaluator)
        self._candidates = models.names
        self._options = options
        self._evaluator = evaluator
        sizes = {
            name: sum(map(_shard_bytes, map(Path, parts_of(path)))) for name, path in models.paths.items()
        }
        self._sizes = {same_path_key(models.paths[name]): size for name, size in sizes.items()}
        has_store = StoreFile(folder).path.exists()
        ingredients = ingredient_identities(models.paths) if has_store else None

        def ledger(one: Evaluator) -> Ledger:
            if ingredients is None:
                return Ledger(one, None, self._sizes)
            store = EvaluationStore(folder, ingredients=ingredients, evaluator=one.identity)
            store.foresee(one)
            timings = store.timings()
            own = [found for found in timings if found.evaluator == digest_of(dict(one.identity))]
            pace = Pace.of((found.n_items, found.seconds) for found in own or timings)
            return Ledger(one, store, self._sizes, pace)

        self._chooser = ledger(evaluator)
        self._reporter = self._chooser if held_out_evaluator is None else ledger(held_out_evaluator)
        self._held_out_evaluator = held_out_evaluator
        self._stages: dict[str, StageForecast] = {}
        self._pace: dict[str, Pace] = {}
        self._pool: Pool | None = None
        self._race_items: tuple[int, int] | None = None

    def measure(self, singles: Sequence[Recipe]) -> ScoreTable | None:
        """Go through the candidates alone; return their scores as a table if all are known."""
        items = self._items(singles[0])
        found = self._look("single models", self._chooser, singles, items.selection)
        if found is None:
            return None
        return measured_table(
            dict(zip(self._candidates, found, strict=True)), self._evaluator, items.selection
        )

    def search(self, pool: Pool, objective: Objective | str | None) -> None:
        """Go through a search of the weights of a pool's experts."""
        goal = parse_objective(objective) if isinstance(objective, str) else objective or Mean()
        chosen = self._options.strategy
        strategy = strategy_of(chosen) if isinstance(chosen, str) else chosen
        self._pool = pool
        arms = planned_arms(pool, self._options.arms)
        items = self._items(pool.recipe({min(pool.names): 1}))
        for stage, soups in by_stage(arms).items():
            self._look(stage, self._chooser, list(map(pool.recipe, soups)), items.selection)
        n_fits = sum(arm.method in FITTED for arm in self._options.arms)
        n_selection, n_report = (_n_of(some) for some in (items.selection, items.report))
        if n_fits:  # nobody knows their soups before they are fitted
            nothing = self._chooser.look([], items.selection)
            self._note("fitted", self._chooser, nothing, (n_fits, n_fits * n_selection))
        if items.selection is not None and isinstance(goal, LinearObjective):
            self._race_items = race_items(items.selection, pool.weights.count)
        space = _KnownSpace(pool, goal, items.selection, self._chooser)
        best = None
        # Some refuse to run without items, which an evaluation may tell yet.
        if items.selection is not None or not isinstance(strategy, (SuccessiveHalving, Race)):
            with suppress(_UnknownScoreError):
                strategy.check(space)
            with suppress(_UnknownScoreError):
                best = strategy.run(space).best.parts
        self._note(strategy.name, self._chooser, space.count, (0, 0) if best else _more(strategy, space))
        if not items.is_held_out:
            return
        recipes = [pool.recipe(arm.parts) for arm in arms]
        soup = [] if best is None else [pool.recipe(best)]
        count = self._reporter.look([*recipes, *soup], items.report)
        n_more = n_fits + (best is None)
        self._note("held-out items", self._reporter, count, (n_more, n_more * n_report))

    def forecast(self) -> Forecast:
        """Return what was found so far."""
        pool, chosen, executor = self._pool, self._options.strategy, self._options.executor
        models = [getattr(ledger.evaluator, "soup", None) for ledger in (self._chooser, self._reporter)]
        live = next((model for model in models if model is not None), None)
        return Forecast(
            candidates=self._candidates,
            experts=() if pool is None else pool.experts,
            n_soups=None if pool is None else pool.n_points,
            strategy=chosen if isinstance(chosen, str) else chosen.name,
            executor=executor if isinstance(executor, str) else executor.name,
            at_once=count_of(executor),
            stages=tuple(self._stages.values()),
            checkpoint_bytes=sum(self._sizes.values()),
            read_bytes=sum(ledger.read_bytes for ledger in {self._chooser, self._reporter}),
            engine=_engine_of({} if live is None else live.identity),
            device=" and ".join(map(str, getattr(live, "devices", ()))) or None,
            model_bytes=getattr(live, "memory_bytes", None),
            device_bytes=getattr(live, "device_bytes", None),
            pace=self._pace,
            race_items=self._race_items,
        )

    def _items(self, model: Recipe) -> SearchItems:
        """Return the items, as far as they are known without an evaluation."""
        told = self._chooser.told(model)
        known = SearchItems.known(
            self._evaluator,
            self._held_out_evaluator,
            share=self._options.share,
            seed=self._options.split_seed,
            told=told,
        )
        return known or SearchItems(None, is_held_out=self._held_out_evaluator is not None)

    def _look(
        self, stage: str, ledger: Ledger, recipes: Sequence[Recipe], items: Items | None
    ) -> list[Evaluation] | None:
        count = ledger.look(recipes, items)
        self._note(stage, ledger, count)
        return ledger.found(recipes, items)

    def _note(self, stage: str, ledger: Ledger, count: Count, more: tuple[int, int] = (0, 0)) -> None:
        if stage not in self._stages:  # candidates that were measured already are known by then
            counts = count.soups, count.missing, count.items, count.missing_items
            self._stages[stage] = StageForecast(stage, *counts, *more)
            if (pace := ledger.pace) is not None:
                self._pace[stage] = pace


def _n_of(items: Items | None) -> int:
    return 0 if items is None else sum(map(len, items.values()))


class _UnknownScoreError(Exception):
    """A strategy asked for a score that is not known."""


@dataclass(slots=True)
class _KnownSpace:
    """The soups whose objective is known; the first others that a strategy asks for end it."""

    pool: Pool
    objective: Objective
    items: Items | None
    ledger: Ledger
    count: Count = field(default_factory=Count)
    asked: set[object] = field(default_factory=set)
    n_calls: int = 0
    n_asked: int = 0
    """Soups of the last call."""
    is_part: bool = False
    """Whether that was about a part of the items."""

    def values(
        self,
        soups: Sequence[Parts],
        *,
        items: Items | None = None,
        rungs: Sequence[Mapping[int, Fraction]] | None = None,  # noqa: ARG002 - for the record
    ) -> list[Fraction]:
        """Return the exact objective of each soup, if all are known."""
        found = self._known(soups, self.items if items is None else items)
        return [exact_objective(self.objective, one) for one in found]

    def evaluations(self, soups: Sequence[Parts], *, items: Items) -> list[Evaluation]:
        """Return the outcomes of each soup, if all are known."""
        return self._known(soups, items)

    def first(self) -> Evaluation:
        """Return the scores of a single model, if they are known."""
        found = self.ledger.found([self.pool.recipe({min(self.pool.names): 1})], self.items)
        if found is None:
            raise _UnknownScoreError
        return found[0]

    def _known(self, soups: Sequence[Parts], items: Items | None) -> list[Evaluation]:
        self.asked |= set(map(same_soup, soups))
        self.n_calls, self.n_asked, self.is_part = self.n_calls + 1, len(soups), items is not self.items
        recipes = [self.pool.recipe(soup) for soup in soups]
        now = self.ledger.look(recipes, items)
        self.count = self.count.plus(now, soups=len(self.asked))
        found = self.ledger.found(recipes, items)
        if found is None:
            raise _UnknownScoreError
        return found

    def leave_out(self, soup: Parts, rungs: Mapping[int, Fraction]) -> None:
        """Take note of nothing."""


def _more(strategy: Strategy, space: _KnownSpace) -> tuple[int, int]:
    """Return how many more evaluations and outcomes a strategy may ask for that met an unknown score."""
    n_items = sum(map(len, (space.items or {}).values()))
    if isinstance(strategy, SuccessiveHalving) and space.items is not None:
        sizes = [sum(map(len, rung.values())) for rung in strategy.rungs(space.items, len(space.asked))]
        left, soups, outcomes = len(space.asked), 0, 0
        for rung, (before, size) in enumerate(pairwise(sizes), 1):
            left = -(-left // strategy.factor)
            if rung >= space.n_calls:
                soups, outcomes = soups + left, outcomes + left * (size - before)
        return soups, outcomes
    if isinstance(strategy, Race) and space.items is not None:
        to_come = strategy.rungs(space.items)[space.n_calls :] if space.is_part else []
        return space.n_asked * len(to_come), space.n_asked * sum(map(len, to_come))
    if isinstance(strategy, Greedy):
        n_models = len(space.pool.experts if strategy.over == "experts" else space.pool.names)
        more = max(0, n_models - space.n_calls)
    else:
        n_points = space.pool.n_points
        more = max(0, min(getattr(strategy, "budget", None) or n_points, n_points) - len(space.asked))
    return more, more * n_items


def _shard_bytes(path: Path) -> int:
    """Return the size of the shards of a checkpoint, or of an adapter."""
    files = path.rglob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
