"""Pearson's rho between the rows of an array with holes; a pair's bits follow from its two rows alone.

A library of linear algebra adds up in an order that depends on its threads and on where a number stands in
the matrix. So it only gets sums here that are exact in every order, of numbers with few enough bits; products
are left to `numpy.einsum`, which has one loop for all. What another order of the models would differ in is
rounded away.
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

DECIMALS: Final = 12
"""Correlations that agree to so many decimals are equal: their differences are those of rounding."""
_ILL_CONDITIONED: Final = 2.0**-6
"""Below this share of its sum of squares a variance has lost digits: such pairs are computed one by one."""


def correlate_rows(scores: Floats, *, min_overlap: int) -> tuple[Floats, Integers]:
    """Return the correlation of every two rows over the places where neither is NaN.

    The models stand in an order that the caller makes canonical. First rho: symmetric, in [-1, 1], ones on
    the diagonal, to 12 decimals; NaN where a row has a single value on the shared places, or where these are
    fewer than `min_overlap`. Then how many places are shared.

    Examples
    --------
    >>> rho, n = correlate_rows(np.array([[1.0, 2, 3, np.nan], [2, 4, 6, 1]]), min_overlap=3)
    >>> rho[0, 1], n[0, 1]
    (np.float64(1.0), np.int64(3))
    """
    present = ~np.isnan(scores)
    mask = present.astype(np.float64)
    n = np.rint(mask @ mask.T).astype(np.int64)  # integers: exact in every order
    # The sum of n multiples of 2^-bits below 1 is never rounded.
    bits = 53 - (scores.shape[1] - 1).bit_length()
    values = _rounded(_deviations(scores, present), bits)
    products = _inner_products(values)  # (n_categories, n_categories)
    if present.all():
        sums = values.sum(axis=1, keepdims=True)  # (n_categories, 1)
        squares = np.diagonal(products)[:, np.newaxis]
    else:  # [i, j]: of row i over the places that it shares with row j
        sums = values @ mask.T
        squares = _rounded(values * values, bits) @ mask.T
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares - sums * sums / n
        rho = (products - sums * sums.T / n) / np.sqrt(variance * variance.T)
    # What is constant is decided by the scores, never by a variance.
    varies = np.fmin.reduce(scores, axis=1) < np.fmax.reduce(scores, axis=1)
    defined = (n >= min_overlap) & varies[:, np.newaxis] & varies
    # The largest number of a row is near 1: if it stands on no shared place, what is left may be tiny too.
    ill = ~(variance > _ILL_CONDITIONED * np.maximum(squares, 1.0))
    again = np.triu(defined & (ill | ill.T))
    for place in np.nonzero(again.any(axis=1))[0].tolist():
        others = np.nonzero(again[place])[0]
        rho[place, others] = rho[others, place] = _correlate_pairs(scores, present, place, others)
    rho = np.round(np.clip(rho, -1.0, 1.0), DECIMALS) + 0.0  # no -0.0
    rho[~defined] = np.nan
    np.fill_diagonal(rho, np.where(np.isnan(np.diagonal(rho)), np.nan, 1.0))
    return rho, n


def _rounded(values: Floats, bits: int) -> Floats:
    """Return the nearest multiples of 2^-bits."""
    return np.ldexp(np.rint(np.ldexp(values, bits)), -bits)


def _inner_products(values: Floats) -> Floats:
    """Return the inner product of every two rows, each pair by the same loop."""
    products = np.empty((len(values), len(values)))
    for place, row in enumerate(values):
        products[place, place:] = products[place:, place] = np.einsum("im,m->i", values[place:], row)
    return products


def _deviations(scores: Floats, present: Flags) -> Floats:
    """Return deviations from near each row's mean, 0 in holes, the largest between 0.5 and 1.

    The mean need not be exact, for the sums of the deviations are taken off later; powers of two are.
    """
    values = _scaled(np.where(present, scores, 0.0))
    mean = values.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return _scaled(np.where(present, values - mean, 0.0))


def _scaled(values: Floats) -> Floats:
    """Return each row times the power of two that brings its largest number to [0.5, 1)."""
    _, exponents = np.frexp(np.abs(values).max(axis=1, keepdims=True))
    scaled: Floats = np.ldexp(values, -exponents)
    return scaled


def _correlate_pairs(scores: Floats, present: Flags, place: int, others: Places) -> Line:
    """Return the correlation of one row with some others, each pair centred on the places that it shares."""
    shared = present[place] & present[others]  # (n_others, n_models)
    n = shared.sum(axis=1)
    first, second = np.broadcast_to(scores[place], shared.shape), scores[others]
    x, y = _deviations(first, shared), _deviations(second, shared)

    def covariance(x: Floats, y: Floats) -> Line:
        total: Line = (x * y).sum(axis=1) - x.sum(axis=1) * y.sum(axis=1) / n
        return total

    def varies(values: Floats) -> Flags:
        lowest = np.where(shared, values, np.inf).min(axis=1)
        flags: Flags = lowest < np.where(shared, values, -np.inf).max(axis=1)
        return flags

    with np.errstate(divide="ignore", invalid="ignore"):
        rho = covariance(x, y) / np.sqrt(covariance(x, x) * covariance(y, y))
    values: Line = np.where(varies(first) & varies(second), rho, np.nan)
    return values
