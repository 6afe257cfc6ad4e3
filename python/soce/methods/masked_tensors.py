"""What methods that mask look at of a tensor: elements by the rank of their differences, and digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce._core import Mixer
    from soce.recipes.masks import Edge


class MaskedTensors:
    """Tensors of a mixer, each looked at once for the same question."""

    def __init__(self, mixer: Mixer, places: Sequence[str]) -> None:
        self._mixer = mixer
        self._places = places
        self._edges: dict[tuple[str, int, int, int], Edge] = {}
        self._contents: dict[tuple[str, int], list[tuple[str, float]]] = {}

    def edges(
        self, name: str, size: int, base: int, ingredients: Sequence[int], ranks: Sequence[int]
    ) -> list[list[Edge]]:
        """Return of each ingredient the elements of these ranks.

        Raises CheckpointError if an element is not finite.
        """
        asked = [(one, rank) for one in ingredients for rank in ranks]
        missing = [pair for pair in asked if (name, base, *pair) not in self._edges]
        if missing:
            found, counts = self._mixer.edges(name, base, missing)
            self._check(name, size, counts)
            self._edges |= {(name, base, *pair): edge for pair, edge in zip(missing, found, strict=True)}
        return [[self._edges[name, base, one, rank] for rank in ranks] for one in ingredients]

    def contents(self, name: str, size: int, base: int) -> list[tuple[str, float]]:
        """Return of each ingredient a digest of its elements and the largest difference to those of the base.

        Raises CheckpointError if one is not finite.
        """
        if (name, base) not in self._contents:
            found, counts = self._mixer.contents(name, base)
            self._check(name, size, counts)
            self._contents[name, base] = found
        return self._contents[name, base]

    def is_apart(self, sizes: Mapping[str, int], base: int, ingredients: Sequence[int]) -> bool:
        """Whether a tensor of these sizes differs from the base's in any ingredient."""
        found = (self.contents(name, size, base) for name, size in sizes.items())
        return any(contents[one][1] for contents in found for one in ingredients)

    def _check(self, name: str, size: int, counts: Sequence[tuple[int, int]]) -> None:
        from soce.methods.squares import refuse_non_finite  # which loads numpy

        refuse_non_finite(name, size, counts, self._places)
