"""Recipes: exact weights from text, soce's own format, and mergekit's `linear` YAML."""

from soce.recipes.files import RecipeFile, looks_like_recipe, read_recipes
from soce.recipes.mergekit import HOLDS, mergekit_yaml
from soce.recipes.model import Ingredient, Ingredients, Recipe, Row, same_path_key
from soce.recipes.parts import Weight, exact_weight, parse_dtype, parse_size, parse_weight, refuse, to_parts

__all__ = [
    "HOLDS",
    "Ingredient",
    "Ingredients",
    "Recipe",
    "RecipeFile",
    "Row",
    "Weight",
    "exact_weight",
    "looks_like_recipe",
    "mergekit_yaml",
    "parse_dtype",
    "parse_size",
    "parse_weight",
    "read_recipes",
    "refuse",
    "same_path_key",
    "to_parts",
]
