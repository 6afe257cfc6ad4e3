"""Evaluations as soce kept them before there was a store: a JSON file for every call, read in once."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError, Problem, RecipeError, StudyError, shown
from soce.files.digests import digest_of
from soce.files.documents import read_json
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OLD_FOLDER: Final = "evaluations"
"""Where they lie, in the folder of a search."""
_FORMAT: Final = 1


class OldEvaluation(NamedTuple):
    """What one file holds."""

    recipe: Recipe
    evaluation: Evaluation
    is_whole: bool


def old_evaluations(
    folder: Path, ingredients: Mapping[str, object], evaluator: Mapping[str, object]
) -> Iterator[OldEvaluation]:
    """Return what is kept of these ingredients by this evaluator, in the order of names; others are left.

    Raises
    ------
    StudyError
        A file is damaged.
    """
    digests = {name: digest_of(identity) for name, identity in ingredients.items()}
    for path in sorted(folder.glob("[!.]*.json")):
        content = read_json(path, error=StudyError)
        try:
            old = _read(content)
            key = _key(old.recipe, content["recipe"]["id"], digests, digest_of(dict(evaluator)))
        except (AttributeError, EvaluationError, KeyError, RecipeError, TypeError, ValueError) as error:
            text = f"{shown(path.name)} is not an evaluation that was recorded here"
            hint = "remove the file; what it held is then evaluated anew"
            raise StudyError.of([Problem("store", str(folder), None, text, hint)]) from error
        if key is not None and path.name.startswith(f"{key}-"):
            yield old


def _read(content: Any) -> OldEvaluation:  # noqa: ANN401 - whatever a file holds
    if content["format"] != _FORMAT:
        message = f"format {content['format']}"
        raise ValueError(message)
    names, rows = content["recipe"]["ingredients"], content["recipe"]["rows"]
    *few, (_, numerators, whole) = rows
    recipe = Recipe(
        tuple(
            Ingredient(name, Fraction(part, whole), name)
            for name, part in zip(names, numerators, strict=True)
        ),
        tuple(Row(pattern, tuple(parts), of) for pattern, parts, of in few),
    )
    return OldEvaluation(recipe, Evaluation.from_json(content["evaluation"]), bool(content["is_whole"]))


def _key(recipe: Recipe, number: str, digests: Mapping[str, str], evaluator: str) -> str | None:
    """Return what the names of the recipe's files began with; None if it has other ingredients."""
    with suppress(KeyError):
        mix = [
            [
                row.pattern,
                row.whole,
                sorted(
                    [digests[one.name], numerator]
                    for one, numerator in zip(recipe.ingredients, row.numerators, strict=True)
                    if numerator
                ),
            ]
            for row in recipe.table
        ]
        return f"{number}-{digest_of([_FORMAT, evaluator, mix])[:16]}"
    return None
