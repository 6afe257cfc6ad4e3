"""How far a run is: what is done, who works on it, what is left. Reads only, and evaluates nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Final

from soce.exceptions import StudyError
from soce.files.plain import Plain
from soce.search.arms import STAGES, by_stage, planned_arms
from soce.search.folder import SEARCH
from soce.search.named_arms import parse_arm
from soce.search.open import open_run
from soce.store.database import STORE
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile, StoreSize

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from soce.search.run import Run
    from soce.search.soup import Parts
    from soce.store.leases import Lease

_OF_GRID: Final = ("grid", "successive-halving", "race")
"""Strategies that go through all points of the grid."""


@dataclass(frozen=True, slots=True)
class StageStatus(Plain):
    """A part of a search."""

    name: str
    done: int
    """Models or soups that are scored."""
    total: int | None
    """None where nobody knows beforehand."""


@dataclass(frozen=True, slots=True)
class RunStatus(Plain):
    """How far a run is. Use `read_status`."""

    TOLD: ClassVar = ("is_done",)

    folder: str
    stages: tuple[StageStatus, ...]
    """In their order; what was known before this question was asked counts as done once it comes to it."""
    n_left: int | None
    """Models and soups that are still to be scored; None if nobody knows."""
    running: tuple[Lease, ...]
    """What is being scored now; also of a worker that is gone, until another one takes it over."""
    seconds_left: float | None
    """At the pace so far; None if nobody can say."""
    best: float | None
    """Largest objective on the selection items so far."""
    best_weights: str | None
    store: StoreSize
    """What is kept of all that was ever asked here."""
    verdict: str | None
    """What the search came to, once it is finished."""

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self.verdict is not None


def read_status(folder: str | os.PathLike[str]) -> RunStatus:
    """Return how far a run is that is finished, was interrupted, or goes on in other processes.

    Raises
    ------
    StudyError
        The folder holds no run, or a store of another version.
    OSError
        It is not there.
    """
    place = Path(folder)
    try:
        run = open_run(place)
    except StudyError:
        searches = [one for one in (place / SEARCH, place) if (one / STORE).is_file()]
        if not searches:
            raise
        store = StoreFile(searches[0])  # candidates are scored before there is a selection and a study
        size = store.size()
        first = StageStatus("single models", size.n_mixes, None)
        return RunStatus(str(place), (first,), None, store.leases(), None, None, None, size, None)
    store = StoreFile(run.search)
    stages, left = _finished(run) if run.result is not None else _unfinished(run)
    running = store.leases()
    pace = None if run.trials is None else run.trials.seconds_each
    at_once = sum(not one.is_expired for one in running)
    if at_once > 1 and (timings := store.timings()):  # trials come in swarms: nothing follows from their gaps
        pace = median(one.seconds for one in timings) / at_once
    return RunStatus(
        folder=str(place),
        stages=stages,
        n_left=left,
        running=running,
        seconds_left=pace * left if pace is not None and left is not None else None,
        best=None if run.trials is None else run.trials.best,
        best_weights=None if run.trials is None else run.trials.best_weights,
        store=store.size(),
        verdict=None if run.result is None else run.result.verdict,
    )


def _unfinished(run: Run) -> tuple[tuple[StageStatus, ...], int | None]:
    """Return the stages of a search and what is left of it, by the trials that it has recorded."""
    pool, trials = run.known_pool, run.trials
    if pool is None or trials is None:  # damaged, or the trials are in another storage
        return (), None
    stages: list[StageStatus] = []
    left: set[str] = set()

    def add(name: str, soups: Iterable[Parts]) -> None:
        ids = {pool.recipe(parts).id for parts in soups}
        stages.append(StageStatus(name, len(ids & trials.recipes), len(ids)))
        left.update(ids - trials.recipes)  # the uniform soup is a point of the grid as well

    named = () if run.identity is None else tuple(map(parse_arm, run.identity.arms))
    arms = planned_arms(pool, named)
    for stage, soups in by_stage(arms).items():
        add(stage, soups)
    strategy = next((name for name in trials.stages if name not in STAGES.values()), None)
    grid = None if run.selection is None else run.selection.grid
    asked = {} if run.identity is None else run.identity.strategy or {}
    is_grid = grid is not None and strategy in (None, *_OF_GRID) and "making" not in asked
    if grid is not None and is_grid:
        add(strategy or "grid", (dict(zip(pool.experts, parts, strict=True)) for parts in grid))
    else:
        stages.append(StageStatus(strategy or "soups", trials.stages.get(strategy or "", 0), None))
    held_out = _held_out(run, [arm.parts for arm in arms])
    return (*stages, *held_out), _left(len(left), held_out) if is_grid else None


def _left(count: int, more: Iterable[StageStatus]) -> int:
    return count + sum(one.total - one.done for one in more if one.total is not None)


def _finished(run: Run) -> tuple[tuple[StageStatus, ...], int]:
    """Return the stages of a search that has a result, which says all."""
    assert run.result is not None
    n_arms = len({arm.recipe.id for arm in run.result.arms})
    found: dict[str, set[str]] = {}
    for arm in run.result.arms[:-1]:
        found.setdefault(STAGES[arm.kind], set()).add(arm.recipe.id)
    counts = {stage: len(ids) for stage, ids in found.items()}
    counts[str(run.result.strategy["name"])] = run.result.n_candidates
    if not run.result.is_optimistic:
        counts["held-out items"] = n_arms
    return tuple(StageStatus(name, count, count) for name, count in counts.items()), 0


def _held_out(run: Run, arms: Iterable[Parts]) -> tuple[StageStatus, ...]:
    """Return how many of the arms were reported on: those that are known by now, and one soup to come."""
    identity = run.identity
    if identity is None or (identity.share is None and identity.held_out_evaluator is None):
        return ()
    chosen, reported = (
        EvaluationStore(run.search, ingredients=identity.ingredients, evaluator=one)
        for one in (identity.evaluator, identity.held_out_evaluator or identity.evaluator)
    )
    items = reported.items()
    if identity.held_out_evaluator is not None:  # what soups are chosen on is not reported
        seen = {key for keys in chosen.item_keys(chosen.items()).values() for key in keys.values()}
        keys = reported.item_keys(items)
        items = {
            name: tuple(item for item in ids if keys[name][item] not in seen) for name, ids in items.items()
        }
    recipes = {one.id: one for one in map(run.pool.recipe, arms)}
    done = sum(not reported.missing(recipe, items) for recipe in recipes.values()) if items else 0
    return (StageStatus("held-out items", done, len(recipes) + 1),)
