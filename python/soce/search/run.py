"""A run, finished or not: what `soce run`, `soce demo` or `soce search` has left in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from soce.evaluate.evaluation import refuse as refuse_evaluation
from soce.exceptions import Problem, ScoreTableError, shown
from soce.files.atomic import write_json
from soce.files.words import listed
from soce.search.executors.open import opened
from soce.search.folder import POPULATION, SOUP, Kind, search_folder
from soce.search.identity import differences, ingredient_identity
from soce.search.items import split_items
from soce.search.refusal import refuse
from soce.search.scoring import Scorer, SearchProgress, objective_value
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe
    from soce.scores.objective import Objective
    from soce.scores.table import ScoreTable
    from soce.search.executors.executor import Executor
    from soce.search.identity import SearchIdentity
    from soce.search.pool import Pool
    from soce.search.result import SearchResult
    from soce.search.strategies.space import Items
    from soce.search.trials import Trials
    from soce.selection.experts import Selection

ItemSet: TypeAlias = Literal["report", "selection"]
"""The items that results are reported on, or those that soups were chosen on."""

_RESUME = "run the search again: it goes on where it was"
_REPEAT = "run the search again: it evaluates nothing that is known"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Run:
    """What there is of a run. Use `open_run`.

    What a run lacks is None, and `missing` says why. Nothing is written but by `evaluate` and
    `keep_population`.
    """

    folder: Path
    kind: Kind
    selection: Selection | None
    """How the experts were chosen."""
    expert_paths: Mapping[str, str]
    """Checkpoints of the experts, as the selection names them."""
    table: ScoreTable | None
    """The scores that the experts were chosen by."""
    identity: SearchIdentity | None
    """What the scores of the search belong to."""
    known_pool: Pool | None
    """The models of the search; see `pool`."""
    objective: Objective | None
    """What was maximised."""
    result: SearchResult | None
    trials: Trials | None
    """When the search recorded its trials."""
    population: Mapping[str, Any] | None
    """The models and soups of a study, as its file names them."""
    manifest: Mapping[str, Any] | None
    """Of the published soup."""
    settings: Mapping[str, Any] | None
    """Of a demo."""
    missing: Mapping[str, str]
    """``selection``, ``scores``, ``study``, ``objective``, ``result``, ``soup``, ``settings`` → why not."""
    _stores: dict[str, EvaluationStore] = field(default_factory=dict, init=False, repr=False)
    _items: dict[str, Items | None] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        """Return the folder and what it lacks, on one line."""
        lacks = f", lacks {', '.join(self.missing)}" if self.missing else ""
        return f"Run({self.kind} in `{shown(str(self.folder))}`{lacks})"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def search(self) -> Path:
        """The folder of the search."""
        return search_folder(self.folder, self.kind)

    @property
    def soup(self) -> Path:
        """Where the published soup is."""
        return self.folder / SOUP

    @property
    def experts(self) -> tuple[str, ...]:
        """Models of the soup, in the order of the grid; empty if nobody knows."""
        if self.selection is not None:
            return self.selection.models
        return () if self.known_pool is None else self.known_pool.experts

    @property
    def pool(self) -> Pool:
        """The models of the search; `StudyError` if nothing was searched, or its study is damaged."""
        if self.known_pool is None:
            self._refuse_study()
        return self.known_pool

    @property
    def n_evaluations(self) -> int:
        """Calls of the evaluator whose outcomes are kept."""
        return StoreFile(self.search).size().n_evaluations

    def why(self, *parts: str) -> tuple[str, ...]:
        """Return the reasons for those of the parts that are missing."""
        return tuple(dict.fromkeys(self.missing[part] for part in parts if part in self.missing))

    # ---- scores of the search

    def items(self, on: ItemSet = "report") -> Items | None:
        """Return the items of each category; None if the evaluator tells none apart.

        `StudyError` if nothing was scored on them yet.
        """
        if on not in get_args(ItemSet):
            refuse_evaluation(f"there are no `{shown(str(on))}` items", "use report or selection")
        if on not in self._items:
            self._items[on] = self._find_items(on)
        return self._items[on]

    def _find_items(self, on: ItemSet) -> Items | None:
        """Return the items on which a single model was scored: these are all."""
        first = self.pool.recipe({min(self.pool.names): 1})
        known = self._store(on).known(first)
        if known is None:
            self._refuse(f"nothing was scored on the {on} items yet", "finish the search first")
        items = {name: tuple(sorted(ids)) for name, ids in (known.item_ids() or {}).items()}
        if items.keys() != known.categories.keys():
            return None
        identity = self._identity
        if identity.share is None:
            return items
        if self.result is None:
            # Until the end nothing is scored on the held-out items, so nobody knows which there are.
            self._refuse("the search is not finished, so its held-out items are not known", _RESUME)
        written = self.result.split or {}
        split = split_items(
            items, share=identity.share, seed=identity.split_seed, contents=written.get("equal")
        )
        if written != split.to_json():
            self._refuse("`result.json` tells of another split than the scores that are kept", _REPEAT)
        return split.held_out if on == "report" else split.selection

    def evaluation(
        self, recipe: Recipe, *, on: ItemSet = "report", with_answers: bool = True
    ) -> Evaluation | None:
        """Return the scores of a soup on these items; None if it was not scored on all of them."""
        store = self._store(on)
        if on not in self._items and store.known(recipe, with_answers=False) is None:
            return None
        return store.find(recipe, self.items(on), with_answers=with_answers)

    def evaluations(self, *, on: ItemSet = "report") -> dict[str, Evaluation]:
        """Return the evaluation of every arm by its label, single models first and the soup last.

        `StudyError` if the search was not finished.
        """
        if self.result is None:
            self._refuse(self.missing["result"], _RESUME)
        found = {}
        for arm in self.result.arms:
            evaluation = self.evaluation(arm.recipe, on=on)
            if evaluation is None:
                self._refuse(f"the arm `{shown(arm.label)}` was not scored on the {on} items", _REPEAT)
            found[arm.label] = evaluation
        return found

    def value(self, recipe: Recipe, *, on: ItemSet = "report") -> float:
        """Return the objective of a soup on these items.

        `EvaluationError` if it was not scored on all of them, `ScoreTableError` if the objective has no name.
        """
        found = self.evaluation(recipe, on=on)
        if found is None:
            names = [one.name for one in recipe.ingredients if one.weight]
            refuse_evaluation(
                f"the soup of {listed(names)} was not scored on the {on} items",
                "score it with `evaluate`",
                str(self.search),
            )
        if self.objective is None:
            why = self.missing["objective"]
            place, hint = str(self.search), "give it as `objective`"
            raise ScoreTableError.of([Problem("scores", place, None, why, hint)])
        return objective_value(self.objective, found)

    def unscored(self, recipes: Sequence[Recipe], *, on: ItemSet = "report") -> tuple[Recipe, ...]:
        """Return those of the soups that were not scored on all of these items."""
        return tuple(recipe for recipe in recipes if self.evaluation(recipe, on=on) is None)

    def evaluate(
        self,
        recipes: Sequence[Recipe],
        evaluator: Evaluator,
        *,
        on: ItemSet = "report",
        executor: Executor | str = "inline",
        on_progress: Callable[[SearchProgress], object] | None = None,
    ) -> int:
        """Score the soups that are missing, keep their scores in the folder, and return how many there were.

        What evaluates is an `executor` as for `SearchOptions`.

        Raising from `on_progress`, which is called first before anything is scored, loses nothing.

        Raises
        ------
        StudyError
            Another evaluator than the run's, a model that is not where it was or has changed.
        SoceError, OSError
            As `search_soups`.
        """
        wanted = self.unscored(recipes, on=on)
        if not wanted:
            return 0
        changes = differences(dict(self._evaluator(on)), dict(evaluator.identity))
        if changes:
            self._refuse(
                f"the run's scores are by another evaluator: {'; '.join(changes[:8])}",
                "give the same tasks and settings as the search had, on the same kind of device",
            )
        self._check_ingredients(wanted)
        if on_progress is not None:
            on_progress(SearchProgress("missing soups", 0, len(wanted), 0, 0, 0))
        with opened(executor) as made:
            scorer = Scorer(self._store(on), evaluator, executor=made, on_progress=on_progress)
            scorer.begin("missing soups")
            first = self.pool.recipe({min(self.pool.names): 1})
            if self._identity.share is None and self._store(on).known(first) is None:
                scorer.score([first], evaluator.item_ids())  # the items of all others are found by it
                scorer.begin("missing soups")
            scorer.score(self.unscored(recipes, on=on), self.items(on))
            return scorer.n_evaluated

    def keep_population(self, content: Mapping[str, Any]) -> None:
        """Write which models and soups are studied; the scores of an earlier study stay."""
        write_json(self.search / POPULATION, dict(content))

    @property
    def _identity(self) -> SearchIdentity:
        if self.identity is None:
            self._refuse_study()
        return self.identity

    def _evaluator(self, on: ItemSet) -> Mapping[str, Any]:
        """Return the identity of the evaluator that scores these items."""
        other = self._identity.held_out_evaluator
        return other if on == "report" and other is not None else self._identity.evaluator

    def _store(self, on: ItemSet) -> EvaluationStore:
        """Return the evaluations on these items, opened once."""
        evaluator = self._evaluator(on)
        key = "selection" if evaluator == self._identity.evaluator else "report"
        if key not in self._stores:
            ingredients = self._identity.ingredients
            self._stores[key] = EvaluationStore(self.search, ingredients=ingredients, evaluator=evaluator)
        return self._stores[key]

    def _check_ingredients(self, recipes: Sequence[Recipe]) -> None:
        """Refuse models that are not those whose scores are kept; where they lie may have changed."""
        used = {one.name for recipe in recipes for one in recipe.ingredients if one.weight}
        used |= {recipe.base.name for recipe in recipes if recipe.base is not None}
        for name in sorted(used):
            if name in self.pool.without_path:
                self._refuse(
                    f"nobody said where the model `{shown(name)}` is", "give its checkpoint in `paths`"
                )
            before = self._identity.ingredients[name]
            changes = differences(before, ingredient_identity(self.pool.paths[name]))
            if changes:
                self._refuse(
                    f"the model `{shown(name)}` is not the one that was scored: {'; '.join(changes[:3])}",
                    "give the checkpoint of the search in `paths`",
                )

    def _refuse_study(self) -> NoReturn:
        self._refuse(self.missing["study"], "give the output of `soce search` or `soce run`")

    def _refuse(self, message: str, hint: str) -> NoReturn:
        refuse(message, hint, self.search)
