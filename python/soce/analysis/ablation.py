"""What selection and weights each add: single models, uniform soups and the soup, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from soce.analysis.checks import points_per_unit
from soce.exceptions import Problem, StudyError, shown
from soce.files.plain import Plain
from soce.search.named_arms import KIND
from soce.search.result import SearchResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.evidence.interval import PairedInterval
    from soce.evidence.sign_flip import SignFlip

ROLES: Final = ("single", "uniform-all", "uniform-selected")
"""Kinds of arms besides the soup itself, whose kind is the strategy's: ``soce``, ``greedy``."""


@dataclass(frozen=True, slots=True)
class AblationRow(Plain):
    """One arm."""

    arm: str
    """``single``, ``uniform-all``, ``uniform-selected``, or the soup: ``soce``, ``greedy``."""
    label: str
    parts: Mapping[str, int] | None
    """None if unknown."""
    selection: float | None
    """Objective on the items it was chosen on, in the objective's units; None if unknown."""
    report: float
    """Objective on the reported items."""
    percentage_points: float | None = None
    """`report` minus the best single model's, in percentage points; None if scores are no shares."""
    relative_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Difference(Plain):
    """First minus second on the reported items."""

    first: str
    second: str
    """Labels of the arms."""
    isolates: str
    """What is different between the two, in words."""
    difference: float
    percentage_points: float | None
    relative_percent: float | None
    """100 (first / second - 1); None if the second is 0."""
    interval: PairedInterval | None = None
    test: SignFlip | None = None
    """As in the search's result, where it has them."""


@dataclass(frozen=True, slots=True)
class Ablation(Plain):
    """The arms of one search and the differences between them."""

    rows: tuple[AblationRow, ...]
    """Single models by name, the two uniform soups, the soup."""
    differences: tuple[Difference, ...]
    objective: str
    scale: str | None
    best_single_selection: str | None
    best_single_report: str
    """The harder one to beat, by which the next two are decided."""
    scores_higher: bool
    """Whether the soup's reported score is above the best single model's: equal is not higher."""
    beats_best_single: bool | None
    """Whether the search's verdict says so; None of scores alone, which show no difference."""
    mean_of_singles: float
    is_optimistic: bool | None
    """Whether choice and report are on the same items; None if unknown."""
    n_candidates: int | None
    """Soups among which the last one was chosen."""

    @property
    def soup(self) -> AblationRow:
        """The soup that was searched for."""
        return self.rows[-1]

    def row(self, label: str) -> AblationRow:
        """Return the row of that label."""
        return next(row for row in self.rows if row.label == label)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        content = Plain.to_json(self)
        best = {f"on_{where}": content.pop(f"best_single_{where}") for where in ("selection", "report")}
        return {**content, "best_single": best}


def ablation_table(result: SearchResult | Mapping[str, Any]) -> Ablation:
    """Return the arms of a search and what each step adds.

    Parameters
    ----------
    result : SearchResult or mapping
        Or the content of its ``result.json``.

    Raises
    ------
    StudyError
        The mapping is not the result of a search, or lacks an arm.

    Notes
    -----
    The differences: uniform-all minus the best single model, uniform-selected minus uniform-all (what the
    selection adds), the soup minus uniform-selected (what the weights add), the soup minus uniform-all, the
    soup minus the best single model, and uniform-selected minus it (whether the selection alone beats it).
    The best single model is the best on the reported items.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.1 and Tables 1 and 2.
    """
    if not isinstance(result, SearchResult):
        result = SearchResult.from_json(result)
    arms = [
        AblationRow(one.kind, one.label, one.parts, one.selection.value, one.report.value)
        for one in result.arms
        if one.kind != KIND
    ]
    return _ablation(arms, result.objective, result.scale, result)


