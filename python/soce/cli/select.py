"""The command `soce select`: steps 1 and 2 of the method, and the grid of step 3."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from soce.cli.output import Outcome, message, refusals
from soce.cli.score_text import report_lines, selection_lines, sweep_lines, table_lines
from soce.cli.selecting import choose, prepare, rule_of, selection_options
from soce.cli.tables import TABLE_HELP, read_tables, table_options
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.cli.selecting import Prepared
    from soce.scores.objective import Objective
    from soce.scores.table import ScoreTable
    from soce.selection.experts import Selection

_EPILOG = (
    TABLE_HELP
    + """
\b
Examples:
  soce select scores.csv -c math=path/A -c code=path/B -c chat=path/C --sweep
  soce select scores.csv --models models.yaml --threshold 0.1 --output selection.yaml
  soce select scores.csv --models models.yaml --rule clusters --clusters 3
"""
)


@click.command(
    cls=Outcome,
    short_help="Choose experts and the weights to try.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@selection_options
@click.option(
    "--report-scores",
    metavar="TABLE",
    help="Scores on other items, to report on; lint checks that they match.",
)
@click.option("--sweep", is_flag=True, help="Show what every threshold selects, and stop.")
@click.option("--output", "-o", metavar="FILE", help="Write the selection: a recipe file of the whole grid.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@table_options
@click.option("--json", "as_json", is_flag=True, help="Print the selection as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def select(
    *,
    tables: tuple[str, ...],
    sign: str,
    report_scores: str | None,
    sweep: bool,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> None:
    """Choose the experts of weakly correlated categories, and the weights to try.

    The paper gives no value for the threshold, so there is no default: without one, what every threshold
    would select is shown. OUTPUT is a recipe file that `soce-merge --recipes` takes as it is.
    """
    signed = sign == "signed"
    with refusals(debug=debug):
        rule = rule_of(options, signed=signed, sweep=sweep)
        for flag, value in (("--output", output), ("--report-scores", report_scores)):
            if sweep and value is not None:
                _usage(f"{flag} does not go with --sweep, which selects nothing")
        if output is not None:
            from soce.selection.file import check_target

            check_target(output, overwrite=overwrite)  # before any work is done
        table_settings = dict(options)
        prepared = prepare(tables, rule, options, quiet=quiet)
        table = prepared.table
        if rule is None:
            _show_sweep(prepared, signed=signed, as_json=as_json)
            if not sweep:
                _usage("missing option `--threshold`: the paper gives no value, so choose one from this list")
            return
        selection = choose(prepared, rule, quiet=quiet)
        report = None
        if report_scores is not None:
            report = _compare(table, report_scores, table_settings, selection)
        _show(table, selection, report, as_json=as_json)
        if output is not None:
            _write(selection, output, prepared.paths, overwrite=overwrite)


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())


def _show_sweep(prepared: Prepared, *, signed: bool, as_json: bool) -> None:
    from soce.selection.sweep import sweep_thresholds

    steps = sweep_thresholds(
        prepared.table, prepared.options, signed=signed, correlation=prepared.correlation
    )
    if as_json:
        click.echo(json.dumps({"sweep": [asdict(step) for step in steps]}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*table_lines(prepared.table), "", *sweep_lines(steps, name_experts=True)]))


@dataclass(frozen=True, slots=True)
class Report:
    """How the experts do on the items of another table."""

    source: str
    digest: str
    objective: str
    overall: tuple[tuple[str, float | None], ...]
    """Each expert's objective there; None where it is undefined."""


def _compare(table: ScoreTable, report_scores: str, settings: dict[str, Any], selection: Selection) -> Report:
    """Check the table that results will be reported on, and return how the experts do there."""
    from soce.scores.lint.findings import raise_errors
    from soce.scores.lint.tables import lint_pair
    from soce.scores.objective import parse_objective

    report = read_tables([report_scores], settings, second=True)
    raise_errors(lint_pair(table, report, candidates=selection.candidates), report.source)
    objective: Objective = parse_objective(selection.objective)
    values = objective.values(report)
    reached = [(model, float(values[report.row(model)])) for model in selection.models]
    return Report(
        report.source,
        report.digest,
        selection.objective,
        tuple((model, None if math.isnan(value) else value) for model, value in reached),
    )


def _show(table: ScoreTable, selection: Selection, report: Report | None, *, as_json: bool) -> None:
    if as_json:
        found = selection.to_json()
        if report is not None:
            found["report"] = {**asdict(report), "overall": dict(report.overall)}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return
    blocks = [table_lines(table), selection_lines(selection)]
    if report is not None:
        blocks.append(report_lines(report))
    click.echo("\n\n".join("\n".join(block) for block in blocks))


def _write(selection: Selection, output: str, paths: dict[str, str | None], *, overwrite: bool) -> None:
    from soce.selection.file import write_selection

    known = {model: path for model, path in paths.items() if path is not None}
    notes = write_selection(selection, output, paths=known, overwrite=overwrite)
    message(f"wrote `{shown(output)}`: try `soce-merge --recipes {shown(output)} --output soups/ --plan`")
    for note in notes:
        message(f"warning: {note}")
