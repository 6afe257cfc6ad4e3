"""Intervals of a weighted sum of category scores, and of its difference, which also hold for few items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soce.evaluate.evaluation import refuse
from soce.evidence.per_item import (
    count_values,
    exact_score,
    full_marks,
    is_share,
    paired_differences,
    weighted_difference,
)
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation

PSEUDO_ITEMS: Final = 2
"""Items that every interval adds, see `variance_of_difference`."""


@dataclass(frozen=True, slots=True)
class PairedInterval(Plain):
    """A difference of two weighted sums of scores on the same items, with its interval."""

    difference: float
    """First minus second, in the objective's units."""
    low: float
    high: float
    level: float
    n_items: int
    """In all categories that have weight."""
    fewest: int
    """In the smallest of them."""
    degrees: float
    """Degrees of freedom of the t quantile."""
    half_width: float
    """How far it reaches to either side, but for ends that are cut where no two models differ by more."""
    widened: tuple[str, ...] = ()
    """Categories whose items show no spread (one item, or all differences equal): theirs is only that of the
    added items."""

    def minus(self, other: PairedInterval) -> PairedInterval:
        """Return this difference minus one that was measured on other items, at the same level.

        Variances add; degrees of freedom are those of Welch and Satterthwaite. It stays within what the ends
        of both allow.
        """
        degrees = np.array([self.degrees, other.degrees])
        halves = np.array([self.half_width, other.half_width])
        variances = (halves / t_quantile(self.level, degrees)) ** 2
        variance, uncertainty = variances.sum(), (variances**2 / degrees).sum()
        joint = variance**2 / uncertainty if uncertainty > 0 else degrees.min()
        half = float(t_quantile(self.level, joint) * np.sqrt(variance))
        difference = self.difference - other.difference
        return PairedInterval(
            difference,
            max(difference - half, self.low - other.high),
            min(difference + half, self.high - other.low),
            self.level,
            self.n_items + other.n_items,
            min(self.fewest, other.fewest),
            float(joint),
            half,
            tuple(dict.fromkeys(self.widened + other.widened)),
        )


@dataclass(frozen=True, slots=True)
class ScoreInterval(Plain):
    """A weighted sum of scores of one model, with its interval, in the objective's units."""

    score: float
    low: float
    high: float
    level: float
    fewest: int | None
    """Items in the smallest category that has weight; None if it is by standard errors, without outcomes."""


def paired_interval(
    first: Evaluation, second: Evaluation, *, weights: Mapping[str, Fraction], level: float = 0.95
) -> PairedInterval:
    """Return the interval of the sum of weight times difference of the scores, first minus second.

    It says how much the difference would move with other items of the same kind: categories are fixed, the
    items of each are a sample of their own, and what makes an item hard for both models cancels. It knows
    nothing of other benchmarks, nor of a search that chose one of the models on these items.

    difference ± t · √V with V and the degrees of freedom of `variance_of_difference`, and never beyond what
    two models can differ by.

    Parameters
    ----------
    first, second : Evaluation
        Of the same items.
    weights : mapping of category to Fraction
        What a unit of each score counts in the objective, negative where lower is better. Categories without
        weight play no part.
    level : float

    Raises
    ------
    EvaluationError
        No category with a weight, one without outcomes by item, other items for one of the models.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from soce import Evaluation
    >>> def solves(count):
    ...     return Evaluation.of_items({"math": {f"q{i}": float(i < count) for i in range(50)}})
    >>> found = paired_interval(solves(30), solves(20), weights={"math": Fraction(1)})
    >>> found.difference, round(found.low, 3), round(found.high, 3)
    (0.2, 0.076, 0.324)
    """
    used = _weighted(weights)
    found = {category: _spread(paired_differences(first, second, category)) for category in used}
    half, degrees = _half_width(used, found, (first, second), level)
    difference = float(weighted_difference(first, second, used))
    most = math.inf
    if all(is_share(first, category) for category in used):
        most = float(sum(abs(weight) * full_marks(first, name) for name, weight in used.items()))
    return PairedInterval(
        difference,
        max(difference - half, min(-most, difference)),
        min(difference + half, max(most, difference)),
        level,
        sum(one.n_items for one in found.values()),
        min(one.n_items for one in found.values()),
        degrees,
        half,
        tuple(category for category, one in found.items() if one.is_degenerate),
    )


def score_interval(
    evaluation: Evaluation, *, weights: Mapping[str, Fraction], level: float = 0.95
) -> ScoreInterval:
    """Return the interval of the sum of weight times score of one model.

    That of `paired_interval` with the items' values in place of differences, and never beyond what a score
    can be: shares lie between 0 and full marks, perplexities and scores of corpora are not negative.
    Parameters and errors are those of `paired_interval`.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from soce import Evaluation
    >>> every = Evaluation.of_items({"math": dict.fromkeys(map(str, range(20)), 1.0)})
    >>> found = score_interval(every, weights={"math": Fraction(1)})
    >>> round(found.low, 3), found.high
    (0.848, 1.0)
    """
    used = _weighted(weights)
    found = {category: _spread(count_values(evaluation, category)) for category in used}
    half, _ = _half_width(used, found, (evaluation,), level)
    score = float(sum(weight * exact_score(evaluation, category) for category, weight in used.items()))
    ends = [sorted(float(weight) * end for end in _range(evaluation, name)) for name, weight in used.items()]
    least, most = (math.fsum(column) for column in zip(*ends, strict=True))
    low, high = max(score - half, min(least, score)), min(score + half, max(most, score))
    return ScoreInterval(score, low, high, level, min(one.n_items for one in found.values()))


