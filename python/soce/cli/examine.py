"""Lint and correlate a score table: what `analyze`, `select` and `run` do first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soce.cli.command import message
from soce.cli.inputs import candidates_of, read_table
from soce.exceptions import ScoreTableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.formats.options import ReadOptions
    from soce.scores.lint.findings import Findings
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Rule


@dataclass(frozen=True, slots=True)
class Examined:
    """What lint and correlation say of a table."""

    findings: Findings
    correlation: Correlation | None
    refusal: ScoreTableError | None
    """Why there is no correlation."""

    def usable(self, source: str) -> Correlation:
        """Return the correlation; raise `ScoreTableError` if the table has errors."""
        from soce.scores.lint.findings import raise_errors

        raise_errors(self.findings, source)
        if self.refusal is not None:
            raise self.refusal
        assert self.correlation is not None
        return self.correlation


def examine(table: ScoreTable, options: SelectionOptions, *, correlates: bool = True) -> Examined:
    """Correlate the categories if that is possible, and lint the table in any case."""
    from soce.selection.correlation import correlate_categories
    from soce.selection.lint import lint_scores

    for model in [*(options.population or []), *(options.candidates or [])]:
        table.row(model)
    correlation = refusal = None
    try:
        correlation = correlate_categories(
            table, population=options.population, missing=options.missing, min_overlap=options.min_overlap
        )
        if not correlation.pairs(limit=1):
            table.refuse(
                "no two categories have a defined correlation",
                f"at least {options.min_overlap} models need scores, not all equal, in both",
            )
    except ScoreTableError as error:
        correlation, refusal = None, error
    findings = lint_scores(
        table,
        population=options.population,
        candidates=options.candidates,
        correlation=correlation,
        correlates=correlates,
    )
    return Examined(findings, correlation, refusal)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A score table that is fit to select from."""

    table: ScoreTable
    paths: dict[str, str | None]
    """Candidates that were named, with their checkpoints."""
    options: SelectionOptions
    findings: Findings
    correlation: Correlation

    def select(self, rule: Rule, *, quiet: bool) -> Selection:
        """Select the experts, with all that lint found."""
        from soce.selection.experts import select_experts

        selection = select_experts(self.table, rule, self.options, correlation=self.correlation)
        if not quiet:
            for finding in selection.findings:
                message(str(finding))
        return replace(selection, findings=(*self.findings, *selection.findings))


def prepare(
    tables: Sequence[str],
    reading: ReadOptions,
    options: SelectionOptions,
    *,
    given: Sequence[str],
    models_file: str | None,
    correlates: bool,
    quiet: bool,
) -> Prepared:
    """Read and examine a table, and say what was found; `ScoreTableError` if the table has errors."""
    table = read_table(tables, reading)
    paths = candidates_of(given, models_file, table)
    options = replace(options, candidates=list(paths) or None)
    examined = examine(table, options, correlates=correlates)
    correlation = examined.usable(table.source)
    if not quiet:
        for finding in examined.findings:
            message(str(finding))
    return Prepared(table, paths, options, examined.findings, correlation)
