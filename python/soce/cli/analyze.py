"""The command `soce analyze`: step 1 of the method on a score table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import given_words, message, next_step, print_blocks, print_json
from soce.cli.examine import examine, read_table, tell_notes
from soce.cli.experiment import ExperimentCommand, check_names, measured_table
from soce.cli.options.candidates import candidate_option
from soce.cli.options.files import PLACE
from soce.cli.options.group import KeyedOption
from soce.cli.options.selection import population_options, sign_option
from soce.cli.options.table import TABLE_HELP, table_options, tables_argument
from soce.cli.options.types import COUNT
from soce.cli.text.scores import cluster_lines, correlation_lines, finding_lines, sweep_lines, table_lines

if TYPE_CHECKING:
    from soce.cli.examine import Examined
    from soce.cli.options.candidates import Candidates
    from soce.scores.formats.options import ReadOptions
    from soce.selection.correlation import Correlation
    from soce.selection.options import SelectionOptions
    from soce.selection.sweep import SweepStep

_EXAMPLES = """\b
Examples:
  soce analyze scores.csv
  soce analyze board/ --plot correlation.png
  soce analyze paper:flores36 --json
"""


@click.command(
    cls=ExperimentCommand,
    short_help="Lint a score table and correlate its categories.",
    notes=(TABLE_HELP, _EXAMPLES),
)
@tables_argument()
@table_options
@population_options
@sign_option(partial(click.option, cls=KeyedOption))
@candidate_option("NAME|@FILE", "Models that may become experts; else all.")
@click.option("--clusters", type=COUNT, default=3, metavar="K", help="Clusters to show. Default: 3.")
@click.option(
    "--plot", type=PLACE, metavar="FILE", help="Draw the correlations to a .png, .svg or .pdf file."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def analyze(
    *,
    tables: tuple[str, ...],
    reading: ReadOptions,
    selecting: SelectionOptions,
    signed: bool,
    candidates: Candidates,
    clusters: int,
    plot: str | None,
    as_json: bool,
) -> None:
    """Say what a score table is worth and how its categories move together.

    Lint comes first: what is wrong with the table. Then correlations over the population, their clusters, and
    what each threshold of `soce select` would choose. Errors in the table stop here, with exit code 1.
    """
    if plot is not None:
        from soce.selection.heatmap import check_plot

        check_plot(Path(plot))  # before any work is done
    table = read_table(tables or measured_table(), reading)
    check_names(table)
    examined = examine(table, candidates.among(table), selecting)
    tell_notes(examined.table)
    correlation = None if examined.findings.errors else examined.correlation
    found = None if correlation is None else _Found.of(examined, correlation, signed, clusters)
    if as_json:
        print_json(_plain(examined, found))
    else:
        _print(examined, found)
    usable = examined.usable()
    if plot is not None:
        from soce.selection.heatmap import save_heatmap

        save_heatmap(usable, Path(plot))
        message(f"wrote `{plot}`")
    next_step("soce", "select", *given_words(without=["--json", "--plot", "--clusters"]), "--sweep")


@dataclass(frozen=True, slots=True)
class _Found:
    """What is shown of a table's correlations."""

    correlation: Correlation
    signed: bool
    clusters: tuple[tuple[str, ...], ...]
    steps: tuple[SweepStep, ...]

    @classmethod
    def of(cls, examined: Examined, correlation: Correlation, signed: bool, clusters: int) -> _Found:  # noqa: FBT001
        from soce.selection.clusters import cluster_categories
        from soce.selection.sweep import sweep_thresholds

        defined = len(correlation.categories) - len(correlation.undefined)
        steps = sweep_thresholds(examined.table, examined.options, signed=signed, correlation=correlation)
        joined = cluster_categories(correlation, n_clusters=min(clusters, defined))
        return cls(correlation, signed, joined, steps)


def _print(examined: Examined, found: _Found | None) -> None:
    blocks = [table_lines(examined.table), finding_lines(examined.findings)]
    if found is not None:
        from soce.cli.text.heatmap import heatmap_text

        blocks += [
            correlation_lines(found.correlation, signed=found.signed),
            [heatmap_text(found.correlation)],
            cluster_lines(found.clusters),
            sweep_lines(found.steps, name_experts=bool(examined.paths)),
        ]
    print_blocks(*blocks)


def _plain(examined: Examined, found: _Found | None) -> dict[str, object]:
    table = examined.table
    plain: dict[str, object] = {
        "table": {
            "source": table.source,
            "kind": table.kind,
            "digest": table.digest,
            "models": list(table.models),
            "categories": list(table.categories),
            "columns": [asdict(column) for column in table.columns],
            "missing": table.n_missing,
            "ignored": [{"column": name, "reason": reason} for name, reason in table.ignored],
            "read_as": [
                {"column": name, "what": what, "of": column} for name, what, column in table.companions
            ],
            "no_models": [{"row": name, "reason": reason} for name, reason in table.no_models],
            "notes": list(table.notes),
        },
        "lint": examined.findings.to_json(),
    }
    if found is not None:
        plain |= {
            "correlation": found.correlation.to_json(),
            "clusters": [list(names) for names in found.clusters],
            "saturation": found.correlation.saturation,
            "sweep": [asdict(step) for step in found.steps],
        }
    return plain
