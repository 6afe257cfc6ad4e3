"""In how many categories a soup is better than the models it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soce.exceptions import shown
from soce.files.plain import Plain, to_plain

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
        del counts["family"]
        return {"parents": list(self.family.parents), "soup": self.family.soup, **counts}


@dataclass(frozen=True, slots=True)
class NetGain:
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

    def n_above(self, threshold: int, *, than: str = "one") -> int:
        """Return the families whose soup is better in more than so many categories.

        Parameters
        ----------
        threshold : int
            The paper's is 20 of 36 categories.
        than : {"one", "all"}
            Better than one parent, or than all: the paper does not say which it counts.
        """
        field = {"one": "better_than_one", "all": "better_than_all"}[than]
        return sum(getattr(found, field) > threshold for found in self.families)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        half = max(found.n_categories for found in self.families) // 2
        return {
            "families": [found.to_json() for found in self.families],
            "n_families": len(self.families),
            "more_than_half": {
                "categories": half,
                "better_than_one": self.n_above(half),
                "better_than_all": self.n_above(half, than="all"),
            },
            "net_gain": {
                gain.category: {"mean": to_plain(gain.mean), "n_families": gain.n_families}
                for gain in self.gains
            },
        }


def compare_with_parents(table: ScoreTable, families: Sequence[Family]) -> ParentCounts:
    """Return in how many categories each soup is better than one and than all of its parents.

    Parameters
    ----------
    table : ScoreTable of shape (n_models, n_categories)
        Rows of all soups and parents, categories of one scale.
    families : sequence of Family
        Any number of parents each.

    Returns
    -------
    ParentCounts

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
    scores = table.oriented()  # (n_models, n_categories)
    names = table.categories
    counted = []
    differences: dict[str, list[float]] = {name: [] for name in names}
    for family in families:
        _check(table, family)
        soup = dict(zip(names, scores[table.row(family.soup)].tolist(), strict=True))
        parents = [dict(zip(names, scores[table.row(name)].tolist(), strict=True)) for name in family.parents]
        usable = [name for name in names if not any(math.isnan(one[name]) for one in (soup, *parents))]
        if not usable:
            table.refuse(
                f"no category has scores of the soup `{shown(family.soup)}` and all its parents",
                "leave the family out, or add the missing scores",
            )
        worst = {name: min(one[name] for one in parents) for name in usable}
        best = {name: max(one[name] for one in parents) for name in usable}
        means = [math.fsum(one[name] for name in usable) / len(usable) for one in parents]
        counted.append(
            FamilyCounts(
                Family(tuple(family.parents), family.soup),
                len(usable),
                better_than_one=sum(soup[name] > worst[name] for name in usable),
                better_than_all=sum(soup[name] > best[name] for name in usable),
                worse_than_all=sum(soup[name] < worst[name] for name in usable),
                tied_with_worst=tuple(name for name in usable if soup[name] == worst[name]),
                tied_with_best=tuple(name for name in usable if soup[name] == best[name]),
                missing=tuple(name for name in names if name not in usable),
                lowest_parent_mean=min(means),
                highest_parent_mean=max(means),
                soup_mean=math.fsum(soup[name] for name in usable) / len(usable),
            )
        )
        for name in usable:
            differences[name].append(soup[name] - math.fsum(one[name] for one in parents) / len(parents))
    gains = tuple(
        NetGain(name, math.fsum(found) / len(found) if found else math.nan, len(found))
        for name, found in differences.items()
    )
    return ParentCounts(tuple(counted), gains)


def _check(table: ScoreTable, family: Family) -> None:
    soup = shown(family.soup)
    if not family.parents:
        table.refuse(f"the soup `{soup}` has no parents", "name the models it was made of")
    if family.soup in family.parents:
        table.refuse(f"the soup `{soup}` is among its own parents", "name the models it was made of")
    for name in family.parents:
        if list(family.parents).count(name) > 1:
            table.refuse(f"the soup `{soup}` names the parent `{shown(name)}` twice", "name it once")
