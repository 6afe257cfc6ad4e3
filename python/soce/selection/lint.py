"""Lint of a selection: of its table with the population's size, and of what it chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.files.arguments import expect_names
from soce.files.words import counted
from soce.scores.lint.findings import Findings, found, quoted
from soce.scores.lint.tables import lint_table
from soce.scores.table import expect_table
from soce.selection.correlation import correlate_categories, critical_correlation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.lint.findings import Finding
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation

_FEW_MODELS: Final = 8
_FEWEST_MODELS: Final = 3


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

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [71, 71, 71, 71]}
    >>> table = ScoreTable.of(columns, models=["a", "b", "c", "d"])
    >>> [finding.code for finding in lint_scores(table)]
    ['S03', 'S07']
    """
    expect_table(table)
    for name, models in (("population", population), ("candidates", candidates)):
        if models is not None:
            expect_names(models, name)
    members = sorted(set(table.models if population is None else population))
    if correlation is None and len(members) >= _FEWEST_MODELS and len(table.categories) > 1:
        correlation = correlate_categories(table, population=members)
    findings = lint_table(
        table,
        population=members,
        candidates=candidates,
        near=near,
        min_items=min_items,
        correlation=correlation,
    )
    return Findings.of([*findings, *_check_population(members, correlates=correlates)])


def _check_population(members: Sequence[str], *, correlates: bool) -> Iterator[Finding]:
    """S07: so few models that correlations say little, or nothing."""
    n_models = len(members)
    if n_models >= _FEW_MODELS:
        return
    critical = critical_correlation(n_models) if n_models >= _FEWEST_MODELS else None
    details = {"n_models": n_models, "critical_correlation": critical}
    if critical is not None:
        message = (
            f"the population has {n_models} models: |ρ| below {critical:.3f} cannot be told from 0 (5 %)"
        )
        yield found("S07", message, models=members, details=details)
        return
    why = "two points always lie on a line" if n_models == 2 else "a correlation needs two points at least"
    yield found(
        "S07",
        f"correlations over {counted(n_models, 'model')} ({quoted(members)}) mean nothing: {why}",
        severity="error" if correlates else "warning",
        models=members,
        details=details,
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

    S18 if the rule kept 90 % or more of the categories (or clusters of them) that it could have kept, if all
    candidates are experts, or if the threshold lies above the saturation point; else none.
    """
    reasons = []
    if 10 * n_selected >= 9 * n_categories:
        kept = "is kept" if n_selected == 1 else "are kept"
        reasons.append(f"{n_selected} of {counted(n_categories, 'category', 'categories')} {kept}")
    if set(experts) >= set(candidates):
        reasons.append(f"all {counted(len(set(candidates)), 'candidate')} are experts")
    if threshold is not None and saturation is not None and threshold > saturation:
        reasons.append(
            f"the threshold {threshold:g} is above the saturation point {saturation:.4g}, from which on "
            "every category is kept"
        )
    if not reasons:
        return Findings()
    details = {
        "n_selected": n_selected,
        "n_categories": n_categories,
        "n_experts": len(set(experts)),
        "n_candidates": len(set(candidates)),
        "threshold": threshold,
        "saturation": saturation,
    }
    message = f"the selection leaves next to nothing out: {'; '.join(reasons)}"
    return Findings((found("S18", message, models=experts, details=details),))
