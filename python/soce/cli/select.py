"""The command `soce select`: steps 1 and 2 of the method, and the grid of step 3."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from soce.cli.command import (
    given_words,
    message,
    next_step,
    print_blocks,
    print_json,
    usage,
    warn,
)
from soce.cli.examine import examine, read_table, tell_reading
from soce.cli.experiment import (
    ExperimentCommand,
    check_names,
    experiment_folder,
    experiment_words,
    measured_table,
)
from soce.cli.options.current import experiment
from soce.cli.options.files import PLACE
from soce.cli.options.selection import selection_options
from soce.cli.options.table import TABLE_HELP, table_items_option, table_options, tables_argument
from soce.cli.text.scores import reported_lines, selection_lines, sweep_lines, table_lines
from soce.exceptions import shown
from soce.search.folder import SELECTION

if TYPE_CHECKING:
    from pathlib import Path

    from soce.cli.examine import Examined
    from soce.cli.options.candidates import Candidates
    from soce.cli.options.selection import RuleOptions
    from soce.scores.formats.options import ReadOptions
    from soce.scores.origin import Stated
    from soce.scores.table import ScoreTable
    from soce.selection.experts import Selection
    from soce.selection.options import SelectionOptions

_EXAMPLES = """\b
Examples:
  soce select scores.csv -c math=path/A -c code=path/B -c chat=path/C --sweep
  soce select scores.csv --models models.yaml --threshold 0.1 \\
    -o selection.yaml
  soce select scores.csv --models models.yaml --rule clusters --clusters 3
"""


@click.command(
    cls=ExperimentCommand, short_help="Choose experts and the weights to try.", notes=(TABLE_HELP, _EXAMPLES)
)
@tables_argument()
@selection_options(opened=False)
@click.option(
    "--report-scores",
    metavar="TABLE",
    help="Scores on other items, to report on; lint checks that they match.",
)
@click.option("--sweep", is_flag=True, help="Show what every threshold selects, and stop.")
@click.option(
    "--output", "-o", type=PLACE, metavar="FILE", help="Write the selection: a recipe file of the whole grid."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@table_options
@table_items_option
@click.option("--json", "as_json", is_flag=True, help="Print the selection as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def select(
    *,
    tables: tuple[str, ...],
    reading: ReadOptions,
    ruling: RuleOptions,
    selecting: SelectionOptions,
    candidates: Candidates,
    table_items: Stated | None,
    report_scores: str | None,
    sweep: bool,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Choose the experts of weakly correlated categories, and the weights to try.

    The paper gives no value for the threshold, so there is no default: without one, what every threshold
    would select is shown. `soce search` takes OUTPUT as it is; it is a recipe file of the whole grid as well.
    In an experiment it goes into the folder of its runs.
    """
    rule = ruling.make()
    if sweep:
        if ruling.rule != "threshold":
            usage("--sweep goes through thresholds, so it does not go with another --rule")
        for flag, value in (("--output", output), ("--report-scores", report_scores)):
            if value is not None:
                usage(f"{flag} does not go with --sweep, which selects nothing")
        rule = None
    if output is not None:
        from soce.selection.file import check_target

        check_target(output, overwrite=overwrite)  # before any work is done
    table = read_table(tables or measured_table(), replace(reading, items=True), items=table_items)
    check_names(table)
    examined = examine(table, candidates.among(table), selecting, correlates=ruling.rule != "explicit")
    examined.accept(quiet=quiet)
    if rule is None:
        _show_sweep(examined, signed=ruling.signed, as_json=as_json, quiet=quiet)
        if not sweep:
            usage("missing option `--threshold`: the paper gives no value, so choose one from this list")
        return
    selection = examined.select(rule, quiet=quiet)
    reported = None if report_scores is None else _read_second_table(report_scores, reading, quiet=quiet)
    _show(examined.table, selection, reported, as_json=as_json)
    folder = experiment_folder()
    if output is not None:
        _write(selection, output, examined.paths, overwrite=overwrite, quiet=quiet)
    elif folder is not None:
        _keep(selection, table, examined.paths, folder, quiet=quiet)
    elif not quiet:
        next_step("soce", "select", *given_words(without=["--json"]), "--output", SELECTION)


