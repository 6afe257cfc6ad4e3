"""The command `soce demo`: the whole recipe on experts trained on the spot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import Subcommand, message, next_step, print_json
from soce.cli.options.files import PLACE
from soce.cli.options.types import NUMBER
from soce.cli.progress import stage_bars
from soce.demo.models import DemoModels, OnProgress, Steps, user_cache
from soce.search.folder import LOG, SCORES, SEARCH, SOUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soce.cli.log_file import Log
    from soce.scores.table import ScoreTable
    from soce.search.result import SearchResult
    from soce.selection.experts import Selection

_EXAMPLES = """\b
Examples:
  soce demo
  soce demo --seed 3 --output demo-3 --json
"""


@click.command(
    cls=Subcommand, short_help="See the whole method on tiny models, in minutes.", notes=(_EXAMPLES,)
)
@click.option("--output", "-o", default="soce-demo", type=PLACE, metavar="DIR", help="Default: soce-demo.")
@click.option("--seed", type=NUMBER, default=0, metavar="N", help="Of the training. Default: 0.")
@click.option("--cache/--no-cache", default=True, help="Reuse models trained before. Default: --cache.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def demo(*, output: str, seed: int, cache: bool, as_json: bool, quiet: bool) -> None:
    """Train tiny language models, choose experts among them, and publish the best soup.

    A Llama of half a million parameters learns ten small tasks on the CPU; four experts go on with one
    cluster of tasks each, and two more candidates are spoilt on purpose. Then everything happens as with
    models of your own: scores, selection, search, merge. The soup is compared with every ingredient on items
    that played no part in choosing it. The same call goes on with a demo that was stopped.
    """
    from soce.cli.text.demo import demo_lines

    run = run_demo(Path(output), seed=seed, cache=user_cache() if cache else None, quiet=quiet)
    report = "\n".join(demo_lines(run.result, run.machine))
    (run.folder / "report.txt").write_text(report + "\n", encoding="utf-8")
    print_json(_plain(run)) if as_json else click.echo(report)
    if not quiet:
        message(f"wrote `{run.soup}`")
        next_step("soce", "analyze", str(run.folder / SCORES))
        next_step("soce", "report", str(run.folder))


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What a demo made, and where."""

    folder: Path
    models: DemoModels
    scores: ScoreTable
    """Of all candidates on the items to choose on."""
    machine: str
    """On which the models were trained."""
    selection: Selection
    result: SearchResult
    soup: Path
    """The published checkpoint."""


def run_demo(
    folder: Path,
    *,
    seed: int = 0,
    steps: Steps = Steps(),  # noqa: B008 - frozen
    step: str = "0.1",
    cache: Path | None = None,
    quiet: bool = False,
) -> DemoRun:
    """Prepare the demo's models and scores, and go on as `soce run` does; `step` is that of the grid."""
    from soce.cli.log_file import logged
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.cli.steps import SearchStep, keep_selection
    from soce.demo.prepare import THRESHOLD, prepare_demo
    from soce.evaluate.options import EvaluatorOptions
    from soce.merging.options import MergeOptions
    from soce.search.optional import require_optuna
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.selection.experts import select_experts
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Threshold

    require_optuna()  # before minutes of training
    with logged(folder / LOG, "demo") as log:
        with _watched(log, enabled=not quiet) as (on_stage, on_training):
            demo = prepare_demo(
                folder, seed=seed, steps=steps, cache=cache, on_stage=on_stage, on_training=on_training
            )
            on_stage(f"choosing the experts of categories with |rho| < {THRESHOLD}")
            paths = {name: str(path) for name, path in demo.models.candidates.items()}
            options = SelectionOptions(candidates=list(paths), step=step)
            selection = select_experts(demo.scores, Threshold(THRESHOLD), options)
            on_stage(f"searching {selection.grid.count} soups of {', '.join(selection.models)}")
        keep_selection(folder, selection, demo.scores, paths, quiet=quiet)
        pool = Pool(paths, selection.models, selection.grid, origin=selection.origin)
        evaluators = NamedEvaluators(str(demo.models.dev), str(demo.models.test), EvaluatorOptions())
        search = SearchStep(pool, folder / SEARCH, folder / SOUP, MergeOptions(), quiet)
        with search.opened(evaluators, log) as scoring:
            result = scoring.search(pool, selection, SearchOptions())
        search.finish(result, selection, scoring)
    return DemoRun(folder, demo.models, demo.scores, demo.machine, selection, result, folder / SOUP)


def _plain(run: DemoRun) -> dict[str, object]:
    return {
        "folder": str(run.folder),
        "models": {name: str(path) for name, path in run.models.candidates.items()},
        "scores": str(run.folder / SCORES),
        "machine": run.machine,
        "selection": run.selection.to_json(),
        "result": run.result.to_json(),
        "soup": str(run.soup),
    }


@contextmanager
def _watched(log: Log, *, enabled: bool) -> Iterator[tuple[Callable[[str], object], OnProgress]]:
    """Yield what says what is going on: in the log, as a line a stage, as bars on a terminal."""
    with stage_bars(enabled=enabled) as bars:

        def on_stage(sentence: str) -> None:
            log.start()  # not before: the folder is this demo's own now
            log.line(sentence)
            bars.say(sentence)

        def on_training(name: str, done: int, total: int) -> None:
            log.progress(f"training {name}", done, total, "steps")
            bars.show(name, done, total)

        yield on_stage, on_training
