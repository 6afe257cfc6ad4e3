"""Scores as the fractions that they stand for, so that what is equal compares as equal."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_DENOMINATOR: Final = 1_000_000
"""Of the fractions that floats stand for: shares of so many items, numbers of six decimals."""


def meant_by(numbers: Iterable[float]) -> list[Fraction]:
    """Return the fractions that floats stand for, which two roundings at most have made floats of.

    That is the fraction within two units in the last place whose denominator is at most
    `LARGEST_DENOMINATOR`: two thirds for 2 / 3, three tenths for 0.1 + 0.2. Where there is none, as for most
    measured values, it is the float itself. A larger float never stands for a smaller fraction.

    Examples
    --------
    >>> [str(one) for one in meant_by([78.45, 2 / 3, 0.1 + 0.2, 100 * (1 / 3)])]
    ['1569/20', '2/3', '3/10', '100/3']
    """
    given = np.fromiter(numbers, np.float64)
    return [Fraction(*parts) for parts in _numerators_and_denominators(given)]


def exact_sum(numbers: Iterable[float]) -> Fraction:
    """Return the sum of the fractions that floats stand for, see `meant_by`; no order changes it.

    Examples
    --------
    >>> exact_sum([0.1, 0.2]), exact_sum([1 / 3] * 3)
    (Fraction(3, 10), Fraction(1, 1))
    """
    values, counts = np.unique(np.fromiter(numbers, np.float64), return_counts=True)
    if (values == np.floor(values)).all():  # as most outcomes are, 0 and 1: each stands for itself
        return Fraction(sum(int(value) * count for value, count in zip(values, counts.tolist(), strict=True)))
    numerators: Counter[int] = Counter()  # denominator → sum of the numerators over it
    for (top, bottom), count in zip(_numerators_and_denominators(values), counts.tolist(), strict=True):
        numerators[bottom] += count * top
    return sum((Fraction(top, bottom) for bottom, top in numerators.items()), Fraction(0))


def _numerators_and_denominators(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Return what `meant_by` says, as pairs of integers.

    The candidates are the convergents of the continued fraction: whatever lies nearer to the float than
    1 / (2 q^2), q its denominator, is one of them (Legendre). Below 1000 two units in the last place are less
    than half of that, so no two candidates are as near. All are followed at once, those left shrink quickly.
    """
    found = [(0, 0)] * len(numbers)
    size = np.abs(numbers)
    # What is smaller is near no such fraction; numerators of what is larger may be integers that floats skip.
    places = np.flatnonzero((size == 0) | ((size > 0.5 / LARGEST_DENOMINATOR) & (size < 2.0**32)))
    number = rest = numbers[places]
    before, top = np.zeros_like(rest), np.ones_like(rest)  # numerators of the last two convergents
    under, bottom = np.ones_like(rest), np.zeros_like(rest)  # and their denominators
    while places.size:
        whole = np.floor(rest)
        before, top = top, whole * top + before
        under, bottom = bottom, whole * bottom + under
        is_allowed = bottom <= LARGEST_DENOMINATOR
        is_met = is_allowed & (np.abs(top / bottom - number) <= 2 * np.spacing(np.abs(number)))
        for place, above, below in zip(
            places[is_met].tolist(), top[is_met].tolist(), bottom[is_met].tolist(), strict=True
        ):
            found[place] = int(above), int(below)
        goes_on = is_allowed & ~is_met & (rest != whole)
        before, top, under, bottom, places, number = (
            one[goes_on] for one in (before, top, under, bottom, places, number)
        )
        rest = 1 / (rest - whole)[goes_on]
    return [
        parts if parts[1] else number.as_integer_ratio()
        for parts, number in zip(found, numbers.tolist(), strict=True)
    ]
