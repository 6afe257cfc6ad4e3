"""In how many categories a soup is better than the models it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from soce.analysis.checks import compared_with
from soce.exceptions import shown
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import ScoreTable


@dataclass(frozen=True, slots=True)
class Family(Plain):
    """A soup and the models it was made of."""

    parents: tuple[str, ...]
    soup: str


@dataclass(frozen=True, slots=True)
class FamilyCounts(Plain):
    """A soup against its parents, category by category; better is strictly better."""

    family: Family
    n_categories: int
    """Categories in which soup and parents all have a score."""
    better_than_one: int
    """Categories in which the soup is better than its worst parent there."""
    better_than_all: int
    """Categories in which the soup is better than its best parent there."""
    worse_than_all: int
    tied_with_worst: tuple[str, ...]
    """Categories in which the soup equals its worst parent: not counted as better."""
    tied_with_best: tuple[str, ...]
    missing: tuple[str, ...]
    """Categories that are left out because a score is missing."""
    lowest_parent_mean: float
    """Of the parents' means over the categories; the paper's green line."""
    highest_parent_mean: float
    soup_mean: float
    """Means count columns where lower is better as negative."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        counts = Plain.to_json(self)
        return {**counts.pop("family"), **counts}


@dataclass(frozen=True, slots=True)
class NetGain(Plain):
    """What soups gain in one category over the mean of their parents, on average over families."""

    category: str
    mean: float
    """In the column's units, positive is better; NaN if no family has all scores."""
    n_families: int


@dataclass(frozen=True, slots=True)
class ParentCounts:
    """Soups against their parents."""

    families: tuple[FamilyCounts, ...]
    gains: tuple[NetGain, ...]
    """For each category, in column order."""

    @property
    def half(self) -> int:
        """Half of the categories, rounded down."""
        return max(one.n_categories for one in self.families) // 2

    def n_above(self, threshold: int, *, than: str = "one") -> int:
        """Return the families whose soup is better in more than so many categories (the paper: 20 of 36).

        Better than ``"one"`` parent, or than ``"all"``: the paper does not say which it counts.
        """
        field = {"one": "better_than_one", "all": "better_than_all"}[than]
        return sum(getattr(one, field) > threshold for one in self.families)

    def ranked(self) -> tuple[FamilyCounts, ...]:
        """Return the families, most categories better than all parents first, by name if equal."""
        return tuple(
            sorted(
                self.families, key=lambda one: (-one.better_than_all, -one.better_than_one, one.family.soup)
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        half = self.half
        gains = [gain.to_json() for gain in self.gains]
        return {
            "families": [one.to_json() for one in self.families],
            "n_families": len(self.families),
            "more_than_half": {
                "categories": half,
                "better_than_one": self.n_above(half),
                "better_than_all": self.n_above(half, than="all"),
            },
            "net_gain": {gain.pop("category"): gain for gain in gains},
        }


def compare_with_parents(table: ScoreTable, families: Sequence[Family]) -> ParentCounts:
    """Return in how many categories each soup is better than one and than all of its parents.

    Parameters
    ----------
    table : ScoreTable of shape (n_models, n_categories)
        Rows of all soups and parents, categories of one scale.
    families : sequence of Family
        Any number of parents each.

    Raises
    ------
    ScoreTableError
        No family, a family without parents, a soup that is its own parent, a parent named twice, a model that
        the table lacks, or a family without any category in which all have a score.

    Notes
    -----
    Better than one: S_c > min over parents; better than all: S_c > max. The net gain of a category is the
    mean over families of S_c minus the mean of the parents' scores.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Figure 5: "35 out of 37 souping experiments".

    Examples
    --------
    >>> from soce.scores.paper import paper_table
    >>> found = compare_with_parents(paper_table("flores36"), [Family(("1", "2", "3", "4", "5"), "SoCE")])
    >>> found.families[0].better_than_one, found.families[0].better_than_all
    (35, 27)
    """
    if not families:
        table.refuse("there is no soup to compare with its parents", "name at least one `Family`")
    counted = []
    differences: dict[str, list[float]] = {name: [] for name in table.categories}
    for family in families:
        counts, gains = _compare(table, family)
        counted.append(counts)
        for name, gain in gains.items():
            differences[name].append(gain)
    return ParentCounts(
        tuple(counted),
        tuple(
            NetGain(name, _mean(gains) if gains else math.nan, len(gains))
            for name, gains in differences.items()
        ),
    )


def _compare(table: ScoreTable, family: Family) -> tuple[FamilyCounts, dict[str, float]]:
    """Return the counts of a family, and by category what its soup gains over the mean of the parents."""
    names = compared_with(family.soup, family.parents, "parent", table.refuse)
    scores = table.oriented()[[table.row(name) for name in (family.soup, *names)]]  # (1 + n_parents, n)
    is_usable = np.logical_and.reduce(~np.isnan(scores))
    if not is_usable.any():
        table.refuse(
            f"no category has scores of the soup `{shown(family.soup)}` and all its parents",
            "leave the family out, or add the missing scores",
        )
    usable = [*compress(table.categories, is_usable)]
    soup, parents = scores[0, is_usable], scores[1:, is_usable]
    worst, best = parents.min(axis=0), parents.max(axis=0)
    means = [_mean(row) for row in parents.tolist()]
    counts = FamilyCounts(
        Family(names, family.soup),
        len(usable),
        better_than_one=int((soup > worst).sum()),
        better_than_all=int((soup > best).sum()),
        worse_than_all=int((soup < worst).sum()),
        tied_with_worst=tuple(compress(usable, soup == worst)),
        tied_with_best=tuple(compress(usable, soup == best)),
        missing=tuple(compress(table.categories, ~is_usable)),
        lowest_parent_mean=min(means),
        highest_parent_mean=max(means),
        soup_mean=_mean(soup.tolist()),
    )
    gains = [one - _mean(others) for one, others in zip(soup.tolist(), parents.T.tolist(), strict=True)]
    return counts, dict(zip(usable, gains, strict=True))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)  # exact sums: no order changes a bit
