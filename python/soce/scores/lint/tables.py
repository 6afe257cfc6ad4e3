"""Lint: what looks wrong in a score table before anything is chosen by it. Decides and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.files.words import counted
from soce.scores.lint.averages import check_averages, check_averages_among_categories, check_tainted
from soce.scores.lint.columns import (
    check_constant,
    check_counts,
    check_gaps,
    check_ranges,
    check_scales,
    check_small,
)
from soce.scores.lint.copies import check_copies, check_near_models, check_redundant, copied_columns
from soce.scores.lint.findings import Finding, Findings, found, quoted
from soce.scores.lint.reading import check_directions, check_not_scores, check_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.lint.copies import Correlations
    from soce.scores.table import ScoreTable

_FEWEST_SCORES: Final = 4


def lint_table(
    table: ScoreTable,
    *,
    population: Sequence[str] | None = None,
    candidates: Sequence[str] | None = None,
    near: float = 2.0,
    min_items: int = 30,
    correlation: Correlations | None = None,
) -> Findings:
    """Return all that `soce.selection.lint.lint_scores` finds but S07, with the same arguments.

    Without a correlation nobody looks for categories that rank the models alike (S13).
    """
    population = sorted(set(table.models if population is None else population))
    candidates = sorted(set(table.models if candidates is None else candidates))
    # Canonical order, so that no order of the input shows in any message or sum.
    used = table.take(
        models=sorted({*population, *candidates}), columns=sorted(column.name for column in table.columns)
    )
    copies = copied_columns(used)
    findings = [
        *check_copies(used, copies),
        *check_averages(used, copies),
        *check_constant(used, population, "population"),
        *check_scales(used),
        *check_tainted(used),
        *check_near_models(used, candidates, near),
        *check_counts(used),
        *check_small(used, min_items),
        *check_ranges(used),
        *check_averages_among_categories(used),
        *check_not_scores(used, all_rows=len(used.models) == len(table.models)),
        *check_gaps(used, population),
        *check_rows(used),
        *check_directions(used),
    ]
    if candidates != population:
        findings += check_constant(used, candidates, "candidates")
    if correlation is not None:
        findings += check_redundant(used, correlation, copies)
    return Findings.of(findings)


def lint_pair(
    selection: ScoreTable, report: ScoreTable, *, candidates: Sequence[str] | None = None
) -> Findings:
    """Check that two tables can serve as selection and report table, of these candidates (None: all models).

    S15: the categories differ, or a candidate is not in both. S17: both hold the same scores, the leakage of
    arXiv:2511.13254, section 7.1.
    """
    models = sorted(set(selection.models if candidates is None else candidates))
    return Findings.of([*_check_match(selection, report, models), *_check_same(selection, report, models)])


def _check_match(selection: ScoreTable, report: ScoreTable, models: Sequence[str]) -> Iterator[Finding]:
    here, there = set(selection.categories), set(report.categories)
    if here != there:
        lacking = [
            f"{quoted(sorted(names))} only in the {which} table"
            for names, which in ((here - there, "selection"), (there - here, "report"))
            if names
        ]
        yield found(
            "S15",
            f"selection and report table differ in categories: {', '.join(lacking)}",
            columns=here ^ there,
            details={"selection_only": sorted(here - there), "report_only": sorted(there - here)},
        )
    for table, which in ((selection, "selection"), (report, "report")):
        lacking = [model for model in models if model not in table.models]
        if lacking:
            yield found(
                "S15",
                f"the {which} table lacks {counted(len(lacking), 'candidate')}: {quoted(lacking)}",
                models=lacking,
                hint="names must match exactly; use `--rename` where one model has two names",
                details={"table": which, "lacking": lacking},
            )


def _check_same(selection: ScoreTable, report: ScoreTable, models: Sequence[str]) -> Iterator[Finding]:
    if selection.digest == report.digest:
        yield found("S17", "selection and report table are the same", details={"digest": report.digest})
        return
    # One more row or another name for the source does not make other items.
    both = [model for model in models if model in selection.models and model in report.models]
    shared = sorted(set(selection.categories) & set(report.categories))
    if not both or not shared:
        return
    first, second = (table.take(models=both, columns=shared).values for table in (selection, report))
    given = ~np.isnan(first) & ~np.isnan(second)
    if given.sum() >= _FEWEST_SCORES and (first[given] == second[given]).all():
        n_scores = int(given.sum())
        yield found(
            "S17",
            f"selection and report table agree in all {n_scores} scores of candidates that both have",
            models=both,
            columns=shared,
            details={"n_scores": n_scores},
        )
