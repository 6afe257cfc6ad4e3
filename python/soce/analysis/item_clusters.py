"""Clusters of items by direction: k-means, what the clusters explain, how alike two partitions are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from scipy.cluster.vq import kmeans, vq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from soce.scores.table import Floats

    Labels: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]
    Counts: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]

FOLDS: Final = 10
FEW_STARTS: Final = 3
"""Of the clusterings that are made again and again; the one that is returned has 20."""
_DIGITS: Final = 12
_TIE: Final = 1e-12
"""A step that makes clusters tighter by less is the last one."""


@dataclass(frozen=True, eq=False, slots=True)
class Clustering:
    """Clusters of rows."""

    labels: Labels
    """Of each row."""
    centres: Floats
    """Of shape (n_clusters, n_columns)."""

    def nearest(self, rows: Floats) -> Labels:
        """Return the cluster of each of other rows of the same columns."""
        return vq(directions(rows), self.centres)[0].astype(np.intp)


def directions(rows: Floats) -> Floats:
    """Return each row minus its mean, scaled to length 1. No row may be constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    unit: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return np.round(unit, _DIGITS)  # directions that are equal but for rounding count as one


def cluster_directions(
    rows: Floats, counts: Counts, clusters: int, *, seed: int, starts: int = 20
) -> Clustering:
    """Return the tightest of some k-means clusterings of rows by direction.

    Parameters
    ----------
    rows : array of shape (n_rows, n_columns)
        Different rows in a fixed order, none constant, of at least `clusters` directions.
    counts : array of shape (n_rows,)
        How often each row occurs.
    clusters, seed, starts : int
        Number of clusters, seed of the starts, how many.
    """
    unit = directions(rows)
    points, different = np.repeat(unit, counts, axis=0), np.unique(unit, axis=0)
    found = []
    for start in range(starts):
        rng = np.random.default_rng([seed, start])
        first = different[rng.choice(len(different), clusters, replace=False)]
        centres, distance = kmeans(points, first, thresh=_TIE)
        found.append((-len(centres), float(distance), start, centres))  # it drops clusters that lose all
    centres = min(found, key=lambda one: one[:3])[3]
    return Clustering(vq(unit, centres)[0].astype(np.intp), centres)


def n_directions(rows: Floats) -> int:
    """Return how many different directions rows have, none of which is constant."""
    return len(np.unique(directions(rows), axis=0))


def explained_aside(
    rows: Floats,
    counts: Counts,
    numbers: Iterable[int],
    *,
    seed: int,
    on_done: Callable[[], object] = lambda: None,
) -> dict[int, list[float]]:
    """Return how well clusters made without a column explain it, for each number of clusters.

    Parameters
    ----------
    rows, counts : arrays of shape (n_rows, n_columns) and (n_rows,)
        As for `cluster_directions`.
    numbers : iterable of int
        Numbers of clusters.
    seed : int
    on_done : callable
        Called `FOLDS` times at most, whenever some columns were put aside.

    Returns
    -------
    dict of int to list of float
        Adjusted R² of each column that varies, the same columns for all numbers. Empty for a number for which
        some set of the other columns has too few directions.
    """
    n_columns = rows.shape[1]
    order = np.random.default_rng([seed, 2]).permutation(n_columns)
    groups = [np.sort(order[start::FOLDS]) for start in range(min(FOLDS, n_columns))]
    found: dict[int, list[float]] = {number: [] for number in numbers}
    impossible: set[int] = set()
    for place, aside in enumerate(groups):
        others = np.setdiff1d(np.arange(n_columns), aside)
        train = rows[:, others]
        varies = train.min(axis=1) < train.max(axis=1)
        different = n_directions(train[varies]) if varies.any() else 0
        for number, values in found.items():
            if number > different:
                impossible.add(number)
                continue
            made = cluster_directions(
                train[varies], counts[varies], number, seed=seed + place, starts=FEW_STARTS
            )
            times = counts[varies].astype(np.float64)
            for column in aside.tolist():
                value = _explained(rows[varies, column], made.labels, times, number)
                if value is not None:
                    values.append(value)
        on_done()
    return {number: [] if number in impossible else values for number, values in found.items()}


def _explained(
    values: np.ndarray[Any, np.dtype[np.float64]], labels: Labels, times: Floats, clusters: int
) -> float | None:
    """Return the adjusted R² of values by clusters; None if all are equal or there are too few."""
    n = float(times.sum())
    if n <= clusters or values.min() == values.max():
        return None
    mean = float((times * values).sum()) / n
    total = float((times * (values - mean) ** 2).sum())
    sizes = np.bincount(labels, times, minlength=clusters)
    means = np.bincount(labels, times * values, minlength=clusters) / np.maximum(sizes, 1.0)
    within = float((times * (values - means[labels]) ** 2).sum())
    return 1 - (within / (n - clusters)) / (total / (n - 1))


def adjusted_rand_index(first: Labels, second: Labels, counts: Counts | None = None) -> float:
    """Return how alike two partitions are: 1 if they are the same, 0 on average if one is drawn by chance.

    Parameters
    ----------
    first, second : arrays of shape (n_rows,)
        Labels.
    counts : array of shape (n_rows,), optional
        How often each row occurs; once if left out.

    Returns
    -------
    float
        1 if both put everything into one part, or everything apart.

    References
    ----------
    .. [1] L. Hubert and P. Arabie, "Comparing partitions", 1985.

    Examples
    --------
    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    times = np.ones(len(first), dtype=np.intp) if counts is None else counts
    cells: dict[tuple[int, int], int] = {}
    for one, other, n in zip(first.tolist(), second.tolist(), times.tolist(), strict=True):
        cells[one, other] = cells.get((one, other), 0) + n
    rows: dict[int, int] = {}
    columns: dict[int, int] = {}
    for (one, other), n in cells.items():
        rows[one] = rows.get(one, 0) + n
        columns[other] = columns.get(other, 0) + n

    def pairs(sizes: dict[Any, int]) -> int:
        return sum(n * (n - 1) // 2 for n in sizes.values())

    total = int(times.sum())
    all_pairs = total * (total - 1) // 2
    together, one_pairs, other_pairs = pairs(cells), pairs(rows), pairs(columns)
    # (together - expected) / (most - expected), multiplied by 2 all_pairs: whole numbers until the last step.
    numerator = 2 * (together * all_pairs - one_pairs * other_pairs)
    denominator = (one_pairs + other_pairs) * all_pairs - 2 * one_pairs * other_pairs
    return numerator / denominator if denominator else 1.0
