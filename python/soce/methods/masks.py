"""Methods that keep some elements of each difference to the base: by their size, or at random.

A mask is found for each tensor and ingredient: exactly so many elements of the largest differences, or a key
of random numbers. What is kept is added to the base in the core, element by element.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from math import floor, gcd, lcm
from typing import TYPE_CHECKING, Final, Literal

from soce.recipes.masks import Keep, Masks
from soce.recipes.parts import MAX_PARTS, over_their_sum, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.recipes.methods import Method

_WORDS: Final = 1 << 32
"""A probability is out of as many."""
_DOMAIN: Final = "soce random mask 1"
"""Of keys; another one where their meaning changes."""


@dataclass(frozen=True, slots=True)
class Masking:
    """How a method masks."""

    by: Literal["size", "chance", "middle"]
    """Keep the largest, any, or the largest but for the very largest."""
    elects: bool = False
    """Whether those take part alone that agree with the elected sign."""


MASKS: Final = {
    "ties": Masking("size", elects=True),
    "dare_linear": Masking("chance"),
    "dare_ties": Masking("chance", elects=True),
    "breadcrumbs": Masking("middle"),
    "breadcrumbs_ties": Masking("middle", elects=True),
}
"""The methods, by name."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What goes into the sum of a row, exactly."""

    terms: tuple[Fraction, ...]
    """What each difference is multiplied with."""
    divisors: tuple[Fraction, ...] | None
    """What those that take part are divided by together, if they are."""

    @classmethod
    def of(cls, weights: Sequence[Fraction], method: Method) -> Amounts:
        """Return them for the weights of those with one, none of them 0; raises RecipeError.

        A single ingredient agrees with itself, and its weight over its weight is 1.
        """
        masking = MASKS[method.name]
        factor = method.number("lambda")
        if masking.by == "chance" and method.value("rescale") == "inverse":
            factor /= method.number("density")
        if not masking.elects:
            each = over_their_sum(weights) if method.value("normalize") else weights
            return cls(tuple(factor * weight for weight in each), None)
        if method.value("combine") == "sum":
            return cls(tuple(factor * weight for weight in weights), None)
        if any(weight < 0 for weight in weights):
            hint = "`combine: sum` divides by nothing, and takes weights below 0"
            refuse("a mean of those that agree needs weights above 0", hint)
        if len(weights) == 1:
            return cls((factor,), None)
        return cls(tuple(factor * weight for weight in weights), tuple(weights))

    def in_parts(self) -> tuple[tuple[int, ...], tuple[int, ...] | None, int]:
        """Return numerators, divisors and whole, exact where they fit `MAX_PARTS`.

        Whoever takes part, the base has what is left of the whole, so that a row needs room for twice its
        numerators beside the whole. What does not fit is rounded to the nearest.

        Examples
        --------
        >>> Amounts((Fraction(1, 2), Fraction(2)), (Fraction(1, 2), Fraction(2))).in_parts()
        ((1, 4), (1, 4), 5)
        >>> Amounts((Fraction("0.3"), Fraction("-0.5")), None).in_parts()
        ((3, -5), None, 10)
        """
        divisors = self.divisors or (Fraction(1),)
        unit = Fraction(lcm(*(one.denominator for one in (*self.terms, *divisors))))
        unit /= gcd(*(int(one * unit) for one in (*self.terms, *divisors)))
        least = 2 * sum(map(abs, self.terms), Fraction(0)) + sum(divisors, Fraction(0))
        if least * unit > MAX_PARTS:
            unit = (MAX_PARTS - 2 * len(self.terms) - len(divisors)) / least
            if self.divisors is None:  # the whole itself is as exact as can be
                unit = Fraction(1 << (floor(unit).bit_length() - 1)) if unit >= 1 else Fraction(0)
        numerators = tuple(round(one * unit) for one in self.terms)
        below = tuple(round(one * unit) for one in divisors)
        if not all(below) or any(one and not part for one, part in zip(self.terms, numerators, strict=True)):
            refuse("the weights are too far apart, or too large, for one whole", "bring them closer together")
        return numerators, None if self.divisors is None else below, sum(below)

    @property
    def is_exact(self) -> bool:
        """Whether they are parts as they are."""
        numerators, below, whole = self.in_parts()
        over = below or (whole,)
        terms = all(
            part * self.divisors[0] == one * over[0] if self.divisors else part == one * whole
            for part, one in zip(numerators, self.terms, strict=True)
        )
        ratios = self.divisors is None or all(
            part * self.divisors[0] == one * over[0] for part, one in zip(over, self.divisors, strict=True)
        )
        return terms and ratios


def keeps_all(method: Method) -> bool:
    """Whether no element of any ingredient is dropped."""
    return method.number("density") == 1


def kept(size: int, method: Method) -> int:
    """Return how many of `size` elements are kept by their size: the share rounded down, but one at least."""
    return max(1, floor(method.number("density") * size))


def ranks(size: int, method: Method) -> tuple[int, int]:
    """Return the rank of the smallest difference that is kept, and of the smallest one that is too large.

    1 is the largest, 0 none. Fewer are too large where more would leave too few.
    """
    count = kept(size, method)
    is_middle = MASKS[method.name].by == "middle"
    top = min(floor(method.number("gamma") * size), size - count) if is_middle else 0
    return top + count, top


def probability(method: Method) -> int:
    """Return in how many of 2^32 cases an element is kept."""
    return floor(method.number("density") * _WORDS)


def random_keep(digest: str, tensor: str, method: Method) -> Keep:
    """Return the mask of an ingredient whose tensor has this digest: nothing else of it decides."""
    told = json.dumps([_DOMAIN, int(method.number("seed")), digest, tensor], separators=(",", ":"))
    key = hashlib.sha256(told.encode()).digest()
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big"), probability(method)


def check_density(sizes: Sequence[int], method: Method) -> None:
    """Refuse a density that keeps nothing of any tensor."""
    density = method.number("density")
    largest = max(sizes, default=0)
    by_size = MASKS[method.name].by != "chance"
    if largest and (density * largest < 1 if by_size else not probability(method)):
        of_largest = f"of any tensor: the largest has {largest} elements"
        what = of_largest if by_size else "of anything: it is less than 2^-32"
        refuse(f"`{method.name}`: a density of {float(density):g} keeps nothing {what}")


def masks_of(
    amounts: Amounts, method: Method, keeps: Mapping[int, Keep], base: int, count: int
) -> tuple[Masks, int]:
    """Return the row of `count` ingredients, of which those at some places have masks, and its whole."""
    numerators, divisors, whole = amounts.in_parts()
    told, below = [0] * count, [0] * count
    for i, place in enumerate(keeps):
        told[place] = numerators[i]
        below[place] = 0 if divisors is None else divisors[i]
    return Masks(
        tuple(told),
        base,
        None if divisors is None else tuple(below),
        MASKS[method.name].elects and len(keeps) > 1,
        tuple(keeps.get(place) for place in range(count)),
    ), whole
