"""Rules that say which categories get an expert. Each reads correlations only, never who scores best."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from soce.exceptions import shown
from soce.files.words import nearest
from soce.selection.clusters import cluster_categories
from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from soce.selection.correlation import Correlation, Pair


@dataclass(frozen=True, slots=True)
class Group:
    """Categories that get one expert together: a cluster, or a single category."""

    categories: tuple[str, ...]
    value: float | None = None
    """Of a single category: its smallest |rho| with any other (rho, if the rule is signed)."""
    partner: str | None = None
    """The category that this smallest value is with."""


@runtime_checkable
class Rule(Protocol):
    """Which categories get an expert, and in which order."""

    @property
    def name(self) -> str:
        """The rule's word in options and files."""

    @property
    def signed(self) -> bool:
        """Whether it looks at rho; else at |rho|, for which a strongly negative pair is not weak."""

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return the groups in walk order; empty if nothing qualifies."""

    def to_json(self) -> dict[str, object]:
        """Return name and settings in plain Python."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The paper's rule: categories that correlate weakly with at least one other.

    Parameters
    ----------
    tau : float
        A category qualifies if |rho| < tau with some other category: strictly, so |rho| = tau does not. In
        (0, 1]; if `signed`, in [-1, 1]. The paper gives no value, so there is no default.
    signed : bool
        Compare rho, not |rho|.

    Raises
    ------
    ScoreTableError
        A threshold outside its range.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, line 5.
    """

    tau: float
    signed: bool = False
    name: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        """Check the range."""
        if self.signed:
            if not -1 <= self.tau <= 1:
                refuse(f"threshold {self.tau} is not in [-1, 1]", "signed correlations lie between -1 and 1")
        elif not 0 < self.tau <= 1:
            hint = "|rho| lies between 0 and 1; negative thresholds need signed correlations"
            refuse(f"threshold {self.tau} is not in (0, 1]", hint)

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return each qualifying category by ascending (smallest value, name)."""
        return tuple(group for group in _walk(correlation, self.signed) if _value(group) < self.tau)

    def to_json(self) -> dict[str, object]:
        """Return name and settings in plain Python."""
        return {"name": self.name, "tau": self.tau, "signed": self.signed}

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"threshold, {'rho' if self.signed else '|rho|'} < {self.tau:g} with some category"


