"""From a recipe that names a method to one of exact rows, which the kernel takes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final

from soce._core import Mixer, matches
from soce.exceptions import Problem, RecipeError
from soce.files.words import counted
from soce.methods.constant import interpolate, task_arithmetic
from soce.methods.geometry import Vectors
from soce.methods.masked_tensors import MaskedTensors
from soce.methods.masks import (
    MASKS,
    Amounts,
    check_density,
    keeps_all,
    masks_of,
    random_keep,
    ranks,
)
from soce.methods.model_stock import mean_ratio, model_stock
from soce.methods.sphere import karcher, multislerp, slerp
from soce.recipes.model import Recipe, same_path_key
from soce.recipes.names import base_of
from soce.recipes.parts import MAX_PARTS, refuse, signed_parts
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    import numpy as np
    from numpy.typing import NDArray

    from soce.methods.found import Coefficients, Finder
    from soce.recipes.masks import Keep
    from soce.recipes.methods import Method

_CONSTANT: Final = {"task_arithmetic": task_arithmetic, "interpolate": interpolate}
_FINDERS: Final[dict[str, Finder]] = {
    "slerp": slerp,
    "nuslerp": slerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "model_stock": model_stock,
}
_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_MOSTLY_BASE: Final = 0.5
_SMALL_DELTAS: Final = 0.005
"""Up to which MergeLM says that nearly all of them may be dropped at random."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a method comes to."""

    recipe: Recipe
    """The same ingredients, and a row of the kernel for every tensor."""
    notes: tuple[str, ...] = ()
    """What to say about it."""
    told: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Numbers that were found, by tensor."""


@dataclass(frozen=True)
class Opened:
    """Ingredients whose tensors can be looked at."""

    mixer: Mixer
    paths: Sequence[str]
    """Of the mixer's ingredients, in its order, as recipes have them; maybe more than those of one recipe."""
    places: Sequence[str]
    """Where each lies."""
    _filters: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of every tensor that is averaged."""
        return {
            name: shape
            for name, held, shape in self.mixer.tensors()
            if held in _FLOATS and self.mixer.giver(name) is None
        }

    @cached_property
    def squares(self) -> Mapping[str, NDArray[np.float64]]:
        """The squares of lengths and distances of every tensor that is averaged."""
        from soce.methods.squares import squares_of  # which loads numpy

        return squares_of(self.mixer, self.places)

    def filters(self, name: str) -> NDArray[np.float64]:
        """Return the squares of a tensor for each index of its first axis, one row if it is the only."""
        from soce.methods.squares import filter_squares

        if name not in self._filters:
            shape = self.shapes[name]
            self._filters[name] = filter_squares(self.mixer, name, shape, self.places)
        return self._filters[name]

    @cached_property
    def tensors(self) -> MaskedTensors:
        """What methods that mask look at, found once."""
        return MaskedTensors(self.mixer, self.places)

    def columns(self, recipe: Recipe) -> list[int]:
        """Return the mixer's number of each ingredient of a recipe."""
        keys = [same_path_key(path) for path in self.paths]
        return [keys.index(same_path_key(one.path)) for one in recipe.ingredients]


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
    if method.name in MASKS:
        return _masked(recipe, method, opened)
    return _found(recipe, method, opened)


def _constant(recipe: Recipe, method: Method) -> Resolved:
    find, share = _CONSTANT[method.name], _Share.of(recipe)
    rows, rounded = [], 0
    for row in recipe.table:
        values = share.over_all(find(share.of_weights(row.weights), method))
        rows.append(Row(row.pattern, *signed_parts(values, share.names)))
        rounded += rows[-1].weights != values
    said = f"coefficients of {counted(rounded, 'row')} are rounded to parts of {MAX_PARTS}"
    return Resolved(_rows_alone(recipe, rows), (f"`{method.name}`: {said}",) if rounded else ())


