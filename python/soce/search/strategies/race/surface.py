"""A smooth surface through noisy means: it says which soup to look at first, and decides nothing."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def smooth(
    shares: NDArray[np.float64], means: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values of the quadratic over the simplex that fits best; the means if it has room for all.

    Scheffé's polynomial: shares p_i and products p_i p_j, which no constant and no square add anything to.

    Parameters
    ----------
    shares : array of shape (n_soups, n_models)
        Weights of each soup.
    means, counts : array of shape (n_soups,)
        Its mean, and of how many items it is.

    Examples
    --------
    >>> shares = np.array([[place / 4, 1 - place / 4] for place in range(5)])
    >>> smooth(shares, np.array([0.0, 0.3, 0.4, 0.3, 0.0]), np.ones(5)).round(2).tolist()
    [0.0, 0.3, 0.4, 0.3, 0.0]
    """
    pairs = [shares[:, i] * shares[:, j] for i, j in combinations(range(shares.shape[1]), 2)]
    terms = np.column_stack([shares, *pairs])
    if terms.shape[1] >= len(terms):
        return means
    root = np.sqrt(counts)
    found = np.linalg.lstsq(terms * root[:, None], means * root, rcond=None)[0]
    # Libraries of linear algebra differ in the last bits.
    fitted: NDArray[np.float64] = np.round(terms @ found, 9) + 0.0  # no -0
    return fitted
