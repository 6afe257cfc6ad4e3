"""Checks on what surrounds a table: the table that results are reported on, and what a selection did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from soce.files.words import counted
from soce.scores.lint.findings import Finding, Findings, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.table import ScoreTable

_FEWEST_SCORES = 4


def lint_pair(
    selection: ScoreTable, report: ScoreTable, *, candidates: Sequence[str] | None = None
) -> Findings:
    """Check that two tables can serve as selection and report table.

    Parameters
    ----------
    selection : ScoreTable
        The scores that experts and weights are chosen by.
    report : ScoreTable
        The scores that results are reported in.
    candidates : sequence of str, optional
        The models that the report must hold; all models of `selection` if left out.

    Returns
    -------
    Findings
        S15: the categories differ, or a candidate is not in both. S17: both hold the same scores.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254, section 7.1 (selection on reported scores).

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> table = ScoreTable.of({"math": [50, 60], "code": [70, 65]}, models=["a", "b"])
    >>> print(lint_pair(table, table)[0])
    error: S17: selection and report table are the same
    """
    models = sorted(set(selection.models if candidates is None else candidates))
    return Findings.of([*_match(selection, report, models), *_same(selection, report, models)])


def _match(selection: ScoreTable, report: ScoreTable, models: Sequence[str]) -> Iterator[Finding]:
    here, there = set(selection.categories), set(report.categories)
    if here != there:
        lacking = [
            f"{quoted(sorted(names))} only in the {which} table"
            for names, which in ((here - there, "selection"), (there - here, "report"))
            if names
        ]
        yield Finding(
            "S15",
            "error",
            f"selection and report table differ in categories: {', '.join(lacking)}",
            (),
            tuple(here ^ there),
            "both need the same categories; name those of both with `--columns`",
            {"selection_only": sorted(here - there), "report_only": sorted(there - here)},
        )
    for table, which in ((selection, "selection"), (report, "report")):
        lacking = [model for model in models if model not in set(table.models)]
        if lacking:
            yield Finding(
                "S15",
                "error",
                f"the {which} table lacks {counted(len(lacking), 'candidate')}: {quoted(lacking)}",
                tuple(lacking),
                (),
                "names must match exactly; use `--rename` where one model has two names",
                {"table": which, "lacking": lacking},
            )


def _same(selection: ScoreTable, report: ScoreTable, models: Sequence[str]) -> Iterator[Finding]:
    hint = "report on other items than those that chose the experts, or leave the report table out"
    if selection.digest == report.digest:
        yield Finding(
            "S17", "error", "selection and report table are the same", (), (), hint, {"digest": report.digest}
        )
        return
    # One more row or another name for the source does not make other items.
    both = [model for model in models if model in set(selection.models) & set(report.models)]
    shared = sorted(set(selection.categories) & set(report.categories))
    if not both or not shared:
        return
    first, second = (
        table.values[np.ix_([table.row(model) for model in both], [table.place(name) for name in shared])]
        for table in (selection, report)
    )
    given = ~np.isnan(first) & ~np.isnan(second)
    if given.sum() >= _FEWEST_SCORES and (first[given] == second[given]).all():
        yield Finding(
            "S17",
            "error",
            f"selection and report table agree in all {int(given.sum())} scores of candidates that both have",
            tuple(both),
            tuple(shared),
            hint,
            {"n_scores": int(given.sum())},
        )


def lint_selection(
    *,
    n_selected: int,
    n_categories: int,
    experts: Sequence[str],
    candidates: Sequence[str],
    threshold: float | None = None,
    saturation: float | None = None,
) -> Findings:
    """Check whether a selection selected anything.

    Parameters
    ----------
    n_selected : int
        Number of categories that the rule kept, or of clusters of them.
    n_categories : int
        Number of categories that it could have kept.
    experts, candidates : sequence of str
        Who was chosen, of whom.
    threshold : float, optional
        τ, if the rule has one.
    saturation : float, optional
        The threshold above which all categories are kept.

    Returns
    -------
    Findings
        S18 if 90 % of the categories or more are kept, if all candidates are experts, or if the threshold
        lies above the saturation point; else none.

    Examples
    --------
    >>> len(lint_selection(n_selected=8, n_categories=17, experts=["a"], candidates=["a", "b"]))
    0
    """
    reasons = []
    if 10 * n_selected >= 9 * n_categories:
        reasons.append(f"{n_selected} of {counted(n_categories, 'category', 'categories')} are kept")
    if set(experts) >= set(candidates):
        reasons.append(f"all {counted(len(set(candidates)), 'candidate')} are experts")
    if threshold is not None and saturation is not None and threshold > saturation:
        reasons.append(f"the threshold {threshold:g} is above the saturation point {saturation:.4g}")
    if not reasons:
        return Findings()
    return Findings.of(
        [
            Finding(
                "S18",
                "warning",
                f"the selection leaves next to nothing out: {'; '.join(reasons)}",
                tuple(experts),
                (),
                "see the threshold sweep for smaller thresholds, or select by `pairs` or `clusters`",
                {
                    "n_selected": n_selected,
                    "n_categories": n_categories,
                    "n_experts": len(set(experts)),
                    "n_candidates": len(set(candidates)),
                    "threshold": threshold,
                    "saturation": saturation,
                },
            )
        ]
    )
