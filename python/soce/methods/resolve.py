"""From a recipe that names a method to one of exact rows, which the kernel takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.methods.constant import interpolate, task_arithmetic
from soce.methods.resolved import Resolved, rounding_note, rows_alone
from soce.methods.taking import Taking
from soce.recipes.parts import signed_parts
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from soce.methods.opened import Opened
    from soce.recipes.methods import Method
    from soce.recipes.model import Recipe

_CONSTANT: Final = {"task_arithmetic": task_arithmetic, "interpolate": interpolate}


def needs_tensors(recipe: Recipe) -> bool:
    """Whether the tensors must be read before it is known how they are averaged."""
    return recipe.method is not None and recipe.method.definition.reads


def resolve(recipe: Recipe, opened: Opened | None = None) -> Resolved:
    """Return the recipe in rows; one without a method is as it is.

    Parameters
    ----------
    recipe : Recipe
    opened : Opened, optional
        All ingredients of the recipe and its base; only for methods that `needs_tensors`.

    Raises
    ------
    RecipeError
        Ingredients that the method can make nothing of.
    CheckpointError
        A tensor that is not finite.
    """
    method = recipe.method
    if method is None:
        return Resolved(recipe)
    if not method.definition.reads:
        return _constant(recipe, method)
    assert opened is not None
    # Here: a plain mean need not wait for what it does not do.
    from soce.methods.by_masks import by_masks
    from soce.methods.by_squares import by_squares
    from soce.methods.masks import MASKS

    return (by_masks if method.name in MASKS else by_squares)(recipe, method, opened)


def _constant(recipe: Recipe, method: Method) -> Resolved:
    find, taking = _CONSTANT[method.name], Taking.of(recipe)
    rows, rounded = [], 0
    for row in recipe.table:
        values = taking.over_all(find(taking.of_weights(row.weights), method))
        rows.append(Row(row.pattern, *signed_parts(values, taking.names)))
        rounded += rows[-1].weights != values
    return Resolved(rows_alone(recipe, rows), rounding_note(method, rounded))
