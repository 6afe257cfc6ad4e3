"""Deviations that respect rounding: a printed score stands for half a unit of its last digit either way.

A mean of n scores of d decimals that is further off than rounding explains is so by 1 / (2 n 10^d) at
least, and sums of floats are off by less than `SLACK`. So a case on the boundary falls on the side where
exact arithmetic puts it, for up to four decimals and some thousand parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from soce.scores.table import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from soce.scores.table import Column, Floats, ScoreTable

    Values: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
    Mask: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

SLACK: Final = 1e-10
"""What float arithmetic may add to a difference, relative to the scores."""
_MOST_ITEMS: Final = 2**31


@dataclass(frozen=True, slots=True)
class Deviation:
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
    table: ScoreTable, place: int, parts: Sequence[int], weights: Sequence[Fraction | float] | None = None
) -> Deviation:
    """Compare a column with the weighted sum of others, else their mean, within what rounding explains."""
    shares = np.full(len(parts), 1 / len(parts)) if weights is None else np.array([*map(float, weights)])
    printed, values = table.values[:, place], table.values[:, list(parts)]
    computed = values @ shares
    rows = ~np.isnan(printed) & ~np.isnan(computed)
    halves = np.array([table.columns[part].half_width for part in parts])
    tolerance = float(table.columns[place].half_width + np.abs(shares) @ halves)
    slack = SLACK * np.maximum(1.0, np.nanmax(np.abs(values), axis=1, initial=0.0))
    return Deviation(rows, computed, rows & (np.abs(printed - computed) > tolerance + slack), tolerance)


def means_of_others(values: Floats, columns: Sequence[Column]) -> Mask:
    """Return which columns are, in every row, the mean of all others, within what rounding explains.

    `values` has no missing scores.
    """
    n_others = len(columns) - 1
    halves = np.array([column.half_width for column in columns])
    means = (values.sum(axis=1, keepdims=True) - values) / n_others
    slack = SLACK * np.maximum(1.0, np.abs(values).max(axis=1, keepdims=True))
    tolerance = halves + (halves.sum() - halves) / n_others
    fits: Mask = (np.abs(values - means) <= tolerance + slack).all(axis=0)
    return fits


def not_whole(scores: Values, counts: Values | float, column: Column) -> tuple[Mask, Mask]:
    """Return where a count is known, and where the score is not a whole number of the items."""
    if column.scale is None:
        nothing = np.zeros(len(scores), dtype=np.bool_)
        return nothing, nothing
    full = FULL[column.scale]
    with np.errstate(invalid="ignore"):
        checked = (scores >= 0) & (scores <= full)
        checked &= (counts >= 1) & (counts < _MOST_ITEMS) & (counts == np.rint(counts))
    items = np.where(checked, counts, 1.0)
    right = np.where(checked, scores, 0.0) * items / full
    if column.decimals is None:
        return checked, np.abs(right - np.rint(right)) > np.maximum(10 * SLACK * items, 1e-6)
    nearest = full * np.rint(right) / items
    return checked, checked & (np.abs(nearest - scores) > column.half_width + SLACK * full)


def broken_items(table: ScoreTable, place: int) -> Mask:
    """Return where a score is no whole number of its items; nowhere if most scores of the column are none.

    Such a column is no share of right answers, as F1 and BLEU are not.
    """
    if table.counts is None:
        return np.zeros(len(table.models), dtype=np.bool_)
    checked, broken = not_whole(table.values[:, place], table.counts[:, place], table.columns[place])
    return broken & bool(2 * broken.sum() <= checked.sum())
