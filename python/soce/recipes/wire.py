"""A recipe as JSON, for another process that is to make the same soup."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from soce.exceptions import Problem, RecipeError, shown
from soce.recipes.methods import Method
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON: weights are exact, as text.

    Examples
    --------
    >>> sent = recipe_to_json(Recipe.of({"path/A": "0.7", "path/B": "0.3"}))
    >>> sent["ingredients"][0]
    {'path': 'path/A', 'name': 'path/A', 'weight': '7/10'}
    >>> recipe_from_json(sent).parts
    (7, 3)
    """
    method = recipe.method
    asked = {} if method is None else {"method": method_to_json(method)}
    return {
        "ingredients": [
            {"path": one.path, "name": one.name, "weight": None if one.weight is None else str(one.weight)}
            for one in recipe.ingredients
        ],
        "rows": [[row.pattern, *row.mix] for row in recipe.rows],
        **asked,
    }


def method_to_json(method: Method) -> dict[str, Any]:
    """Return a method with its base and all its parameters."""
    return {"name": method.name, "base": method.base, "parameters": method.parameter_texts}


def recipe_from_json(data: object) -> Recipe:
    """Return the recipe that `recipe_to_json` told; raises RecipeError for anything else."""
    given: Any = data
    try:
        ingredients = [
            Ingredient(str(one["path"]), _fraction(one.get("weight")), str(one.get("name", "")))
            for one in given["ingredients"]
        ]
        rows = [_row(*row) for row in given.get("rows", ())]
        asked = given.get("method")
        told = None if asked is None else (asked["name"], asked["base"], dict(asked["parameters"]))
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        message = f"this is not a recipe as JSON: {shown(repr(error))}"
        raise RecipeError.of([Problem("recipe", None, None, message, None)]) from error
    return Recipe(tuple(ingredients), tuple(rows), None if told is None else Method(*told))


def _row(pattern: str, numerators: Sequence[Any], whole: int | Sequence[int]) -> Row:
    if not isinstance(whole, int | str):
        mixes = zip(numerators, whole, strict=True)
        return Row.of_filters(str(pattern), [(tuple(map(int, one)), int(of)) for one, of in mixes])
    return Row(str(pattern), tuple(map(int, numerators)), int(whole))


def _fraction(text: object) -> Fraction | None:
    return None if text is None else Fraction(str(text))
