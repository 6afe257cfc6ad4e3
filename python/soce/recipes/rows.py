"""Rows of coefficients by tensor name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, TypeVar

from soce.files.words import counted
from soce.recipes.parts import check_not_negative, reduced_terms, refuse, refuse_zeros, to_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from soce.recipes.masks import Masks
    from soce.recipes.methods import Method

Number = TypeVar("Number", int, Fraction)
Plain: TypeAlias = tuple[tuple[int, ...], int]
"""Numerators, one per ingredient, and what they are divided by."""
Filters: TypeAlias = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
"""The same for each index of the first axis."""
Masked: TypeAlias = "tuple[Masks, int]"
"""The same element by element."""
Mix: TypeAlias = "Plain | Filters | Masked"


def is_plain(mix: Mix) -> TypeGuard[Plain]:
    """Return whether one set of numerators holds for every element."""
    return isinstance(mix[0], tuple) and isinstance(mix[1], int)


@dataclass(frozen=True, slots=True)
class Row:
    """The coefficients of every tensor whose name matches and that no earlier row matched."""

    pattern: str
    """Glob on tensor names: ``*`` is any run of characters, ``?`` any one."""
    numerators: tuple[int, ...]
    """One per ingredient, in their order; may be negative. With `filters` the sums of their sizes."""
    whole: int
    """What the numerators are divided by. With `filters` the sum of theirs."""
    asked: tuple[Fraction, ...] | None = field(default=None, compare=False)
    """The weights that the numerators are rounded from; None where they are exact."""
    filters: tuple[tuple[int, ...], ...] = ()
    """Numerators for each index of the first axis, of tensors that are not mixed as one."""
    wholes: tuple[int, ...] = ()
    """What those are divided by."""
    masks: Masks | None = None
    """Who takes part in which element, if not everyone in every one; the base's numerator is the whole."""

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
    def of_filters(cls, pattern: str, mixes: Iterable[tuple[Sequence[int], int]]) -> Row:
        """Return a row with numerators and whole for each index of the first axis, in lowest terms.

        Examples
        --------
        >>> row = Row.of_filters("w", [((2, 2), 4), ((3, -1), 2)])
        >>> row.filters, row.wholes, row.numerators, row.whole
        (((1, 1), (3, -1)), (2, 2), (4, 2), 4)
        """
        filters, wholes = zip(*(reduced_terms(*mix) for mix in mixes), strict=True)
        sizes = tuple(sum(map(abs, column)) for column in zip(*filters, strict=True))
        return cls(pattern, sizes, sum(wholes), filters=filters, wholes=wholes)

    @classmethod
    def of_masks(cls, pattern: str, masks: Masks, whole: int) -> Row:
        """Return a row in which ingredients take part element by element."""
        return cls(pattern, masks.parts(whole), whole, masks=masks)

    @property
    def mix(self) -> Mix:
        """Numerators and whole as the core takes them."""
        if self.masks is not None:
            return self.masks, self.whole
        return (self.filters, self.wholes) if self.filters else (self.numerators, self.whole)

    def over(self, into: Sequence[int], count: int) -> Row:
        """Return the row of `count` ingredients, of which those that go `into` one are added up."""
        if self.filters:
            mixes = zip(self.filters, self.wholes, strict=True)
            return Row.of_filters(self.pattern, [(spread(one, into, count), whole) for one, whole in mixes])
        if self.masks is not None:
            return Row.of_masks(self.pattern, self.masks.over(into, count), self.whole)
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
    if row.filters or row.masks is not None:
        return merged
    numerators, whole = reduced(merged.numerators, merged.whole)
    return replace(merged, numerators=numerators, whole=whole)


def spread(values: Sequence[Number], into: Sequence[int], count: int) -> tuple[Number, ...]:
    """Return `count` numbers: the sums of those that go `into` each."""
    sums: list[Number] = [type(values[0])(0)] * count
    for place, value in zip(into, values, strict=True):
        sums[place] += value
    return tuple(sums)
