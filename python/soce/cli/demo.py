"""The command `soce demo`: the whole recipe on experts trained on the spot."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import Subcommand, message, print_json
from soce.cli.progress import stage_bars
from soce.search.folder import LOG, SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.cli.log import Log
    from soce.demo.pipeline import DemoRun
    from soce.search.scoring import SearchProgress

_EXAMPLES = """\b
Examples:
  soce demo
  soce demo --seed 3 --output demo-3 --json
"""


@click.command(
    cls=Subcommand,
    short_help="See the method beat its ingredients, in minutes.",
    notes=(_EXAMPLES,),
)
@click.option("--output", "-o", default="soce-demo", metavar="DIR", help="Default: soce-demo.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of the training. Default: 0."
)
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
    from soce.cli.log import logged
    from soce.cli.text.search import result_lines
    from soce.demo.pipeline import run_demo

    with (
        logged(Path(output) / LOG, "demo") as log,
        _watched(log, enabled=not quiet) as watch,
    ):
        run = run_demo(output, seed=seed, cache=cache, **watch)
        log.line(run.result.verdict)
    report = "\n".join(result_lines(run.result))
    (run.folder / "report.txt").write_text(report + "\n", encoding="utf-8")
    print_json(_plain(run)) if as_json else click.echo(report)
    if not quiet:
        scores = run.folder / SCORES
        message(f"wrote `{run.soup}`; try `soce analyze {scores}`")
        message(f"information: see it with `soce report {run.folder}`")


def _plain(run: DemoRun) -> dict[str, object]:
    return {
        "folder": str(run.folder),
        "models": {name: str(path) for name, path in run.models.candidates.items()},
        "scores": str(run.folder / SCORES),
        "selection": run.selection.to_json(),
        "result": run.result.to_json(),
        "soup": str(run.soup),
    }


@contextmanager
def _watched(log: Log, *, enabled: bool) -> Iterator[dict[str, Any]]:
    """Yield the callbacks that say what is going on: in the log, as a line a stage, as bars on a terminal."""
    with stage_bars(enabled=enabled) as bars:

        def on_stage(sentence: str) -> None:
            log.start()  # the pipeline has made sure that the folder is this demo's own
            log.line(sentence)
            if bars is not None:
                bars.say(sentence)
            elif enabled:
                message(sentence)

        def on_training(name: str, done: int, total: int) -> None:
            log.progress(f"training {name}", done, total, "steps")
            if bars is not None:
                bars.show(name, done, total)

        def on_search(found: SearchProgress) -> None:
            log.progress(found.stage, found.done, found.total, "soups")
            if bars is not None:
                bars.show(found.stage, found.done, found.total)

        yield {"on_stage": on_stage, "on_training": on_training, "on_search": on_search}
