"""soce's own recipe format, described in docs/recipe-format.md.

First the shape of a file, as pydantic checks it and as editors know it by the JSON schema; then its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema

from soce.exceptions import RecipeError, shown
from soce.files.validation import BY_KIND, LIST, MAPPING, SINGLE, Strict, read_by, validate
from soce.files.words import counted, listed, nearest
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.methods import METHODS, Method
from soce.recipes.model import Ingredient, Recipe, RecipeFile
from soce.recipes.names import is_url
from soce.recipes.parts import (
    NEGATIVE_HINT,
    lowest_terms,
    parse_dtype,
    parse_integer,
    parse_size,
    parse_weight,
    refuse,
    weight_text,
)
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from soce.exceptions import Problem
    from soce.files.documents import ParsedFile, Place

_OF_A_MIX: Final = frozenset({"weights", "rows", "method", "parameters"})
RESERVED: Final = _OF_A_MIX | {"numerators", "whole", "equal"}
"""Names that an ingredient cannot have."""
_MAX_INGREDIENTS: Final = 4096
_RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_MIX: Final = "a mapping with `weights`, `rows` or a method"
_WEIGHTS: Final = "weights alone"

T = TypeVar("T")


def _equal(text: str) -> str:
    if text != "equal":
        hint = "leave `weights` out for equal parts"
        refuse("`weights` must be a mapping by ingredient, a list, or `equal`", hint)
    return text


def no_nul(path: str) -> str:
    """Refuse what no system takes for a path."""
    if "\0" in path:
        refuse(f"path `{shown(path)}` has a NUL")
    return path


def _kind_of_recipe(value: object) -> str:
    is_mix = isinstance(value, Mapping) and not _OF_A_MIX.isdisjoint(value)
    return _MIX if is_mix else _WEIGHTS


_NUMBER_OR_TEXT: Final = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
_PARAMETER: Final = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}]})

CheckpointPath: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(no_nul)]
ExactWeight: TypeAlias = Annotated[Fraction, read_by(parse_weight), _NUMBER_OR_TEXT]
SignedWeight: TypeAlias = Annotated[Fraction, read_by(partial(parse_weight, signed=True)), _NUMBER_OR_TEXT]
"""A weight, which must not be negative unless it is a coefficient of a method."""
Dtype: TypeAlias = Annotated[str, read_by(parse_dtype)]
_Name: TypeAlias = Annotated[str, Field(min_length=1)]
_Integer: TypeAlias = Annotated[int, read_by(parse_integer)]
_MethodName: TypeAlias = Annotated[str, WithJsonSchema({"enum": [*METHODS]})]
_Equal: TypeAlias = Annotated[str, AfterValidator(_equal), WithJsonSchema({"const": "equal"})]
_Weights: TypeAlias = Annotated[
    Annotated[_Equal, Tag(SINGLE)]
    | Annotated[tuple[SignedWeight, ...], Tag(LIST)]
    | Annotated[dict[str, SignedWeight], Tag(MAPPING)],
    BY_KIND,
]
_Parameters: TypeAlias = dict[_Name, Annotated[str, _PARAMETER]]
_Numerators: TypeAlias = Annotated[
    Annotated[tuple[_Integer, ...], Tag(LIST)] | Annotated[dict[str, _Integer], Tag(MAPPING)], BY_KIND
]


class _IngredientEntry(Strict):
    path: CheckpointPath
    weight: SignedWeight | None = None
    name: _Name | None = None


class _RowEntry(Strict):
    pattern: _Name
    weights: _Weights | None = None
    numerators: _Numerators | None = None
    whole: _Integer | None = None


_Rows: TypeAlias = Annotated[tuple[_RowEntry, ...], Field(min_length=1)]


class _Made(Strict):
    """What is made of the ingredients."""

    weights: _Weights | None = None
    rows: _Rows | None = None
    method: _MethodName | None = None
    base: CheckpointPath | None = None
    parameters: _Parameters | None = None


class _MixEntry(_Made):
    name: _Name | None = None


_OneIngredient: TypeAlias = Annotated[
    Annotated[CheckpointPath, Tag(SINGLE)] | Annotated[_IngredientEntry, Tag(MAPPING)], BY_KIND
]
_Ingredients: TypeAlias = Annotated[
    Annotated[tuple[_OneIngredient, ...], Tag(LIST), Field(min_length=1, max_length=_MAX_INGREDIENTS)]
    | Annotated[dict[str, _OneIngredient], Tag(MAPPING), Field(min_length=1, max_length=_MAX_INGREDIENTS)],
    BY_KIND,
]
_OneRecipe: TypeAlias = Annotated[
    Annotated[_Weights, Tag(_WEIGHTS)] | Annotated[_MixEntry, Tag(_MIX)], Discriminator(_kind_of_recipe)
]
_Recipes: TypeAlias = Annotated[
    Annotated[tuple[_OneRecipe, ...], Tag(LIST), Field(min_length=1)]
    | Annotated[dict[str, _OneRecipe], Tag(MAPPING), Field(min_length=1)],
    BY_KIND,
]


class RecipeContent(_Made):
    """A recipe file of soce; see docs/recipe-format.md."""

    ingredients: _Ingredients
    recipes: _Recipes | None = None
    dtype: Dtype | None = None
    max_shard_size: Annotated[int, read_by(parse_size), _NUMBER_OR_TEXT] | None = None
    config_from: _Name | None = None
    leave_out: tuple[_Name, ...] = ()
    take: dict[_Name, _Name] = Field(default_factory=dict)
    selection: object = None
    """How the ingredients were chosen, for `soce.selection.file`; it changes no soup."""


def read_native(document: ParsedFile) -> RecipeFile:
    """Return the recipes of a file in soce's own format; raise everything that is wrong in it."""
    return _Reader(document, validate(document, RecipeContent)).read()


