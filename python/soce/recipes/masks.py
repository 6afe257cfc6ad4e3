"""Who takes part in which element of a tensor, as the core takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

Edge: TypeAlias = tuple[float, int]
"""The size of an element's difference to the base, and which element of the flat tensor it is: of equal sizes
the lower index is above."""
Keep: TypeAlias = tuple[Edge, Edge | None] | tuple[int, int, int] | None
"""The lowest edge that is kept and the lowest of what is too large; or both halves of a key and a probability
out of 2^32; or everything."""


@dataclass(frozen=True, slots=True)
class Masks:
    """A row in which an element is the base and numerators times differences of those that take part."""

    numerators: tuple[int, ...]
    """One for each ingredient; 0 for the base."""
    base: int
    divisors: tuple[int, ...] | None
    """What those that take part are divided by together; None where that is the whole."""
    elects: bool
    """Whether only those take part that agree with the sign of the sum of all that is kept."""
    keeps: tuple[Keep, ...]

    def parts(self, whole: int) -> tuple[int, ...]:
        """Return the numerators, and the whole for the base."""
        return tuple(whole if place == self.base else one for place, one in enumerate(self.numerators))

    def over(self, into: Sequence[int], count: int) -> Masks:
        """Return the same of `count` ingredients, to which these go."""
        if len(set(into)) < len(into):
            refuse("an ingredient has two masks in one row", "give each ingredient once")
        places = {place: i for i, place in enumerate(into)}
        found = [places.get(place) for place in range(count)]
        divisors = self.divisors
        return Masks(
            tuple(0 if i is None else self.numerators[i] for i in found),
            into[self.base],
            None if divisors is None else tuple(0 if i is None else divisors[i] for i in found),
            self.elects,
            tuple(None if i is None else self.keeps[i] for i in found),
        )
