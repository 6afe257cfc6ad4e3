"""Makes the score table itself: every candidate alone, on the items that soups are chosen on later."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from soce.files.arguments import expect, expect_mapping
from soce.files.digests import digest_of
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Ingredient, Recipe
from soce.remote.here import bring
from soce.scores.origin import ScoreOrigin
from soce.search.executors.open import opened
from soce.search.identity import ingredient_identities
from soce.search.items import SearchItems, refuse_same_tasks
from soce.search.options import SearchOptions
from soce.search.refusal import refuse
from soce.search.scoring import Scorer, table_of
from soce.search.study import check_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.scores.table import ScoreTable
    from soce.search.scoring import SearchProgress
    from soce.search.strategies.space import Items


def measure_scores(
    paths: Mapping[str, str | os.PathLike[str]],
    evaluator: Evaluator,
    *,
    folder: str | os.PathLike[str],
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    held_out_evaluator: Evaluator | None = None,
    on_progress: Callable[[SearchProgress], object] | None = None,
) -> ScoreTable:
    """Score candidates on the items that soups are chosen on, so that experts see no reported item.

    `search_soups` in the same folder, with the same evaluators and options, finds these scores and evaluates
    nothing twice.

    Parameters
    ----------
    paths : mapping of model to path
        Checkpoints of the candidates.
    evaluator : Evaluator
        What soups are chosen by.
    folder : path-like
        That of the search. The same call goes on where it was stopped.
    options : SearchOptions
        Those of the search: share and seed of its split, and what evaluates.
    held_out_evaluator : Evaluator, optional
        Other tasks to report on: all items of `evaluator` are then to choose on.
    on_progress : callable, optional
        As for `search_soups`.

    Returns
    -------
    ScoreTable
        Its `origin` says on which items it was measured. Without outcomes by item nothing can be held back:
        experts and soups are then chosen on all that is reported, and the search says so.

    Raises
    ------
    StudyError
        The folder holds something else, or no candidate is given.
    EvaluationError, SoceError, OSError
        As `search_soups`.
    """
    expect_mapping(paths, "paths", "of model to path")
    expect(options, SearchOptions, "options", "SearchOptions")
    if not paths:
        refuse("there is no candidate to score")
    refuse_same_tasks(evaluator, held_out_evaluator)
    check_folder(folder)
    names = sorted(paths)
    located = dict(zip(names, bring([find_checkpoint(paths[name]) for name in names]), strict=True))
    ingredients = ingredient_identities(located)
    recipes = [Recipe((Ingredient(path, Fraction(1), name),)) for name, path in located.items()]

    def scorer_of(one: Evaluator) -> Scorer:
        return Scorer.of(one, folder, ingredients=ingredients, executor=executor, on_progress=on_progress)

    with opened(options.executor) as executor:
        chooser = scorer_of(evaluator)
        reporter = chooser if held_out_evaluator is None else scorer_of(held_out_evaluator)
        items = SearchItems.of(chooser, reporter, recipes[0], share=options.share, seed=options.split_seed)
        chooser.begin("single models")
        scores = chooser.score(recipes, items.selection)
    return measured_table(dict(zip(located, scores, strict=True)), evaluator, items.selection)


def measured_table(
    evaluations: Mapping[str, Evaluation], evaluator: Evaluator, items: Items | None
) -> ScoreTable:
    """Return the evaluations of models on these items, all if None, as a table that says so."""
    known = None if items is None else {name: tuple(ids) for name, ids in items.items()}
    return table_of(evaluations).with_origin(
        ScoreOrigin(items=known, evaluator=digest_of(dict(evaluator.identity)))
    )
