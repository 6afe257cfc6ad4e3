"""Rules that say which categories get an expert. Each reads correlations only, never who scores best.

The paper is Maiti et al., "Souper-Model", arXiv:2511.13254v1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from soce.exceptions import shown
from soce.files.arguments import expect
from soce.files.words import counted, nearest
from soce.selection.clusters import cluster_categories
from soce.selection.record import Flag, Record
from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from soce.selection.correlation import Correlation, Weakest


@dataclass(frozen=True, slots=True)
class Group(Record):
    """Categories that get one expert together: a cluster, or a single category."""

    categories: tuple[str, ...]
    value: float | None = None
    """Of a single category: its smallest |rho| with any other (rho, if the rule is signed)."""
    partner: str | None = None
    """The category that this smallest value is with."""


@dataclass(frozen=True, slots=True)
class Threshold(Record):
    """The paper's rule (Algorithm 1, line 5): categories that correlate weakly with at least one other.

    Parameters
    ----------
    tau : float
        A category qualifies if |rho| < tau with some other category: strictly, so |rho| = tau does not. In
        (0, 1]; if `signed`, in [-1, 1]. The paper gives no value, so there is no default.
    signed : bool
        Compare rho, not |rho|.
    """

    help: ClassVar[str] = "categories that correlate weakly with some other, as in the paper"
    name: Literal["threshold"] = field(default="threshold", kw_only=True, repr=False)
    tau: float
    signed: Flag = False

    def __post_init__(self) -> None:
        """Check the range."""
        expect(self.tau, Real, "tau", "a number")
        if self.signed:
            if not -1 <= self.tau <= 1:
                refuse(f"threshold {self.tau} is not in [-1, 1]", "signed correlations lie between -1 and 1")
        elif not 0 < self.tau <= 1:
            hint = "|rho| lies between 0 and 1; negative thresholds need signed correlations"
            refuse(f"threshold {self.tau} is not in (0, 1]", hint)

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return each qualifying category by ascending (smallest value, name)."""
        return tuple(
            _group(weak) for weak in correlation.weakest(signed=self.signed) if weak.value < self.tau
        )

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"threshold, {'rho' if self.signed else '|rho|'} < {self.tau:g} with some category"


@dataclass(frozen=True, slots=True)
class Pairs(Record):
    """The categories of the m least correlated pairs (Figure 3); at most 2m, so this rule cannot saturate.

    Pairs of equal value, and the two categories of a pair, are taken by name (code point): an order by column
    would make the selection depend on how a file happens to be laid out.

    Parameters
    ----------
    m : int
        How many pairs, 1 or more; all pairs if there are fewer.
    signed : bool
        Sort by rho, not by |rho|.
    """

    help: ClassVar[str] = "the categories of the least correlated pairs"
    name: Literal["pairs"] = field(default="pairs", kw_only=True, repr=False)
    m: int
    signed: Flag = False

    def __post_init__(self) -> None:
        """Check the count."""
        expect(self.m, Integral, "m", "a number of pairs")
        if self.m < 1:
            refuse(f"the rule takes {self.m} pairs", "at least one pair is needed")

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return the categories pair by pair, by name within a pair."""
        groups: dict[str, Group] = {}
        for pair in correlation.pairs(signed=self.signed, limit=self.m):
            value = pair.rho if self.signed else abs(pair.rho)
            groups.setdefault(pair.first, Group((pair.first,), value, pair.second))
            groups.setdefault(pair.second, Group((pair.second,), value, pair.first))
        return tuple(groups.values())

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"the {self.m} pairs of smallest {'rho' if self.signed else '|rho|'}"


@dataclass(frozen=True, slots=True)
class Clusters(Record):
    """Clusters of categories under average linkage; each gets one expert, by the mean of its categories.

    The paper has experts "for each weakly-correlated category cluster", but not how clusters are found. The
    similarity is rho with its sign: two categories that move against each other do not belong together.

    Parameters
    ----------
    n_clusters : int, optional
        Cut at this many clusters, 1 or more.
    min_correlation : float, optional
        Stop joining when the best remaining average is below this; in [-1, 1]. Give one of the two.
    """

    help: ClassVar[str] = "clusters of categories that move together"
    signed: ClassVar[bool] = True
    name: Literal["cluster"] = field(default="cluster", kw_only=True, repr=False)
    n_clusters: int | None = None
    min_correlation: float | None = None

    def __post_init__(self) -> None:
        """Check that one of the two is given, and its range."""
        if (self.n_clusters is None) == (self.min_correlation is None):
            refuse("clusters need either a number of clusters or a smallest correlation")
        for name, kind in (("n_clusters", Integral), ("min_correlation", Real)):
            expect(getattr(self, name), (kind, type(None)), name, "a number")
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

    def __str__(self) -> str:
        """Return the rule in words."""
        if self.n_clusters is not None:
            return f"{self.n_clusters} clusters by average rho"
        return f"clusters of average rho at least {self.min_correlation:g}"


@dataclass(frozen=True, slots=True)
class Explicit(Record):
    """The categories that the user lists, walked in the order that `Threshold` would walk them.

    Categories without a defined correlation come last, by name; the order of the list decides nothing.
    """

    help: ClassVar[str] = "categories by name"
    signed: ClassVar[bool] = False
    name: Literal["explicit"] = field(default="explicit", kw_only=True, repr=False)
    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the list, and sort it."""
        given: Sequence[str] = self.categories
        if isinstance(given, str):
            refuse("the categories must be a list of names")
        if not given:
            refuse("the list of categories is empty")
        if twice := sorted({name for name in given if list(given).count(name) > 1}):
            refuse(f"category `{shown(twice[0])}` is listed twice")
        object.__setattr__(self, "categories", tuple(sorted(given)))

    def choose(self, correlation: Correlation) -> tuple[Group, ...]:
        """Return each listed category by ascending (smallest value, name)."""
        for name in self.categories:
            if name not in correlation.categories:
                hint = nearest(name, correlation.categories, "categories")
                refuse(f"there is no category `{shown(name)}`", hint)
        walk = [weak for weak in correlation.weakest() if weak.category in self.categories]
        undefined = sorted(set(self.categories) - {weak.category for weak in walk})
        return (*map(_group, walk), *(Group((name,)) for name in undefined))

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"{counted(len(self.categories), 'category', 'categories')} by name"


Rule: TypeAlias = Threshold | Pairs | Clusters | Explicit
"""Which categories get an expert, and in which order (`choose`).

`name` is its word in files; `signed` says whether it looks at rho, else at |rho|, for which a strongly
negative pair is not weak.
"""

RULES: Final[Mapping[str, type[Rule]]] = {
    "threshold": Threshold,
    "pairs": Pairs,
    "clusters": Clusters,
    "explicit": Explicit,
}
"""The rules by their words on the command line."""


def without(groups: Sequence[Group], left_out: Collection[str]) -> tuple[Group, ...]:
    """Return the groups without these categories, and without groups that have nothing left."""
    kept = (
        replace(group, categories=tuple(name for name in group.categories if name not in left_out))
        for group in groups
    )
    return tuple(group for group in kept if group.categories)


def _group(weak: Weakest) -> Group:
    return Group((weak.category,), weak.value, weak.partner)
