"""How long an engine may take to become a soup, before it counts as lost."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.recipes.names import parts_of

if TYPE_CHECKING:
    from soce.recipes.model import Recipe

_LEAST_SECONDS: Final = 600.0
_BYTES_PER_SECOND: Final = 25e6
"""A network file system that others use, too; a disk gives twenty times as much, memory a thousand times."""


def change_seconds(recipe: Recipe) -> float:
    """Return how long a change may take: ten minutes, and what a slow disk needs to give the ingredients."""
    nbytes = 0
    for ingredient in recipe.ingredients:
        with suppress(OSError):  # the change itself tells of it
            for part in parts_of(ingredient.path):
                nbytes += sum(path.stat().st_size for path in Path(part).glob("*.safetensors"))
    return _LEAST_SECONDS + nbytes / _BYTES_PER_SECOND
