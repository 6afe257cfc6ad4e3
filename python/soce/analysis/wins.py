"""Which items a soup solves that its parents do not, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.evaluate.evaluation import Evaluation, refuse
from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import listed
from soce.search.statistics import McNemar, mcnemar_p

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Outcomes = Mapping[str, Mapping[str, float]]
    Solved: TypeAlias = dict[tuple[str, str], bool]


@dataclass(frozen=True, slots=True)
class Rate(Plain):
    """So many of so many items."""

    count: int
    of: int
    TOLD = ("share",)

    @property
    def share(self) -> float | None:
        """The share; None, not 0, if there are no such items."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class WinRates(Plain):
    """A soup against its parents on the same items, each solved or not."""

    soup: str
    parents: tuple[str, ...]
    n_items: int
    solved: Mapping[str, int]
    """Items that each parent and the soup solve."""
    retention: Mapping[str, Rate]
    """Of the items that a parent solves: those that the soup solves too."""
    rescue: Rate
    """Of the items that no parent solves: those that the soup solves."""
    fails: tuple[tuple[int, Rate], ...]
    """For j = 1 … r - 1: of the items that exactly j of r parents fail, those that the soup solves."""
    regression: Rate
    """Of the items that all parents solve: those that the soup fails."""
    mcnemar: Mapping[str, McNemar]
    """By parent: `only_first` items that only the parent solves, `only_second` only the soup; p as it is."""
    rescued: tuple[tuple[str, str], ...]
    """Category and id of the items that only the soup solves."""
    lost: tuple[tuple[str, str], ...]
    """Category and id of the items that only the soup fails."""
    TOLD = ("n_tests",)

    @property
    def n_tests(self) -> int:
        """McNemar tests that were made; none of the p-values is corrected for it."""
        return len(self.mcnemar)

    @property
    def one_fail(self) -> Rate | None:
        """Of the items that exactly one parent fails, those that the soup solves; None for one parent."""
        return dict(self.fails).get(1)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        fails = [{"parents": number, **rate.to_json()} for number, rate in self.fails]
        return {**Plain.to_json(self), "fails": fails}


def win_rates(
    outcomes: Mapping[str, Outcomes | Evaluation],
    parents: Sequence[str],
    soup: str,
    *,
    solved_at: float | None = None,
) -> WinRates:
    """Return how the soup does on items by which of its parents solve them.

    Parameters
    ----------
    outcomes : mapping of model to Evaluation, or to mapping of category to mapping of item id to outcome
        The same items for all.
    parents : sequence of str
        Models that the soup was made of.
    soup : str
    solved_at : float, optional
        Outcomes of at least so much count as solved. If left out, outcomes must be 0 or 1.

    Returns
    -------
    WinRates

    Raises
    ------
    EvaluationError
        No parents, a model without outcomes by item, different items, outcomes that are graded or where lower
        is better.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Appendix B.

    Examples
    --------
    >>> def solves(*ids):
    ...     return {"math": {f"q{i}": float(i in ids) for i in range(6)}}
    >>> found = win_rates(
    ...     {"a": solves(0, 1, 2), "b": solves(0, 1, 3), "soup": solves(0, 2, 3, 4)}, ["a", "b"], "soup"
    ... )
    >>> found.retention["a"].share, found.rescue, found.one_fail, found.regression
    (0.6666666666666666, Rate(count=1, of=2), Rate(count=2, of=2), Rate(count=1, of=2))
    """
    names = tuple(parents)
    if not names:
        refuse("the soup has no parents to compare with", "name the models it was made of")
    for name in (*names, soup):
        if (*names, soup).count(name) > 1:
            refuse(f"`{shown(name)}` is named twice", "name every parent once, and the soup apart from them")
    solved = {name: _solved(outcomes, name, solved_at) for name in (*names, soup)}
    made = solved[soup]
    for name in names:
        _check_same(name, solved[name], soup, made)
    items = sorted(made)
    failing = {item: sum(not solved[name][item] for name in names) for item in items}

    def rate(of: Collection[tuple[str, str]], *, solves: bool = True) -> Rate:
        return Rate(sum(made[item] == solves for item in of), len(of))

    def failed_by(number: int) -> list[tuple[str, str]]:
        return [item for item in items if failing[item] == number]

    nobody, everybody = failed_by(len(names)), failed_by(0)
    return WinRates(
        soup,
        names,
        len(items),
        {name: sum(solved[name].values()) for name in (*names, soup)},
        {name: rate([item for item in items if solved[name][item]]) for name in names},
        rate(nobody),
        tuple((number, rate(failed_by(number))) for number in range(1, len(names))),
        rate(everybody, solves=False),
        {name: _test(solved[name], made) for name in names},
        tuple(item for item in nobody if made[item]),
        tuple(item for item in everybody if not made[item]),
    )


