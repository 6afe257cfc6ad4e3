"""Whether souping makes categories move together: correlations of unsouped and of souped models."""

from __future__ import annotations

import math
import statistics
from dataclasses import astuple, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import counted
from soce.selection.correlation import correlate_categories, critical_correlation
from soce.selection.pearson import DECIMALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import Floats, ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.pearson import Places

CAUTION: Final = (
    "souped models share parents, so they are not independent and the interval is too narrow; averaging by "
    "itself also removes what is particular to one model, which raises correlations whatever a soup is worth"
)
"""What every comparison says about itself."""

ABOVE: Final = 0.9
_FEW: Final = 8
_MIN_SHARED: Final = 3
_CELLS: Final = 4_000_000
"""Numbers of a block of draws: 32 MB."""


@dataclass(frozen=True, slots=True)
class ConsistencySummary(Plain):
    """The correlations of the pairs of categories that are defined before and after souping."""

    n_pairs: int
    mean: float
    median: float
    minimum: float
    share_above: float
    """Share of pairs with rho > 0.9."""


@dataclass(frozen=True, slots=True)
class ConsistencyInterval(Plain):
    """Percentile interval of the difference of mean correlations, models resampled within each group."""

    low: float
    high: float
    level: float
    draws: int
    seed: int
    n_undefined: int
    """Pairs times draws that were left out, because a category was constant among the models drawn."""
    n_without_pairs: int
    """Draws without any defined pair; they have no part in the interval."""


@dataclass(frozen=True, slots=True)
class ConsistencyComparison(Plain):
    """Correlations between categories before and after souping."""

    before: Correlation
    after: Correlation
    """Of the same categories, in the same order."""
    summary_before: ConsistencySummary
    summary_after: ConsistencySummary
    difference: ConsistencySummary
    """After minus before, field by field; the minimum's is that of the two minima."""
    interval: ConsistencyInterval | None
    """Of the difference of means; None if no draw had a defined pair, or none was asked for."""
    undefined: tuple[tuple[str, str, str], ...]
    """Pairs that are left out, with where they are undefined: ``before``, ``after`` or ``both``."""
    notes: tuple[str, ...]
    """The caution first."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories, in the order of both matrices."""
        return self.before.categories

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        content = Plain.to_json(self)
        summary = {name: content.pop(f"summary_{name}") for name in ("before", "after")}
        summary["difference"] = content.pop("difference")
        return {
            "categories": list(self.categories),
            **content,
            "summary": summary,
            "undefined": [
                dict(zip(("first", "second", "where"), pair, strict=True)) for pair in self.undefined
            ],
        }


def compare_correlations(
    before: ScoreTable, after: ScoreTable, *, draws: int = 10_000, level: float = 0.95, seed: int = 0
) -> ConsistencyComparison:
    """Return how the categories move together among unsouped and among souped models.

    Parameters
    ----------
    before : ScoreTable of shape (n_unsouped, n_categories)
        Models that are no soups, 3 or more.
    after : ScoreTable of shape (n_souped, n_categories)
        Soups, 3 or more, in the same categories.
    draws, level, seed
        Number of resamples (0: no interval), coverage, and seed of `numpy.random.default_rng`.

    Raises
    ------
    ScoreTableError
        Different categories, a model in both tables, fewer than 3 models, or no pair of categories whose
        correlation is defined in both.

    Notes
    -----
    Means, medians and shares are over the pairs that are defined in both tables. In each draw, as many models
    as there are are drawn with replacement within each table; a pair that is constant among them, or has
    fewer than 3 models with both scores, is left out of that draw. No bit of the result depends on the order
    of models or categories.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.2.2 and Figure 2; the paper gives no
       statistic for its "marked increase".

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> names = ["a", "b", "c", "d"]
    >>> before = ScoreTable.of({"math": [1, 2, 3, 4], "code": [2, 1, 4, 3]}, models=names)
    >>> soups = ["ab", "ac", "ad", "bc"]
    >>> after = ScoreTable.of({"math": [1, 2, 3, 4], "code": [1, 2, 3, 4]}, models=soups)
    >>> found = compare_correlations(before, after, draws=0)
    >>> round(found.summary_before.mean, 3), found.summary_after.mean
    (0.6, 1.0)
    """
    _check_tables(before, after)
    if not 0 < level < 1:
        before.refuse(f"the level {level} is outside (0, 1)", "0.95 is common")
    if draws < 0:
        before.refuse(f"the number of draws is {draws}", "give 0 for no interval, or 10000")
    correlations = [correlate_categories(table.take(columns=before.categories)) for table in (before, after)]
    rho_before, rho_after = (
        {(pair.first, pair.second): pair.rho for pair in one.pairs()} for one in correlations
    )
    names = sorted(before.categories)
    pairs = [pair for pair in combinations(names, 2) if pair in rho_before and pair in rho_after]
    if not pairs:
        before.refuse(
            f"no pair of the {len(names)} categories has a defined correlation both before and after souping",
            "a category whose scores are all equal has none; give more models, or other categories",
        )
    undefined = tuple(
        (*pair, "before" if pair in rho_after else "after" if pair in rho_before else "both")
        for pair in combinations(names, 2)
        if pair not in rho_before or pair not in rho_after
    )
    first, second = np.array([(names.index(one), names.index(other)) for one, other in pairs]).T
    groups = [_Resampler(table, names, first, second) for table in (before, after)]
    summary_before, summary_after = (
        _summary([rho[pair] for pair in pairs]) for rho in (rho_before, rho_after)
    )
    return ConsistencyComparison(
        correlations[0],
        correlations[1],
        summary_before,
        summary_after,
        difference=_difference(summary_before, summary_after),
        interval=_interval(groups, len(pairs), draws, level, seed) if draws else None,
        undefined=undefined,
        notes=_notes(correlations, len(undefined)),
    )


