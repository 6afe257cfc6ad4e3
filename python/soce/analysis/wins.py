"""Which items a soup solves that its parents do not, and the other way round."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from itertools import compress, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from soce.analysis.checks import compared_with, known, outcomes_by_item, same_items
from soce.evaluate.evaluation import Evaluation, refuse
from soce.evidence.mcnemar import McNemar, mcnemar_p
from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Outcomes = Mapping[str, Mapping[str, float]]
    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


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
    """By parent: `only_first` items that only the parent solves, `only_second` only the soup. Every item
    counts once, so p is of the share of all items that is solved, and not of a mean of categories unless
    these have equally many items: for that see `soce.evidence.sign_flip`."""
    rescued: tuple[tuple[str, str], ...]
    """Category and id of the items that only the soup solves."""
    lost: tuple[tuple[str, str], ...]
    """Category and id of the items that only the soup fails."""
    left_out: tuple[str, ...] = ()
    """Categories of the soup without outcomes by item, such as those of a corpus metric."""
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
    names = compared_with(soup, parents, "parent")
    by_model = {name: _solved(known(outcomes, name, "outcome"), name, solved_at) for name in (*names, soup)}
    for name in names:
        same_items(name, by_model[name], soup, by_model[soup])
    items = sorted(by_model[soup])
    solved = {name: np.array([by_item[item] for item in items]) for name, by_item in by_model.items()}
    made = solved[soup]  # (n_items,)
    n_failing = np.sum([~solved[name] for name in names], axis=0)
    nobody, everybody = n_failing == len(names), n_failing == 0
    scored = outcomes[soup]
    categories = scored.categories if isinstance(scored, Evaluation) else ()
    return WinRates(
        soup,
        names,
        len(items),
        solved={name: int(one.sum()) for name, one in solved.items()},
        retention={name: _rate(made, solved[name]) for name in names},
        rescue=_rate(made, nobody),
        fails=tuple((number, _rate(made, n_failing == number)) for number in range(1, len(names))),
        regression=_rate(~made, everybody),
        mcnemar={name: _test(solved[name], made) for name in names},
        rescued=tuple(compress(items, nobody & made)),
        lost=tuple(compress(items, everybody & ~made)),
        left_out=tuple(name for name in categories if name not in {category for category, _ in items}),
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
    for model, by_category in failures.items():
        for category in by_category:
            if category not in counts:
                what = f"`{shown(model)}` fails items of category `{shown(category)}`"
                refuse(f"{what}, whose number of items is not given", "add it to `counts`")
    outcomes: dict[str, dict[str, dict[str, float]]] = {model: {} for model in failures}
    for category, count in counts.items():
        failing = {item for by_category in failures.values() for item in by_category.get(category, ())}
        if len(failing) > count:
            different = counted(len(failing), "different failure")
            refuse(
                f"category `{shown(category)}` has {counted(count, 'item')}, and {different}",
                "check the number of items, and that all models were given the same",
            )
        names = (f"solved by all {number}" for number in itertools.count(1))
        solved = islice((name for name in names if name not in failing), count - len(failing))
        ids = [*sorted(failing), *solved]
        for model, by_category in failures.items():
            failed = set(by_category.get(category, ()))
            outcomes[model][category] = {item: float(item not in failed) for item in ids}
    return outcomes


def _solved(
    outcomes: Outcomes | Evaluation, name: str, solved_at: float | None
) -> dict[tuple[str, str], bool]:
    """Return whether a model solves each category's items."""
    by_category = outcomes_by_item(outcomes, name) if isinstance(outcomes, Evaluation) else outcomes
    solved = {}
    for category, by_item in by_category.items():
        for item, outcome in by_item.items():
            if math.isnan(outcome) or (solved_at is None and outcome not in (0.0, 1.0)):
                refuse(
                    f"`{shown(name)}`, category `{shown(category)}`, item `{shown(item)}`: the outcome is "
                    f"{outcome}",
                    "give `solved_at`, from which an outcome counts as solved",
                )
            solved[category, item] = outcome >= (1.0 if solved_at is None else solved_at)
    if not solved:
        refuse(f"`{shown(name)}` has no items", "give the outcome of every item")
    return solved


def _rate(counts: Flags, of: Flags) -> Rate:
    return Rate(int((counts & of).sum()), int(of.sum()))


def _test(parent: Flags, soup: Flags) -> McNemar:
    only_parent, only_soup = int((parent & ~soup).sum()), int((soup & ~parent).sum())
    return McNemar(only_parent, only_soup, mcnemar_p(only_parent, only_soup))
