"""What a recipe is: ingredients with exact weights, under an id that ignores their order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from soce.exceptions import shown
from soce.files.arguments import expect_path, expect_paths
from soce.files.words import counted, listed
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.names import is_url, parts_of
from soce.recipes.parts import (
    Weight,
    check_not_negative,
    exact_weight,
    lowest_terms,
    reduced_terms,
    refuse,
    weight_text,
)
from soce.recipes.rows import Row, merged_row

if TYPE_CHECKING:
    from soce.recipes.methods import Method

Ingredients: TypeAlias = "Mapping[str, Weight | None] | Sequence[str]"
"""Paths with weights, or paths alone for equal parts."""
Number = TypeVar("Number", int, Fraction)


def same_path_key(path: str) -> str:
    """Return a text that is equal for two spellings of one path; links are not followed.

    It names the same: of a base with an adapter it has both.
    """
    # resolve() would follow links
    return "+".join(part if is_url(part) else os.path.abspath(part) for part in parts_of(path))  # noqa: PTH100


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A checkpoint with its weight in one soup."""

    path: str
    """A directory of safetensors shards, one ``.safetensors`` file, or the name of what is somewhere else; or
    ``BASE+ADAPTER``, one of these with an adapter on top."""
    weight: Fraction | None
    """Its weight, in any unit: only proportions count. None: the rows alone say what goes in."""
    name: str = ""
    """What messages and the recipe's id call it; the path if left out."""

    def __post_init__(self) -> None:
        """Fill in the name."""
        if not self.name:
            object.__setattr__(self, "name", self.path)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The ingredients of a soup not yet made.

    The same path given twice is one ingredient with the sum of the parts.

    Parameters
    ----------
    ingredients : sequence of Ingredient
        All with a weight, or all without one (then `rows` must cover every tensor).
    rows : sequence of Row
        Exceptions by tensor name, tried first, in order.
    method : Method, optional
        What is done with the ingredients instead of an average. Then weights and rows are what the method
        takes (`Row.of_method`), and its base becomes one of the ingredients, with weight zero.

    Raises
    ------
    RecipeError
        No ingredients, some weights left out, negative weights, all weights zero, or one that is too small to
        be a part of 2^20; what the method does not take.

    Examples
    --------
    >>> recipe = Recipe.of({"path/A": "0.5", "path/B": "0.2", "path/C": "0.3"})
    >>> recipe.parts, recipe.whole
    ((5, 2, 3), 10)
    >>> recipe.id == Recipe.of({"path/C": 30, "path/A": 50, "path/B": 20}).id
    True
    """

    ingredients: tuple[Ingredient, ...]
    rows: tuple[Row, ...] = ()
    method: Method | None = None
    """None is the exact average, `linear`."""
    table: tuple[Row, ...] = field(init=False, default=(), repr=False, compare=False)
    """The rows, then the weights as a last row ``*``."""
    parts: tuple[int, ...] | None = field(init=False, default=None)
    """Integer parts in lowest terms, in the ingredients' order; None if only `rows` or a method speak."""

    def __post_init__(self) -> None:
        """Add up ingredients given twice and bring everything to lowest terms."""
        if self.method is not None and self.method.name == "linear":
            object.__setattr__(self, "method", None)
        method = self.method
        given, table = tuple(self.ingredients), tuple(self.rows)
        if not given:
            refuse("a recipe needs at least one ingredient")
        weights = [ingredient.weight for ingredient in given if ingredient.weight is not None]
        if weights and len(weights) != len(given):
            without = listed(ingredient.name for ingredient in given if ingredient.weight is None)
            hint = "give every ingredient a weight (0 leaves one out), or none of them for equal parts"
            refuse(f"some ingredients have weights, but not {without}", hint)
        if not weights and not table:
            refuse("the recipe has neither weights nor rows")
        if method is None or method.definition.weights != "coefficients":
            check_not_negative(weights)  # a sum must not hide it
        if method is not None and method.base is not None:
            given, table = _with_base(given, table, method)
        keys = [same_path_key(ingredient.path) for ingredient in given]
        unique: dict[str, Ingredient] = {}
        for key, ingredient in zip(keys, given, strict=True):
            first = unique.setdefault(key, ingredient)
            if first is not ingredient and first.weight is not None and ingredient.weight is not None:
                unique[key] = replace(first, weight=first.weight + ingredient.weight)
        merged = tuple(unique.values())
        columns = {key: i for i, key in enumerate(unique)}
        into = [columns[key] for key in keys]
        reduced = lowest_terms if method is None else reduced_terms
        rows = tuple(merged_row(row, into, len(merged), reduced) for row in table)
        each = [one.weight or Fraction(0) for one in merged]
        last = None
        if weights:
            last = Row.of_weights("*", each) if method is None else Row.of_method("*", each, method)
        object.__setattr__(self, "ingredients", merged)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "table", rows if last is None else (*rows, last))
        object.__setattr__(self, "parts", None if last is None or method is not None else last.numerators)
        if method is not None:
            self._check(method)

    def _check(self, method: Method) -> None:
        """Refuse ingredients and weights that the method does not take."""
        given = len(self.ingredients) - (self.base is not None)
        method.check_count(given, len(self.taking))
        if method.definition.weights == "equal" and (
            self.rows or len({one.weight for one in self.taking}) > 1
        ):
            hint = "leave them out; 0 leaves an ingredient out"
            refuse(f"`{method.name}` takes no weights: all ingredients count the same", hint)

    @classmethod
    def of(cls, ingredients: Ingredients, method: Method | None = None) -> Recipe:
        """Return a recipe without rows from paths and weights, or from paths alone for equal parts.

        Parameters
        ----------
        ingredients : mapping of path to weight, or sequence of paths
            Weights are str, int, `Fraction` or `decimal.Decimal`; all None means equal parts, or that each
            coefficient is 1.
        method : Method, optional
            The exact average if left out.

        Raises
        ------
        RecipeError
            A float weight (0.1 is not one tenth), and everything the class refuses.
        """
        if isinstance(ingredients, Mapping):
            for path in ingredients:
                expect_path(path, "ingredients")
            given = [*ingredients.items()]
        else:
            expect_paths(ingredients, "ingredients")
            given = [(path, None) for path in ingredients]
        default = Fraction(1) if all(weight is None for _, weight in given) else None
        signed = method is not None and method.definition.weights == "coefficients"
        return cls(
            tuple(
                Ingredient(
                    find_checkpoint(path),
                    default if weight is None else exact_weight(weight, signed=signed),
                    os.fspath(path),
                )
                for path, weight in given
            ),
            method=None if method is None else method.found(),
        )

    def __repr__(self) -> str:
        """Return the first weights on one line."""
        parts = (
            [""] * len(self.ingredients) if self.parts is None else [f"{n}/{self.whole} " for n in self.parts]
        )
        named = [f"{part}{shown(one.name)}" for part, one in zip(parts, self.ingredients, strict=True)]
        more = [f"{len(named) - 4} more"] if len(named) > 4 else []
        rows = [counted(len(self.rows), "row")] if self.rows else []
        method = [self.method.name] if self.method is not None else []
        return f"Recipe({', '.join([*method, *named[:4], *more, *rows])})"

    @property
    def whole(self) -> int | None:
        """The sum of the parts; None if only `rows` speak."""
        return None if self.parts is None else sum(self.parts)

    @property
    def base(self) -> Ingredient | None:
        """The one of the ingredients that deltas are taken to, if the method has any."""
        if self.method is None or self.method.base is None:
            return None
        key = same_path_key(self.method.base)
        return next(one for one in self.ingredients if same_path_key(one.path) == key)

    @property
    def taking(self) -> tuple[Ingredient, ...]:
        """The ingredients with a weight other than 0 in some row: a base is not among them."""
        columns = zip(*(row.numerators for row in self.table), strict=True)
        return tuple(one for one, column in zip(self.ingredients, columns, strict=True) if any(column))

    def table_over(self, paths: Sequence[str]) -> tuple[Row, ...]:
        """Return the table of an average with a numerator for each of `paths`, maybe more than its own."""
        assert self.method is None, "the table of a method is what it takes, see `soce.methods.resolve`"
        columns = {same_path_key(path): i for i, path in enumerate(paths)}
        into = [columns[same_path_key(ingredient.path)] for ingredient in self.ingredients]
        return tuple(replace(row.over(into, len(paths)), asked=None) for row in self.table)

    def moved(self, places: Mapping[str, str]) -> Recipe:
        """Return the same of checkpoints that are somewhere else now, by the `same_path_key` of their paths.

        Names stay, and with them the id.
        """

        def moved(path: str) -> str:
            return places.get(same_path_key(path), path)

        method = self.method
        if method is not None and method.base is not None:
            method = replace(method, base=moved(method.base))
        ingredients = (replace(one, path=moved(one.path)) for one in self.ingredients)
        return Recipe(tuple(ingredients), self.rows, method)

    @property
    def remark(self) -> str | None:
        """What to say about weights that need more parts than there can be; None if there are none."""
        rounded = [(row, row.asked) for row in self.table if row.asked is not None]
        if not rounded:
            return None
        off = max(
            abs(Fraction(part, row.whole) - weight / sum(asked))
            for row, asked in rounded
            for part, weight in zip(row.numerators, asked, strict=True)
        )
        first = rounded[0][0]
        used = f"`{shown(first.pattern)}` {', '.join(map(str, first.numerators))} of {first.whole}"
        more = f" and {counted(len(rounded) - 1, 'more row')}" if len(rounded) > 1 else ""
        return f"weights are rounded to parts, by at most {float(off):.1g} of their sum: {used}{more}"

    def rounded_weights(self) -> list[dict[str, object]]:
        """Return which weights were asked for, and which are used, of every row where they differ."""
        names = [ingredient.name for ingredient in self.ingredients]
        return [
            {
                "pattern": row.pattern,
                "asked": dict(zip(names, map(weight_text, row.asked), strict=True)),
                "used": dict(zip(names, row.numerators, strict=True)),
                "whole": row.whole,
            }
            for row in self.table
            if row.asked is not None
        ]

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits, the same for every order of ingredients and every unit of weights."""
        import hashlib
        import json

        names = [ingredient.name for ingredient in self.ingredients]
        table = [
            [row.pattern, row.whole, sorted([n, k] for n, k in zip(names, row.numerators, strict=True) if k)]
            for row in self.table
        ]
        table += [
            [row.pattern, row.wholes, *sorted(zip(names, *row.filters, strict=True))]
            for row in filter(lambda row: row.filters, self.table)
        ]
        if self.method is not None:
            base = "" if self.base is None else self.base.name
            table.append([self.method.name, base, list(self.method.parameter_texts.items())])
        return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()[:16]


def _with_base(
    given: tuple[Ingredient, ...], rows: tuple[Row, ...], method: Method
) -> tuple[tuple[Ingredient, ...], tuple[Row, ...]]:
    """Return ingredients and rows with the base, which has no weight of its own."""
    base = method.base or ""
    key = same_path_key(base)
    for place, one in enumerate(given):
        if same_path_key(one.path) == key:
            if one.weight or any(row.numerators[place] for row in rows):
                hint = "leave it out of the ingredients: it has a part as the base"
                refuse(f"the base `{shown(one.name)}` is among the ingredients", hint)
            return given, rows
    weight = None if given[0].weight is None else Fraction(0)
    beside = (replace(row, numerators=(*row.numerators, 0)) for row in rows)
    return (*given, Ingredient(base, weight, method.base_name)), tuple(beside)


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """What a recipe file asks for."""

    path: str
    """The file."""
    text: str
    """Its text, kept in the soup's manifest."""
    recipes: tuple[tuple[str | None, Recipe], ...]
    """Name and recipe; the name is None in a file of one recipe."""
    dtype: str | None = None
    """Safetensors name of the output dtype, if the file gives one."""
    max_shard_size: int | None = None
    """Bytes, if the file gives a size."""
    config_from: str | None = None
    """Path of the ingredient that gives config and tokenizer, if the file names one."""
    needs_one_vocabulary: bool = False
    """Whether it speaks of one tokenizer for all: then ingredients with different ones are refused."""
    leave_out: tuple[str, ...] = ()
    """Patterns of tensors that stay out of the soup."""
    notes: tuple[str, ...] = ()
    """What to say of how it was read."""
    take: Mapping[str, str] = field(default_factory=dict)
    """Pattern of tensors, and path of the checkpoint that gives them unchanged."""

    @property
    def recipe(self) -> Recipe:
        """The one recipe of a file that has no `recipes`.

        Raises
        ------
        RecipeError
            The file has named recipes.
        """
        (name, recipe), *rest = self.recipes
        if rest or name is not None:
            hint = "use `soce-merge --recipes` or `soce.merge_all`"
            refuse(f"the file has {counted(len(self.recipes), 'named recipe')}", hint, self.path)
        return recipe
