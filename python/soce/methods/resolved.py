"""What a method comes to, and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from soce.exceptions import Problem, RecipeError
from soce.files.words import counted
from soce.recipes.model import Recipe
from soce.recipes.parts import MAX_PARTS, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.recipes.methods import Method
    from soce.recipes.rows import Row


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a method comes to."""

    recipe: Recipe
    """The same ingredients, and a row of the kernel for every tensor."""
    notes: tuple[str, ...] = ()
    """What to say about it."""
    told: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Numbers that were found, by tensor."""


def rows_alone(recipe: Recipe, rows: Sequence[Row]) -> Recipe:
    """Return the same ingredients with rows that say everything."""
    return Recipe(tuple(replace(one, weight=None) for one in recipe.ingredients), tuple(rows))


def rounding_note(method: Method, rounded: int) -> tuple[str, ...]:
    """Return what to say of so many rows whose coefficients are rounded, if there are any."""
    said = f"coefficients of {counted(rounded, 'row')} are rounded to parts of {MAX_PARTS}"
    return (f"`{method.name}`: {said}",) if rounded else ()


def refuse_copies() -> NoReturn:
    """Refuse ingredients of which nothing is left beside the base; raises RecipeError."""
    hint = "name as base what the ingredients were trained from"
    refuse("every ingredient equals the base, tensor by tensor", hint)


def refuse_tensor(tensor: str, message: str, hint: str | None) -> NoReturn:
    """Refuse what a tensor is; raises RecipeError that names it."""
    raise RecipeError.of([Problem("recipe", None, tensor, message, hint)])