def _show_sweep(examined: Examined, *, signed: bool, as_json: bool, quiet: bool) -> None:
    from soce.selection.sweep import sweep_thresholds, threshold_for

    table = examined.table
    steps = sweep_thresholds(table, examined.options, signed=signed, correlation=examined.correlation)
    if as_json:
        print_json({"sweep": [asdict(step) for step in steps]})
    else:
        print_blocks(table_lines(table), sweep_lines(steps, name_experts=True))
    enough = threshold_for(steps)
    if enough is not None and not quiet:
        words = given_words(without=["--sweep", "--json"])
        target = [] if experiment_folder() is not None else ["--output", SELECTION]
        next_step("soce", "select", *words, "--threshold", f"{enough:g}", *target)


def _read_second_table(source: str, options: ReadOptions, *, quiet: bool) -> ScoreTable:
    """Return a table with other scores of the same models.

    The options are meant for the first table: this one may be of a format where some have no effect, and may
    have the new names already.
    """
    from soce.scores.read import read_scores

    table = read_scores(source, options=replace(options, rename={}))
    if not quiet:
        tell_reading(table)
    return table.renamed({old: new for old, new in options.rename.items() if old in table.models})


def _show(table: ScoreTable, selection: Selection, reported: ScoreTable | None, *, as_json: bool) -> None:
    found = selection.to_json()
    blocks = [table_lines(table), selection_lines(selection)]
    if reported is not None:
        source, objective = reported.source, selection.objective
        overall = _reached(table, reported, selection)
        found["report"] = {
            "source": source,
            "digest": reported.digest,
            "objective": objective,
            "overall": overall,
        }
        blocks.append(reported_lines(objective, source, overall))
    print_json(found) if as_json else print_blocks(*blocks)


def _reached(table: ScoreTable, reported: ScoreTable, selection: Selection) -> dict[str, float | None]:
    """Return each expert's objective in the table to report on, after checking that the two go together."""
    from soce.scores.lint.findings import raise_errors
    from soce.scores.lint.tables import lint_pair
    from soce.scores.objective import parse_objective

    raise_errors(lint_pair(table, reported, candidates=selection.candidates), reported.source)
    values = parse_objective(selection.objective).values(reported)
    reached = {model: float(values[reported.row(model)]) for model in selection.models}
    return {model: None if math.isnan(value) else value for model, value in reached.items()}


def _keep(
    selection: Selection, table: ScoreTable, paths: dict[str, str | None], folder: Path, *, quiet: bool
) -> None:
    """Make a selection the one of the experiment, as `soce run` does."""
    from soce.cli.steps import keep_selection
    from soce.search.folder import SEARCH
    from soce.search.keeping import check_experiment, note_experiment

    check_experiment(folder / SEARCH, experiment().path)
    note_experiment(folder / SEARCH, experiment().path)
    known = {model: path for model, path in paths.items() if path is not None}
    keep_selection(folder, selection, table, known, quiet=quiet)
    if not quiet:
        next_step("soce", "search", *experiment_words())


def _write(
    selection: Selection, output: str, paths: dict[str, str | None], *, overwrite: bool, quiet: bool
) -> None:
    from soce.selection.file import write_selection

    known = {model: path for model, path in paths.items() if path is not None}
    notes = write_selection(selection, output, paths=known, overwrite=overwrite)
    message(f"wrote `{shown(output)}`")
    warn(notes)
    if not quiet:
        lacking = [
            word for model in selection.models if model not in known for word in ("-c", f"{model}=PATH")
        ]
        words = ["--evaluator", "tasks.jsonl", "--output", "run", "--publish", "soup"]
        next_step("soce", "search", output, *lacking, *words)
