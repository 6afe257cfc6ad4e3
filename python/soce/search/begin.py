"""Begins a run without a search: of all models, one is scored by then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.files.atomic import write_json
from soce.scores.objective import Mean, parse_objective
from soce.search.claims import claim
from soce.search.executors.open import opened
from soce.search.folder import LOCK, POPULATION, PRESENT, holds_run
from soce.search.open import open_run
from soce.search.options import SearchOptions
from soce.search.presence import Presence
from soce.search.scoring import Scorer, exact_objective
from soce.search.soups import search_identity
from soce.search.study import check_folder, settle_question

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from soce.evaluate.evaluation import Evaluator
    from soce.search.pool import Pool
    from soce.search.run import Run
    from soce.search.scoring import SearchProgress


def begin_run(
    folder: str | os.PathLike[str],
    pool: Pool,
    evaluator: Evaluator,
    population: Mapping[str, Any],
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    *,
    on_progress: Callable[[SearchProgress], object] | None = None,
) -> Run:
    """Make a run of models in a new folder, of which the first is scored; nothing is searched or split.

    Its scores show whether the objective can be computed from what the evaluator gives: if it cannot, the
    folder holds no run yet, and the next call may name another. The population is kept as its JSON. Of the
    options, the objective counts, and what evaluates.

    Raises
    ------
    StudyError
        The folder holds something else.
    ScoreTableError
        The objective needs a category that the evaluator does not have.
    SoceError, OSError
        As `search_soups`.
    """
    place = Path(folder)
    objective = options.objective
    goal = parse_objective(objective) if isinstance(objective, str) else objective or Mean()
    identity = search_identity(pool, evaluator, goal, None, replace(options, share=None))
    check_folder(place)
    if not holds_run(place):
        known = identity.ingredients
        with opened(options.executor) as executor:
            scorer = Scorer.of(
                evaluator, place, ingredients=known, executor=executor, on_progress=on_progress
            )
            scorer.begin("first model")
            (first,) = scorer.score([pool.recipe({min(pool.names): 1})], evaluator.item_ids())
        exact_objective(goal, first)
    place.mkdir(parents=True, exist_ok=True)
    with claim(place / LOCK, wait=True), Presence(place / PRESENT) as presence:
        settle_question(place, identity.to_json(), paths=pool.paths, presence=presence)
        write_json(place / POPULATION, dict(population))
    return open_run(place, paths=pool.paths)
