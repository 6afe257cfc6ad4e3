"""A paired interval of a weighted sum of category means, which holds with few items too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evidence.per_item import full_marks, paired_differences, weighted_difference
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class PairedInterval(Plain):
    """A difference of two objectives on the same items, with its interval."""

    difference: float
    """First minus second, in the objective's units."""
    low: float
    high: float
    level: float
    n_items: int
    """Of the categories that have weight."""
    fewest: int
    """Items of the smallest of them."""
    degrees: float
    """Degrees of freedom of the t quantile."""
    widened: tuple[str, ...] = ()
    """Categories that show no spread: one item, or all differences equal."""


def paired_interval(
    first: Evaluation, second: Evaluation, *, weights: Mapping[str, Fraction], level: float = 0.95
) -> PairedInterval:
    """Return the interval of the sum of weight times difference of the scores, first minus second."""
    used = {category: weight for category, weight in weights.items() if weight}
    if not used:
        refuse("no category has a weight")
    found = {category: paired_differences(first, second, category) for category in sorted(used)}
    counts = {category: differences.total() for category, differences in found.items()}
    squares = {category: _squares(differences) for category, differences in found.items()}
    widened = tuple(category for category, square in squares.items() if not square)
    prior = {c: float(used[c]) ** 2 / counts[c] for c in found}
    shares = {c: prior[c] / sum(prior.values()) for c in found}
    largest = max(
        (
            abs(float(used[c] * (size - _mean(found[c])))) / abs(float(used[c]))
            for c in found
            for size in found[c]
        ),
        default=0.0,
    )
    variances = {}
    for c in found:
        reach = largest or float(full_marks(first, c))
        n = max(2, counts[c])
        variances[c] = float(used[c]) ** 2 * (float(squares[c]) + 2 * shares[c] * reach**2) / (n * (n - 1))
    variance = math.fsum(variances.values())
    degrees = variance**2 / math.fsum(v * v / max(1, counts[c] - 1) for c, v in variances.items())
    half = _t_quantile((1 + level) / 2, degrees) * math.sqrt(variance)
    difference = float(weighted_difference(first, second, used))
    return PairedInterval(
        difference,
        difference - half,
        difference + half,
        level,
        sum(counts.values()),
        min(counts.values()),
        degrees,
        widened,
    )


def _mean(differences: Counter[Fraction]) -> Fraction:
    total = sum((size * times for size, times in differences.items()), Fraction())
    return total / differences.total()


def _squares(differences: Counter[Fraction]) -> Fraction:
    """Return the sum of squared deviations from the mean."""
    mean = _mean(differences)
    return sum(((size - mean) ** 2 * times for size, times in differences.items()), Fraction())


def _t_quantile(share: float, degrees: float) -> float:
    from scipy.special import stdtrit  # slow to import

    return float(stdtrit(degrees, share))
