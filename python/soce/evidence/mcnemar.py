"""McNemar's exact test: items that only one of two models solves, each item counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.evidence.per_item import paired_differences
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class McNemar(Plain):
    """Items that only one of two models solves, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Evaluation, second: Evaluation, *, weights: Mapping[str, Fraction]) -> McNemar | None:
    """Return McNemar's exact test over the items of all categories with a weight.

    None where it would test something else than the difference of the weighted scores: unless weights are in
    proportion to the numbers of items, so that every item counts the same, and all outcomes are 0 or 1.
    Where it is given it is the sign-flip test of `soce.evidence.sign_flip`.
    """
    steps, only_first, only_second = set(), 0, 0
    for category, weight in weights.items():
        if not weight:
            continue
        items = (first.items or {}).get(category, {}), (second.items or {}).get(category, {})
        if category in first.geometric or category in first.corpora:
            return None
        if not {0.0, 1.0}.issuperset({*items[0].values(), *items[1].values()}):
            return None
        differences = paired_differences(first, second, category)
        steps.add(weight / differences.total())
        only_first += sum(times for size, times in differences.items() if size > 0)
        only_second += sum(times for size, times in differences.items() if size < 0)
    if len(steps) != 1 or min(steps) < 0:
        return None
    return McNemar(only_first, only_second, mcnemar_p(only_first, only_second))


def mcnemar_p(b: int, c: int) -> float:
    """Return the exact two-sided p-value of b against c discordant items; 1 if there are none.

    p = min(1, 2 Σ_{i ≤ min(b, c)} C(b + c, i) / 2^(b + c)).

    Examples
    --------
    >>> round(mcnemar_p(10, 2), 10)
    0.0385742188
    """
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(min(b, c), b + c).pvalue) if b + c else 1.0
