"""The command `soce search`: steps 3 and 4 of the method, and what the soup must beat."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.evaluators import EVALUATOR_HELP, evaluator_options, open_evaluators
from soce.cli.output import Outcome, message, print_report, progress, refusals, warn
from soce.exceptions import shown
from soce.search.folder import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from rich.progress import TaskID

    from soce.cli.log import Log
    from soce.search.pool import Pool
    from soce.search.result import SearchResult
    from soce.search.scoring import Progress
    from soce.search.strategies.space import Strategy
    from soce.selection.experts import Selection

    Command = Callable[..., object]

_STRATEGIES = ("grid", "greedy", "cmaes", "gp", "tpe", "successive-halving")
_EPILOG = (
    EVALUATOR_HELP
    + """
\b
Examples:
  soce search selection.yaml --evaluator tasks.jsonl --output run/ --publish soup/
  soce search selection.yaml --models models.yaml -e lm-eval:gsm8k,ifeval -o run/
  soce search selection.yaml -e dev.jsonl --held-out test.jsonl -o run/ --strategy cmaes
"""
)


def search_options(command: Command) -> Command:
    """Add the options of a search that are not about the evaluator."""
    for option in reversed(
        (
            click.option(
                "--strategy",
                type=click.Choice(_STRATEGIES),
                default="grid",
                help="Default: grid, the paper's.",
            ),
            click.option(
                "--budget", type=click.IntRange(min=1), metavar="N", help="Most different soups to propose."
            ),
            click.option("--seed", type=int, default=0, metavar="N", help="Of the strategy. Default: 0."),
            click.option(
                "--accept",
                type=click.Choice(["gt", "ge"]),
                default="gt",
                help="Greedy: keep what is better, or not worse. Default: gt.",
            ),
            click.option(
                "--greedy-over",
                type=click.Choice(["experts", "candidates"]),
                default="experts",
                help="Greedy: which models. Default: experts.",
            ),
            click.option(
                "--held-out-share",
                default="1/2",
                metavar="SHARE",
                help="Share of each category's items to report on; 0: none. Default: 1/2.",
            ),
            click.option("--split-seed", type=int, default=0, metavar="N", help="Of the split. Default: 0."),
            click.option("--storage", metavar="URL", help="An Optuna storage; else study.db in the output."),
            click.option(
                "--ingredient-digests",
                type=click.Choice(["files", "content"]),
                default="files",
                help="Tell ingredients apart by size and time, or by every byte. Default: files.",
            ),
            click.option(
                "--fail-if-worse",
                is_flag=True,
                help="Exit with 3 if the soup does not beat the best single model.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(
    cls=Outcome,
    short_help="Find the best weights and report what they are worth.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("selection")
@click.option(
    "--candidate",
    "-c",
    "given",
    multiple=True,
    metavar="NAME=PATH",
    help="Checkpoint of a candidate, an arm.",
)
@click.option(
    "--models", "models_file", metavar="FILE", help="YAML of checkpoints: a line `NAME: PATH` for each."
)
@evaluator_options
@click.option(
    "--output", "-o", required=True, metavar="DIR", help="The study; the same call goes on with it."
)
@search_options
@click.option("--publish", metavar="DIR", help="Write the best soup there, its scores in the manifest.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def search(
    *,
    selection: str,
    given: tuple[str, ...],
    models_file: str | None,
    output: str,
    publish: str | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> int:
    """Find the best weights of the experts in SELECTION, and compare the soup with what it must beat.

    Every soup is scored once: a search that was stopped goes on where it was, and several workers may be
    given the same output. Soups are chosen on one part of the items and reported on the other.
    """
    fails_if_worse = options.pop("fail_if_worse")
    with refusals(debug=debug):
        from soce.cli.log import logged
        from soce.search.pool import Pool
        from soce.selection.file import read_selection

        found = read_selection(selection)
        paths = _paths(given, models_file, found.selection.candidates)
        pool = Pool.of(found, candidates=paths)
        with logged(Path(output) / LOG, "search") as log:
            result = run_search(
                pool,
                found.objective,
                options,
                selection=found.selection,
                dtype=found.dtype,
                output=Path(output),
                publish=publish,
                log=log,
                quiet=quiet,
            )
        show(result, as_json=as_json)
        return 3 if fails_if_worse and not result.beats_best_single else 0


def run_search(
    pool: Pool,
    objective: str,
    options: dict[str, Any],
    *,
    selection: Selection,
    dtype: str | None,
    output: Path,
    publish: str | None,
    log: Log,
    quiet: bool,
) -> SearchResult:
    """Search, and publish the best soup."""
    from soce.report.publish import check_publishable
    from soce.search.soups import search_soups
    from soce.search.study import check_folder, require_optuna

    require_optuna()  # before models are loaded and anything is written
    check_folder(output)
    share = _share(options.pop("held_out_share"))
    strategy = _strategy(options)
    dtype = options["dtype"] or dtype
    if publish is not None:
        check_publishable(publish)
    with (
        open_evaluators(options, pool, dtype=dtype, folder=output, quiet=quiet) as (evaluator, held_out),
        _watched(log, enabled=not quiet) as on_progress,
    ):
        log.start()  # not before: what is refused until here leaves no folder behind
        log.line(f"candidates: {len(pool.names)}, experts: {len(pool.experts)}, strategy: {strategy.name}")
        result = search_soups(
            pool,
            evaluator,
            folder=output,
            objective=objective,
            categories=selection.categories,
            strategy=strategy,
            share=share,
            split_seed=options["split_seed"],
            held_out_evaluator=held_out,
            storage=options["storage"],
            digests=options["ingredient_digests"],
            on_progress=on_progress,
        )
    done = f"{result.n_evaluated} evaluations in this run, the others were known"
    log.line(done)
    log.line(result.verdict)
    if not quiet:
        message(f"information: {done}")
    if publish is not None:
        log.line("publishing the best soup")
        _publish(result, publish, selection=selection, run=output, dtype=dtype, quiet=quiet)
    return result


def show(result: SearchResult, *, as_json: bool) -> None:
    """Print a result."""
    from soce.cli.search_text import result_lines

    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        click.echo("\n".join(result_lines(result)))


def _strategy(options: dict[str, Any]) -> Strategy:
    from soce.search.soups import strategy_of
    from soce.search.strategies.greedy import Greedy

    name = options.pop("strategy")
    budget, accept, over = options.pop("budget"), options.pop("accept"), options.pop("greedy_over")
    seed = options.pop("seed")
    if name == "greedy":
        if budget is not None:
            _usage("--budget does not go with --strategy greedy")
        return Greedy(accept, over)
    if (accept, over) != ("gt", "experts"):
        _usage("--accept and --greedy-over go with --strategy greedy")
    return strategy_of(name, budget=budget, seed=seed)


def _share(text: str) -> Fraction | None:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        _usage(f"--held-out-share `{shown(text)}` is not a number such as 1/2 or 0.3")
    if not 0 <= share < 1:
        _usage(f"--held-out-share {share} is not between 0 and 1")
    return share or None


def _paths(
    given: tuple[str, ...], models_file: str | None, candidates: tuple[str, ...]
) -> dict[str, str | None]:
    """Return the checkpoints that were named; a models file may name others than the candidates."""
    from soce.recipes.files import read_model_paths

    found: dict[str, str | None] = {}
    if models_file is not None:
        found |= {name: path for name, path in read_model_paths(models_file).items() if name in candidates}
    for text in given:
        name = next((one for one in candidates if text.startswith(f"{one}=")), None)
        if name is None:
            _usage(f"`--candidate {shown(text)}` is not NAME=PATH with a candidate of the selection")
        found[name] = text[len(name) + 1 :]
    return found


def _publish(
    result: SearchResult,
    target: str,
    *,
    selection: Selection,
    run: Path,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Write the best soup and its card, unless it is there already."""
    from soce.merging.options import MergeOptions
    from soce.report.publish import publish_soup

    with progress(enabled=not quiet) as on_progress:
        found = publish_soup(
            result,
            target,
            selection=selection,
            run=run,
            options=MergeOptions(dtype=dtype, command=sys.argv),
            on_progress=on_progress,
        )
    if quiet:
        return
    if found.report is None:
        message(f"information: `{shown(target)}` holds this soup already")
    else:
        print_report(found.report)
    if found.card is None:
        message(f"information: `{shown(target)}` has a README.md that soce did not write; it is left alone")
    else:
        warn(found.card.warnings)
        message(f"wrote `{shown(str(found.card.path))}`")


@contextmanager
def _watched(log: Log, *, enabled: bool) -> Iterator[Callable[[Progress], object]]:
    """Log what the search is doing, and show it on a terminal; say how to go on if it is interrupted."""

    def keep(found: Progress) -> None:
        log.progress(found.stage, found.done, found.total, "soups")

    try:
        if not (enabled and sys.stderr.isatty()):
            yield keep
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        shape = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bars(*shape, console=Console(stderr=True), transient=True) as bars:
            soups: list[TaskID] = []
            items: list[TaskID] = []

            def tell(found: Progress) -> None:
                keep(found)
                if not soups:
                    soups.append(bars.add_task(found.stage, total=found.total))
                    items.append(bars.add_task("items", total=1, visible=False))
                bars.update(soups[0], description=found.stage, completed=found.done, total=found.total)
                shows = found.items_total > 1
                bars.update(items[0], completed=found.items_done, total=found.items_total, visible=shows)

            yield tell
    except KeyboardInterrupt:
        message("information: nothing that was scored is lost; the same command goes on")
        raise


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
