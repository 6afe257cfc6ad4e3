"""The command `soce run`: from a score table to a published soup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import Subcommand, inform, next_step, usage
from soce.cli.examine import examine
from soce.cli.options.evaluator import evaluator_help, evaluator_options
from soce.cli.options.merge import merge_decisions, overwrite_option
from soce.cli.options.search import search_options
from soce.cli.options.selection import selection_options
from soce.cli.options.table import TABLE_HELP, table_options
from soce.exceptions import shown
from soce.files.words import listed

if TYPE_CHECKING:
    from soce.cli.options.candidates import Candidates
    from soce.cli.options.evaluator import NamedEvaluators
    from soce.cli.options.selection import RuleOptions
    from soce.merging.options import MergeOptions
    from soce.scores.formats.options import ReadOptions
    from soce.search.options import SearchOptions
    from soce.selection.options import SelectionOptions

_EXAMPLES = """\b
Examples:
  soce run scores.csv --models models.yaml --threshold 0.1 -e tasks.jsonl -o run/
  soce run scores.csv --models models.yaml --rule clusters --clusters 3 -e tasks.jsonl -o run/
"""


@click.command(
    cls=Subcommand,
    short_help="Do all steps: analyze, select, search, merge.",
    notes=(TABLE_HELP, evaluator_help, _EXAMPLES),
)
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@selection_options
@evaluator_options
@click.option(
    "--output", "-o", required=True, metavar="DIR", help="Gets scores, selection, search/ and soup/; resumes."
)
@search_options
@merge_decisions
@table_options
@overwrite_option("another soup in soup/")
@click.option("--json", "as_json", is_flag=True, help="Print the result of the search as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def run(
    *,
    tables: tuple[str, ...],
    reading: ReadOptions,
    ruling: RuleOptions,
    selecting: SelectionOptions,
    candidates: Candidates,
    evaluating: NamedEvaluators,
    searching: SearchOptions,
    merging: MergeOptions,
    output: str,
    fail_if_worse: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Select experts by TABLE, search their weights with an evaluator, and publish the best soup.

    The same command goes on where it was stopped. A table or an option that changes the selection is refused
    in the same output, because its scores would not be comparable.
    """
    from soce.cli.log import logged
    from soce.cli.steps import SearchStep, check_selection, conclude, keep_selection
    from soce.search.folder import LOG, SEARCH, SOUP
    from soce.search.pool import Pool

    rule = ruling.make()
    if rule is None:
        usage("missing option `--threshold`: `soce select --sweep` shows what each would select")
    evaluating.check()
    folder = Path(output)
    if not quiet:
        inform(f"reading {listed(tables)}")
    with_items = replace(reading, items=True)  # what the scores stand on
    examined = examine(tables, with_items, selecting, candidates, correlates=ruling.rule != "explicit")
    examined.accept(quiet=quiet)
    paths = {name: path for name, path in examined.paths.items() if path is not None}
    lacking = [name for name in examined.paths if name not in paths]
    if lacking or not paths:
        which = listed(lacking) or "the candidates"
        usage(f"no path is known for {which}: give `--models FILE` or `--candidate NAME=PATH`")
    selection = examined.select(rule, quiet=quiet)
    check_selection(folder, selection)
    pool = Pool(paths, selection.models, selection.grid)
    if not quiet:
        experts = ", ".join(shown(name) for name in pool.experts)
        inform(f"experts {experts}; {pool.weights.count} points on the grid")
    step = SearchStep(pool, selection, folder / SEARCH, folder / SOUP, merging, quiet)
    with logged(folder / LOG, "run") as log:
        log.line(f"selected by {selection.rule}: {len(pool.experts)} experts")

        def keep() -> None:
            keep_selection(folder, selection, examined.table, paths, quiet=quiet)

        result = step.run(evaluating, searching, log, on_ready=keep)
    code = conclude(result, as_json=as_json, fail_if_worse=fail_if_worse)
    step.tell_next(result)
    if not quiet:
        next_step("soce", "report", output)
    return code
