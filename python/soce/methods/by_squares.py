"""Methods whose coefficients follow from lengths of tensors and distances between them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from soce.exceptions import RecipeError
from soce.files.words import counted
from soce.methods.geometry import Vectors
from soce.methods.model_stock import mean_ratio, model_stock
from soce.methods.resolved import Resolved, refuse_copies, refuse_tensor, rows_alone
from soce.methods.sphere import karcher, multislerp, slerp
from soce.methods.taking import Taking, weights_of
from soce.recipes.parts import refuse, signed_parts
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.methods.found import Coefficients, Finder
    from soce.methods.opened import Opened
    from soce.recipes.methods import Method
    from soce.recipes.model import Recipe

_FINDERS: Final[dict[str, Finder]] = {
    "slerp": slerp,
    "nuslerp": slerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "model_stock": model_stock,
}
_MOSTLY_BASE: Final = 0.5


def by_squares(recipe: Recipe, method: Method, opened: Opened) -> Resolved:
    """Return the rows of such a method; the parameters and errors are those of `resolve`."""
    taking, columns = Taking.of(recipe), opened.columns(recipe)
    found: list[Coefficients] = []
    sizes: list[int] = []
    told: dict[str, Mapping[str, float]] = {}
    rows = []
    is_base = taking.base is not None
    for name, shape in opened.shapes.items():
        weights = taking.of_weights(weights_of(name, recipe))
        squares = opened.filters(name) if method.is_by_filter else opened.squares[name][None]
        mixes: list[tuple[tuple[int, ...], int]] = []
        here = len(found)
        for sums in squares:
            vectors = taking.vectors(Vectors.of(sums, len(opened.paths)), columns)
            is_base = is_base and not any(vectors.own)
            try:
                one, mix = _one(weights, vectors, method, taking)
            except RecipeError as error:
                first = error.problems[0]
                at = f" at index {len(mixes)} of its first axis" if len(squares) > 1 else ""
                refuse_tensor(name, f"`{method.name}`{at}: {first.message}", first.hint)
            found.append(one)
            mixes.append(mix)
        sizes += [math.prod(shape) // len(squares)] * len(squares)
        told[name] = _told_of(found[here:])
        same = all(mix == mixes[0] for mix in mixes)
        rows.append(Row(name, *mixes[0]) if same else Row.of_filters(name, mixes))
    if is_base and rows:
        refuse_copies()
    if rows and all(row.mix == rows[0].mix for row in rows):
        rows = [replace(rows[0], pattern="*")]
    known = {name: one for name, one in told.items() if one}
    return Resolved(rows_alone(recipe, rows), _notes(method, found, sizes), known)


def _one(
    weights: Sequence[Fraction], vectors: Vectors, method: Method, taking: Taking
) -> tuple[Coefficients, tuple[tuple[int, ...], int]]:
    """Return what a method finds for what is mixed as one, and its parts."""
    if not all(map(math.isfinite, vectors.own)):
        refuse("its squares are too large for a float", "average it with `linear`")
    found = _FINDERS[method.name](weights, vectors, method)
    return found, signed_parts(taking.over_all(found.values), taking.names)


def _told_of(found: Sequence[Coefficients]) -> Mapping[str, float]:
    """Return the numbers that were found for a tensor: of several filters the mean of those that have one."""
    if len(found) == 1:
        return found[0].told
    keys = dict.fromkeys(key for one in found for key in one.told)
    values = {key: [one.told[key] for one in found if key in one.told] for key in keys}
    return {key: math.fsum(each) / len(each) for key, each in values.items()}


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
