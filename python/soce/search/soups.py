"""Search the weights of a soup: score every proposal once, choose on some items, report on others."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soce.files.arguments import expect
from soce.files.atomic import write_json
from soce.files.words import counted, listed
from soce.scores.objective import Mean, parse_objective
from soce.search.arms import (
    STAGES,
    PlannedArm,
    best_single,
    by_stage,
    compare_arms,
    differing_categories,
    make_arm,
    planned_arms,
)
from soce.search.executors.open import opened
from soce.search.exposure import chosen_before, chosen_before_note, experts_saw, mark_chosen
from soce.search.fitted_arms import FittedArms
from soce.search.folder import RESULT
from soce.search.identity import SearchIdentity, ingredient_identities
from soce.search.items import SearchItems, refuse_same_tasks
from soce.search.named_arms import usable_base
from soce.search.options import SearchOptions
from soce.search.pool import Pool
from soce.search.refusal import refuse
from soce.search.result import SearchResult
from soce.search.scoring import Scorer, exact_objective, scale_of
from soce.search.selection_space import SelectionSpace
from soce.search.strategies.grid import Grid
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.registry import strategy_of
from soce.search.strategies.samplers import Bayesian, CmaEs
from soce.search.strategies.space import preference
from soce.search.study import Study
from soce.selection.file import SelectionFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluator
    from soce.scores.objective import Objective
    from soce.search.scoring import SearchProgress
    from soce.search.strategies.space import StrategyOutcome


def search_soups(
    selection: SelectionFile | Pool,
    evaluator: Evaluator,
    *,
    folder: str | os.PathLike[str],
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    candidates: Mapping[str, str | None] | None = None,
    categories: Sequence[str] = (),
    held_out_evaluator: Evaluator | None = None,
    on_progress: Callable[[SearchProgress], object] | None = None,
) -> SearchResult:
    """Find the best weights of the experts and compare the soup with what it must beat.

    The result is also written to ``result.json`` in the folder.

    Parameters
    ----------
    selection : SelectionFile or Pool
        Experts with their checkpoints, and the weights to try.
    evaluator : Evaluator
        Scores recipes; the search sees its selection items only.
    folder : path-like
        Where the study is kept. The same call finishes what was interrupted, and repeats nothing.
    options : SearchOptions
    candidates : mapping of model to path, optional
        Checkpoints of other candidates of a selection file; they become arms.
    categories : sequence of str, optional
        Categories that experts were selected by; a note says so if the evaluator has others.
    held_out_evaluator : Evaluator, optional
        Other tasks of the same categories to report on. The items of `evaluator` are then not split.
    on_progress : callable, optional
        Called with a `soce.search.scoring.SearchProgress`; raising from it stops the search, and nothing is
        lost.

    Raises
    ------
    StudyError
        The folder holds a study of something else; a grid beyond the budget; Optuna is missing.
    EvaluationError
        The evaluator failed, or left out items or categories.
    ScoreTableError
        The objective needs a category that the evaluator does not have.
    SoceError, OSError
        Ingredients that cannot be read or mixed.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, lines 13-18, and section 7.1.
    """
    source = "a Pool or a SelectionFile, which `soce.read_selection` reads"
    expect(selection, (Pool, SelectionFile), "selection", source)
    expect(options, SearchOptions, "options", "SearchOptions")
    pool = selection if isinstance(selection, Pool) else Pool.of(selection, candidates=candidates)
    pool = prepared(pool, options).here()
    objective = options.objective
    if isinstance(selection, SelectionFile):
        categories = categories or selection.selection.categories
        objective = selection.objective if objective is None else objective
    goal = parse_objective(objective) if isinstance(objective, str) else objective or Mean()
    strategy = strategy_of(options.strategy) if isinstance(options.strategy, str) else options.strategy
    refuse_same_tasks(evaluator, held_out_evaluator)
    arms = planned_arms(pool, options.arms)
    fits = FittedArms(options.arms, pool, evaluator, options.executor)
    proposing = strategy.to_json() | ({} if pool.making is None else {"making": str(pool.making)})
    identity = replace(
        search_identity(pool, evaluator, goal, held_out_evaluator, options),
        strategy={
            **proposing,
            "grid": asdict(pool.weights),
            **({} if pool.making is None else {"making": pool.making.to_json()}),
        },
    )

    def scorer_of(one: Evaluator) -> Scorer:
        known = identity.ingredients
        return Scorer.of(one, folder, ingredients=known, executor=executor, on_progress=on_progress)

    with (
        opened(options.executor) as executor,
        Study(folder, identity=identity.to_json(), paths=pool.paths, storage=options.storage) as study,
    ):
        chooser = scorer_of(evaluator)
        reporter = chooser if held_out_evaluator is None else scorer_of(held_out_evaluator)
        first = pool.recipe({min(pool.names): 1})
        items = SearchItems.of(chooser, reporter, first, share=options.share, seed=options.split_seed)
        saw, told = experts_saw(pool.origin, items, evaluator, held_out_evaluator)
        n_chosen_before = study.once("chosen_before", lambda: chosen_before(reporter, items))
        mark_chosen(chooser, items)
        space = SelectionSpace(pool, chooser, goal, items.selection, study)

        # What the soup must beat: each model alone, uniform weights, and methods that were named.
        for stage, soups in by_stage(arms).items():
            chooser.begin(stage)
            if stage == STAGES["single"]:
                strategy.check(space)
            space.values(soups)
        fitted = fits.fit(items.selection, folder, identity.ingredients, on_step=chooser.step)
        for stage, soups in by_stage(fitted).items():
            chooser.begin(stage)
            space.values(soups)
        arms += fitted

        # Lines 13 to 18 of Algorithm 1: weights are proposed and scored, and the best are kept.
        chooser.begin(strategy.name)
        found = strategy.run(space)
        kind = "greedy" if strategy.name == "greedy" else "soce"
        arms.append(PlannedArm.of(kind, found.best.parts, pool))

        # Only now, and only the arms, on what was held out.
        recipes = [pool.recipe(arm.parts) for arm in arms]
        chosen_on = reported = chooser.score(recipes, items.selection)
        reporter.begin("held-out items")
        if items.is_held_out:
            reported = reporter.score(recipes, items.report)

        made = [
            make_arm(arm, pool=pool, objective=goal, selection=one, report=other)
            for arm, one, other in zip(arms, chosen_on, reported, strict=True)
        ]
        evaluations = {arm.label: evaluation for arm, evaluation in zip(made, reported, strict=True)}
        comparisons, remarks = compare_arms(
            made, evaluations, goal, draws=options.draws, seed=options.split_seed
        )
        on_selection, on_report = (
            {arm.label: exact_objective(goal, one) for arm, one in zip(made, scored, strict=True)}
            for scored in (chosen_on, reported)
        )
        result = SearchResult(
            objective=goal.name,
            scale=scale_of(chosen_on[0]),
            strategy=proposing,
            arms=tuple(made),
            comparisons=comparisons,
            ranked=tuple(
                one.rounded()
                for one in sorted(
                    found.tried, key=lambda one: (-one.value, preference(one.parts, pool.experts))
                )
            ),
            tied=tuple(one.rounded() for one in found.tied),
            trace=found.trace,
            n_candidates=found.n_candidates,
            is_optimistic=not items.is_held_out,
            split=None if items.split is None else items.split.to_json(),
            best_single_selection=best_single(made, on_selection).label,
            best_single_report=best_single(made, on_report).label,
            experts_saw=saw,
            n_chosen_before=n_chosen_before,
            notes=(
                *items.notes,
                *items.thin,
                *told,
                *chosen_before_note(n_chosen_before, items),
                *_notes(pool, found, differing_categories(categories, tuple(chosen_on[0].categories))),
                *remarks,
                *dict.fromkeys(note for one in (*chosen_on, *reported) for note in one.notes),
            ),
            merge=options.merge.decisions(),
            lower_is_better=tuple(
                name for name, is_higher in reported[0].higher_is_better.items() if not is_higher
            ),
            n_evaluated=sum(one.n_evaluated for one in {chooser, reporter}),
            n_items=sum(one.n_items for one in {chooser, reporter}),
        )
        write_json(Path(folder) / RESULT, result.to_json())
        return result


def prepared(pool: Pool, options: SearchOptions) -> Pool:
    """Return a pool with what is asked to be made of its experts; refuse what cannot be made of them.

    Nothing is read or scored.
    """
    making, chosen = options.making, options.strategy
    pool = replace(pool.with_base(options.base), making=making)
    planned_arms(pool, options.arms)
    if making is None:
        return pool
    strategy = strategy_of(chosen) if isinstance(chosen, str) else chosen
    usable_base(f"`{making.definition.name}`", making.definition, pool)
    if isinstance(strategy, (CmaEs, Bayesian)):
        _ = making.ranges  # which refuses what are no ends
    elif not isinstance(strategy, (Grid, SuccessiveHalving)):
        hint = "take one that does, such as grid, cmaes or tpe"
        refuse(f"the strategy {strategy.name} goes through averages, not through `{making}`", hint)
    elif making.groups:
        refuse(f"the strategy {strategy.name} has no weights for groups of tensors", "take cmaes, tpe or gp")
    return pool


def search_identity(
    pool: Pool,
    evaluator: Evaluator,
    objective: Objective,
    held_out_evaluator: Evaluator | None,
    options: SearchOptions,
) -> SearchIdentity:
    """Return what the scores of these models, tasks and options belong to."""
    weights = getattr(objective, "weights", None)
    methods = [arm.definition for arm in options.arms]
    methods += [] if options.making is None else [options.making.definition]
    has_base = pool.is_base_alone or any(one.base != "none" for one in methods)
    return SearchIdentity(
        ingredients=ingredient_identities({name: pool.paths[name] for name in sorted(pool.paths)}),
        experts=pool.experts,
        evaluator=evaluator.identity,
        held_out_evaluator=None if held_out_evaluator is None else held_out_evaluator.identity,
        share=options.share if held_out_evaluator is None else None,
        split_seed=options.split_seed,
        objective=objective.name,
        objective_weights=None if weights is None else {name: str(one) for name, one in weights.items()},
        config_from=None if pool.names[0] == pool.experts[0] else pool.names[0],
        arms=tuple(map(str, options.arms)),
        base=pool.base if has_base else None,
        is_base_alone=pool.is_base_alone,
    )


def _notes(pool: Pool, found: StrategyOutcome, differing: str | None) -> list[str]:
    notes = []
    if len(pool.experts) == 1:
        notes.append("one expert, no soup")
    if pool.without_path:
        names = listed(pool.without_path, limit=len(pool.without_path))
        notes.append(
            f"candidates without a known path are not scored: {names}; uniform-all is over the "
            f"{len(pool.names)} others"
        )
    if found.tied:
        others = counted(len(found.tied), "other soup has", "other soups have")
        notes.append(f"{others} the same value on the selection items")
    return notes if differing is None else [*notes, differing]