def _with_keys(given: tuple[T, ...] | dict[str, T]) -> Iterable[tuple[str | int, T]]:
    return given.items() if isinstance(given, dict) else enumerate(given)


class _Reader:
    """Gives the content of one file its meaning; problems are gathered, so that all are told at once."""

    def __init__(self, document: ParsedFile, content: RecipeContent) -> None:
        self.document = document
        self.content = content
        self.problems: list[Problem] = []
        self.names: list[str] = []
        self.paths: list[str] = []
        self.inline: list[Fraction | None] = []

    def read(self) -> RecipeFile:
        content = self.content
        self._ingredients()
        self._check()  # what names ingredients makes no sense without them
        config_from = None
        if content.config_from in self.names:
            config_from = self.paths[self.names.index(content.config_from)]
        elif content.config_from is not None:
            self._no_such_ingredient(("config_from",), content.config_from)
        take = {pattern: self._giver(pattern, giver) for pattern, giver in content.take.items()}
        recipes = (
            [(None, self._recipe((), content))] if content.recipes is None else self._many(content.recipes)
        )
        self._check()
        return RecipeFile(
            self.document.path,
            self.document.text,
            tuple((name, recipe) for name, recipe in recipes if recipe is not None),
            dtype=content.dtype,
            max_shard_size=content.max_shard_size,
            config_from=config_from,
            leave_out=content.leave_out,
            take=take,
        )

    def _add(self, place: Place, message: str, hint: str | None = None) -> None:
        self.problems.append(self.document.problem(place, message, hint))

    def _check(self) -> None:
        if self.problems:
            raise self.document.error.of(self.problems)

    def _no_such_ingredient(self, place: Place, name: str) -> None:
        message = f"`{shown(name)}` is not an ingredient"
        self._add(place, message, nearest(name, self.names, "ingredients"))

    def _giver(self, pattern: str, name: str) -> str:
        """Return the path of an ingredient, or of another checkpoint, that gives tensors."""
        if name in self.names:
            return self.paths[self.names.index(name)]
        path = find_checkpoint(name, folder=Path(self.document.path).parent)
        if not Path(path).exists() and not is_url(path):
            self._no_such_ingredient(("take", pattern), name)
        return path

    def _ingredients(self) -> None:
        given = self.content.ingredients
        named: Iterable[tuple[str | int, str | _IngredientEntry]] = _with_keys(given)
        folder = Path(self.document.path).parent
        for key, value in named:
            place = ("ingredients", key)
            entry = _IngredientEntry(path=value) if isinstance(value, str) else value
            path = find_checkpoint(entry.path, folder=folder)
            if isinstance(key, str) and entry.name is not None:
                self._add(place, f"ingredient `{shown(key)}` is named twice")
            name = key if isinstance(key, str) else entry.name or entry.path
            # Without names, a path given twice is one ingredient with more parts.
            unnamed = isinstance(key, int) and entry.name is None
            if name in self.names and not (unnamed and path in self.paths):
                self._add(place, f"two ingredients are named `{shown(name)}`", "give them different names")
            if name in RESERVED or not name:
                self._add(place, f"an ingredient cannot be named `{shown(name)}`")
            self.names.append(name)
            self.paths.append(path)
            self.inline.append(entry.weight)

    def _in_order(self, given: tuple[T, ...] | dict[str, T], place: Place, what: str) -> list[T] | None:
        """Return one value for each ingredient, from a mapping by name or a list in their order."""
        hint = "name every ingredient; 0 leaves one out"
        if not isinstance(given, dict):
            if len(given) != len(self.names):
                self._add(
                    place,
                    f"{what} has {counted(len(given), 'value')} for {counted(len(self.names), 'ingredient')}",
                    hint,
                )
                return None
            return list(given)
        first = {name: i for i, name in reversed(list(enumerate(self.names)))}
        for name in given:
            if name not in first:
                self._no_such_ingredient((*place, name), name)
        missing = [name for i, name in enumerate(self.names) if name not in given or first[name] != i]
        if missing:
            self._add(place, f"{what} lacks {listed(missing)}", hint)
        return None if missing or len(given) > len(first) else [given[name] for name in self.names]

    def _weights(self, given: _Weights, place: Place, method: Method | None) -> list[Fraction] | None:
        if isinstance(given, str):
            return [Fraction(1)] * len(self.names)
        self._check_signs([((*place, key), weight) for key, weight in _with_keys(given)], method)
        return self._in_order(given, place, "`weights`")

    def _check_signs(self, weights: Iterable[tuple[Place, Fraction | None]], method: Method | None) -> None:
        """Refuse negative weights where none is a coefficient."""
        if method is not None and method.definition.weights == "coefficients":
            return
        for place, weight in weights:
            if weight is not None and weight < 0:
                self._add(place, f"weight `{weight_text(weight)}` is negative", NEGATIVE_HINT)

    def _method(self, made: _Made, place: Place) -> Method | None:
        """Return the method of a recipe; what its entry leaves out is that of the whole file."""
        name, base = made.method or self.content.method, made.base or self.content.base
        given = {**(self.content.parameters or {}), **(made.parameters or {})}
        if name is None:
            for key in ("base", "parameters"):
                if getattr(made, key) or getattr(self.content, key):
                    self._add((*(place if getattr(made, key) else ()), key), f"`{key}` is for a `method`")
            return None
        where = (*(place if made.method else ()), "method")
        try:
            method = Method(name, base, given)
            return method.found(Path(self.document.path).parent)
        except RecipeError as error:
            self.problems += self.document.placed(error, where)
            return None

    def _row(self, row: _RowEntry, place: Place, method: Method | None) -> Row | None:
        try:
            if row.weights is not None and row.numerators is None and row.whole is None:
                weights = self._weights(row.weights, (*place, "weights"), method)
                if weights is None:
                    return None
                if method is None:
                    return Row.of_weights(row.pattern, weights)
                return Row.of_method(row.pattern, weights, method)
            if method is not None:
                self._add(place, f"a row of `{method.name}` has `weights`")
                return None
            if row.weights is None and row.numerators is not None and row.whole is not None:
                numerators = self._in_order(row.numerators, (*place, "numerators"), "`numerators`")
                return None if numerators is None else Row(row.pattern, *lowest_terms(numerators, row.whole))
        except RecipeError as error:
            self.problems += self.document.placed(error, place)
            return None
        self._add(place, "a row needs `weights`, or `numerators` with `whole`")
        return None

    def _recipe(self, place: Place, made: _Made) -> Recipe | None:
        before = len(self.problems)
        weights, rows, method = made.weights, made.rows, self._method(made, place)
        has_inline = any(weight is not None for weight in self.inline)
        each: list[Fraction | None] = [None] * len(self.names)
        where = place
        if weights is not None:
            where = (*place, "weights")  # of a recipe that is its weights, the last key leads nowhere
            if has_inline:
                self._add(where, "weights are given here and beside the paths")
            each = [*(self._weights(weights, where, method) or each)]
        elif has_inline:
            where = ("ingredients",)
            each = self.inline
            keys = [key for key, _ in _with_keys(self.content.ingredients)]
            beside = [("ingredients", key, "weight") for key in keys]
            self._check_signs(zip(beside, each, strict=True), method)
        elif rows is None:
            each = [Fraction(1)] * len(self.names)
        if method is None and len(self.problems) > before and (made.method or self.content.method):
            return None  # what its weights mean is not known
        table = [self._row(row, (*place, "rows", i), method) for i, row in enumerate(rows or ())]
        if len(self.problems) > before:
            return None
        try:
            ingredients = zip(self.paths, each, self.names, strict=True)
            return Recipe(
                tuple(Ingredient(*ingredient) for ingredient in ingredients),
                tuple(row for row in table if row is not None),
                method,
            )
        except RecipeError as error:
            self.problems += self.document.placed(error, where)
            return None

    def _many(self, given: _Recipes) -> list[tuple[str | None, Recipe | None]]:
        for outside in ("weights", "rows"):
            if getattr(self.content, outside) is not None:
                self._add((outside,), f"`{outside}` belongs inside `recipes` when there are many")
        if any(weight is not None for weight in self.inline):
            self._add(("ingredients",), "`weight` belongs inside `recipes` when there are many")
            return []
        found: dict[str | None, Recipe | None] = {}
        recipes: Iterable[tuple[str | int, _Weights | _MixEntry]] = _with_keys(given)
        for key, entry in recipes:
            place = ("recipes", key)
            mix = entry if isinstance(entry, _MixEntry) else _MixEntry.model_construct(weights=entry)
            recipe = self._recipe(place, mix)
            if recipe is None:
                continue
            name = key if isinstance(key, str) else mix.name
            if isinstance(key, str) and mix.name is not None:
                self._add(place, f"recipe `{shown(key)}` is named twice")
            if name is None and recipe.parts is None:
                self._add(place, "a recipe with rows or a method needs a `name`")
            name = "-".join(map(str, recipe.parts or ())) if name is None else name
            if _RECIPE_NAME.fullmatch(name) is None:
                hint = "it becomes a directory: up to 100 of A-Z, a-z, 0-9, `.`, `_`, `-`, no mark first"
                self._add(place, f"a recipe cannot be named `{shown(name)}`", hint)
            elif name in found:
                self._add(place, f"two recipes are named `{shown(name)}`", "give them different names")
            found[name] = recipe
        return list(found.items())
