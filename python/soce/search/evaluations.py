"""Evaluations in files, so that nothing is scored twice. Knows no search and no objective."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError, StudyError, shown
from soce.files.atomic import write_json
from soce.files.documents import read_json
from soce.search.claims import claim
from soce.search.identity import digest_of
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from soce.evaluate.answers import Answer
    from soce.evaluate.corpus import Corpus
    from soce.recipes.model import Recipe
    from soce.search.strategies.space import Items

_FORMAT: Final = 1


class EvaluationStore:
    """Evaluations of recipes by one evaluator; it and the ingredients are given by their identities.

    A file holds what one call of the evaluator returned; a recipe's files together are what is known of it,
    so more items cost only what is missing. Files are complete or not there.
    """

    def __init__(
        self, folder: Path, *, ingredients: Mapping[str, object], evaluator: Mapping[str, object]
    ) -> None:
        self.folder = folder
        self._ingredients = {name: digest_of(identity) for name, identity in ingredients.items()}
        self._evaluator = digest_of(dict(evaluator))
        self._known: dict[str, dict[str, tuple[bool, Evaluation]]] = {}  # key → file name → what it holds
        self._files: dict[str, set[str]] = {}  # key → names of all its files
        self.refresh()

    def refresh(self) -> None:
        """Look for what other workers added meanwhile."""
        self._files = {}
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                key, _, digest = entry.name.rpartition("-")
                if digest.endswith(".json") and not key.startswith("."):
                    self._files.setdefault(key, set()).add(entry.name)

    def key(self, recipe: Recipe) -> str:
        """Return the name that the recipe's files begin with.

        It stands for exact parts, the ingredients' identities and the evaluator's; paths and the order of
        ingredients have no part in it.
        """
        mix = [
            [
                row.pattern,
                row.whole,
                sorted(
                    [self._ingredients[ingredient.name], numerator]
                    for ingredient, numerator in zip(recipe.ingredients, row.numerators, strict=True)
                    if numerator
                ),
            ]
            for row in recipe.table
        ]
        return f"{recipe.id}-{digest_of([_FORMAT, self._evaluator, mix])[:16]}"

    def claim(self, recipe: Recipe) -> AbstractContextManager[bool]:
        """Say to other workers that this one scores the recipe; the value is False if another one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return claim(self.folder / f".{self.key(recipe)}.lock")

    def find(self, recipe: Recipe, items: Items | None) -> Evaluation | None:
        """Return the scores over these items, over all if None; None if some were not evaluated."""
        found = self._read(recipe)
        if items is None:
            whole = [evaluation for is_whole, evaluation in found if is_whole]
            return whole[0] if whole else None
        known = _union(found)
        if known is None or _lacking(known, items):
            return None
        return known.restricted(items)

    def known(self, recipe: Recipe) -> Evaluation | None:
        """Return all that is known of a recipe, over whatever items; None if it was never evaluated."""
        return _union(self._read(recipe))

    def missing(self, recipe: Recipe, items: Items) -> dict[str, tuple[str, ...]]:
        """Return those of the items that were not evaluated; categories that miss none are left out."""
        return _lacking(self.known(recipe), items)

    def add(self, recipe: Recipe, evaluation: Evaluation, *, is_whole: bool) -> None:
        """Keep what the evaluator returned; `is_whole` if it was asked for all items."""
        content = {
            "format": _FORMAT,
            "recipe": {
                "id": recipe.id,
                "rows": [[row.pattern, list(row.numerators), row.whole] for row in recipe.table],
                "ingredients": [ingredient.name for ingredient in recipe.ingredients],
            },
            "is_whole": is_whole,
            "evaluation": evaluation.to_json(),
        }
        ids = {name: sorted(found) for name, found in (evaluation.item_ids() or {}).items()}
        name = f"{self.key(recipe)}-{digest_of([is_whole, ids])[:8]}.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / name, content)
        self._known.setdefault(self.key(recipe), {})[name] = (is_whole, evaluation)

    def _read(self, recipe: Recipe) -> list[tuple[bool, Evaluation]]:
        """Return everything that is known of a recipe."""
        key = self.key(recipe)
        known = self._known.setdefault(key, {})
        for name in self._files.get(key, ()):
            if name not in known:
                known[name] = _load(self.folder / name, recipe)
        return [known[name] for name in sorted(known)]


def _load(path: Path, recipe: Recipe) -> tuple[bool, Evaluation]:
    with suppress(KeyError, TypeError, EvaluationError, StudyError):
        content = read_json(path, error=StudyError)
        if content["format"] == _FORMAT and content["recipe"]["id"] == recipe.id:
            return bool(content["is_whole"]), Evaluation.from_json(content["evaluation"])
    message = f"{shown(path.name)} is not an evaluation that was recorded here"
    refuse(message, "remove the file; what it held is then evaluated anew", path.parent)


def _lacking(known: Evaluation | None, items: Items) -> dict[str, tuple[str, ...]]:
    told = (None if known is None else known.item_ids()) or {}
    there = {category: frozenset(ids) for category, ids in told.items()}
    lacking = {
        category: tuple(item for item in ids if item not in there.get(category, ()))
        for category, ids in items.items()
    }
    return {category: ids for category, ids in lacking.items() if ids}


def _union(found: Sequence[tuple[bool, Evaluation]]) -> Evaluation | None:
    """Return one evaluation over all items of several of the same recipe; a single one as it is."""
    evaluations = [evaluation for _, evaluation in found]
    if len(evaluations) < 2:
        return evaluations[0] if evaluations else None
    parts = [evaluation for evaluation in evaluations if evaluation.item_ids() is not None]
    if not parts:
        return evaluations[0]
    scales = {evaluation.scale for evaluation in parts}
    outcomes: dict[str, dict[str, float]] = {}
    corpora: dict[str, Corpus] = {}
    better: dict[str, bool] = {}
    answers: dict[str, dict[str, Answer]] = {}
    for evaluation in parts:
        for category, by_item in (evaluation.items or {}).items():
            outcomes.setdefault(category, {}).update(by_item)
        for category, corpus in evaluation.corpora.items():
            corpora[category] = corpora[category].joined(corpus) if category in corpora else corpus
        better |= {
            category: evaluation.higher_is_better[category] for category in evaluation.item_ids() or ()
        }
        for category, found_answers in evaluation.answers.items():
            answers.setdefault(category, {}).update(found_answers)
    items: dict[str, Mapping[str, float] | Corpus] = {**outcomes, **corpora}
    return Evaluation.of_items(
        {category: items[category] for category in better},
        scale=scales.pop() if len(scales) == 1 else None,  # a part may lack the categories that have none
        higher_is_better=better,
        geometric=frozenset().union(*(evaluation.geometric for evaluation in parts)),
        notes=tuple(dict.fromkeys(note for evaluation in parts for note in evaluation.notes)),
        answers=answers,
    )
