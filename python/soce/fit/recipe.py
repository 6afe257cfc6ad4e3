"""Fitted coefficients as a recipe, and as the file that a merge takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import refuse
from soce.files.emit import Tree, n_values, to_yaml
from soce.files.parsing import MAX_VALUES
from soce.merging.options import CHANGE_TENSORS
from soce.recipes.model import Ingredient, Recipe, same_path_key
from soce.recipes.parts import signed_parts
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.live.soup_model import SoupModel


def soup_of(paths: Mapping[str, str], rows: Mapping[str, Sequence[Fraction]]) -> Recipe:
    """Return the recipe of coefficients by pattern, rounded to parts; one row if all are equal."""
    ingredients = tuple(Ingredient(path, None, name) for name, path in paths.items())
    found = {pattern: signed_parts(exact, [*paths]) for pattern, exact in rows.items()}
    if len({*found.values()}) == 1:
        found = {"*": next(iter(found.values()))}
    return Recipe(ingredients, tuple(Row(pattern, *parts) for pattern, parts in found.items()))


def recipe_text(recipe: Recipe, soup: SoupModel) -> str:
    """Return a recipe file that says what the live model says, with paths that are right wherever it lies."""
    paths: dict[str, Tree] = {
        one.name: same_path_key(one.path) if os.path.lexists(one.path) else one.path
        for one in recipe.ingredients
    }
    rows: list[Tree] = [
        {"pattern": row.pattern, "numerators": list(row.numerators), "whole": row.whole}
        for row in recipe.rows
    ]
    decided: Any = {name: held for name, held in soup.decisions.items() if name in CHANGE_TENSORS}
    tree: dict[str, Tree] = {"ingredients": paths, **decided, "rows": rows}
    if n_values(tree) > MAX_VALUES:
        message = (
            f"a recipe of {len(rows)} rows has {n_values(tree)} values, a recipe file at most {MAX_VALUES}"
        )
        refuse(message, "fit one row for the whole model, `by` model")
    return to_yaml(tree)
