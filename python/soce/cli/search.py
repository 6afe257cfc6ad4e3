"""The command `soce search`: steps 3 and 4 of the method, and what the soup must beat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import inform, next_step, usage
from soce.cli.experiment import ExperimentCommand, experiment_folder, experiment_words
from soce.cli.options.candidates import candidate_option, models_option
from soce.cli.options.current import experiment
from soce.cli.options.evaluator import evaluator_help, evaluator_options
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_decisions, overwrite_option
from soce.cli.options.search import fail_option, search_options
from soce.cli.options.table import table_items_option
from soce.exceptions import shown
from soce.experiment.experiment import FILE
from soce.search.folder import LOG, SEARCH, SELECTION, SOUP

if TYPE_CHECKING:
    from soce.cli.options.candidates import Candidates
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.merging.options import MergeOptions
    from soce.scores.origin import Stated
    from soce.search.options import SearchOptions

_EXAMPLES = """\b
Examples:
  soce search selection.yaml -e tasks.jsonl -o run/ --publish soup/
  soce search selection.yaml -e lm-eval:gsm8k,ifeval -o run/
  soce search selection.yaml -e dev.jsonl --held-out test.jsonl -o run/
"""


@click.command(
    cls=ExperimentCommand,
    short_help="Find the best weights and report what they are worth.",
    notes=(evaluator_help, _EXAMPLES),
)
@click.argument("selection", type=PLACE, required=False)
@candidate_option("NAME=PATH", "Checkpoint of a candidate, an arm.")
@models_option("checkpoints", opened=True)
@evaluator_options
@click.option("--output", "-o", type=PLACE, metavar="DIR", help="The study; the same call goes on with it.")
@search_options
@fail_option
@merge_decisions
@table_items_option
@click.option(
    "--publish",
    type=PLACE,
    metavar="DIR",
    help="Write the best soup there, with its card; `soce publish` puts it on the Hub.",
)
@overwrite_option("another soup in the DIR of `--publish`")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def search(
    *,
    selection: str | None,
    candidates: Candidates,
    evaluating: NamedEvaluators,
    searching: SearchOptions,
    merging: MergeOptions,
    output: str | None,
    table_items: Stated | None,
    publish: str | None,
    fail_if_worse: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Find the best weights of the experts in SELECTION, and compare the soup with what it must beat.

    Every soup is scored once: a search that was stopped goes on where it was, and several workers may be
    given the same output. Soups are chosen on one part of the items and reported on the other.

    In an experiment SELECTION is the one that `soce select` or `soce run` has left in its folder, where the
    search goes on and the best soup is published.
    """
    runs = experiment_folder() if output is None and publish is None else None
    if runs is not None:
        output, publish = str(runs / SEARCH), str(runs / SOUP)
    if output is None:
        usage(f"missing option `--output`, or `output` in `{FILE}`")
    if selection is None:
        selection = _selection_of_experiment()
    if not quiet:
        inform(f"reading `{shown(selection)}`")
    from soce.cli.log_file import logged
    from soce.cli.scoring import merge_with
    from soce.cli.steps import SearchStep, conclude
    from soce.search.pool import Pool
    from soce.search.soups import prepared
    from soce.selection.file import read_selection

    found = read_selection(selection)
    pool = Pool.of(found, candidates=candidates.paths_of(found.selection.candidates))
    pool = prepared(pool, searching).here()
    if table_items is not None:
        pool = replace(pool, origin=replace(pool.origin, stated=table_items))
    folder = Path(output)
    target = None if publish is None else Path(publish)
    merge = merge_with(found, merging)
    of = None if runs is None else experiment().path
    step = SearchStep(pool, folder, target, merge, quiet, of)
    with logged(folder / LOG, "search") as log:
        with step.opened(evaluating, log) as scoring:
            scoring.warn_of_items(pool, found.selection, searching)
            result = scoring.search(pool, found.selection, searching)
        step.finish(result, found.selection, scoring)
    code = conclude(result, as_json=as_json, fail_if_worse=fail_if_worse)
    step.tell_next(result)
    if not quiet:
        words = [output, "--selection", selection] if runs is None else experiment_words()
        next_step("soce", "report", *words)
    return code


def _selection_of_experiment() -> str:
    """Return the selection that was made in the experiment."""
    folder = experiment_folder()
    if folder is None:
        usage("missing argument `SELECTION`: the file that `soce select --output` writes")
    selection = folder / SELECTION
    if not selection.is_file():
        missing = shown(str(selection))
        usage(f"there is no `{missing}` yet: `soce select` chooses experts, `soce run` does all steps")
    return str(selection)