def _found(recipe: Recipe, method: Method, opened: Opened) -> Resolved:
    share, columns = _Share.of(recipe), opened.columns(recipe)
    found: list[Coefficients] = []
    sizes: list[int] = []
    told: dict[str, Mapping[str, float]] = {}
    rows = []
    is_base = share.base is not None
    for name, shape in opened.shapes.items():
        weights = share.of_weights(_weights_of(name, recipe))
        squares = opened.filters(name) if method.is_by_filter else opened.squares[name][None]
        mixes: list[tuple[tuple[int, ...], int]] = []
        here = len(found)
        for sums in squares:
            vectors = share.vectors(Vectors.of(sums, len(opened.paths)), columns)
            is_base = is_base and not any(vectors.own)
            try:
                one, mix = _one(weights, vectors, method, share)
            except RecipeError as error:
                first = error.problems[0]
                at = f" at index {len(mixes)} of its first axis" if len(squares) > 1 else ""
                _refuse(name, f"`{method.name}`{at}: {first.message}", first.hint)
            found.append(one)
            mixes.append(mix)
        sizes += [math.prod(shape) // len(squares)] * len(squares)
        told[name] = _told_of(found[here:])
        same = all(mix == mixes[0] for mix in mixes)
        rows.append(Row(name, *mixes[0]) if same else Row.of_filters(name, mixes))
    if is_base and rows:
        _refuse_copies()
    if rows and all(row.mix == rows[0].mix for row in rows):
        rows = [replace(rows[0], pattern="*")]
    known = {name: one for name, one in told.items() if one}
    return Resolved(_rows_alone(recipe, rows), _notes(method, found, sizes), known)


def _one(
    weights: Sequence[Fraction], vectors: Vectors, method: Method, share: _Share
) -> tuple[Coefficients, tuple[tuple[int, ...], int]]:
    """Return what a method finds for what is mixed as one, and its parts."""
    if not all(map(math.isfinite, vectors.own)):
        refuse("its squares are too large for a float", "average it with `linear`")
    found = _FINDERS[method.name](weights, vectors, method)
    return found, signed_parts(share.over_all(found.values), share.names)


def _told_of(found: Sequence[Coefficients]) -> Mapping[str, float]:
    """Return the numbers that were found for a tensor: of several filters the mean of those that have one."""
    if len(found) == 1:
        return found[0].told
    keys = dict.fromkeys(key for one in found for key in one.told)
    values = {key: [one.told[key] for one in found if key in one.told] for key in keys}
    return {key: math.fsum(each) / len(each) for key, each in values.items()}


def _masked(recipe: Recipe, method: Method, opened: Opened) -> Resolved:
    share, columns = _Share.of(recipe), opened.columns(recipe)
    assert share.base is not None
    for one in recipe.ingredients:
        if base_of(one.path) != one.path:
            hint = "merge it first: `soce-merge BASE+ADAPTER --output DIRECTORY`, and name that directory"
            refuse(f"`{method.name}` takes no ingredient with an adapter on top", hint, one.path)
    masking, base = MASKS[method.name], columns[share.base]
    sizes = {name: math.prod(shape) for name, shape in opened.shapes.items()}
    check_density([*sizes.values()], method)
    rows, told, rounded = [], {}, 0
    farthest, is_apart = 0.0, False
    for name, size in sizes.items():
        weights = _weights_of(name, recipe)
        places = [place for place in share.places if weights[place]]
        wanted = [columns[place] for place in places]
        try:
            amounts = Amounts.of([weights[place] for place in places], method)
            keeps: list[Keep] = [None] * len(places)
            if not keeps_all(method) and size and masking.by == "chance":
                contents = opened.tensors.contents(name, size, base)
                keeps = [random_keep(contents[column][0], name, method) for column in wanted]
                told[name] = {"farthest": max((contents[column][1] for column in wanted), default=0.0)}
                farthest = max(farthest, told[name]["farthest"])
                is_apart = farthest > 0
            elif not keeps_all(method) and size:
                low, high = ranks(size, method)
                if low - high < size:
                    edges = opened.tensors.edges(name, size, base, wanted, [low, high] if high else [low])
                    keeps = [(each[0], each[1] if high else None) for each in edges]
                    is_apart = is_apart or any(each[0][0] for each in edges)
                told[name] = {"kept": low - high}
            if not any(amounts.terms) or (not any(keeps) and (len(places) < 2 or not masking.elects)):
                values = dict(zip(places, amounts.terms, strict=True))
                whole = share.over_all([values.get(place, Fraction(0)) for place in share.places])
                rows.append(Row(name, *signed_parts(whole, share.names)))
                rounded += rows[-1].weights != whole
            else:
                masks = masks_of(
                    amounts, method, dict(zip(places, keeps, strict=True)), share.base, len(share.names)
                )
                rows.append(Row.of_masks(name, *masks))
                rounded += not amounts.is_exact
        except RecipeError as error:
            first = error.problems[0]
            _refuse(name, f"`{method.name}`: {first.message}", first.hint)
    wanted = [columns[place] for place in share.places]
    if rows and not is_apart and not opened.tensors.is_apart(sizes, base, wanted):
        _refuse_copies()
    if len({row.mix for row in rows}) == 1:
        rows = [replace(rows[0], pattern="*")]
    return Resolved(_rows_alone(recipe, rows), _masking_notes(method, rounded, farthest), told)


def _masking_notes(method: Method, rounded: int, farthest: float) -> tuple[str, ...]:
    notes = []
    if rounded:
        said = f"coefficients of {counted(rounded, 'row')} are rounded to parts of {MAX_PARTS}"
        notes.append(f"`{method.name}`: {said}")
    if farthest > _SMALL_DELTAS:
        known = f"dropping most at random is known to work where they are within {_SMALL_DELTAS}"
        notes.append(f"`{method.name}`: differences to the base go up to {farthest:.2g}; {known}")
    return tuple(notes)


def _refuse_copies() -> NoReturn:
    hint = "name as base what the ingredients were trained from"
    refuse("every ingredient equals the base, tensor by tensor", hint)


@dataclass(frozen=True, slots=True)
class _Share:
    """Who has a part: the ingredients with a weight, and the base."""

    names: list[str]
    """Of all ingredients."""
    places: list[int]
    """Of those with a weight other than 0 in some row."""
    base: int | None

    @classmethod
    def of(cls, recipe: Recipe) -> _Share:
        taking, base = recipe.taking, recipe.base
        places = [i for i, one in enumerate(recipe.ingredients) if one in taking]
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


def _weights_of(name: str, recipe: Recipe) -> tuple[Fraction, ...]:
    for row in recipe.table:
        if matches(row.pattern, name):
            return row.weights
    _refuse(name, "no row of the recipe matches", "end the recipe with a row whose pattern is `*`")


def _rows_alone(recipe: Recipe, rows: Sequence[Row]) -> Recipe:
    return Recipe(tuple(replace(one, weight=None) for one in recipe.ingredients), tuple(rows))


def _notes(method: Method, found: Sequence[Coefficients], sizes: Sequence[int]) -> tuple[str, ...]:
    """Return what was done otherwise for how many tensors, and whether Model Stock is of any use here."""
    what = "filter" if method.is_by_filter else "tensor"
    kinds = Counter(one.remark for one in found if one.remark)
    notes = [
        f"`{method.name}`: {count} of {counted(len(found), what)} {remark}"
        for remark, count in sorted(kinds.items())
    ]
    if method.name == "model_stock" and found:
        ratio = mean_ratio(found, sizes)
        if ratio < _MOSTLY_BASE:
            why = "their deltas hardly agree, as those of experts in different things do"
            notes.append(
                f"`model_stock` keeps {1 - ratio:.0%} of the base and {ratio:.0%} of the mean: {why}"
            )
    return tuple(notes)


def _refuse(tensor: str, message: str, hint: str | None) -> NoReturn:
    raise RecipeError.of([Problem("recipe", None, tensor, message, hint)])
