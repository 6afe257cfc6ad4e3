"""What a soup gains and loses in every category, against each single model, with paired intervals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.analysis.checks import compared_with, known, points_per_unit
from soce.evaluate.evaluation import refuse
from soce.evidence.interval import paired_interval
from soce.evidence.per_item import weighted_difference
from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation
    from soce.evidence.interval import PairedInterval


@dataclass(frozen=True, slots=True)
class Gain(Plain):
    """The soup minus one model in one category; positive is better, whatever the category's direction."""

    model: str
    difference: float
    """In the scores' units."""
    percentage_points: float | None
    """In percentage points; None if scores are no shares."""
    interval: PairedInterval | None
    """In the scores' units; None if there are no outcomes by item."""

    @property
    def is_clear(self) -> bool | None:
        """Whether the interval leaves 0 out; None without one."""
        return None if self.interval is None else not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True, slots=True)
class CategoryGain(Plain):
    """The soup in one category."""

    category: str
    soup: float
    """Its score, as evaluated."""
    best_single: str
    """The model that is best in this category, by name if tied: the hardest one to beat."""
    against_best: Gain
    against: tuple[Gain, ...]
    """Against every single model, in the order given."""


@dataclass(frozen=True, slots=True)
class CategoryGains(Plain):
    """A soup against single models, category by category."""

    soup: str
    singles: tuple[str, ...]
    scale: str | None
    categories: tuple[CategoryGain, ...]
    notes: tuple[str, ...]


def category_gains(
    evaluations: Mapping[str, Evaluation],
    soup: str,
    singles: Sequence[str],
    *,
    level: float = 0.95,
) -> CategoryGains:
    """Return what the soup gains in each category against each single model.

    Parameters
    ----------
    evaluations : mapping of model to Evaluation
        On the same items, best those that played no part in choosing the soup.
    soup : str
    singles : sequence of str
        Models to compare with: ingredients or all candidates.
    level : float
        Of the intervals, see `soce.evidence.interval.paired_interval`.

    Raises
    ------
    EvaluationError
        No single model, one without an evaluation, other categories, scales or items than the soup's.

    Notes
    -----
    The best single model of a category is found on the same items, so that of several equal models the
    luckiest is compared with: the gain against it is, if anything, too small.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Table 5.

    Examples
    --------
    >>> from soce import Evaluation
    >>> def scored(*outcomes):
    ...     return Evaluation.of_items({"math": dict(zip("pqrs", outcomes))})
    >>> found = category_gains({"a": scored(1, 0, 0, 0), "soup": scored(1, 1, 1, 0)}, "soup", ["a"])
    >>> found.categories[0].against_best.percentage_points
    50.0
    """
    names = compared_with(soup, singles, "single model")
    made = known(evaluations, soup, "evaluation")
    others = {name: known(evaluations, name, "evaluation") for name in names}
    for name, other in others.items():
        _check_comparable(name, other, soup, made)
    times = points_per_unit(made.scale)
    categories, without = [], []
    for category, score in made.categories.items():
        sign = Fraction(1 if made.higher_is_better[category] else -1)
        is_share = category not in made.geometric
        gains = []
        for name, other in others.items():
            difference = float(weighted_difference(made, other, {category: sign}))
            interval = None
            if all(category in (one.item_ids() or ()) for one in (made, other)):
                interval = paired_interval(made, other, weights={category: sign}, level=level)
            else:
                without.append(category)
            points = None if times is None or not is_share else times * difference
            gains.append(Gain(name, difference, points, interval))
        best = min(gains, key=lambda gain: (gain.difference, gain.model))
        categories.append(CategoryGain(category, score.score, best.model, best, tuple(gains)))
    n_intervals = sum(gain.interval is not None for one in categories for gain in one.against)
    notes = []
    if without:
        notes.append(f"no intervals, as there are no outcomes by item: {listed(dict.fromkeys(without))}")
    if n_intervals > 1:
        notes.append(
            f"{n_intervals} intervals of {100 * level:g} % each: about {n_intervals * (1 - level):.1f} "
            "of them are expected to miss the true difference"
        )
    return CategoryGains(soup, names, made.scale, tuple(categories), tuple(notes))


def _check_comparable(name: str, one: Evaluation, soup: str, made: Evaluation) -> None:
    for category in sorted(one.categories.keys() ^ made.categories.keys()):
        which = name if category in one.categories else soup
        refuse(
            f"only `{shown(which)}` has a score in category `{shown(category)}`",
            f"score `{shown(name)}` and `{shown(soup)}` in the same categories",
        )
    if one.scale != made.scale:
        refuse(
            f"the scores of `{shown(name)}` are on the scale {one.scale}, those of `{shown(soup)}` on "
            f"{made.scale}",
            "score both with the same evaluator",
        )
