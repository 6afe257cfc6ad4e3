"""Step 1 of the method: how the scores of every two categories move together over a population of models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np

from soce.exceptions import shown
from soce.files.arguments import expect_names
from soce.files.plain import to_plain
from soce.files.words import counted
from soce.scores.table import expect_table
from soce.selection.pearson import correlate_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from soce.scores.table import Floats, ScoreTable
    from soce.selection.pearson import Integers


Missing: TypeAlias = Literal["pairwise", "complete"]

_MIN_MODELS: Final = 3
_MAX_OPTIMAL: Final = 60
"""Most categories whose leaves are put in the best order; the time grows with their cube or worse."""


@dataclass(frozen=True, slots=True)
class Weakest:
    """A category and the partner with which it moves least."""

    category: str
    value: float
    """v_i: the smallest |rho| with any other category, or rho if signed."""
    partner: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two categories, `first` before `second` by code point, and how they move together."""

    first: str
    second: str
    rho: float
    n: int
    """Models that have both scores."""


@dataclass(frozen=True, eq=False, slots=True)
class Correlation:
    """Pearson correlation of every pair of categories."""

    categories: tuple[str, ...]
    """In the table's column order."""
    rho: Floats
    """Symmetric, in [-1, 1], of shape (n_categories, n_categories); NaN where undefined."""
    n: Integers
    """Models that have both scores, of the same shape."""
    population: tuple[str, ...]
    """Models that were used, by name."""
    missing: Missing = "pairwise"
    min_overlap: int = 3
    constant: tuple[str, ...] = ()
    """Categories with one and the same score throughout the population."""
    dropped: tuple[str, ...] = ()
    """Models left out by ``missing="complete"``, by name."""

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        self.rho.setflags(write=False)
        self.n.setflags(write=False)

    def _by_name(self) -> tuple[list[str], Floats, Integers]:
        """Return categories, rho with NaN on the diagonal, and n, all in order of name."""
        places = sorted(range(len(self.categories)), key=self.categories.__getitem__)
        cut = np.ix_(places, places)
        rho: Floats = self.rho[cut]
        np.fill_diagonal(rho, np.nan)
        return [self.categories[place] for place in places], rho, self.n[cut]

    @property
    def undefined(self) -> tuple[str, ...]:
        """Categories without any defined pair, in column order."""
        names, rho, _ = self._by_name()
        lost = {name for name, values in zip(names, rho, strict=True) if np.isnan(values).all()}
        return tuple(name for name in self.categories if name in lost)

    def weakest(self, *, signed: bool = False) -> tuple[Weakest, ...]:
        """Return the weakest partner of each category, by value, then name: the order in which step 2 walks.

        If `signed`, rho is compared instead of |rho|: strongly negative pairs come first instead of last.
        Categories without any defined pair are left out.

        Examples
        --------
        >>> from soce.scores.table import ScoreTable
        >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "chat": [70, 71, 71, 70]}
        >>> table = ScoreTable.of(columns, models=["a", "b", "c", "d"])
        >>> [(found.category, found.partner) for found in correlate_categories(table).weakest()]
        [('chat', 'math'), ('math', 'chat'), ('code', 'chat')]
        """
        names, rho, _ = self._by_name()
        values = np.nan_to_num(rho if signed else np.abs(rho), nan=np.inf)
        partners = np.argmin(values, axis=1)
        found = [
            Weakest(name, float(values[place, partner]), names[partner])
            for place, (name, partner) in enumerate(zip(names, partners.tolist(), strict=True))
            if values[place, partner] < np.inf
        ]
        return tuple(sorted(found, key=lambda weakest: (weakest.value, weakest.category)))

    def pairs(
        self, *, signed: bool = False, strongest_first: bool = False, limit: int | None = None
    ) -> list[Pair]:
        """Return the first defined pairs (500 categories have 124,750) by |rho| or rho, then their names."""
        names, rho, n = self._by_name()
        first, second = np.nonzero(np.triu(~np.isnan(rho), 1))
        values = rho[first, second]
        keys = values if signed else np.abs(values)
        order = np.argsort(-keys if strongest_first else keys, kind="stable")[:limit]
        return [
            Pair(names[i], names[j], float(rho[i, j]), int(n[i, j]))
            for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True)
        ]

    def interval(self) -> tuple[Floats, Floats]:
        """Return the 95 % interval of every rho by Fisher's z, models taken as independent draws.

        The lower ends and the upper ones, of rho's shape; NaN where rho is undefined or fewer than 4 models
        have both scores.
        """
        from scipy.special import ndtri

        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(self.n > 3, ndtri(0.975) / np.sqrt(self.n - 3.0), np.nan)
            z = np.arctanh(self.rho)
        low: Floats = np.tanh(z - reach)
        high: Floats = np.tanh(z + reach)
        return low, high

    @property
    def saturation(self) -> float | None:
        """Largest v_i: for a threshold above it every category is selected. None without a defined pair."""
        return max((found.value for found in self.weakest()), default=None)

    def order(self) -> tuple[str, ...]:
        """Return all categories so that those that move together stand together; undefined ones last."""
        from scipy.cluster.hierarchy import leaves_list

        leaves, merges = self.linkage()
        if len(merges):
            leaves = [leaves[place] for place in leaves_list(merges).tolist()]
        return (*leaves, *sorted(set(self.categories) - set(leaves)))

    def linkage(self) -> tuple[list[str], Floats]:
        """Return how clusters of categories are joined, nearest first: average linkage on signed rho.

        First the categories with a defined pair, by name; then scipy's linkage matrix of them, with distances
        1 - rho, where an undefined rho counts as 0.
        """
        names, rho, _ = self._by_name()
        places = np.flatnonzero(~np.isnan(rho).all(axis=1))
        if len(places) < 2:
            return [], np.empty((0, 4))
        from scipy.cluster.hierarchy import linkage

        rho = rho[np.ix_(places, places)]
        distances = 1 - np.nan_to_num(rho[np.triu_indices(len(places), 1)], nan=0.0)
        merges = linkage(distances, method="average", optimal_ordering=len(places) <= _MAX_OPTIMAL)
        return [names[place] for place in places.tolist()], merges

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python, NaN as None; ``low`` and ``high`` are the 95 % intervals."""
        low, high = self.interval()
        np.fill_diagonal(low, np.nan)
        np.fill_diagonal(high, np.nan)
        told: dict[str, Any] = to_plain(
            {
                "categories": self.categories,
                "population": self.population,
                "n_models": len(self.population),
                "missing": self.missing,
                "min_overlap": self.min_overlap,
                "constant": self.constant,
                "undefined": self.undefined,
                "dropped": self.dropped,
                "critical_correlation": critical_correlation(len(self.population)),
                "saturation": self.saturation,
                "rho": self.rho.tolist(),
                "low": low.tolist(),
                "high": high.tolist(),
                "n": self.n.tolist(),
            }
        )
        return told

    def to_frame(self) -> pd.DataFrame:
        """Return rho as a data frame, categories × categories; `pairs` has it pair by pair."""
        import pandas as pd

        categories = pd.Index(self.categories, name="category")
        return pd.DataFrame(self.rho, index=categories, columns=list(self.categories))

    def __repr__(self) -> str:
        """Return the size on one line."""
        categories = counted(len(self.categories), "category", "categories")
        return f"Correlation({categories} over {counted(len(self.population), 'model')}, {self.missing})"

    def _repr_html_(self) -> str:
        """Return rho as a table in clustered order; pandas leaves out the middle of a large one."""
        order = list(self.order())
        frame = self.to_frame().loc[order, order].rename_axis(None).rename(index=shown, columns=shown)
        return frame.to_html(
            max_rows=60, max_cols=20, show_dimensions=True, float_format="{:.2f}".format, na_rep="·"
        )


def correlate_categories(
    table: ScoreTable,
    *,
    population: Sequence[str] | None = None,
    min_overlap: int = 3,
    missing: Missing = "pairwise",
) -> Correlation:
    """Return how the scores of every two categories move together over a population of models.

    Parameters
    ----------
    table : ScoreTable of shape (n_models, n_categories)
        Any units. Columns where lower is better are negated first.
    population : sequence of str, optional
        Models to use; all of the table if left out.
    min_overlap : int
        Fewest models with both scores that define a pair, 3 or more.
    missing : {"pairwise", "complete"}
        Use for each pair all models that have both scores, or for all pairs the models that have every score.

    Raises
    ------
    ScoreTableError
        Fewer than 3 models or 2 categories; a model that is not there or is named twice.

    Notes
    -----
    rho_ij = sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2) over the models that have both;
    undefined if one of the two has a single value there. No bit depends on the order of rows or columns or on
    the number of threads. O(n_models n_categories^2), as a few matrix products.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, step 1 (correlation analysis).

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, None], "code": [5, 6, 7, 8], "chat": [70, 71, 70, 71]}
    >>> found = correlate_categories(ScoreTable.of(columns, models=["a", "b", "c", "d"]))
    >>> found.rho[0].tolist(), found.n[0].tolist()
    ([1.0, 1.0, 0.0], [3, 3, 3])
    """
    expect_table(table)
    if population is not None:
        expect_names(population, "population")
    if missing not in get_args(Missing):
        table.refuse(f"missing is `{shown(str(missing))}`", "use pairwise or complete")
    if min_overlap < _MIN_MODELS:
        table.refuse(
            f"min_overlap is {min_overlap}, at least {_MIN_MODELS} models are needed",
            "two models always correlate with 1 or -1",
        )
    names = sorted(table.models if population is None else population)
    if twice := [name for name, following in pairwise(names) if name == following]:
        table.refuse(f"the population names `{shown(twice[0])}` twice")
    categories = sorted(table.categories)
    if len(categories) < 2:
        table.refuse(
            f"there {'is one category' if categories else 'are no categories'}, a correlation takes two",
            "name the score columns that are categories; without correlations, "
            "`--rule explicit --category NAME` takes the best models of those that are named",
        )
    scores = table.oriented(categories)[[table.row(name) for name in names]]  # (n_models, n_categories)
    taken = [missing == "pairwise" or not hole for hole in np.logical_or.reduce(np.isnan(scores), axis=1)]
    scores = np.ascontiguousarray(scores[taken].T)  # (n_categories, n_models)
    used = tuple(compress(names, taken))
    dropped = tuple(sorted(set(names) - set(used)))
    if len(used) < _MIN_MODELS:
        what = counted(len(used), "model")
        if dropped:
            hint = "use pairwise, or leave out the emptiest categories"
            table.refuse(f"only {what} have every score", hint)
        table.refuse(
            f"the population is {what}, a correlation takes at least {_MIN_MODELS}",
            "correlate over more models than the candidates, such as a whole leaderboard",
        )
    rho, n = correlate_rows(scores, min_overlap=min_overlap)
    low, high = np.fmin.reduce(scores, axis=1), np.fmax.reduce(scores, axis=1)
    constant = set(compress(categories, low == high))
    back = [categories.index(name) for name in table.categories]
    return Correlation(
        categories=table.categories,
        rho=rho[np.ix_(back, back)],
        n=n[np.ix_(back, back)],
        population=used,
        missing=missing,
        min_overlap=min_overlap,
        constant=tuple(name for name in table.categories if name in constant),
        dropped=dropped,
    )


def critical_correlation(n: int) -> float:
    """Return the |rho| that `n` independent models exceed by chance once in twenty.

    Two-sided, by the t test with n - 2 degrees of freedom; NaN for fewer than 3 models.

    Examples
    --------
    >>> [round(critical_correlation(n), 3) for n in (4, 5, 120)]
    [0.95, 0.878, 0.179]
    """
    from scipy.special import stdtrit

    if n < _MIN_MODELS:
        return math.nan
    t = float(stdtrit(n - 2, 0.975))
    return t / math.hypot(t, math.sqrt(n - 2))
