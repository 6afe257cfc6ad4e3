"""Lengths and angles of some vectors, from their squares alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Vectors:
    """One tensor of each ingredient, known by squares only.

    Sums of floats are rounded once (`math.fsum`), so that no order of ingredients changes a bit.
    """

    own: tuple[float, ...]
    """The square of each length."""
    apart: tuple[tuple[float, ...], ...]
    """The square of each distance, a symmetric table."""

    @classmethod
    def of(cls, squares: Iterable[float], count: int) -> Vectors:
        """Take apart the squares of `count` vectors as the core orders them: (0, 0), (0, 1), …, (1, 1), …."""
        told = iter(map(float, squares))
        table = [[0.0] * count for _ in range(count)]
        own = []
        for i in range(count):
            own.append(next(told))
            for j in range(i + 1, count):
                table[i][j] = table[j][i] = next(told)
        return cls(tuple(own), tuple(map(tuple, table)))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.own)

    def chosen(self, places: Sequence[int]) -> Vectors:
        """Return some of them, in this order."""
        apart = tuple(tuple(self.apart[i][j] for j in places) for i in places)
        return Vectors(tuple(self.own[i] for i in places), apart)

    def seen_from(self, origin: int) -> Vectors:
        """Return the differences of all others to one of them."""
        others = [i for i in range(len(self)) if i != origin]
        return Vectors(self.apart[origin], self.apart).chosen(others)

    def length(self, i: int) -> float:
        """Return the length of one."""
        return math.sqrt(self.own[i])

    def half_chord(self, i: int, j: int) -> float:
        """Return sin²(θ/2) of the angle between two that are not zero, as exactly for small ones.

        Of lengths that differ by orders of magnitude that many digits are lost.
        """
        a, b = self.length(i), self.length(j)
        return min(1.0, max(0.0, (self.apart[i][j] - (a - b) ** 2) / (4 * a * b)))

    def angle(self, i: int, j: int) -> float:
        """Return the angle between two that are not zero, from 0 to π."""
        half = self.half_chord(i, j)
        return 2 * math.atan2(math.sqrt(half), math.sqrt(1 - half))

    def cosine(self, i: int, j: int) -> float:
        """Return the cosine between two that are not zero."""
        return 1 - 2 * self.half_chord(i, j)

    def directions(self) -> Vectors:
        """Return all brought to length 1; those that are zero stay zero."""
        units = tuple(float(square > 0) for square in self.own)
        count = range(len(self))
        return Vectors(
            units,
            tuple(
                tuple(
                    4 * self.half_chord(i, j) if units[i] and units[j] else max(units[i], units[j])
                    for j in count
                )
                for i in count
            ),
        )

    def square_of(self, coefficients: Sequence[float]) -> float:
        """Return the squared length of a combination, without cancelling where coefficients sum to zero."""
        total = math.fsum(coefficients)
        count = len(self)
        own = (total * one * square for one, square in zip(coefficients, self.own, strict=True))
        between = (
            -coefficients[i] * coefficients[j] * self.apart[i][j]
            for i in range(count)
            for j in range(i + 1, count)
        )
        return max(0.0, math.fsum((*own, *between)))

    def with_combination(self, coefficients: Sequence[float], place: int) -> float:
        """Return the inner product of a combination with one of them."""
        one = self.own[place]
        products = (
            factor * (square + one - apart) / 2
            for factor, square, apart in zip(coefficients, self.own, self.apart[place], strict=True)
        )
        return math.fsum(products)