def _check_tables(before: ScoreTable, after: ScoreTable) -> None:
    for name in sorted(set(before.categories) ^ set(after.categories)):
        lacking, holding = (after, before) if name in before.categories else (before, after)
        lacking.refuse(
            f"the category `{shown(name)}` is in `{shown(holding.source)}` only",
            "compare tables of the same categories; `take(columns=...)` cuts them",
        )
    for name in sorted(set(before.models) & set(after.models)):
        after.refuse(
            f"the model `{shown(name)}` is in both tables",
            "give unsouped models in the first table and soups in the second",
        )


def _notes(correlations: Sequence[Correlation], n_undefined: int) -> tuple[str, ...]:
    notes = [CAUTION]
    for correlation, what in zip(correlations, ("unsouped", "souped"), strict=True):
        n = len(correlation.population)
        if n < _FEW:
            critical = critical_correlation(n)
            notes.append(
                f"only {n} {what} models: a correlation up to {critical:.3f} in size is expected by chance"
            )
    if n_undefined:
        notes.append(
            f"{counted(n_undefined, 'pair')} without a defined correlation left out of both summaries"
        )
    return tuple(notes)


def _summary(rho: list[float]) -> ConsistencySummary:
    above = sum(value > ABOVE for value in rho)
    return ConsistencySummary(
        len(rho), math.fsum(rho) / len(rho), statistics.median(rho), min(rho), above / len(rho)
    )


def _difference(before: ConsistencySummary, after: ConsistencySummary) -> ConsistencySummary:
    fields = zip(astuple(before)[1:], astuple(after)[1:], strict=True)
    return ConsistencySummary(before.n_pairs, *(value - other for other, value in fields))


def _interval(
    groups: list[_Resampler], n_pairs: int, draws: int, level: float, seed: int
) -> ConsistencyInterval | None:
    """Return the bootstrap interval of the difference of the means over the pairs."""
    rng = np.random.default_rng(seed)
    means = []
    n_undefined = 0
    block = max(1, _CELLS // n_pairs)
    for start in range(0, draws, block):
        before, after = (group.correlations(rng, min(block, draws - start)) for group in groups)
        differences = after - before  # (n_draws, n_pairs), NaN where one of the two is undefined
        undefined = np.isnan(differences)
        n_undefined += int(undefined.sum())
        means.append(np.nanmean(differences[~undefined.all(axis=1)], axis=1))
    usable = np.concatenate(means)
    if not usable.size:
        return None
    tail = 100 * (1 - level) / 2
    low, high = np.round(np.percentile(usable, [tail, 100 - tail]), DECIMALS).tolist()
    return ConsistencyInterval(low, high, level, draws, seed, n_undefined, draws - usable.size)


class _Resampler:
    """Correlations of some pairs of categories over models drawn with replacement, in order of name."""

    def __init__(self, table: ScoreTable, names: list[str], first: Places, second: Places) -> None:
        scores = table.take(models=sorted(table.models)).oriented(names)  # (n_models, n_categories)
        reach = np.nanmax(scores, axis=0) - np.nanmin(scores, axis=0)
        scaled = (scores - np.nanmean(scores, axis=0)) / np.where(reach > 0, reach, 1.0)
        shared = ~np.isnan(scaled[:, first] + scaled[:, second])  # (n_models, n_pairs)
        x, y = (np.where(shared, scaled[:, places], 0.0) for places in (first, second))
        self._n_models = len(scores)
        self._terms = [shared.astype(np.float64), x, y, x * x, y * y, x * y]
        # Whether a draw is constant is decided by ranks, small integers, never by a variance.
        ranks = np.apply_along_axis(lambda column: np.unique(column, return_inverse=True)[1], 0, scores)
        self._ranks = [np.where(shared, ranks[:, places], 0.0) for places in (first, second)]

    def correlations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Return rho of each pair in each draw, shape (draws, n_pairs); NaN where undefined."""
        equal = np.full(self._n_models, 1 / self._n_models)
        times = rng.multinomial(self._n_models, equal, size=draws).astype(np.float64)
        n, x, y, xx, yy, xy = (times @ term for term in self._terms)
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
        is_defined = (n >= _MIN_SHARED) & np.isfinite(rho)
        for ranks in self._ranks:
            is_defined &= n * (times @ np.square(ranks)) != np.square(times @ ranks)
        return np.where(is_defined, np.round(np.clip(rho, -1.0, 1.0), DECIMALS), np.nan)
