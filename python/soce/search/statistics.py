"""How sure a difference between two models on the same items is: paired bootstrap and exact McNemar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Outcomes = Mapping[str, Mapping[str, float]]

_CELLS: Final = 4_000_000
"""Numbers of a block of resamples: 32 MB."""


@dataclass(frozen=True, slots=True)
class PairedInterval(Plain):
    """A difference of two objectives on the same items, with its bootstrap interval."""

    difference: float
    """First minus second, in the objective's units."""
    low: float
    high: float
    level: float
    n_items: int
    draws: int
    seed: int


@dataclass(frozen=True, slots=True)
class McNemar(Plain):
    """Items that only one of two models solves, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def paired_bootstrap(
    first: Outcomes,
    second: Outcomes,
    *,
    weights: Mapping[str, float],
    geometric: Collection[str] = (),
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedInterval:
    """Return the percentile interval of the difference of a linear objective of two models.

    Items are resampled within each category, the same draw for both models, so that what makes an item hard
    for both cancels. The objective is the sum of weight times category mean, the geometric mean for geometric
    categories. The interval says how much the difference would move with other items of the same kind; it
    knows nothing of other benchmarks, nor of a search that chose one of the models on these items.
    """
    names = sorted(weights)
    pairs = [_paired(first, second, name) for name in names]
    rng = np.random.default_rng(seed)
    resampled = np.zeros((2, draws))
    observed = np.zeros(2)
    for name, outcomes in zip(names, pairs, strict=True):
        values = np.log(outcomes) if name in geometric else outcomes  # (2, n_items)
        n = values.shape[1]
        # Items with the same two outcomes are drawn together: the same law, with four numbers to draw instead
        # of one per item where outcomes are 0 or 1.
        kinds, frequencies = np.unique(values, axis=1, return_counts=True)  # (2, n_kinds), (n_kinds,)
        means = np.empty((2, draws))
        block = max(1, _CELLS // len(frequencies))
        for start in range(0, draws, block):
            size = min(block, draws - start)
            counts = rng.multinomial(n, frequencies / n, size=size)  # (size, n_kinds)
            means[:, start : start + size] = (kinds @ counts.T) / n
        exact = np.array([math.fsum(row) / n for row in values])
        if name in geometric:
            means, exact = np.exp(means), np.exp(exact)
        resampled += weights[name] * means
        observed += weights[name] * exact
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(resampled[0] - resampled[1], [tail, 100 - tail])
    n_items = sum(pair.shape[1] for pair in pairs)
    return PairedInterval(
        float(observed[0] - observed[1]), float(low), float(high), level, n_items, draws, seed
    )


def mcnemar(first: Outcomes, second: Outcomes) -> McNemar | None:
    """Return McNemar's exact test of two models on the same items; None unless all outcomes are 0 or 1.

    p = min(1, 2 Σ_{i ≤ min(b, c)} C(b + c, i) / 2^(b + c)), b and c the items that only one of them solves.

    Examples
    --------
    >>> ten_two = {"a": {str(i): float(i < 10) for i in range(12)}}
    >>> round(mcnemar(ten_two, {"a": {str(i): float(i >= 10) for i in range(12)}}).p, 10)
    0.0385742188
    """
    pairs = [_paired(first, second, name) for name in sorted(first)]
    if first.keys() != second.keys():
        refuse("the two models were scored in different categories")
    outcomes = np.concatenate(pairs, axis=1)
    if not np.isin(outcomes, (0.0, 1.0)).all():
        return None
    only_first = int((outcomes[0] > outcomes[1]).sum())
    only_second = int((outcomes[1] > outcomes[0]).sum())
    return McNemar(only_first, only_second, mcnemar_p(only_first, only_second))


def mcnemar_p(b: int, c: int) -> float:
    """Return the exact two-sided p-value of b against c discordant items; 1 if there are none."""
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(min(b, c), b + c).pvalue) if b + c else 1.0


def _paired(first: Outcomes, second: Outcomes, category: str) -> np.ndarray:
    """Return the outcomes of both on a category's items, in the items' sorted order, shape (2, n_items)."""
    one, other = first.get(category, {}), second.get(category, {})
    if not one:
        refuse(f"category `{shown(category)}` has no items")
    if one.keys() != other.keys():
        differing = sorted(one.keys() ^ other.keys())
        count = f"{len(differing)} item(s) were scored for one model only"
        refuse(f"category `{shown(category)}`: {count}, the first is `{shown(differing[0])}`")
    ids = sorted(one)
    return np.array([[one[item] for item in ids], [other[item] for item in ids]])
