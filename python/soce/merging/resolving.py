"""Recipes of methods in rows before they are planned, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce._core import Mixer
from soce.methods.opened import Opened
from soce.methods.resolve import needs_tensors, resolve
from soce.recipes.parts import weight_text
from soce.recipes.wire import method_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.adapters.on_base import Change
    from soce.merging.choices import TensorChoices
    from soce.merging.options import MergeOptions
    from soce.methods.resolved import Resolved
    from soce.recipes.model import Recipe
    from soce.remote.located import Located


def resolve_all(
    recipes: Sequence[Recipe],
    choices: TensorChoices,
    located: Located,
    adapters: Sequence[Change],
    options: MergeOptions,
) -> list[Resolved]:
    """Return the rows of each recipe; tensors are read, once for all, only if a method needs them."""
    if not any(map(needs_tensors, recipes)):
        return [resolve(recipe) for recipe in recipes]
    mixer = mixer_of(choices, located, adapters, options)
    opened = Opened(mixer, choices.paths, located.names)
    return [resolve(recipe, opened) for recipe in recipes]


def mixer_of(
    choices: TensorChoices, located: Located, adapters: Sequence[Change], options: MergeOptions
) -> Mixer:
    """Return the mixer of all that a plan reads."""
    return Mixer(
        located.paths,
        io=options.io,
        follow_links=options.follow_links,
        ignore_unreferenced=options.ignore_unreferenced,
        leave_out=choices.leave_out,
        take=choices.take,
        adapters=adapters,
        remote=located.shards,
        refresh=located.refresh,
    )


def told_of(recipe: Recipe, resolved: Resolved) -> dict[str, object]:
    """Return what was asked for and what was found, as JSON; numbers that are no integers are text."""
    assert recipe.method is not None
    names = [one.name for one in recipe.ingredients if one in recipe.taking]
    weights = {
        row.pattern: {
            one.name: weight_text(weight)
            for one, weight in zip(recipe.ingredients, row.weights, strict=True)
            if one.name in names
        }
        for row in recipe.table
    }
    base = {} if recipe.base is None else {"base": recipe.base.name}
    tensors = {
        name: {key: repr(value) for key, value in told.items()} for name, told in resolved.told.items()
    }
    asked = method_to_json(recipe.method)
    told: dict[str, object] = {"method": asked["name"], **base, "parameters": asked["parameters"]}
    return {**told, "weights": weights, **({"tensors": tensors} if tensors else {})}
