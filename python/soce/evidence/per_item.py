"""An evaluation item by item: values whose mean is the score, and what two models differ by on each."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.exact import exact_sum, meant_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluation


def full_marks(evaluation: Evaluation, category: str) -> int:
    """Return how much of the score an outcome of 1 is: 100 for percent, else 1."""
    return 100 if evaluation.scale == "percent" and category not in evaluation.geometric else 1


def is_share(evaluation: Evaluation, category: str) -> bool:
    """Return whether a score is a share of full marks, and no geometric mean."""
    return evaluation.scale is not None and category not in evaluation.geometric


def exact_score(evaluation: Evaluation, category: str) -> Fraction:
    """Return a score without the rounding of its float.

    The mean of the fractions that its items' outcomes stand for; where there are none, or where the score is
    no mean, the fraction that the score stands for.
    """
    items = (evaluation.items or {}).get(category)
    if not items or category in evaluation.geometric:
        return meant_by([evaluation.categories[category].score])[0]
    return full_marks(evaluation, category) * exact_sum(items.values()) / len(items)


def count_values(evaluation: Evaluation, category: str) -> Counter[Fraction]:
    """Return how many of a category's items have which value, in the units of the score, which is their mean.

    Outcomes times full marks, exact. A geometric mean S of outcomes x_i is linearised (the delta method):
    S · (1 + ln x_i − ln S), whose mean is S and whose spread is that of S to first order. So is a score of
    sums, such as BLEU, by the jackknife: see `soce.evaluate.corpus.Corpus.values`.
    """
    found, values = _found(evaluation, category)
    counted: Counter[Fraction] = Counter()
    # Floats are counted much faster than fractions.
    for outcome, times in Counter(found.values()).items():
        counted[values[outcome]] += times
    return counted


def paired_differences(first: Evaluation, second: Evaluation, category: str) -> Counter[Fraction]:
    """Return how often two models' values differ by how much, first minus second, over a category's items.

    Raises EvaluationError unless both were scored on the same items.
    """
    (one, mine), (other, its) = _found(first, category), _found(second, category)
    if one.keys() != other.keys():
        differing = sorted(one.keys() ^ other.keys())
        count = f"{counted(len(differing), 'item was', 'items were')} scored for one model only"
        refuse(f"category `{shown(category)}`: {count}, the first is `{shown(differing[0])}`")
    differences: Counter[Fraction] = Counter()
    for (outcome, against), times in Counter((one[item], other[item]) for item in one).items():
        differences[mine[outcome] - its[against]] += times
    return differences


def weighted_difference(first: Evaluation, second: Evaluation, weights: Mapping[str, Fraction]) -> Fraction:
    """Return the sum of weight times difference of the exact scores, first minus second."""
    return sum(
        (
            weight * (exact_score(first, category) - exact_score(second, category))
            for category, weight in weights.items()
            if weight
        ),
        Fraction(),
    )


def _found(evaluation: Evaluation, category: str) -> tuple[Mapping[str, float], dict[float, Fraction]]:
    """Return what was found of each item, and the value that every such number has."""
    if category in evaluation.corpora:
        found: Mapping[str, float] = evaluation.corpora[category].values()
        return found, {value: Fraction(value) for value in found.values()}
    found = (evaluation.items or {}).get(category, {})
    if not found:
        refuse(f"category `{shown(category)}` has no items")
    outcomes = [*dict.fromkeys(found.values())]
    if category in evaluation.geometric:
        score = evaluation.categories[category].score
        mean = math.fsum(map(math.log, found.values())) / len(found)
        return found, {outcome: Fraction(score * (1 + math.log(outcome) - mean)) for outcome in outcomes}
    full = full_marks(evaluation, category)
    meant = meant_by(outcomes)
    return found, {outcome: full * one for outcome, one in zip(outcomes, meant, strict=True)}
