"""Who has a part in what a method makes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce._core import matches
from soce.methods.resolved import refuse_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.methods.geometry import Vectors
    from soce.recipes.model import Recipe


@dataclass(frozen=True, slots=True)
class Taking:
    """Who has a part: the ingredients with a weight, and the base."""

    names: list[str]
    """Of all ingredients."""
    places: list[int]
    """Of those with a weight other than 0 in some row."""
    base: int | None

    @classmethod
    def of(cls, recipe: Recipe) -> Taking:
        """Return who has a part in a recipe."""
        base = recipe.base
        places = [i for i, one in enumerate(recipe.ingredients) if one in recipe.taking]
        return cls(
            [one.name for one in recipe.ingredients],
            places,
            None if base is None else recipe.ingredients.index(base),
        )

    def of_weights(self, weights: Sequence[Fraction]) -> tuple[Fraction, ...]:
        """Return the weights of those with one."""
        return tuple(weights[place] for place in self.places)

    def vectors(self, all_of: Vectors, columns: Sequence[int]) -> Vectors:
        """Return their vectors, of all of a mixer; with a base the differences to it."""
        wanted = [columns[place] for place in self.places]
        if self.base is None:
            return all_of.chosen(wanted)
        return all_of.chosen([columns[self.base], *wanted]).seen_from(0)

    def over_all(self, values: Sequence[Fraction]) -> tuple[Fraction, ...]:
        """Return coefficients of all ingredients: the base has what is left of 1."""
        told = [Fraction(0)] * len(self.names)
        for place, value in zip(self.places, values, strict=True):
            told[place] = value
        if self.base is not None:
            told[self.base] = 1 - sum(values, Fraction(0))
        return tuple(told)


def weights_of(name: str, recipe: Recipe) -> tuple[Fraction, ...]:
    """Return the weights of all ingredients for a tensor; RecipeError if no row matches."""
    for row in recipe.table:
        if matches(row.pattern, name):
            return row.weights
    refuse_tensor(name, "no row of the recipe matches", "end the recipe with a row whose pattern is `*`")
