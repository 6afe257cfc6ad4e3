"""Pearson's rho between the rows of an array with holes, as matrix products whose bits nothing can change.

A library of linear algebra adds up in an order that depends on its threads, on the processor and on where a
number stands in the matrix. So it only gets sums here that are exact in every order: numbers are split into
slices of so few bits that no product and no sum of them is ever rounded (the scheme of Ozaki and others).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from soce.scores.table import Floats

    Integers: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]
    Flags: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    Line: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
    Places: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]

_ILL_CONDITIONED: Final = 2.0**-12
"""Below this share of its sum of squares a variance has lost digits: such pairs are computed one by one."""


def correlate_rows(scores: Floats, *, min_overlap: int) -> tuple[Floats, Integers]:
    """Return the correlation of every two rows over the places where neither is NaN.

    Parameters
    ----------
    scores : array of shape (n_categories, n_models)
        In an order of models that the caller makes canonical.
    min_overlap : int
        Fewest shared places that define a correlation.

    Returns
    -------
    rho : array of shape (n_categories, n_categories)
        Symmetric, in [-1, 1], ones on the diagonal; NaN where a row has a single value on the shared places,
        or where these are too few.
    n : array of shape (n_categories, n_categories)
        Number of shared places.

    Examples
    --------
    >>> rho, n = correlate_rows(np.array([[1.0, 2, 3, np.nan], [2, 4, 6, 1]]), min_overlap=3)
    >>> rho[0, 1], n[0, 1]
    (np.float64(1.0), np.int64(3))
    """
    present = ~np.isnan(scores)
    n = _count_shared(present)
    moved = _centre(_scale(np.where(present, scores, 0.0)), present)
    products = _inner_products(moved)  # (n_categories, n_categories)
    if present.all():
        sums = moved.sum(axis=1, keepdims=True)  # (n_categories, 1)
        squares = np.diagonal(products)[:, np.newaxis]
    else:
        # [i, j]: of row i over the places that it shares with row j.
        mask = present.astype(np.float64)
        sums = _exact_sums(moved, mask)
        squares = _exact_sums(np.square(moved), mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares - sums * sums / n
        rho = (products - sums * sums.T / n) / np.sqrt(variance * variance.T)
    defined = n >= min_overlap
    # What is constant is decided by the scores, never by a variance.
    varies = np.fmin.reduce(scores, axis=1) < np.fmax.reduce(scores, axis=1)
    defined &= varies[:, np.newaxis] & varies
    # The largest number of a row is near 1: if it stands on no shared place, what is left may be tiny too.
    ill = ~(variance > _ILL_CONDITIONED * np.maximum(squares, 1.0))
    again = np.triu(defined & (ill | ill.T))
    for place in np.nonzero(again.any(axis=1))[0].tolist():
        others = np.nonzero(again[place])[0]
        values = _correlate_again(scores, present, place, others)
        rho[place, others] = values
        rho[others, place] = values
    rho[~defined] = np.nan
    rho = np.clip(rho, -1.0, 1.0)
    np.fill_diagonal(rho, np.where(np.isnan(np.diagonal(rho)), np.nan, 1.0))
    return rho, n


def _count_shared(present: Flags) -> Integers:
    """Return how many places every two rows share; 32 bits count to 2^24 exactly, in half the time."""
    mask = present.astype("float32" if present.shape[1] < 1 << 24 else "float64")
    counts: Integers = np.rint(mask @ mask.T).astype(np.int64)
    return counts


def _scale(values: Floats) -> Floats:
    """Return each row times the power of two that brings its largest number to [0.5, 1)."""
    _, exponents = np.frexp(np.abs(values).max(axis=1, keepdims=True))
    scaled: Floats = np.ldexp(values, -exponents)
    return scaled


def _centre(values: Floats, present: Flags) -> Floats:
    """Return deviations from each row's mean, 0 in holes, scaled; the mean need not be exact here."""
    mean = values.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return _scale(np.where(present, values - mean, 0.0))


def _split(values: Floats, bits: int) -> tuple[Floats, Floats]:
    """Return numbers of at most 1 as multiples of 2^-bits, and the rest, which is half of that at most."""
    large = 1.5 * 2.0 ** (52 - bits)
    high: Floats = (values + large) - large
    return high, values - high


def _inner_products(values: Floats) -> Floats:
    """Return the inner products of the rows, numbers of at most 1, to the last bits of a float."""
    # n products of two slices sum to less than 2^53 units of their last place, so exactly.
    bits = (53 - (values.shape[1] - 1).bit_length()) // 2
    high, rest = _split(values, bits)
    middle, rest = _split(rest, 2 * bits)
    low, _ = _split(rest, 3 * bits)
    cross = high @ middle.T
    small = high @ low.T
    products: Floats = (high @ high.T + (cross + cross.T)) + (middle @ middle.T + (small + small.T))
    return products


def _exact_sums(values: Floats, mask: Floats) -> Floats:
    """Return the sum of each row of `values`, numbers of at most 1, over the places of each row of `mask`."""
    bits = 53 - (values.shape[1] - 1).bit_length()
    high, rest = _split(values, bits)
    low, _ = _split(rest, 2 * bits)
    sums: Floats = high @ mask.T + low @ mask.T
    return sums


def _correlate_again(scores: Floats, present: Flags, place: int, others: Places) -> Line:
    """Return the correlation of one row with some others, each pair centred on the places that it shares."""
    shared = present[place] & present[others]  # (n_others, n_models)
    first, first_varies = _deviations(np.broadcast_to(scores[place], shared.shape), shared)
    second, second_varies = _deviations(scores[others], shared)
    n = shared.sum(axis=1)

    def covariance(x: Floats, y: Floats) -> Line:
        total: Line = (x * y).sum(axis=1) - x.sum(axis=1) * y.sum(axis=1) / n
        return total

    with np.errstate(divide="ignore", invalid="ignore"):
        rho = covariance(first, second) / np.sqrt(covariance(first, first) * covariance(second, second))
    values: Line = np.where(first_varies & second_varies, rho, np.nan)
    return values


def _deviations(values: Floats, shared: Flags) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return deviations from the mean over the shared places, and which rows vary there."""
    lowest = np.where(shared, values, np.inf).min(axis=1)
    highest = np.where(shared, values, -np.inf).max(axis=1)
    return _centre(_scale(np.where(shared, values, 0.0)), shared), lowest < highest
