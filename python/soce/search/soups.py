"""Search the weights of a soup: score every proposal once, choose on some items, report on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.items import Tasks, shared_items
from soce.exceptions import shown
from soce.files.atomic import write_json
from soce.scores.objective import Mean, parse_objective
from soce.search.arms import (
    best_single,
    compare_arms,
    differing_categories,
    fixed_arms,
    make_arm,
    unique_labels,
)
from soce.search.evaluations import EvaluationStore
from soce.search.folder import EVALUATIONS, RESULT
from soce.search.identity import SearchIdentity, ingredient_identity
from soce.search.options import SearchOptions
from soce.search.pool import Pool
from soce.search.result import Arm, Comparison, Scored, SearchResult
from soce.search.scoring import Scorer, SearchProgress, SelectionSpace
from soce.search.split import Split, split_items
from soce.search.strategies.grid import Grid
from soce.search.strategies.space import Found, Space, Strategy, Tried, preference
from soce.search.study import Study
from soce.selection.file import SelectionFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.search.strategies.space import Items

__all__ = [
    "STRATEGIES",
    "Arm",
    "Comparison",
    "Found",
    "Pool",
    "Scored",
    "SearchProgress",
    "SearchResult",
    "Space",
    "Strategy",
    "Tried",
    "search_soups",
    "strategy_of",
]

STRATEGIES: Final[dict[str, str]] = {
    "grid": "every point of the grid, as in the paper",
    "greedy": "models by score, each kept if the uniform soup gets better",
    "cmaes": "evolution of the weights, for more experts than a grid can hold",
    "gp": "a Gaussian process proposes weights",
    "tpe": "a tree of Parzen estimators proposes weights",
    "successive-halving": "the grid on few items first, the better points on more",
}
"""What `strategy_of` knows, and what it means."""


def strategy_of(name: str, *, budget: int | None = None, seed: int = 0) -> Strategy:
    """Return a strategy by name with its usual settings, see `STRATEGIES`.

    Parameters
    ----------
    name : str
    budget : int, optional
        Most different soups; 100 for strategies that sample, no limit for the others.
    seed : int

    Raises
    ------
    StudyError
        An unknown name.
    """
    from soce.search.strategies.greedy import Greedy
    from soce.search.strategies.halving import SuccessiveHalving
    from soce.search.strategies.samplers import Bayesian, CmaEs
    from soce.search.strategies.space import refuse as refuse_study

    sampled = 100 if budget is None else budget
    match name:
        case "grid":
            return Grid(budget)
        case "greedy":
            return Greedy()
        case "cmaes":
            return CmaEs(sampled, seed)
        case "gp" | "tpe":
            return Bayesian(name, sampled, seed)
        case "successive-halving":
            return SuccessiveHalving(budget=budget, seed=seed)
    known = ", ".join(f"`{known}`" for known in STRATEGIES)
    refuse_study(f"`{shown(name)}` is not a strategy", f"strategies: {known}")


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
        Called with a `SearchProgress`; raising from it stops the search, and nothing is lost.

    Returns
    -------
    SearchResult
        Also written to ``result.json`` in the folder.

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
    objective = options.objective
    pool = selection if isinstance(selection, Pool) else Pool.of(selection, candidates=candidates)
    known_categories = tuple(categories)
    if isinstance(selection, SelectionFile):
        known_categories = known_categories or selection.selection.categories
        objective = selection.objective if objective is None else objective
    objective = Mean() if objective is None else objective
    wanted = parse_objective(objective) if isinstance(objective, str) else objective
    strategy = strategy_of(options.strategy) if isinstance(options.strategy, str) else options.strategy
    if held_out_evaluator is not None and dict(held_out_evaluator.identity) == dict(evaluator.identity):
        refuse(
            "the held-out tasks are the tasks to choose on",
            "name other tasks to report on, or none: the items are then split",
        )
    weights = getattr(wanted, "weights", None)
    identity = SearchIdentity(
        ingredients={
            name: ingredient_identity(pool.paths[name], digests=options.digests) for name in pool.names
        },
        experts=pool.experts,
        evaluator=evaluator.identity,
        held_out_evaluator=None if held_out_evaluator is None else held_out_evaluator.identity,
        share=options.share if held_out_evaluator is None else None,
        split_seed=options.split_seed,
        objective=wanted.name,
        objective_weights=None if weights is None else {name: str(one) for name, one in weights.items()},
    )

    def scorer_of(one: Evaluator) -> Scorer:
        ingredients = identity.ingredients
        store = EvaluationStore(Path(folder) / EVALUATIONS, ingredients=ingredients, evaluator=one.identity)
        return Scorer(store, one, on_progress=on_progress)

    with Study.open(folder, identity=identity.to_json(), storage=options.storage) as study:
        scorer = scorer_of(evaluator)
        items = _Items.of(
            scorer, pool, options.share, options.split_seed, has_other=held_out_evaluator is not None
        )
        space = SelectionSpace(pool, scorer, wanted, items.selection, study)
        arms = fixed_arms(pool)
        reporter = scorer
        if held_out_evaluator is not None:
            reporter = scorer_of(held_out_evaluator)
            _try_both(scorer, items.selection, reporter, pool)
        scorer.begin("single models")
        space.values([parts for kind, _, parts in arms if kind == "single"])
        scorer.begin("uniform soups")
        space.values([parts for kind, _, parts in arms if kind != "single"])
        scorer.begin(strategy.name)
        found = strategy.run(space)
        kind = "greedy" if strategy.name == "greedy" else "soce"
        arms.append((kind, kind, found.best.parts))
        # Only now, and only the arms, on what was held out.
        recipes = [pool.recipe(parts) for _, _, parts in arms]
        chosen_on = scorer.score(recipes, items.selection)
        reporter.begin("held-out items")
        reported = chosen_on
        if held_out_evaluator is not None:
            reported = reporter.score(recipes, held_out_evaluator.item_ids())
        elif items.split is not None:
            reported = reporter.score(recipes, items.split.held_out)
        n_evaluated = scorer.n_evaluated + (reporter.n_evaluated if reporter is not scorer else 0)
        labels = unique_labels(arms)
        made = [
            make_arm(kind, label, parts, pool=pool, objective=wanted, selection=one, report=other)
            for (kind, _, parts), label, one, other in zip(arms, labels, chosen_on, reported, strict=True)
        ]
        by_label = dict(zip(labels, reported, strict=True))
        comparisons, remarks = compare_arms(
            made, by_label, wanted, draws=options.draws, seed=options.split_seed
        )
        is_optimistic = items.split is None and held_out_evaluator is None
        soup, single = made[-1], best_single(made, on="report")
        notes = [
            *items.notes,
            *(_optimistic() if is_optimistic else ()),
            *_shared(evaluator, held_out_evaluator),
            *_notes(pool, found, known_categories, chosen_on[0]),
            *remarks,
            *dict.fromkeys(note for evaluation in (*chosen_on, *reported) for note in evaluation.notes),
        ]
        result = SearchResult(
            objective=wanted.name,
            scale=chosen_on[0].scale,
            strategy=strategy.to_json(),
            arms=tuple(made),
            comparisons=comparisons,
            ranked=tuple(
                sorted(found.tried, key=lambda one: (-one.value, preference(one.parts, pool.experts)))
            ),
            tied=found.tied,
            trace=found.trace,
            n_candidates=found.n_candidates,
            is_optimistic=is_optimistic,
            split=None if items.split is None else items.split.to_json(),
            best_single_selection=best_single(made, on="selection").label,
            best_single_report=single.label,
            beats_best_single=soup.report.value > single.report.value,
            notes=tuple(notes),
            n_evaluated=n_evaluated,
        )
        write_json(Path(folder) / RESULT, result.to_json())
        return result


@dataclass(frozen=True, slots=True)
class _Items:
    """Which items soups are chosen on."""

    selection: Items | None
    """None: all, by an evaluator that tells none apart or cannot say which there are."""
    split: Split | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, scorer: Scorer, pool: Pool, share: Fraction | None, seed: int, *, has_other: bool) -> _Items:
        """Ask the evaluator, or one evaluation if it cannot say beforehand, and split."""
        items: Items | None = scorer.evaluator.item_ids()
        if items is None:
            scorer.begin("single models")
            (first,) = scorer.score([pool.recipe({min(pool.names): 1})], None)
            without = [name for name in first.categories if not (first.items or {}).get(name)]
            if without:
                listed = ", ".join(f"`{shown(name)}`" for name in without[:5])
                notes = (f"no outcomes by item for {listed}",) if first.items else ()
                return cls(None, None, notes)
            assert first.items is not None
            items = {name: tuple(first.items[name]) for name in first.categories}
        if share is None or has_other:
            return cls(items, None)
        split = split_items(items, share=share, seed=seed)
        return cls(split.selection, split)


def _try_both(scorer: Scorer, items: Items | None, reporter: Scorer, pool: Pool) -> None:
    """Score one model on both task sets: those that do not go together are found before the search."""
    recipes = [pool.recipe({min(pool.names): 1})]
    scorer.begin("single models")
    (one,) = scorer.score(recipes, items)
    reporter.begin("held-out items")
    (other,) = reporter.score(recipes, reporter.evaluator.item_ids())
    _check_same_categories(one, other)


def _check_same_categories(one: Evaluation, other: Evaluation) -> None:
    for name in sorted(set(one.categories) ^ set(other.categories)):
        which = "the tasks to choose on" if name in one.categories else "the held-out tasks"
        refuse(
            f"only {which} have the category `{shown(name)}`",
            "both task sets need the same categories",
        )
    if one.scale != other.scale:
        refuse(f"the tasks to choose on are on the scale {one.scale}, the held-out ones on {other.scale}")


def _optimistic() -> tuple[str, ...]:
    return ("selected and reported on the same items: optimistic",)


def _shared(evaluator: Evaluator, other: Evaluator | None) -> tuple[str, ...]:
    """Return a note if the held-out tasks hold items that the search chose on."""
    one, held_out = getattr(evaluator, "tasks", None), getattr(other, "tasks", None)
    if not isinstance(one, Tasks) or not isinstance(held_out, Tasks):
        return ()
    count = shared_items(held_out, one)
    if not count:
        return ()
    return (f"{count} of the {len(held_out.items)} held-out items were also chosen on: optimistic",)


def _notes(pool: Pool, found: Found, known_categories: tuple[str, ...], evaluation: Evaluation) -> list[str]:
    notes = []
    if len(pool.experts) == 1:
        notes.append("one expert, no soup")
    if pool.without_path:
        listed = ", ".join(f"`{shown(name)}`" for name in pool.without_path)
        notes.append(
            f"candidates without a known path are not scored: {listed}; uniform-all is over the "
            f"{len(pool.names)} others"
        )
    if found.tied:
        notes.append(f"{len(found.tied)} other soup(s) have the same value on the selection items")
    differing = differing_categories(known_categories, tuple(evaluation.categories))
    return notes if differing is None else [*notes, differing]