def outcomes_of_failures(
    failures: Mapping[str, Mapping[str, Collection[str]]], counts: Mapping[str, int]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return outcomes by item of models of which only the failing items are listed.

    Parameters
    ----------
    failures : mapping of model to mapping of category to collection of item ids
        As in the score files of BFCL. Categories without any failure may be left out.
    counts : mapping of category to int
        Items of each category, the same for all models.

    Returns
    -------
    dict of model to dict of category to dict of item id to outcome
        For `win_rates`. Items that every model solves have no id of their own: they are called
        ``solved by all 1``, ``solved by all 2``, and so on.

    Raises
    ------
    EvaluationError
        A category whose number of items is not given, or is less than that of the failing ones.

    Examples
    --------
    >>> found = outcomes_of_failures({"a": {"math": ["q1"]}, "soup": {}}, {"math": 3})
    >>> sum(found["a"]["math"].values()), sum(found["soup"]["math"].values())
    (2.0, 3.0)
    """
    found: dict[str, dict[str, dict[str, float]]] = {model: {} for model in failures}
    for model, by_category in failures.items():
        for category in by_category:
            if category not in counts:
                what = f"`{shown(model)}` fails items of category `{shown(category)}`"
                refuse(f"{what}, whose number of items is not given", "add it to `counts`")
    for category, count in counts.items():
        failing = {item for by_category in failures.values() for item in by_category.get(category, ())}
        if len(failing) > count:
            refuse(
                f"category `{shown(category)}` has {count} items, and {len(failing)} different failures",
                "check the number of items, and that all models were given the same",
            )
        ids = sorted(failing)
        number = 0
        while len(ids) < count:
            number += 1
            if (name := f"solved by all {number}") not in failing:
                ids.append(name)
        for model, by_category in failures.items():
            failed = set(by_category.get(category, ()))
            found[model][category] = {item: float(item not in failed) for item in ids}
    return found


def _solved(outcomes: Mapping[str, Outcomes | Evaluation], name: str, solved_at: float | None) -> Solved:
    if name not in outcomes:
        known = listed(sorted(outcomes), limit=8)
        refuse(f"there are no outcomes of `{shown(name)}`", f"there are outcomes of {known or 'nothing'}")
    given = outcomes[name]
    by_category: Outcomes
    if isinstance(given, Evaluation):
        if given.items is None:
            refuse(
                f"the scores of `{shown(name)}` do not tell items apart",
                "win rates take an evaluator that gives an outcome for each item",
            )
        lower = [category for category in given.items if not given.higher_is_better[category]]
        if lower:
            refuse(
                f"lower is better in category `{shown(min(lower))}`, so its items are not solved or failed",
                "leave the category out",
            )
        by_category = given.items
    else:
        by_category = given
    solved: Solved = {}
    for category, found in by_category.items():
        for item, outcome in found.items():
            if outcome != outcome or (solved_at is None and outcome not in (0.0, 1.0)):
                refuse(
                    f"`{shown(name)}`, category `{shown(category)}`, item `{shown(item)}`: the outcome is "
                    f"{outcome}",
                    "give `solved_at`, from which an outcome counts as solved",
                )
            solved[category, item] = outcome == 1.0 if solved_at is None else outcome >= solved_at
    if not solved:
        refuse(f"`{shown(name)}` has no items", "give the outcome of every item")
    return solved


def _check_same(name: str, one: Solved, soup: str, other: Solved) -> None:
    if one.keys() == other.keys():
        return
    category, item = min(one.keys() ^ other.keys())
    which = name if (category, item) in one else soup
    count = len(one.keys() ^ other.keys())
    refuse(
        f"`{shown(name)}` and `{shown(soup)}` were scored on different items: {count} are in one only; "
        f"category `{shown(category)}`, item `{shown(item)}` is in `{shown(which)}` only",
        "score all models on the same items",
    )


def _test(parent: Solved, soup: Solved) -> McNemar:
    only_parent = sum(parent[item] and not soup[item] for item in soup)
    only_soup = sum(soup[item] and not parent[item] for item in soup)
    return McNemar(only_parent, only_soup, mcnemar_p(only_parent, only_soup))
