"""The command `soce analyze`: step 1 of the method on a score table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.output import Outcome, message, refusals
from soce.cli.score_text import cluster_lines, correlation_lines, finding_lines, sweep_lines, table_lines
from soce.cli.tables import TABLE_HELP, candidates, names, population_options, read_tables, table_options
from soce.exceptions import ScoreTableError

if TYPE_CHECKING:
    from soce.scores.lint.findings import Findings
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.sweep import SweepStep

_EPILOG = (
    TABLE_HELP
    + """
\b
Examples:
  soce analyze scores.csv
  soce analyze board/ --plot correlation.png
  soce analyze paper:flores36 --json
"""
)


@click.command(
    cls=Outcome,
    short_help="Lint a score table and correlate its categories.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@table_options
@population_options
@click.option(
    "--candidate",
    "-c",
    "given",
    multiple=True,
    metavar="NAME|@FILE",
    help="Models that may become experts; else all.",
)
@click.option(
    "--clusters", type=click.IntRange(min=1), default=3, metavar="K", help="Clusters to show. Default: 3."
)
@click.option("--plot", metavar="FILE", help="Draw the correlations to a .png, .svg or .pdf file.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def analyze(
    *,
    tables: tuple[str, ...],
    population: tuple[str, ...],
    missing: Any,  # noqa: ANN401 - a choice
    min_overlap: int,
    sign: str,
    given: tuple[str, ...],
    clusters: int,
    plot: str | None,
    as_json: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> None:
    """Say what a score table is worth and how its categories move together.

    Lint comes first: what is wrong with the table. Then correlations over the population, their clusters, and
    what each threshold of `soce select` would choose. Errors in the table stop here, with exit code 1.
    """
    signed = sign == "signed"
    with refusals(debug=debug):
        if plot is not None:
            from soce.selection.heatmap import check_plot

            check_plot(Path(plot))  # before any work is done
        table = read_tables(tables, options)
        named = list(candidates(given, None, table)) or None
        examined = examine(table, names(population), named, missing=missing, min_overlap=min_overlap)
        if as_json:
            click.echo(_json(table, examined, named, signed=signed, clusters=clusters))
        else:
            _print(table, examined, named, signed=signed, clusters=clusters)
        correlation = examined.usable(table.source)
        if plot is not None:
            from soce.selection.heatmap import plot_correlation

            plot_correlation(correlation, Path(plot))
            message(f"wrote `{plot}`")


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


def examine(
    table: ScoreTable,
    population: list[str] | None,
    named: list[str] | None,
    *,
    missing: Any,  # noqa: ANN401 - a choice
    min_overlap: int,
    correlates: bool = True,
) -> Examined:
    """Correlate the categories if that is possible, and lint the table in any case."""
    from soce.selection.correlation import correlate_categories
    from soce.selection.lint import lint_scores

    for model in [*(population or []), *(named or [])]:
        table.row(model)
    correlation = refusal = None
    try:
        correlation = correlate_categories(
            table, population=population, missing=missing, min_overlap=min_overlap
        )
        if not correlation.pairs(limit=1):
            table.refuse(
                "no two categories have a defined correlation",
                f"at least {min_overlap} models need scores, not all equal, in both",
            )
    except ScoreTableError as error:
        correlation, refusal = None, error
    findings = lint_scores(
        table, population=population, candidates=named, correlation=correlation, correlates=correlates
    )
    return Examined(findings, correlation, refusal)


def _print(
    table: ScoreTable, examined: Examined, named: list[str] | None, *, signed: bool, clusters: int
) -> None:
    blocks = [table_lines(table), finding_lines(examined.findings)]
    click.echo("\n\n".join("\n".join(block) for block in blocks))
    correlation = examined.correlation
    if correlation is None or examined.findings.errors:
        return
    from soce.cli.heatmap import heatmap_text

    blocks = [
        correlation_lines(correlation, signed=signed),
        [heatmap_text(correlation)],
        cluster_lines(_clusters(correlation, clusters)),
        sweep_lines(_sweep(table, correlation, named, signed=signed), name_experts=named is not None),
    ]
    click.echo("\n" + "\n\n".join("\n".join(block) for block in blocks))


def _json(
    table: ScoreTable, examined: Examined, named: list[str] | None, *, signed: bool, clusters: int
) -> str:
    correlation = examined.correlation
    found: dict[str, object] = {
        "table": {
            "source": table.source,
            "kind": table.kind,
            "digest": table.digest,
            "models": list(table.models),
            "categories": list(table.categories),
            "columns": [asdict(column) for column in table.columns],
            "missing": table.n_missing,
            "ignored": [{"column": name, "reason": reason} for name, reason in table.ignored],
        },
        "lint": examined.findings.to_json(),
    }
    if correlation is not None and not examined.findings.errors:
        steps = _sweep(table, correlation, named, signed=signed)
        found |= {
            "correlation": correlation.to_json(),
            "clusters": [list(names) for names in _clusters(correlation, clusters)],
            "saturation": correlation.saturation,
            "sweep": [asdict(step) for step in steps],
        }
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)


def _clusters(correlation: Correlation, wanted: int) -> tuple[tuple[str, ...], ...]:
    from soce.selection.clusters import cluster_categories

    defined = len(correlation.categories) - len(correlation.undefined)
    return cluster_categories(correlation, n_clusters=min(wanted, defined))


def _sweep(
    table: ScoreTable, correlation: Correlation, named: list[str] | None, *, signed: bool
) -> tuple[SweepStep, ...]:
    from soce.selection.options import SelectionOptions
    from soce.selection.sweep import sweep_thresholds

    return sweep_thresholds(table, SelectionOptions(named), signed=signed, correlation=correlation)
