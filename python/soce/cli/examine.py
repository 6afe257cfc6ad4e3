"""Read, lint and correlate a score table: what `analyze`, `select` and `run` do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soce.cli.command import inform, message
from soce.cli.text.layout import wrapped
from soce.cli.text.scores import finding_text
from soce.exceptions import ScoreTableError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.scores.formats.options import ReadOptions
    from soce.scores.lint.findings import Finding, Findings
    from soce.scores.origin import Stated
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Rule


@dataclass(frozen=True, slots=True)
class Examined:
    """A score table, and what lint and correlation say of it."""

    table: ScoreTable
    paths: dict[str, str | None]
    """Candidates that were named, with their checkpoints."""
    options: SelectionOptions
    findings: Findings
    correlation: Correlation | None
    refusal: ScoreTableError | None
    """Why there is no correlation."""
    correlates: bool = True
    """Whether one is needed: categories that are named by hand need none."""

    def usable(self) -> Correlation:
        """Return the correlation; raise `ScoreTableError` if the table has errors, or there is none."""
        self._check()
        if self.refusal is not None:
            raise self.refusal
        assert self.correlation is not None
        return self.correlation

    def _check(self) -> None:
        from soce.scores.lint.findings import raise_errors

        raise_errors(self.findings, self.table.source)
        if self.refusal is not None and self.correlates:
            raise self.refusal

    def accept(self, *, quiet: bool) -> None:
        """Print what the reader decided, and what lint found in a table that is usable."""
        if not quiet:
            tell_notes(self.table)
        self._check()
        _tell(self.findings, quiet=quiet)

    def select(self, rule: Rule, *, quiet: bool) -> Selection:
        """Select the experts, with all that lint found; what it finds in the selection is said."""
        from soce.selection.experts import select_experts

        self._check()
        selection = select_experts(self.table, rule, self.options, correlation=self.correlation)
        _tell(selection.findings, quiet=quiet)
        return replace(selection, findings=(*self.findings, *selection.findings))


def examine(
    table: ScoreTable,
    paths: Mapping[str, str | None],
    selecting: SelectionOptions,
    *,
    correlates: bool = True,
) -> Examined:
    """Correlate the categories of a table if that is possible, and lint it in any case."""
    from soce.selection.correlation import correlate_categories
    from soce.selection.lint import lint_scores

    options = replace(selecting, candidates=list(paths) or None)
    for model in [*(options.population or []), *paths]:
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
    return Examined(table, dict(paths), options, findings, correlation, refusal, correlates)


def _tell(findings: Iterable[Finding], *, quiet: bool) -> None:
    """Print findings to stderr."""
    if not quiet:
        for finding in findings:
            message("\n".join(finding_text(finding)))


def read_table(sources: Sequence[str], options: ReadOptions, *, items: Stated | None = None) -> ScoreTable:
    """Return the table that a command is about, and what the user says of its items.

    An option that has no effect on it is refused.
    """
    from soce.scores.formats.options import ReadOptions
    from soce.scores.formats.registry import FORMATS
    from soce.scores.read import read_scores

    table = read_scores(sources[0] if len(sources) == 1 else list(sources), options=options)
    kinds, unset = set(table.kind.split(" + ")), ReadOptions()
    for name in dict.fromkeys(name for kind in FORMATS.values() for name in kind.options):
        readers = {kind for kind, found in FORMATS.items() if name in found.options}
        if getattr(options, name) != getattr(unset, name) and not kinds & readers:
            table.refuse(
                f"`--{name}` has no effect: the table is {table.kind}, the option is for "
                f"{', '.join(sorted(readers))}",
                "leave it out",
            )
    return table if items is None else table.with_origin(replace(table.origin, stated=items))


def tell_reading(table: ScoreTable) -> None:
    """Print to stderr how a table was read that is not examined."""
    from soce.scores.lint.reading import lint_reading

    tell_notes(table)
    for finding in lint_reading(table):
        told = wrapped(f"`{shown(table.source)}`: {finding.code}: {finding.message}", f"{finding.severity}: ")
        message("\n".join(told))


def tell_notes(table: ScoreTable) -> None:
    """Print to stderr what the reader of a table decided."""
    for note in table.notes:
        inform(note)
