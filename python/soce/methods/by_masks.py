"""Methods in which ingredients take part element by element."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from soce.exceptions import RecipeError
from soce.methods.masks import MASKS, Amounts, check_density, keeps_all, masks_of, random_keep, ranks
from soce.methods.resolved import Resolved, refuse_copies, refuse_tensor, rounding_note, rows_alone
from soce.methods.taking import Taking, weights_of
from soce.recipes.names import base_of
from soce.recipes.parts import refuse, signed_parts
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from soce.methods.opened import Opened
    from soce.recipes.masks import Keep
    from soce.recipes.methods import Method
    from soce.recipes.model import Recipe

_SMALL_DELTAS: Final = 0.005
"""Up to which MergeLM says that nearly all of them may be dropped at random."""


def by_masks(recipe: Recipe, method: Method, opened: Opened) -> Resolved:
    """Return the rows of such a method; the parameters and errors are those of `resolve`."""
    taking, columns = Taking.of(recipe), opened.columns(recipe)
    assert taking.base is not None
    for one in recipe.ingredients:
        if base_of(one.path) != one.path:
            hint = "merge it first: `soce-merge BASE+ADAPTER --output DIRECTORY`, and name that directory"
            refuse(f"`{method.name}` takes no ingredient with an adapter on top", hint, one.path)
    masking, base = MASKS[method.name], columns[taking.base]
    sizes = {name: math.prod(shape) for name, shape in opened.shapes.items()}
    check_density([*sizes.values()], method)
    rows, told, rounded = [], {}, 0
    farthest, is_apart = 0.0, False
    for name, size in sizes.items():
        weights = weights_of(name, recipe)
        places = [place for place in taking.places if weights[place]]
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
                whole = taking.over_all([values.get(place, Fraction(0)) for place in taking.places])
                rows.append(Row(name, *signed_parts(whole, taking.names)))
                rounded += rows[-1].weights != whole
            else:
                masks = masks_of(
                    amounts, method, dict(zip(places, keeps, strict=True)), taking.base, len(taking.names)
                )
                rows.append(Row.of_masks(name, *masks))
                rounded += not amounts.is_exact
        except RecipeError as error:
            first = error.problems[0]
            refuse_tensor(name, f"`{method.name}`: {first.message}", first.hint)
    wanted = [columns[place] for place in taking.places]
    if rows and not is_apart and not opened.tensors.is_apart(sizes, base, wanted):
        refuse_copies()
    if len({row.mix for row in rows}) == 1:
        rows = [replace(rows[0], pattern="*")]
    notes = (*rounding_note(method, rounded), *_dropping_note(method, farthest))
    return Resolved(rows_alone(recipe, rows), notes, told)


def _dropping_note(method: Method, farthest: float) -> tuple[str, ...]:
    known = f"dropping most at random is known to work where they are within {_SMALL_DELTAS}"
    told = f"`{method.name}`: differences to the base go up to {farthest:.2g}; {known}"
    return (told,) if farthest > _SMALL_DELTAS else ()
