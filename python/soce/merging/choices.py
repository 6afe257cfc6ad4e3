"""Which tensors stay out of a soup and which one checkpoint gives unchanged, as the core takes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import same_path_key
from soce.recipes.names import base_of, remote_name
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.recipes.model import Ingredient


@dataclass(frozen=True, slots=True)
class TensorChoices:
    """Decisions by pattern on names of tensors."""

    paths: tuple[str, ...]
    """The ingredients, then those checkpoints that only give tensors."""
    leave_out: tuple[str, ...]
    take: tuple[tuple[str, int], ...]
    """Pattern, and the place of the giver in `paths`."""


def resolve_choices(
    ingredients: Sequence[Ingredient], *, leave_out: Sequence[str], take: Mapping[str, str] | None
) -> TensorChoices:
    """Find the checkpoints that give tensors: ingredients by name or path, or others by path.

    Raises
    ------
    RecipeError
        A giver that is neither.
    """
    paths = [ingredient.path for ingredient in ingredients]
    names = [ingredient.name for ingredient in ingredients]
    chosen = []
    for pattern, giver in (take or {}).items():
        path = find_checkpoint(giver)
        place = find_ingredient(os.fspath(giver), names, paths)
        place = find_ingredient(path, names, paths) if place is None else place
        if place is None:
            if not os.path.lexists(base := base_of(path)) and remote_name(base) is None:
                hint = f"ingredients: {listed(names)}"
                message = f"`{shown(pattern)}` is to be taken from `{shown(path)}`"
                refuse(f"`take`: {message}, which is neither an ingredient nor a checkpoint", hint)
            place = len(paths)
            paths.append(path)
        chosen.append((pattern, place))
    return TensorChoices(tuple(paths), tuple(leave_out), tuple(chosen))


def find_ingredient(wanted: str, names: Sequence[str], paths: Sequence[str]) -> int | None:
    """Return the place of an ingredient by its name or its path."""
    keys = [same_path_key(path) for path in paths]
    for name, known in ((wanted, names), (same_path_key(wanted), keys)):
        if name in known:
            return known.index(name)
    return None
