"""A finished search, opened again: its models, items and scores, and the scores that it lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from soce.evaluate.evaluation import refuse
from soce.exceptions import Problem, ScoreTableError, StudyError, shown
from soce.scores.objective import Objective, Weighted, parse_objective
from soce.search.claims import claim
from soce.search.identity import differences, ingredient_identity
from soce.search.outcomes import Outcomes, read_json
from soce.search.pool import Pool
from soce.search.scoring import Progress, Scorer, objective_value
from soce.search.split import split_items

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe
    from soce.search.strategies.space import Items

Which: TypeAlias = Literal["report", "selection"]


@dataclass(frozen=True, eq=False, slots=True)
class KeptScores:
    """The study of a search, and all scores that are in it. Reading it changes nothing.

    Use `open_run`.
    """

    folder: Path
    identity: Mapping[str, Any]
    """What the scores belong to, as in ``study.json``."""
    pool: Pool
    objective: Objective
    result: Mapping[str, Any] | None
    """Content of ``result.json``; None if the search was not finished."""
    is_split: bool
    """Whether report and selection are parts of the same items, scored by one evaluator."""
    without_path: tuple[str, ...] = ()
    """Models whose checkpoint is unknown: what was scored can be read, nothing new can be made of them."""
    _outcomes: dict[str, Outcomes] = field(default_factory=dict, init=False, repr=False)
    _items: dict[str, Items | None] = field(default_factory=dict, init=False, repr=False)

    def evaluator_identity(self, on: Which = "report") -> Mapping[str, Any]:
        """Return the identity of the evaluator that scores these items."""
        _check_which(on)
        other = self.identity["held_out"]["evaluator"]
        found: Mapping[str, Any] = (
            other if on == "report" and other is not None else self.identity["evaluator"]
        )
        return found

    def outcomes(self, evaluator: Mapping[str, object]) -> Outcomes:
        """Return the evaluations by the evaluator of this identity."""
        return Outcomes(
            self.folder / "evaluations", ingredients=self.identity["ingredients"], evaluator=evaluator
        )

    def claim(self, key: str) -> AbstractContextManager[bool]:
        """Say to other workers that this one scores the recipe of that key; False if another one does."""
        return claim(self.folder / "evaluations" / f".{key}.lock")

    def items(self, on: Which = "report") -> Items | None:
        """Return the items of each category; None if the evaluator tells none apart.

        Raises
        ------
        StudyError
            Nothing was scored on them yet.
        """
        _check_which(on)
        if on not in self._items:
            self._items[on] = self._find_items(on)
        return self._items[on]

    def _find_items(self, on: Which) -> Items | None:
        """Return the items on which a single model was scored: these are all."""
        first = self.pool.recipe({min(self.pool.names): 1})
        known = self._of(on).known(first)
        if known is None:
            _refuse(self.folder, f"nothing was scored on the {on} items yet", "finish the search first")
        if not known.items or any(not known.items.get(name) for name in known.categories):
            return None
        items = {name: tuple(sorted(known.items[name])) for name in known.categories}
        if not self.is_split:
            return items
        if self.result is None:
            # Until the end nothing is scored on the held-out items, so nobody knows which there are.
            message = "the search was not finished, so its held-out items are not known"
            _refuse(self.folder, message, "run the search again: it goes on where it was")
        held = self.identity["held_out"]
        split = split_items(items, share=Fraction(held["share"]), seed=held["seed"])
        if self.result.get("split") != split.to_json():
            message = "`result.json` tells of another split than the scores that are kept"
            _refuse(self.folder, message, "run the search again: it evaluates nothing that is known")
        return split.held_out if on == "report" else split.selection

    def evaluation(self, recipe: Recipe, *, on: Which = "report") -> Evaluation | None:
        """Return the scores of a soup on these items; None if it was not scored on all of them."""
        return self._of(on).find(recipe, self.items(on))

    def value(self, recipe: Recipe, *, on: Which = "report") -> float:
        """Return the objective of a soup on these items.

        Raises
        ------
        EvaluationError
            It was not scored on all of them.
        """
        found = self.evaluation(recipe, on=on)
        if found is None:
            names = ", ".join(f"`{shown(one.name)}`" for one in recipe.ingredients if one.weight)
            refuse(
                f"the soup of {names} was not scored on the {on} items",
                "score it with `evaluate`",
                str(self.folder),
            )
        return objective_value(self.objective, found)

    def missing(self, recipes: Sequence[Recipe], *, on: Which = "report") -> tuple[Recipe, ...]:
        """Return those of the soups that were not scored on all of these items."""
        items, outcomes = self.items(on), self._of(on)
        return tuple(recipe for recipe in recipes if outcomes.find(recipe, items) is None)

    def evaluations(self, *, on: Which = "report") -> dict[str, Evaluation]:
        """Return the evaluation of every arm by its label, single models first and the soup last.

        Raises
        ------
        StudyError
            The search was not finished.
        """
        found = {}
        for label, recipe in self.arms().items():
            evaluation = self.evaluation(recipe, on=on)
            if evaluation is None:
                message = f"the arm `{shown(label)}` was not scored on the {on} items"
                _refuse(self.folder, message, "run the search again: it finishes what is missing")
            found[label] = evaluation
        return found

    def arms(self) -> dict[str, Recipe]:
        """Return the recipe of every arm by its label, in the result's order.

        Raises
        ------
        StudyError
            The search was not finished, or its result is damaged.
        """
        if self.result is None:
            message = "there is no `result.json`: the search was not finished"
            _refuse(self.folder, message, "run the search again: it goes on where it was")
        try:
            return {str(arm["label"]): self.pool.recipe(arm["parts"]) for arm in self.result["arms"]}
        except (AttributeError, KeyError, TypeError) as error:
            message = f"`result.json` is not the result of a search: {shown(repr(error))}"
            _refuse(self.folder, message, "run the search again: it evaluates nothing that is known")

    def evaluate(
        self,
        recipes: Sequence[Recipe],
        evaluator: Evaluator,
        *,
        on: Which = "report",
        on_progress: Callable[[Progress], object] | None = None,
    ) -> int:
        """Score the soups that are missing, keep their scores in the folder, and return how many there were.

        Parameters
        ----------
        recipes : sequence of Recipe
            Of the run's pool.
        evaluator : Evaluator
            Of the same identity as the run's.
        on : {"report", "selection"}
        on_progress : callable, optional
            Called with a `Progress`, first before anything is scored; raising from it stops, and nothing that
            was scored is lost.

        Raises
        ------
        StudyError
            Another evaluator than the run's, a model that is not where it was or has changed.
        EvaluationError
            The evaluator failed.
        SoceError, OSError
            Ingredients that cannot be read or mixed; the folder cannot be written.
        """
        wanted = self.missing(recipes, on=on)
        if not wanted:
            return 0
        changes = differences(dict(self.evaluator_identity(on)), dict(evaluator.identity))
        if changes:
            _refuse(
                self.folder,
                f"the run's scores are by another evaluator: {'; '.join(changes[:8])}",
                "give the same tasks and settings as the search had, on the same kind of device",
            )
        self._check_ingredients(wanted)
        if on_progress is not None:
            on_progress(Progress("missing soups", 0, len(wanted), 0, 0, 0))
        scorer = Scorer(self, evaluator, on_progress=on_progress)
        scorer.begin("missing soups")
        scorer.score(wanted, self.items(on))
        self._of(on).refresh()
        return scorer.n_evaluated

    def _of(self, on: Which) -> Outcomes:
        """Return the evaluations on these items; files are read once."""
        identity = self.evaluator_identity(on)
        key = "selection" if identity == self.identity["evaluator"] else "report"
        if key not in self._outcomes:
            self._outcomes[key] = self.outcomes(identity)
        return self._outcomes[key]

    def _check_ingredients(self, recipes: Sequence[Recipe]) -> None:
        """Refuse models that are not those whose scores are kept; where they lie may have changed."""
        used = {one.name for recipe in recipes for one in recipe.ingredients if one.weight}
        for name in sorted(used):
            if name in self.without_path:
                _refuse(
                    self.folder,
                    f"nobody said where the model `{shown(name)}` is",
                    "give its checkpoint in `paths`",
                )
            before = self.identity["ingredients"][name]
            by_content = "path" not in before
            found = ingredient_identity(self.pool.paths[name], digests="content" if by_content else "files")
            changes = differences({**before, "path": None}, {**found, "path": None})
            if changes:
                _refuse(
                    self.folder,
                    f"the model `{shown(name)}` is not the one that was scored: {'; '.join(changes[:3])}",
                    "give the checkpoint of the search in `paths`; a copy must keep the files' times",
                )


def open_run(
    folder: str | os.PathLike[str],
    *,
    paths: Mapping[str, str | os.PathLike[str]] | None = None,
    objective: Objective | None = None,
) -> KeptScores:
    """Open the scores of a search that is finished, or was interrupted.

    Parameters
    ----------
    folder : path-like
        Output of `soce search`, with ``study.json`` in it, or of `soce run` or `soce demo`, with ``search/``.
    paths : mapping of model to path, optional
        Checkpoints that have moved. Needed only to score what is missing.
    objective : Objective, optional
        Only where the run's was an object of your own.

    Returns
    -------
    KeptScores

    Raises
    ------
    StudyError
        There is no study, it is damaged, or `paths` names a model that is not in it.
    ScoreTableError
        The objective is not one that has a name.
    """
    place = Path(folder)
    if not (place / "study.json").exists() and (place / "search" / "study.json").exists():
        place /= "search"
    if not (place / "study.json").exists():
        _refuse(place, "there is no `study.json` in it", "give the output of `soce search` or `soce run`")
    found = read_json(place / "study.json")
    try:
        identity = found["identity"]
        known = dict(identity["ingredients"])
        experts = tuple(map(str, identity["experts"]))
        held = identity["held_out"]
        is_split = held["evaluator"] is None and held["share"] is not None
        name, weights = identity["objective"]["name"], identity["objective"]["weights"]
        own = {model: one.get("path") for model, one in known.items()}
        assert isinstance(identity["evaluator"], dict)
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        message = f"`study.json` is not of a search: {shown(repr(error))}"
        _refuse(place, message, "give the output of `soce search` or `soce run`")
    for model, path in (paths or {}).items():
        if model not in known:
            listed = ", ".join(f"`{shown(other)}`" for other in sorted(known))
            _refuse(place, f"there is no model `{shown(model)}` in the run", f"models: {listed}")
        own[model] = str(path)
    # A path that nobody knows is never used: what stands there keeps the models apart.
    without = tuple(sorted(model for model, path in own.items() if path is None))
    located = {model: f"(unknown)/{model}" if path is None else path for model, path in own.items()}
    result = read_json(place / "result.json") if (place / "result.json").exists() else None
    if result is not None and not isinstance(result, dict):
        _refuse(place, "`result.json` is not the result of a search", "run the search again")
    return KeptScores(
        place,
        identity,
        Pool(located, experts),
        objective or _objective(place, name, weights),
        result,
        is_split,
        without,
    )


def _objective(folder: Path, name: str, weights: Mapping[str, str] | None) -> Objective:
    try:
        if weights is not None:
            source = name.partition(":")[2] or name
            return Weighted({column: Fraction(share) for column, share in weights.items()}, source=source)
        return parse_objective(name)
    except (ScoreTableError, ValueError) as error:
        message = f"the run's objective `{shown(str(name))}` cannot be made again: {shown(str(error))}"
        hint = "give it as `objective`"
        raise ScoreTableError.of([Problem("scores", str(folder), None, message, hint)]) from error


def _check_which(on: str) -> None:
    if on not in get_args(Which):
        refuse(f"there are no `{shown(str(on))}` items", "use report or selection")


def _refuse(folder: Path, message: str, hint: str) -> NoReturn:
    raise StudyError.of([Problem("study", str(folder), None, message, hint)])
