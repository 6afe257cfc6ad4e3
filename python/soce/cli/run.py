"""The command `soce run`: from a score table to a published soup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import inform, next_step, usage
from soce.cli.examine import examine, read_table
from soce.cli.experiment import ExperimentCommand, check_names
from soce.cli.options.current import experiment
from soce.cli.options.evaluator import evaluator_help
from soce.cli.options.experiment import experiment_options
from soce.cli.options.group import GroupedOption, is_given
from soce.cli.options.merge import overwrite_option
from soce.cli.options.search import fail_option
from soce.exceptions import shown
from soce.experiment.experiment import FILE
from soce.files.words import counted, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.cli.options.candidates import Candidates
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.cli.options.selection import RuleOptions
    from soce.merging.options import MergeOptions
    from soce.scores.formats.options import ReadOptions
    from soce.scores.origin import Stated
    from soce.scores.table import ScoreTable
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.selection.experts import Selection
    from soce.selection.options import SelectionOptions

_FLAGS = (
    *("--candidate", "--models", "--threshold", "--rule", "--pairs", "--clusters", "--category", "--step"),
    *("--evaluator", "--evaluator-command", "--held-out", "--held-out-share", "--device", "--batch-size"),
    *("--output", "--strategy", "--budget", "--seed", "--dtype"),
)
"""The rest is said in the experiment."""
_TABLES = """\b
TABLE: scores of a kind that `soce analyze` reads. Without one the evaluator
scores all candidates first, on the items that soups are chosen on.
"""


@click.command(
    cls=ExperimentCommand,
    short_help="Do all steps: analyze, select, search, merge.",
    notes=(_TABLES, evaluator_help),
    flags=_FLAGS,
)
@experiment_options
@fail_option
@overwrite_option("another soup in soup/")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def run(
    *,
    tables: tuple[str, ...],
    reading: ReadOptions,
    ruling: RuleOptions,
    selecting: SelectionOptions,
    candidates: Candidates,
    table_items: Stated | None,
    evaluating: NamedEvaluators,
    searching: SearchOptions,
    merging: MergeOptions,
    output: str | None,
    fail_if_worse: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Select experts by TABLE, search their weights, and publish the best soup.

    All is said in EXPERIMENT, a file that `soce init` writes: soce.yaml, if it is here. Flags come before it.
    What is no flag is said there, or as `--set merge.dtype=bf16`. The same command goes on where it was
    stopped; another question costs what is not known yet, and `soce log` has both.
    """
    from soce.cli.log_file import logged
    from soce.cli.steps import SearchStep, conclude, keep_selection
    from soce.search.folder import LOG, SCORES, SEARCH, SOUP
    from soce.search.keeping import check_output, keep_measured
    from soce.search.pool import Pool
    from soce.search.soups import prepared
    from soce.selection.rehearsal import rehearse_selection

    rule = ruling.make()
    if rule is None:
        usage("missing option `--threshold`: `soce select --sweep` shows what each would select")
    evaluating.check()
    if output is None:
        usage(f"missing option `--output`, or `output` in `{FILE}`")
    folder = Path(output)
    check_output(folder)

    def choose(
        table: ScoreTable, named: Mapping[str, str | None], *, config_from: str | None = None
    ) -> tuple[Selection, Pool]:
        """Return the experts of a table, and all models with the experts among them."""
        examined = examine(table, named, selecting, correlates=ruling.rule != "explicit")
        examined.accept(quiet=quiet)
        paths = {name: path for name, path in named.items() if path is not None}
        if len(paths) < len(named) or not paths:
            which = listed(name for name in named if name not in paths) or "the candidates"
            usage(f"no path is known for {which}: give `--models FILE` or `--candidate NAME=PATH`")
        selection = examined.select(rule, quiet=quiet)
        pool = Pool(paths, selection.models, selection.grid, origin=selection.origin, config_from=config_from)
        pool = prepared(pool, searching)
        if not quiet:
            experts = ", ".join(shown(name) for name in pool.experts)
            inform(f"experts {experts}; {counted(pool.n_points, 'point')} on the grid")
        return selection, pool

    selection = None
    if tables:
        if not quiet:
            inform(f"reading {listed(tables)}")
        table = read_table(tables, replace(reading, items=True), items=table_items)
        check_names(table)
        selection, pool = choose(table, candidates.among(table))
    else:
        _refuse_about_tables()
        pool = _candidates(candidates).with_base(searching.base)
    if dry_run:
        from soce.cli.dry_run import foresee

        first = pool.names[0]
        foresee(
            pool,
            selection,
            lambda measured: choose(measured, pool.candidates, config_from=first),
            folder=folder / SEARCH,
            evaluating=evaluating,
            searching=searching,
            merging=merging,
            as_json=as_json,
            quiet=quiet,
        )
        return 0
    pool = pool.here()
    step = SearchStep(pool, folder / SEARCH, folder / SOUP, merging, quiet, experiment().path)
    with logged(folder / LOG, "run") as log:
        with step.opened(evaluating, log) as scoring:
            if not tables:
                first, items = pool.names[0], scoring.evaluator.item_ids()
                if items is not None:
                    rehearse_selection(pool.names, tuple(items), rule, selecting)
                table = replace(scoring.measure(searching), source=SCORES)
                keep_measured(folder, table)
                selection, pool = choose(table, pool.candidates, config_from=first)
            assert selection is not None
            log.line(f"selected by {selection.rule}: {len(pool.experts)} experts")
            scoring.warn_of_items(pool, selection, searching)
            keep_selection(folder, selection, table, pool.candidates, quiet=quiet)
            result = scoring.search(pool, selection, searching)
        step.finish(result, selection, scoring)
    code = conclude(result, as_json=as_json, fail_if_worse=fail_if_worse)
    step.tell_next(result)
    if not quiet:
        next_step("soce", "report", output)
    return code


def _candidates(candidates: Candidates) -> Pool:
    """Return all models that are named, to be scored without a table; the first gives the config."""
    from soce.search.pool import Pool

    if isinstance(models := experiment().value("models"), dict):
        experiment().check_names(models=models)
    paths = candidates.paths()
    if len(paths) < 2:
        usage("without TABLE the candidates are scored: name two or more with `--models` or `--candidate`")
    return Pool(paths, (next(iter(paths)),))


def _refuse_about_tables() -> None:
    """Refuse options that say something of a table, where there is none."""
    for option in click.get_current_context().command.params:
        is_reading = isinstance(option, GroupedOption) and option.group.name == "reading"
        if (is_reading or option.name == "table_items") and is_given(option):
            usage(f"`{option.opts[0]}` has no effect without TABLE")