@dataclass(frozen=True, slots=True)
class Pairs:
    """The categories of the m least correlated pairs; at most 2m, so this rule cannot saturate.

    Pairs of equal value, and the two categories of a pair, are taken by name (code point): an order by column
    would make the selection depend on how a file happens to be laid out.

    Parameters
    ----------
    m : int
        How many pairs, 1 or more; all pairs if there are fewer.
    signed : bool
        Sort by rho, not by |rho|.

    Raises
    ------
    ScoreTableError
        `m` below 1.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Figure 3 ("the least-correlated categories").
    """

    m: int
    signed: bool = False
    name: ClassVar[str] = "pairs"

    def __post_init__(self) -> None:
        """Check the count."""
        if self.m < 1:
            refuse(f"the rule takes {self.m} pairs", "at least one pair is needed")

    def chosen_pairs(self, correlation: Correlation) -> tuple[Pair, ...]:
        """Return the first m pairs."""
        return tuple(correlation.pairs(signed=self.signed)[: self.m])

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return the categories pair by pair, by name within a pair."""
        groups: dict[str, Group] = {}
        for pair in self.chosen_pairs(correlation):
            value = pair.rho if self.signed else abs(pair.rho)
            first, second = sorted((pair.first, pair.second))
            groups.setdefault(first, Group((first,), value, second))
            groups.setdefault(second, Group((second,), value, first))
        return tuple(groups.values())

    def to_json(self) -> dict[str, object]:
        """Return name and settings in plain Python."""
        return {"name": self.name, "m": self.m, "signed": self.signed}

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"the {self.m} pairs of smallest {'rho' if self.signed else '|rho|'}"


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of categories under average linkage; each gets one expert, by the mean of its categories.

    The similarity is rho with its sign: two categories that move against each other do not belong together.

    Parameters
    ----------
    n_clusters : int, optional
        Cut at this many clusters, 1 or more.
    min_correlation : float, optional
        Stop joining when the best remaining average is below this; in [-1, 1]. Give one of the two.

    Raises
    ------
    ScoreTableError
        Neither or both of the two, or one out of range.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1 ("expert models for each weakly-correlated
       category cluster"); it does not say how the clusters are found.
    """

    n_clusters: int | None = None
    min_correlation: float | None = None
    name: ClassVar[str] = "cluster"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check that one of the two is given, and its range."""
        if (self.n_clusters is None) == (self.min_correlation is None):
            refuse("clusters need either a number of clusters or a smallest correlation")
        if self.n_clusters is not None and self.n_clusters < 1:
            refuse(f"{self.n_clusters} clusters were asked for", "at least one cluster is needed")
        if self.min_correlation is not None and not -1 <= self.min_correlation <= 1:
            refuse(f"smallest correlation {self.min_correlation} is not in [-1, 1]")

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return the clusters by descending size, then by their first category's name."""
        found = cluster_categories(
            correlation, n_clusters=self.n_clusters, min_correlation=self.min_correlation
        )
        return tuple(Group(tuple(cluster)) for cluster in found)

    def to_json(self) -> dict[str, object]:
        """Return name and settings in plain Python."""
        return {
            "name": self.name,
            "n_clusters": self.n_clusters,
            "min_correlation": self.min_correlation,
        }

    def __str__(self) -> str:
        """Return the rule in words."""
        if self.n_clusters is not None:
            return f"{self.n_clusters} clusters by average rho"
        return f"clusters of average rho at least {self.min_correlation:g}"


@dataclass(frozen=True, slots=True)
class Explicit:
    """The categories that the user lists, walked in the order that `Threshold` would walk them.

    Categories without a defined correlation come last, by name; the order of the list decides nothing.

    Parameters
    ----------
    categories : sequence of str

    Raises
    ------
    ScoreTableError
        No category, one twice, or (from `choose`) one that the table lacks.
    """

    categories: tuple[str, ...]
    name: ClassVar[str] = "explicit"
    signed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the list, and sort it."""
        given: Sequence[str] = self.categories
        if isinstance(given, str):
            refuse("the categories must be a list of names")
        if not given:
            refuse("the list of categories is empty")
        twice = sorted({name for name in given if list(given).count(name) > 1})
        if twice:
            refuse(f"category `{shown(twice[0])}` is listed twice")
        object.__setattr__(self, "categories", tuple(sorted(given)))

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return each listed category by ascending (smallest value, name)."""
        for name in self.categories:
            if name not in correlation.categories:
                hint = nearest(name, correlation.categories, "categories")
                refuse(f"there is no category `{shown(name)}`", hint)
        walk = [group for group in _walk(correlation, self.signed) if group.categories[0] in self.categories]
        defined = {group.categories[0] for group in walk}
        return (*walk, *(Group((name,)) for name in self.categories if name not in defined))

    def to_json(self) -> dict[str, object]:
        """Return name and settings in plain Python."""
        return {"name": self.name, "categories": list(self.categories)}

    def __str__(self) -> str:
        """Return the rule in words."""
        n = len(self.categories)
        return f"{n} categor{'y' if n == 1 else 'ies'} by name"


def without(groups: Sequence[Group], left_out: Collection[str]) -> tuple[Group, ...]:
    """Return the groups without these categories, and without groups that have nothing left."""
    kept = (
        replace(group, categories=tuple(name for name in group.categories if name not in left_out))
        for group in groups
    )
    return tuple(group for group in kept if group.categories)


def _walk(correlation: Correlation, signed: bool) -> list[Group]:  # noqa: FBT001 - private
    return [Group((weak.category,), weak.value, weak.partner) for weak in correlation.weakest(signed=signed)]


def _value(group: Group) -> float:
    return math.inf if group.value is None else group.value
