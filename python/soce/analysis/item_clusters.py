"""Clusters of items by direction: k-means, what the clusters explain, how alike two partitions are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from scipy.cluster.vq import kmeans, vq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from soce.scores.table import Floats

    Labels: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]
    Flags: TypeAlias = np.ndarray[tuple[int], np.dtype[np.bool_]]
    Column: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

FOLDS: Final = 10
FEW_STARTS: Final = 3
"""Of the clusterings that are made again and again; the one that is returned has 20."""
_DIGITS: Final = 12
_TIE: Final = 1e-12
"""A step that makes clusters tighter by less is the last one."""


@dataclass(frozen=True, eq=False, slots=True)
class Clustering:
    """Clusters of rows: the label of each, and centres of shape (n_clusters, n_columns)."""

    labels: Labels
    centres: Floats

    def nearest(self, rows: Floats) -> Labels:
        """Return the cluster of each of other rows of the same columns."""
        return vq(directions(rows), self.centres)[0].astype(np.intp)


def varying(rows: Floats) -> Flags:
    """Return which rows are not constant, and so have a direction."""
    flags: Flags = rows.min(axis=1) < rows.max(axis=1)
    return flags


def directions(rows: Floats) -> Floats:
    """Return each row minus its mean, scaled to length 1. No row may be constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    unit: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return np.round(unit, _DIGITS)  # directions that are equal but for rounding count as one


def n_directions(rows: Floats) -> int:
    """Return how many different directions rows have, none of which is constant."""
    return len(np.unique(directions(rows), axis=0))


def cluster_directions(
    rows: Floats, clusters: int, *, seed: int, starts: int = FEW_STARTS
) -> Clustering | None:
    """Return the tightest k-means clustering of rows by direction from so many starts.

    No row may be constant; None if they have fewer directions than `clusters`.
    """
    points = directions(rows)
    different = np.unique(points, axis=0)
    if len(different) < clusters:
        return None
    attempts = []
    for start in range(starts):
        rng = np.random.default_rng([seed, start])
        first = different[rng.choice(len(different), clusters, replace=False)]
        centres, distance = kmeans(points, first, thresh=_TIE)
        attempts.append((-len(centres), float(distance), start, centres))  # it drops clusters that lose all
    centres = min(attempts, key=lambda one: one[:3])[3]
    return Clustering(vq(points, centres)[0].astype(np.intp), centres)


def explained_aside(
    rows: Floats, numbers: Iterable[int], *, seed: int, on_done: Callable[[], object]
) -> dict[int, list[float]]:
    """Return how well clusters made without a column explain it, for each number of clusters.

    Columns are put aside in `FOLDS` groups, and `on_done` is called after each. The lists hold the adjusted
    R² of each column that varies, the same columns for all numbers; they are empty for a number for which
    some set of the other columns leaves too few rows or directions.
    """
    n_columns = rows.shape[1]
    order = np.random.default_rng([seed, 2]).permutation(n_columns)
    explained: dict[int, list[float] | None] = {number: [] for number in numbers}
    for fold in range(min(FOLDS, n_columns)):
        aside = np.sort(order[fold::FOLDS])
        others = np.delete(rows, aside, axis=1)
        has_direction = varying(others)
        columns = rows[np.ix_(has_direction, aside)].T  # (n_aside, n_varying)
        for number, values in explained.items():
            clustering = cluster_directions(others[has_direction], number, seed=seed + fold)
            if values is None or clustering is None or len(clustering.labels) <= number:
                explained[number] = None
            else:
                varied = columns[varying(columns)]
                values += [_explained(column, clustering.labels, number) for column in varied]
        on_done()
    return {number: values or [] for number, values in explained.items()}


def _explained(values: Column, labels: Labels, clusters: int) -> float:
    """Return the adjusted R² of values, which are not all equal, by clusters."""
    n = len(values)
    sizes = np.bincount(labels, minlength=clusters)
    means = np.bincount(labels, values, minlength=clusters) / np.maximum(sizes, 1)
    within = np.square(values - means[labels]).sum() / (n - clusters)
    return float(1 - within / values.var(ddof=1))


def adjusted_rand_index(first: Labels, second: Labels) -> float:
    """Return how alike two partitions are: 1 if they are the same, 0 on average if one is drawn by chance.

    It is 1 if both put everything into one part, or everything apart (Hubert and Arabie, 1985).

    Examples
    --------
    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    cells = np.zeros((first.max() + 1, second.max() + 1), dtype=np.int64)
    np.add.at(cells, (first, second), 1)
    together, one, other, every = (
        int((sizes * (sizes - 1) // 2).sum())
        for sizes in (cells, cells.sum(axis=1), cells.sum(axis=0), np.array(len(first)))
    )
    # (together - expected) / (most - expected), multiplied by 2 every: whole numbers until the last step.
    denominator = (one + other) * every - 2 * one * other
    return 2 * (together * every - one * other) / denominator if denominator else 1.0
