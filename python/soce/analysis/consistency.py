"""Whether souping makes categories move together: correlations of unsouped and of souped models."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from soce.exceptions import shown
from soce.files.plain import Plain
from soce.selection.correlation import correlate_categories, critical_correlation

if TYPE_CHECKING:
    from soce.scores.table import Floats, ScoreTable
    from soce.selection.correlation import Correlation

    Draws: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

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
_UNITS: Final = 2.0**40
"""Correlations of a draw are multiples of its inverse, so that their sum is exact in every order."""


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
class ConsistencyComparison:
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
        return {
            "categories": list(self.categories),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "summary": {
                "before": self.summary_before.to_json(),
                "after": self.summary_after.to_json(),
                "difference": self.difference.to_json(),
            },
            "interval": None if self.interval is None else self.interval.to_json(),
            "undefined": [
                {"first": first, "second": second, "where": where} for first, second, where in self.undefined
            ],
            "notes": list(self.notes),
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

    Returns
    -------
    ConsistencyComparison

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
    names = list(before.categories)
    one = correlate_categories(before)
    other = correlate_categories(after.take(columns=names))
    canonical = sorted(range(len(names)), key=names.__getitem__)
    rows, columns = np.triu_indices(len(names), 1)
    pairs = [(canonical[i], canonical[j]) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
    values = np.array([[matrix.rho[pair] for pair in pairs] for matrix in (one, other)])  # (2, n_pairs)
    missing = np.isnan(values)
    undefined = tuple(
        (names[i], names[j], {(True, True): "both", (True, False): "before", (False, True): "after"}[where])
        for (i, j), where in zip(pairs, zip(*missing.tolist(), strict=True), strict=True)
        if any(where)
    )
    kept = ~missing.any(axis=0)
    if not kept.any():
        before.refuse(
            f"no pair of the {len(names)} categories has a defined correlation both before and after souping",
            "a category whose scores are all equal has none; give more models, or other categories",
        )
    summaries = [_summary(line[kept].tolist()) for line in values]
    difference = ConsistencySummary(
        summaries[0].n_pairs,
        *(
            getattr(summaries[1], field) - getattr(summaries[0], field)
            for field in ("mean", "median", "minimum", "share_above")
        ),
    )
    groups = [_Resampler(table, sorted(names), kept) for table in (before, after)]
    interval = _interval(groups, draws, level, seed) if draws else None
    return ConsistencyComparison(
        one, other, summaries[0], summaries[1], difference, interval, undefined, _notes(one, other, undefined)
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


def _notes(
    before: Correlation, after: Correlation, undefined: tuple[tuple[str, str, str], ...]
) -> tuple[str, ...]:
    notes = [CAUTION]
    for found, what in ((before, "unsouped"), (after, "souped")):
        n = len(found.population)
        if n < _FEW:
            critical = critical_correlation(n)
            notes.append(
                f"only {n} {what} models: a correlation up to {critical:.3f} in size is expected by chance"
            )
    if undefined:
        notes.append(f"{len(undefined)} pair(s) without a defined correlation are left out of both summaries")
    return tuple(notes)


def _summary(values: list[float]) -> ConsistencySummary:
    from math import fsum

    ordered = sorted(values)
    above = sum(value > ABOVE for value in ordered)
    return ConsistencySummary(
        len(ordered), fsum(ordered) / len(ordered), median(ordered), ordered[0], above / len(ordered)
    )


def _interval(groups: list[_Resampler], draws: int, level: float, seed: int) -> ConsistencyInterval | None:
    """Return the bootstrap interval of the difference of the means over the kept pairs."""
    rng = np.random.default_rng(seed)
    differences: list[Draws] = []
    n_undefined = n_without = 0
    block = max(1, _CELLS // groups[0].n_pairs)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        rho = [group.correlations(rng, size) for group in groups]  # (size, n_kept) each
        defined = ~(np.isnan(rho[0]) | np.isnan(rho[1]))
        counts = defined.sum(axis=1)
        n_undefined += int(defined.size - counts.sum())
        totals = [np.rint(np.where(defined, one, 0.0) * _UNITS).astype(np.int64).sum(axis=1) for one in rho]
        usable = counts > 0
        n_without += int((~usable).sum())
        differences.append((totals[1] - totals[0])[usable] / (_UNITS * counts[usable]))
    found = np.concatenate(differences)
    if not found.size:
        return None
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return ConsistencyInterval(float(low), float(high), level, draws, seed, n_undefined, n_without)


class _Resampler:
    """Correlations of the kept pairs over models drawn with replacement.

    All sums over models are exact: scores are centred, scaled and cut to so few bits that no sum of their
    products is rounded. So no order of rows, no shape of a block and no number of threads changes a bit.
    """

    def __init__(
        self, table: ScoreTable, names: list[str], kept: np.ndarray[Any, np.dtype[np.bool_]]
    ) -> None:
        rows = sorted(range(len(table.models)), key=table.models.__getitem__)
        scores = table.oriented(names)[rows]  # (n_models, n_categories)
        self._n = n = len(rows)
        first, second = (places[kept] for places in np.triu_indices(len(names), 1))
        self.n_pairs = len(first)
        shared = ~(np.isnan(scores[:, first]) | np.isnan(scores[:, second]))  # (n_models, n_kept)
        self._shared = shared.astype(np.float64)
        bits = 52 - int(n).bit_length()
        low, high = np.nanmin(scores, axis=0), np.nanmax(scores, axis=0)
        reach = np.where(high > low, (high - low) / 2, 1.0)
        unit = np.nan_to_num((scores - (low + high) / 2) / reach, nan=0.0)  # in [-1, 1]
        ranks = np.zeros(scores.shape)
        for place in range(scores.shape[1]):
            ranks[:, place] = np.unique(scores[:, place], return_inverse=True)[1]
        x, y = unit[:, first], unit[:, second]

        def cut(values: Floats) -> Floats:
            rounded: Floats = np.rint(values * 2.0**bits) * 2.0**-bits * self._shared
            return rounded

        self._x, self._y = cut(x), cut(y)
        self._xx, self._yy, self._xy = cut(x * x), cut(y * y), cut(x * y)
        # Whether a draw is constant is decided by ranks, small integers, never by a variance.
        self._ranks = [ranks[:, places] * self._shared for places in (first, second)]

    def correlations(self, rng: np.random.Generator, size: int) -> Floats:
        """Return rho of each kept pair in each draw, shape (size, n_kept); NaN where undefined."""
        times = rng.multinomial(self._n, np.full(self._n, 1 / self._n), size=size).astype(np.float64)
        n = times @ self._shared
        varies = n >= _MIN_SHARED
        for ranks in self._ranks:
            varies &= n * (times @ np.square(ranks)) != np.square(times @ ranks)
        x, y = times @ self._x, times @ self._y
        with np.errstate(divide="ignore", invalid="ignore"):
            variance_x = times @ self._xx - x * x / n
            variance_y = times @ self._yy - y * y / n
            rho = (times @ self._xy - x * y / n) / np.sqrt(variance_x * variance_y)
        # Scores that differ by less than is kept of them here count as equal.
        varies &= np.isfinite(rho)
        found: Floats = np.where(varies, np.clip(rho, -1.0, 1.0), np.nan)
        return found
