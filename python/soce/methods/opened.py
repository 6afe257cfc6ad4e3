"""Ingredients whose tensors methods look at, each for the same question once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from soce.methods.masked_tensors import MaskedTensors
from soce.recipes.model import Recipe, same_path_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from soce._core import Mixer

_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})


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
