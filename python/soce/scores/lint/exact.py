"""Comparisons that respect rounding: a printed score stands for an interval, intervals are compared exactly.

Scores reach us as floats, but a score printed with d decimals is an integer over 10^d. Where all columns
involved say how many decimals they print, everything is done in integers, so that a case on the boundary
falls on the side where exact arithmetic puts it. Scores that nobody rounded get a tolerance for float sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from soce.scores.table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import Column, Floats

    Values: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
    Integers: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    Mask: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

FULL: Final[dict[str | None, float]] = {"percent": 100.0, "unit": 1.0}
SLACK: Final = 1e-9
"""Relative tolerance for scores that were not rounded; below what ten printed digits can show."""
_MOST: Final = 2**62
_MOST_DECIMALS: Final = 15


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column against what others imply, row by row."""

    rows: Mask
    """Where both sides are there, shape (n_models,)."""
    computed: Values
    """NaN where a score is missing."""
    beyond: Mask
    """Where the difference is more than rounding explains."""
    tolerance: float
    """The largest difference that rounding explains."""


def compare(
    table: ScoreTable, place: int, parts: Sequence[int], weights: Sequence[Fraction] | None = None
) -> Comparison:
    """Compare a column with a weighted sum of others, within what rounding explains.

    Parameters
    ----------
    table : ScoreTable
    place : int
        Index of the column.
    parts : sequence of int
        Indices of the others.
    weights : sequence of Fraction, optional
        One per part; left out: their mean.
    """
    weights = [Fraction(1, len(parts))] * len(parts) if weights is None else list(weights)
    whole = lcm(*(weight.denominator for weight in weights))
    numerators = [weight.numerator * (whole // weight.denominator) for weight in weights]
    printed, values = table.values[:, place], table.values[:, list(parts)]
    columns = [table.columns[place], *(table.columns[part] for part in parts)]
    shares = np.array([float(weight) for weight in weights])
    computed = values @ shares
    rows = ~np.isnan(printed) & ~np.isnan(computed)
    tolerance = columns[0].half_width + sum(
        abs(share) * column.half_width for share, column in zip(shares, columns[1:], strict=True)
    )
    # |P - S| <= h_P + sum |w_i| h_i, times 2 * 10^decimals * whole: all integers.
    scaled = to_integers(table.values[:, [place, *parts]], columns)
    size = whole + sum(map(abs, numerators))
    if scaled is None or 4 * size * max(10, int(np.abs(scaled[0]).max(initial=0))) >= _MOST:
        slack = SLACK * np.maximum(1.0, np.nanmax(np.abs(values), axis=1, initial=0.0))
        with np.errstate(invalid="ignore"):
            beyond = rows & (np.abs(printed - computed) > tolerance + slack)
    else:
        integers, halves = scaled
        difference = 2 * (whole * integers[:, 0] - integers[:, 1:] @ np.array(numerators))
        allowed = whole * halves[0] + sum(
            abs(numerator) * half for numerator, half in zip(numerators, halves[1:], strict=True)
        )
        beyond = rows & (np.abs(difference) > allowed)
    return Comparison(rows, computed, beyond, float(tolerance))


def means_of_others(values: Floats, columns: Sequence[Column]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which columns are, in every row, the mean of all others, within what rounding explains.

    Parameters
    ----------
    values : array of shape (n_models, n_columns)
        Without missing scores.
    columns : sequence of Column

    Notes
    -----
    As `compare` for each column, but with one sum for all of them.
    """
    n_others = len(columns) - 1
    scaled = to_integers(values, columns)
    if scaled is None or 8 * len(columns) * max(10, int(np.abs(scaled[0]).max(initial=0))) >= _MOST:
        half = np.array([column.half_width for column in columns])
        difference = n_others * values - (values.sum(axis=1, keepdims=True) - values)
        slack = SLACK * np.maximum(1.0, np.abs(values).max(axis=1, keepdims=True))
        fits = np.abs(difference) <= n_others * (half + slack) + (half.sum() - half)
    else:
        integers = scaled[0]
        halves = np.array(scaled[1], dtype=np.int64)
        difference = 2 * (n_others * integers - (integers.sum(axis=1, keepdims=True) - integers))
        fits = np.abs(difference) <= n_others * halves + (halves.sum() - halves)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = fits.all(axis=0)
    return found


def to_integers(values: Floats, columns: Sequence[Column]) -> tuple[Integers, list[int]] | None:
    """Return printed scores as integers of the finest last digit, and half-widths in halves of that digit.

    None if a column does not say how many decimals it prints, or if an integer would not be exact.
    Missing scores become 0.
    """
    decimals = [column.decimals for column in columns]
    known = [count for count in decimals if count is not None]
    if len(known) < len(decimals) or max(known) > _MOST_DECIMALS or min(known) < 0:
        return None
    finest = max(known)
    with np.errstate(over="ignore"):
        scaled = np.rint(np.nan_to_num(values, nan=0.0) * 10.0**finest)
    if np.abs(scaled).max(initial=0.0) > 2**53:
        return None
    return scaled.astype(np.int64), [10 ** (finest - count) for count in known]


def whole_items(table: ScoreTable, place: int) -> tuple[Mask, Mask]:
    """Return where a count is known, and where the score is not a whole number of the items.

    Returns
    -------
    (checked, broken) : arrays of shape (n_models,)
    """
    column, values = table.columns[place], table.values[:, place]
    nothing = np.zeros(len(table.models), dtype=np.bool_)
    if table.counts is None or column.scale is None:
        return nothing, nothing
    counts = table.counts[:, place]
    full = FULL[column.scale]
    with np.errstate(invalid="ignore"):
        checked = (values >= 0) & (values <= full)
        checked &= (counts >= 1) & (counts < 2**31) & (counts == np.rint(counts))
    # Rejected: right = score / full * n rounded in floats, which misjudges scores on the edge of an interval.
    items = np.where(checked, counts, 1.0)
    if column.decimals is None or column.decimals > _MOST_DECIMALS:
        right = np.where(checked, values, 0.0) * items / full
        return checked, np.abs(right - np.rint(right)) > np.maximum(SLACK * items, 1e-6)
    digits = 10**column.decimals
    printed = np.rint(np.where(checked, values, 0.0) * digits)
    checked &= (printed * items < _MOST / 8) & (printed < 2**53)
    product = np.where(checked, printed, 0.0).astype(np.int64) * items.astype(np.int64)
    unit = int(full) * digits
    right = (2 * product + unit) // (2 * unit)
    # |full right / n - printed / digits| <= 1 / (2 digits)
    return checked, checked & (2 * np.abs(right * unit - product) > items.astype(np.int64))


def is_whole(score: float, n_items: int, column: Column) -> bool:
    """Whether a score can be a whole number of right answers out of `n_items`."""
    table = ScoreTable(("model",), (column,), np.array([[score]]), counts=np.array([[float(n_items)]]))
    return not whole_items(table, 0)[1].any()


def scale_of(column: Column, values: Floats | Values) -> str | None:
    """Return the scale that a column states, or that its scores show; None if they could be either."""
    if column.scale is not None:
        return column.scale
    present = values[~np.isnan(values)]
    if not present.size:
        return None
    if present.max() > 1:
        return "percent"
    return "unit" if ((present != 0) & (present != 1)).any() else None
