"""A recipe that another process is told is the same recipe."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import RecipeError
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.rows import Row
from soce.recipes.wire import recipe_from_json, recipe_to_json

WEIGHTS = st.lists(
    st.fractions(min_value=0, max_value=10, max_denominator=100), min_size=1, max_size=5
).filter(any)


@given(WEIGHTS, st.booleans())
def test_a_recipe_comes_back_as_it_was(weights, with_rows):
    ingredients = tuple(Ingredient(f"path/{i}", weight, f"name {i}") for i, weight in enumerate(weights))
    numerators = tuple(range(1, len(weights) + 1))
    rows = (Row("*.bias", numerators, sum(numerators)),) if with_rows else ()
    recipe = Recipe(ingredients, rows)
    told = json.loads(json.dumps(recipe_to_json(recipe)))
    assert recipe_from_json(told) == recipe
    assert recipe_from_json(told).id == recipe.id


def test_rows_alone_come_back_too():
    recipe = Recipe((Ingredient("a", None), Ingredient("b", None)), (Row("*", (3, -1), 2),))
    assert recipe_from_json(recipe_to_json(recipe)) == recipe


@pytest.mark.parametrize("data", [None, [], {}, {"ingredients": [{"path": "a", "weight": "1/0"}]}, "a"])
def test_anything_else_is_told(data):
    with pytest.raises(RecipeError):
        recipe_from_json(data)
