"""Rows of coefficients by tensor name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from math import gcd, lcm
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from soce.files.words import counted
from soce.recipes.parts import check_not_negative, reduced_terms, refuse, refuse_zeros, to_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.recipes.methods import Method

Number = TypeVar("Number", int, Fraction)
Mix: TypeAlias = tuple[tuple[int, ...] | tuple[tuple[int, ...], ...], int]
"""Numerators, one per ingredient or as many for each index of the first axis, and their whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """The coefficients of every tensor whose name matches and that no earlier row matched."""

    pattern: str
    """Glob on tensor names: ``*`` is any run of characters, ``?`` any one."""
    numerators: tuple[int, ...]
    """One per ingredient, in their order; may be negative. With `filters` the sums of their sizes."""
    whole: int
    """What the numerators are divided by."""
    asked: tuple[Fraction, ...] | None = field(default=None, compare=False)
    """The weights that the numerators are rounded from; None where they are exact."""
    filters: tuple[tuple[int, ...], ...] = ()
    """Numerators for each index of the first axis, of tensors that are not mixed as one."""

    @classmethod
    def of_weights(cls, pattern: str, weights: Sequence[Fraction]) -> Row:
        """Return the row of an average."""
        parts, total = to_parts(weights), sum(weights)
        exact = all(part * total == weight * sum(parts) for part, weight in zip(parts, weights, strict=True))
        return cls(pattern, parts, sum(parts), None if exact else tuple(weights))

    @classmethod
    def of_method(cls, pattern: str, weights: Sequence[Fraction], method: Method) -> Row:
        """Return the weights that a method takes, exactly: parts of their sum, or coefficients."""
        total = Fraction(1)
        if method.definition.weights != "coefficients":
            check_not_negative(weights)
            total = sum(weights, Fraction(0)) or refuse_zeros()
        unit = lcm(total.denominator, *(weight.denominator for weight in weights))
        return cls(pattern, *reduced_terms([int(weight * unit) for weight in weights], int(total * unit)))

    @classmethod
    def of_filters(cls, pattern: str, filters: Sequence[Sequence[int]], whole: int) -> Row:
        """Return a row with numerators for each index of the first axis, in lowest terms.

        Examples
        --------
        >>> row = Row.of_filters("w", [(2, 2), (6, -2)], 4)
        >>> row.filters, row.numerators, row.whole
        (((1, 1), (3, -1)), (4, 2), 2)
        """
        divisor = gcd(whole, *chain.from_iterable(filters))
        reduced = tuple(tuple(numerator // divisor for numerator in one) for one in filters)
        sizes = tuple(sum(map(abs, column)) for column in zip(*reduced, strict=True))
        return cls(pattern, sizes, whole // divisor, filters=reduced)

    @property
    def mix(self) -> Mix:
        """Numerators and whole as the core takes them."""
        return self.filters or self.numerators, self.whole

    def over(self, into: Sequence[int], count: int) -> Row:
        """Return the row of `count` ingredients, of which those that go `into` one are added up."""
        if self.filters:
            filters = [spread(one, into, count) for one in self.filters]
            return Row.of_filters(self.pattern, filters, self.whole)
        asked = None if self.asked is None else spread(self.asked, into, count)
        return Row(self.pattern, spread(self.numerators, into, count), self.whole, asked)

    @property
    def weights(self) -> tuple[Fraction, ...]:
        """The numerators over their whole."""
        return tuple(Fraction(numerator, self.whole) for numerator in self.numerators)


def merged_row(
    row: Row,
    into: Sequence[int],
    count: int,
    reduced: Callable[[Sequence[int], int], tuple[tuple[int, ...], int]],
) -> Row:
    """Return `row` with the numerators of ingredients given twice added up, in lowest terms."""
    if len(row.numerators) != len(into):
        got = counted(len(row.numerators), "numerator")
        refuse(f"row `{row.pattern}` has {got} for {counted(len(into), 'ingredient')}")
    if not row.pattern:
        refuse("a row has an empty pattern", "`*` matches every tensor")
    merged = row.over(into, count)
    if row.filters:
        return merged
    numerators, whole = reduced(merged.numerators, merged.whole)
    return replace(merged, numerators=numerators, whole=whole)


def spread(values: Sequence[Number], into: Sequence[int], count: int) -> tuple[Number, ...]:
    """Return `count` numbers: the sums of those that go `into` each."""
    sums: list[Number] = [type(values[0])(0)] * count
    for place, value in zip(into, values, strict=True):
        sums[place] += value
    return tuple(sums)
