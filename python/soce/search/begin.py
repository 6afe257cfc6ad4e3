"""Begins a run without a search: models of which nothing is scored yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.files.atomic import write_json
from soce.scores.objective import Mean, parse_objective
from soce.search.claims import claim
from soce.search.folder import LOCK, POPULATION
from soce.search.open import open_run
from soce.search.options import SearchOptions
from soce.search.soups import search_identity
from soce.search.study import check_folder, settle_identity

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluator
    from soce.search.pool import Pool
    from soce.search.run import Run


def begin_run(
    folder: str | os.PathLike[str],
    pool: Pool,
    evaluator: Evaluator,
    population: Mapping[str, Any],
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
) -> Run:
    """Make a run of models of which nothing is scored yet, in a new folder; nothing is searched or split.

    The population is kept as its JSON. Of the options, the objective and the digests count. `StudyError` if
    the folder holds something else.
    """
    place = Path(folder)
    objective = options.objective
    goal = parse_objective(objective) if isinstance(objective, str) else objective or Mean()
    identity = search_identity(pool, evaluator, goal, None, replace(options, share=None))
    check_folder(place)
    place.mkdir(parents=True, exist_ok=True)
    with claim(place / LOCK, wait=True):
        settle_identity(place, identity.to_json())
        write_json(place / POPULATION, dict(population))
    return open_run(place, paths=pool.paths)
