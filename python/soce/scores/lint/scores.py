"""Lint: what looks wrong in a score table, before anything is chosen by it. Decides nothing, changes nothing.

Names that are equal or equal up to case (S11) and infinite scores (S10) are refused by `ScoreTable` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.scores.lint.aggregates import check_means_among_categories, check_tainted
from soce.scores.lint.cells import check_counts, check_gaps, check_ranges, check_scales
from soce.scores.lint.columns import (
    check_constant,
    check_duplicates,
    check_not_scores,
    check_redundant,
    check_small,
    duplicate_pairs,
)
from soce.scores.lint.findings import Finding, Findings, Severity, raise_errors
from soce.scores.lint.means import check_means
from soce.scores.lint.models import FEWEST_MODELS, check_near, check_population
from soce.scores.lint.selections import lint_pair, lint_selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation

__all__ = ["Finding", "Findings", "Severity", "lint_pair", "lint_scores", "lint_selection", "raise_errors"]


def lint_scores(
    table: ScoreTable,
    *,
    population: Sequence[str] | None = None,
    candidates: Sequence[str] | None = None,
    near: float = 2.0,
    min_items: int = 30,
    correlation: Correlation | None = None,
    correlates: bool = True,
) -> Findings:
    """Check a score table.

    Parameters
    ----------
    table : ScoreTable
    population, candidates : sequence of str, optional
        The models that correlations run over, and those that may become experts; all models if left out.
        Rows of neither are not looked at.
    near : float
        Candidates that differ by at most this many percentage points in every category are near-duplicates.
    min_items : int
        A category measured on fewer items is reported.
    correlation : Correlation, optional
        That of the population, if it is there already.
    correlates : bool
        Whether the selection rests on correlations: it then is an error to have fewer than three models.

    Returns
    -------
    Findings
        Errors, warnings, information; each by code. No order of rows or columns changes them.

    Raises
    ------
    ScoreTableError
        A name in `population` or `candidates` that is not in the table.

    Notes
    -----
    A score printed with d decimals stands for an interval of half-width 0.5 · 10^-d; a column passes for the
    mean of others if the interval of that mean meets its own. Decided in integers, without float error.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [71, 71, 71, 71]}
    >>> for finding in lint_scores(ScoreTable.of(columns, models=["a", "b", "c", "d"])):
    ...     print(finding)
    warning: S03: category `code` (71) is the same for all 4 models of the population
    warning: S07: the population has 4 models: |ρ| below 0.950 cannot be told from 0 (5 %)
    """
    population = sorted(set(table.models if population is None else population))
    candidates = sorted(set(table.models if candidates is None else candidates))
    # Canonical order, so that no order of the input shows in any message or sum.
    used = table.take(
        models=sorted({*population, *candidates}), columns=sorted(column.name for column in table.columns)
    )
    members = [used.row(model) for model in population]
    copies = duplicate_pairs(used)
    findings = [
        *check_duplicates(used, copies),
        *check_means(used, copies),
        *check_constant(used, members, "population"),
        *check_scales(used),
        *check_tainted(used),
        *check_near(used, [used.row(model) for model in candidates], near),
        *check_population(used, members, correlates=correlates),
        *check_counts(used),
        *check_small(used, min_items),
        *check_ranges(used),
        *check_means_among_categories(used),
        *check_not_scores(used, all_rows=len(used.models) == len(table.models)),
        *check_gaps(used, members),
    ]
    if set(candidates) != set(population):
        findings += check_constant(used, [used.row(model) for model in candidates], "candidates")
    if correlation is None and len(members) >= FEWEST_MODELS and len(used.categories) > 1:
        from soce.selection.correlation import correlate_categories

        correlation = correlate_categories(used, population=population)
    if correlation is not None:
        findings += check_redundant(used, correlation, copies)
    return Findings.of(findings)
