"""Rows of coefficients by tensor name."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, TypeVar

from soce.files.words import counted
from soce.recipes.parts import check_not_negative, reduced_terms, refuse, refuse_zeros, to_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.recipes.methods import Method

Number = TypeVar("Number", int, Fraction)


@dataclass(frozen=True, slots=True)
class Row:
    """The coefficients of every tensor whose name matches and that no earlier row matched."""

    pattern: str
    """Glob on tensor names: ``*`` is any run of characters, ``?`` any one."""
    numerators: tuple[int, ...]
    """One per ingredient, in their order; may be negative."""
    whole: int
    """What the numerators are divided by."""
    asked: tuple[Fraction, ...] | None = field(default=None, compare=False)
    """The weights that the numerators are rounded from; None where they are exact."""

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
    asked = None if row.asked is None else spread(row.asked, into, count)
    return Row(row.pattern, *reduced(spread(row.numerators, into, count), row.whole), asked)


def spread(values: Sequence[Number], into: Sequence[int], count: int) -> tuple[Number, ...]:
    """Return `count` numbers: the sums of those that go `into` each."""
    sums: list[Number] = [type(values[0])(0)] * count
    for place, value in zip(into, values, strict=True):
        sums[place] += value
    return tuple(sums)