def _range(evaluation: Evaluation, category: str) -> tuple[float, float]:
    """Return the least and the largest score that there can be."""
    if is_share(evaluation, category):
        return 0.0, float(full_marks(evaluation, category))
    is_positive = category in evaluation.geometric or category in evaluation.corpora
    return (0.0 if is_positive else -math.inf), math.inf


def _weighted(weights: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Return the categories that have a weight, by name."""
    used = {category: weights[category] for category in sorted(weights) if weights[category]}
    if not used:
        refuse("no category has a weight", "give one to the categories that count")
    return used


def _half_width(
    weights: Mapping[str, Fraction],
    found: Mapping[str, _Spread],
    models: Sequence[Evaluation],
    level: float,
) -> tuple[float, float]:
    """Return how far an interval reaches to either side, and the degrees of freedom."""
    if not 0 < level < 1:
        refuse(f"the level of an interval is {level}", "give 0.95 for 95 %")
    variance, degrees = variance_of_difference(
        np.array([float(weight) for weight in weights.values()]),
        np.array([one.n_items for one in found.values()]),
        np.array([one.squares for one in found.values()]),
        np.array(_reaches(models, found)),
    )
    return float(t_quantile(level, degrees) * np.sqrt(variance)), float(degrees)


def variance_of_difference(
    weights: np.ndarray, counts: np.ndarray, squares: np.ndarray, reaches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance V of a weighted sum of means of differences, and its degrees of freedom.

    V = Σ v_c over the categories, v_c = w_c² (S_c + 2 a_c r_c²) / (n_c (n_c - 1)). Without the second term
    it is unbiased. That term is the rule for categories that show no spread, and it is always there: two
    items are added, one above and one below the mean by the reach r_c, the largest deviation seen. Category
    c gets the share a_c of them that it has in V if all spread alike, a_c ∝ w_c² / n_c. The degrees of
    freedom are Satterthwaite's, V² / Σ v_c² / (n_c - 1), with 1 for n_c - 1 where there is one item.

    Parameters
    ----------
    weights, counts : ndarray of shape (n_categories,)
        w_c and n_c, the numbers of items.
    squares : ndarray of shape (..., n_categories)
        S_c, sums of squared deviations of differences from their mean; of one item the squared difference.
    reaches : ndarray of shape (..., n_categories)

    Returns
    -------
    tuple of two ndarray of shape (...)

    References
    ----------
    .. [1] A. Agresti, Y. Min, "Simple improved confidence intervals for comparing matched proportions",
       Statistics in Medicine 24 (2005): pseudo-items for one category of 0 and 1.
    .. [2] F. E. Satterthwaite, "An approximate distribution of estimates of variance components",
       Biometrics Bulletin 2 (1946).
    """
    shares = weights**2 / counts
    shares = shares / shares.sum()
    spare = np.maximum(counts - 1, 1)
    parts = weights**2 * (squares + PSEUDO_ITEMS * shares * reaches**2) / (counts * spare)
    variance = parts.sum(axis=-1)
    uncertainty = (parts**2 / spare).sum(axis=-1)
    # Without any variance the quantile is not needed.
    degrees = np.divide(variance**2, uncertainty, out=np.ones_like(variance), where=uncertainty > 0)
    return variance, degrees


def t_quantile(level: float, degrees: np.ndarray) -> np.ndarray:
    """Return how many standard errors an interval of this level reaches to either side."""
    from scipy.special import stdtrit  # slow to import

    return np.asarray(stdtrit(degrees, (1 + level) / 2))


class _Spread(NamedTuple):
    """What the differences, or the values, of one category show of their spread."""

    n_items: int
    squares: float
    reach: float
    """The largest deviation from the mean; of one item, from 0."""
    is_degenerate: bool


def _spread(differences: Counter[Fraction]) -> _Spread:
    n_items = differences.total()
    sizes = [(float(size), times) for size, times in differences.items()]
    if len(sizes) == 1:
        reach = abs(sizes[0][0]) if n_items == 1 else 0.0
        return _Spread(n_items, reach**2, reach, is_degenerate=True)
    mean = math.fsum(size * times for size, times in sizes) / n_items
    squares = math.fsum(times * (size - mean) ** 2 for size, times in sizes)
    return _Spread(n_items, squares, max(abs(size - mean) for size, _ in sizes), is_degenerate=False)


def _reaches(models: Sequence[Evaluation], found: Mapping[str, _Spread]) -> list[float]:
    """Return the reach of each category.

    Shares of full marks have one in common, full marks if none differs from another. Any other score has a
    unit of its own: where its items show no spread, it may be off by as much as it is.
    """
    first = models[0]
    of_shares = max((one.reach for name, one in found.items() if is_share(first, name)), default=0.0)
    return [
        of_shares or float(full_marks(first, name))
        if is_share(first, name)
        else one.reach or max(abs(model.categories[name].score) for model in models)
        for name, one in found.items()
    ]