def ablation_of_scores(
    scores: Mapping[str, float],
    roles: Mapping[str, str],
    *,
    objective: str = "score",
    scale: str | None = "percent",
) -> Ablation:
    """Return the same table from scores alone, such as those of a paper.

    Parameters
    ----------
    scores : mapping of model to float
        Larger is better.
    roles : mapping of model to str
        ``single`` or ``ingredient``, ``uniform-all``, ``uniform-selected``; any other word for the soup.
    objective : str
        What the scores are.
    scale : {"percent", "unit", None}

    Raises
    ------
    StudyError
        No single model, not exactly one of each soup, a score that is no number, other models than roles.

    Examples
    --------
    >>> from soce.scores.paper import paper_roles, paper_table
    >>> table = paper_table("table1-8b")
    >>> scores = {name: table.score(name, "bfcl_accuracy") for name in table.models}
    >>> found = ablation_of_scores(scores, paper_roles("table1-8b"))
    >>> [round(one.percentage_points, 2) for one in found.differences]
    [-2.57, 4.21, 2.49, 6.7, 4.13, 1.64]
    """
    for name in sorted(scores.keys() ^ roles.keys()):
        what = "no role" if name in scores else "no score"
        _refuse(f"`{shown(name)}` has {what}", "give both for the same models")
    arms = []
    for name, role in roles.items():
        if not math.isfinite(scores[name]):
            _refuse(f"the score of `{shown(name)}` is {scores[name]}", "leave out what has no score")
        kind = "single" if role == "ingredient" else role
        arms.append(AblationRow(kind, name, None, None, float(scores[name])))
    return _ablation(arms, objective, scale)


def _ablation(
    arms: Sequence[AblationRow], objective: str, scale: str | None, result: SearchResult | None = None
) -> Ablation:
    singles = sorted((arm for arm in arms if arm.arm == "single"), key=lambda arm: arm.label)
    if not singles:
        _refuse(
            "there is no single model among the arms", "an ablation compares soups with their ingredients"
        )
    soups = {role: [arm for arm in arms if arm.arm == role] for role in ROLES[1:]}
    soups["the soup"] = [arm for arm in arms if arm.arm not in ROLES]
    for role, named in soups.items():
        if len(named) != 1:
            _refuse(f"there are {len(named)} arms for {role}, expected one", "give every arm once")
    uniform_all, uniform_selected, soup = (named[0] for named in soups.values())
    if result is None:
        best = min(singles, key=lambda arm: (-arm.report, arm.label))
    else:  # found by exact scores
        best = next(arm for arm in singles if arm.label == result.best_single_report)
    times = points_per_unit(scale)

    def shares(first: AblationRow, second: AblationRow) -> tuple[float | None, float | None]:
        """Return first minus second in percentage points and in relative percent."""
        difference = first.report - second.report
        relative = 100 * difference / abs(second.report) if second.report else None
        return None if times is None else times * difference, relative

    def against_best(arm: AblationRow) -> AblationRow:
        points, relative = shares(arm, best)
        return replace(arm, percentage_points=points, relative_percent=relative)

    compared = {(one.first, one.second): one for one in result.comparisons} if result else {}
    differences = []
    for first, second, isolates in (
        (uniform_all, best, "averaging everything"),
        (uniform_selected, uniform_all, "the selection of experts"),
        (soup, uniform_selected, "the weights"),
        (soup, uniform_all, "selection and weights"),
        (soup, best, "everything"),
        (uniform_selected, best, "averaging the selected experts"),
    ):
        known = compared.get((first.label, second.label))
        numbers = (
            (first.report - second.report, *shares(first, second))
            if known is None  # else as the result has it: of exact scores
            else (known.difference, known.percentage_points, known.relative_percent)
        )
        tests = (known.interval, known.test) if known else ()
        differences.append(Difference(first.label, second.label, isolates, *numbers, *tests))
    return Ablation(
        rows=tuple(against_best(arm) for arm in (*singles, uniform_all, uniform_selected, soup)),
        differences=tuple(differences),
        objective=objective,
        scale=scale,
        best_single_selection=result.best_single_selection if result else None,
        best_single_report=best.label,
        scores_higher=soup.report > best.report,
        beats_best_single=result.beats_best_single if result else None,
        mean_of_singles=math.fsum(arm.report for arm in singles) / len(singles),
        is_optimistic=result.is_optimistic if result else None,
        n_candidates=result.n_candidates if result else None,
    )


def _refuse(message: str, hint: str) -> NoReturn:
    raise StudyError.of([Problem("study", None, None, message, hint)])
