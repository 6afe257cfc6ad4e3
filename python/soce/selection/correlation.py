"""Step 1: how categories move together over a population of models, and their clusters. Decides nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from soce.exceptions import Problem, ScoreTableError, shown
from soce.scores.notebook import html_table
from soce.selection.pearson import correlate_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from soce.scores.table import Floats, ScoreTable
    from soce.selection.pearson import Integers


Missing: TypeAlias = Literal["pairwise", "complete"]

_MIN_MODELS: Final = 3
_MAX_OPTIMAL: Final = 60
"""Most categories whose leaves are put in the best order; the time grows with their cube or worse."""
_MAX_HTML: Final = 40


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
    """Pearson correlation of every pair of categories.

    Parameters
    ----------
    categories : tuple of str
        In the table's column order.
    rho : array of shape (n_categories, n_categories)
        Symmetric, in [-1, 1]; NaN where undefined.
    n : array of shape (n_categories, n_categories)
        Models that have both scores.
    population : tuple of str
        Models that were used, by name.
    missing : {"pairwise", "complete"}
        Whether a pair uses all models that have both scores, or only models that have all.
    min_overlap : int
        Fewest models that define a pair.
    constant : tuple of str
        Categories with one and the same score throughout the population.
    dropped : tuple of str
        Models left out by ``missing="complete"``, by name.
    """

    categories: tuple[str, ...]
    rho: Floats
    n: Integers
    population: tuple[str, ...]
    missing: Missing = "pairwise"
    min_overlap: int = 3
    constant: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        self.rho.setflags(write=False)
        self.n.setflags(write=False)

    def _canonical(self) -> list[int]:
        """Return the places of the categories in order of name."""
        return sorted(range(len(self.categories)), key=self.categories.__getitem__)

    def _partners(self) -> Floats:
        """Return rho in order of name, with NaN on the diagonal."""
        places = self._canonical()
        rho: Floats = self.rho[np.ix_(places, places)]
        np.fill_diagonal(rho, np.nan)
        return rho

    @property
    def undefined(self) -> tuple[str, ...]:
        """Categories without any defined pair, in column order."""
        others = self.rho.copy()
        np.fill_diagonal(others, np.nan)
        lost = np.logical_and.reduce(np.isnan(others), axis=1)
        return tuple(name for name, missing in zip(self.categories, lost, strict=True) if missing)

    def weakest(self, *, signed: bool = False) -> tuple[Weakest, ...]:
        """Return the weakest partner of each category, weakest first: the order in which step 2 walks.

        Parameters
        ----------
        signed : bool
            Compare rho instead of |rho|: strongly negative pairs come first instead of last.

        Returns
        -------
        tuple of Weakest
            Ascending by value, then name. Categories without any defined pair are left out.

        References
        ----------
        .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, line 5.

        Examples
        --------
        >>> from soce.scores.table import ScoreTable
        >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "chat": [70, 71, 71, 70]}
        >>> table = ScoreTable.of(columns, models=["a", "b", "c", "d"])
        >>> [(found.category, found.partner) for found in correlate_categories(table).weakest()]
        [('chat', 'math'), ('math', 'chat'), ('code', 'chat')]
        """
        names = [self.categories[place] for place in self._canonical()]
        values = self._partners()
        values = values if signed else np.abs(values)
        values[np.isnan(values)] = np.inf
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
        """Return every defined pair, weakest first.

        Parameters
        ----------
        signed : bool
            Sort by rho instead of |rho|.
        strongest_first : bool
            Sort from the largest value to the smallest.
        limit : int, optional
            Return only the first so many: 500 categories have 124,750 pairs.

        Returns
        -------
        list of Pair
            By value, then the names of both.
        """
        places = self._canonical()
        names = [self.categories[place] for place in places]
        rho = self._partners()
        first, second = np.nonzero(np.triu(~np.isnan(rho), 1))
        values = rho[first, second]
        keys = values if signed else np.abs(values)
        order = np.argsort(-keys if strongest_first else keys, kind="stable")[:limit]
        n = self.n[np.ix_(places, places)][first, second]
        return [
            Pair(names[i], names[j], value, count)
            for i, j, value, count in zip(
                first[order].tolist(),
                second[order].tolist(),
                values[order].tolist(),
                n[order].tolist(),
                strict=True,
            )
        ]

    def interval(self, *, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return a confidence interval of every rho by Fisher's z, models taken as independent draws.

        Parameters
        ----------
        level : float in (0, 1)
            Share of intervals that hold the true value.

        Returns
        -------
        low, high : arrays of shape (n_categories, n_categories)
            NaN where rho is undefined or fewer than 4 models have both scores.

        Raises
        ------
        ScoreTableError
            A level outside (0, 1).
        """
        from scipy.special import ndtri

        _check_level(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(self.n > 3, ndtri(0.5 + level / 2) / np.sqrt(self.n - 3.0), np.nan)
            z = np.arctanh(self.rho)
        low: Floats = np.tanh(z - reach)
        high: Floats = np.tanh(z + reach)
        return low, high

    @property
    def saturation(self) -> float | None:
        """Largest v_i: for a threshold above it every category is selected. None without a defined pair."""
        found = self.weakest()
        return found[-1].value if found else None

    def order(self) -> tuple[str, ...]:
        """Return all categories so that those that move together stand together; undefined ones last."""
        names, merges = _merge_categories(self)
        if merges is None:
            leaves = names
        else:
            from scipy.cluster.hierarchy import leaves_list

            leaves = [names[place] for place in leaves_list(merges).tolist()]
        return (*leaves, *sorted(set(self.categories) - set(leaves)))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python, NaN as None; `low` and `high` are the 95 % intervals."""
        low, high = self.interval()
        np.fill_diagonal(low, np.nan)
        np.fill_diagonal(high, np.nan)
        return {
            "categories": list(self.categories),
            "population": list(self.population),
            "n_models": len(self.population),
            "missing": self.missing,
            "min_overlap": self.min_overlap,
            "constant": list(self.constant),
            "undefined": list(self.undefined),
            "dropped": list(self.dropped),
            "critical_correlation": _or_none(critical_correlation(len(self.population))),
            "saturation": self.saturation,
            "rho": [[_or_none(value) for value in row] for row in self.rho.tolist()],
            "low": [[_or_none(value) for value in row] for row in low.tolist()],
            "high": [[_or_none(value) for value in row] for row in high.tolist()],
            "n": self.n.tolist(),
        }

    def _repr_html_(self) -> str:
        critical = critical_correlation(len(self.population))
        caption = (
            f"Pearson's ρ of {len(self.categories)} categories over {len(self.population)} models; "
            f"|ρ| below {critical:.3f} cannot be told from 0 (5 %)"
        )
        if len(self.categories) > _MAX_HTML:
            rows: list[list[object]] = [
                [found.category, f"{found.value:.4f}", found.partner] for found in self.weakest()[:_MAX_HTML]
            ]
            return html_table(
                ["category", "smallest |ρ|", "with"], rows, caption=f"{caption}. The first {_MAX_HTML}:"
            )
        order = self.order()
        places = [self.categories.index(name) for name in order]
        rho = self.rho[np.ix_(places, places)].tolist()
        return html_table(
            ["category", *order],
            [
                [name, *(f"{value:.2f}" if value == value else "·" for value in row)]
                for name, row in zip(order, rho, strict=True)
            ],
            caption=caption,
            shades=rho,
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

    Returns
    -------
    Correlation

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
    if missing not in {"pairwise", "complete"}:
        table.refuse(f"missing is `{shown(str(missing))}`", "use pairwise or complete")
    if isinstance(min_overlap, bool) or min_overlap < _MIN_MODELS:
        table.refuse(
            f"min_overlap is {min_overlap}, at least {_MIN_MODELS} models are needed",
            "two models always correlate with 1 or -1",
        )
    names = sorted(table.models if population is None else population)
    for name, following in pairwise(names):
        if name == following:
            table.refuse(f"the population names `{shown(name)}` twice")
    categories = sorted(table.categories)
    if len(categories) < 2:
        table.refuse(
            f"there {'is one category' if categories else 'are no categories'}, a correlation takes two",
            "name the score columns that are categories",
        )
    rows = [table.row(name) for name in names]
    scores = np.ascontiguousarray(table.oriented(categories)[rows].T)  # (n_categories, n_models)
    holes = np.logical_or.reduce(np.isnan(scores), axis=0)
    dropped = tuple(name for name, hole in zip(names, holes, strict=True) if hole and missing == "complete")
    if dropped:
        scores = np.ascontiguousarray(scores[:, np.logical_not(holes)])
    used = tuple(name for name, hole in zip(names, holes, strict=True) if not (hole and dropped))
    if len(used) < _MIN_MODELS:
        what = f"{len(used)} model{'' if len(used) == 1 else 's'}"
        if dropped:
            table.refuse(
                f"only {what} have every score", "use pairwise, or leave out the emptiest categories"
            )
        table.refuse(
            f"the population is {what}, a correlation takes at least {_MIN_MODELS}",
            "correlate over more models than the candidates, such as a whole leaderboard",
        )
    rho, n = correlate_rows(scores, min_overlap=min_overlap)
    constant = {
        name
        for name, low, high in zip(
            categories, np.fmin.reduce(scores, 1), np.fmax.reduce(scores, 1), strict=True
        )
        if low == high
    }
    where = {name: place for place, name in enumerate(categories)}
    back = [where[name] for name in table.categories]
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


def critical_correlation(n: int, *, level: float = 0.05) -> float:
    """Return the |rho| that `n` independent models exceed by chance with probability `level`.

    Parameters
    ----------
    n : int
        Models that have both scores.
    level : float in (0, 1)
        Two-sided level of the t test with n - 2 degrees of freedom.

    Returns
    -------
    float
        NaN for fewer than 3 models.

    Raises
    ------
    ScoreTableError
        A level outside (0, 1).

    Examples
    --------
    >>> [round(critical_correlation(n), 3) for n in (4, 5, 120)]
    [0.95, 0.878, 0.179]
    """
    from scipy.special import stdtrit

    _check_level(level)
    if n < _MIN_MODELS:
        return math.nan
    t = float(stdtrit(n - 2, 1 - level / 2))
    return t / math.hypot(t, math.sqrt(n - 2))


def cluster_categories(
    correlation: Correlation, *, n_clusters: int | None = None, min_correlation: float | None = None
) -> tuple[tuple[str, ...], ...]:
    """Return clusters of categories that move together: average linkage on signed rho.

    Parameters
    ----------
    correlation : Correlation
    n_clusters : int, optional
        Merge until this many are left.
    min_correlation : float in [-1, 1], optional
        Merge while the two nearest clusters correlate at least so much on average. One of the two is given.

    Returns
    -------
    tuple of tuples of str
        By descending size, then the name of the first member; members by name. Categories without any
        defined pair are left out; an undefined pair counts as 0.

    Raises
    ------
    ScoreTableError
        Both limits or none; more clusters than categories.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1: experts "for each weakly-correlated category
       cluster"; its Algorithm 1 has no clusters.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [1, 2, 3, 4], "code": [1, 3, 2, 4], "chat": [4, 1, 3, 2]}
    >>> found = correlate_categories(ScoreTable.of(columns, models=["a", "b", "c", "d"]))
    >>> cluster_categories(found, n_clusters=2)
    (('code', 'math'), ('chat',))
    """
    if (n_clusters is None) == (min_correlation is None):
        _refuse("clusters need either their number or the smallest correlation that joins them")
    if min_correlation is not None and not -1 <= min_correlation <= 1:
        _refuse(f"the smallest correlation {min_correlation} is outside [-1, 1]")
    names, merges = _merge_categories(correlation)
    if n_clusters is not None and not 1 <= n_clusters <= len(names):
        _refuse(f"cannot make {n_clusters} clusters of {len(names)} categories with defined correlations")
    clusters: dict[int, list[str]] = {place: [name] for place, name in enumerate(names)}
    steps = [] if merges is None else merges.tolist()
    for number, (left, right, distance, _) in enumerate(steps):
        # By merges, not by height as fcluster does: two merges at one height would be made together.
        if len(clusters) == n_clusters or (min_correlation is not None and distance > 1 - min_correlation):
            break
        clusters[len(names) + number] = clusters.pop(int(left)) + clusters.pop(int(right))
    found = [tuple(sorted(members)) for members in clusters.values()]
    return tuple(sorted(found, key=lambda members: (-len(members), members[0])))


def _merge_categories(correlation: Correlation) -> tuple[list[str], Floats | None]:
    """Return the categories with a defined pair, by name, and scipy's merges of them (None without any)."""
    lost = set(correlation.undefined)
    places = [place for place in correlation._canonical() if correlation.categories[place] not in lost]
    names = [correlation.categories[place] for place in places]
    if len(names) < 2:
        return names, None
    from scipy.cluster.hierarchy import linkage

    rho = correlation.rho[np.ix_(places, places)]
    distances = 1 - np.nan_to_num(rho[np.triu_indices(len(places), 1)], nan=0.0)
    optimal = len(places) <= _MAX_OPTIMAL
    merges: Floats = linkage(distances, method="average", optimal_ordering=optimal)
    return names, merges


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        _refuse(
            f"the level {level} is outside (0, 1)", "0.95 is a common level of an interval, 0.05 of a test"
        )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _refuse(message: str, hint: str | None = None) -> NoReturn:
    raise ScoreTableError.of([Problem("scores", None, None, message, hint)])
