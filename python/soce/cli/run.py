"""The command `soce run`: from a score table to a published soup, each step as its own command does it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from soce.cli.evaluators import EVALUATOR_HELP, evaluator_options
from soce.cli.output import Outcome, message, refusals
from soce.cli.search import run_search, search_options, show
from soce.cli.selecting import choose, prepare, rule_of, selection_options
from soce.cli.tables import TABLE_HELP, table_options
from soce.exceptions import Problem, StudyError, shown
from soce.search.folder import LOG, SCORES, SEARCH, SELECTION, SOUP

if TYPE_CHECKING:
    from soce.selection.experts import Selection

_EPILOG = (
    TABLE_HELP
    + EVALUATOR_HELP
    + """
\b
Examples:
  soce run scores.csv --models models.yaml --threshold 0.1 -e tasks.jsonl -o run/
  soce run scores.csv --models models.yaml --rule clusters --clusters 3 -e tasks.jsonl -o run/
"""
)


@click.command(
    cls=Outcome,
    short_help="Do all steps: analyze, select, search, merge.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@selection_options
@evaluator_options
@click.option(
    "--output", "-o", required=True, metavar="DIR", help="Gets scores, selection, search/ and soup/; resumes."
)
@search_options
@table_options
@click.option("--json", "as_json", is_flag=True, help="Print the result of the search as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def run(
    *,
    tables: tuple[str, ...],
    sign: str,
    output: str,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> int:
    """Select experts by TABLE, search their weights with an evaluator, and publish the best soup.

    The same command goes on where it was stopped. A table or an option that changes the selection is refused
    in the same output, because its scores would not be comparable.
    """
    fails_if_worse = options.pop("fail_if_worse")
    folder = Path(output)
    with refusals(debug=debug):
        from soce.cli.log import logged
        from soce.scores.formats.long import write_scores
        from soce.search.pool import Pool
        from soce.selection.file import read_selection

        rule = rule_of(options, signed=sign == "signed", sweep=False)
        if rule is None:
            _usage("missing option `--threshold`: `soce select --sweep` shows what each would select")
        search, selecting = _divided(options)
        prepared = prepare(tables, rule, selecting, quiet=quiet)
        lacking = [name for name, path in prepared.paths.items() if path is None]
        if lacking or not prepared.paths:
            which = ", ".join(f"`{shown(name)}`" for name in lacking) or "the candidates"
            _usage(f"no path is known for {which}: give `--models FILE` or `--candidate NAME=PATH`")
        selection = choose(prepared, rule, quiet=quiet)
        paths = {name: path for name, path in prepared.paths.items() if path is not None}
        _keep(selection, folder, paths, quiet=quiet)
        if not (folder / SCORES).exists():  # for the report: what the selection names may move or change
            write_scores(prepared.table, folder / SCORES)
        found = read_selection(folder / SELECTION)
        pool = Pool.of(found, candidates=prepared.paths)
        if not quiet:
            experts = ", ".join(shown(name) for name in pool.experts)
            message(f"information: experts {experts}; {pool.weights.count} points on the grid")
        with logged(folder / LOG, "run") as log:
            log.start()
            log.line(f"selected by {selection.rule}: {len(pool.experts)} experts")
            result = run_search(
                pool,
                found.objective,
                search,
                selection=found.selection,
                dtype=found.dtype,
                output=folder / SEARCH,
                publish=str(folder / SOUP),
                log=log,
                quiet=quiet,
            )
        show(result, as_json=as_json)
        if not quiet:
            message(f"information: see it with `soce report {shown(output)}`")
        return 3 if fails_if_worse and not result.beats_best_single else 0


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the search and those of the selection."""

    def nothing() -> None:
        """Carry options."""

    declared = search_options(evaluator_options(nothing))
    names = {option.name for option in getattr(declared, "__click_params__", ())}
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names},
    )


def _keep(selection: Selection, folder: Path, paths: dict[str, str], *, quiet: bool) -> None:
    """Write the selection, or check that the one that is there is the same."""
    from soce.search.identity import differences
    from soce.selection.file import read_selection, write_selection

    target = folder / SELECTION
    folder.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        write_selection(selection, target, paths=paths)
        if not quiet:
            message(f"wrote `{shown(str(target))}`")
        return
    before = read_selection(target)
    changes = differences(before.selection.to_json(), selection.to_json())
    if changes:
        raise StudyError.of(
            [
                Problem(
                    "study",
                    str(target),
                    None,
                    f"the selection in it is another one: {'; '.join(changes[:5])}",
                    "name a new output, or give the same table and options",
                )
            ]
        )


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
