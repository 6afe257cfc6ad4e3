"""The command `soce status`: how far a run is, and who works on it."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from soce.cli.command import print_blocks, print_json
from soce.cli.experiment import ExperimentCommand, run_argument
from soce.cli.text.status import status_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.search.status import RunStatus

_EXAMPLES = """\b
Examples:
  soce status run/
  soce status run/ --watch
  soce status run/ --json
"""


@click.command(cls=ExperimentCommand, opens=False, short_help="See how far a run is.", notes=(_EXAMPLES,))
@run_argument
@click.option("--watch", "-w", is_flag=True, help="Look again until the run is finished; Ctrl-C ends it.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    metavar="SECONDS",
    help="With --watch: how often. Default: 2.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print it as JSON on stdout; watched, a line each time."
)
def status(*, folder: str, watch: bool, every: float, as_json: bool) -> None:
    """Say what of a run is done, what is running and since when, what is left, and what is best so far.

    RUN is the output of `soce run`, `soce demo`, `soce search` or `soce study`; in an experiment its own.
    Nothing is changed: it may go on meanwhile, here or on another machine.
    """
    from soce.search.status import read_status

    if watch:
        _watch(lambda: read_status(folder), every=every, as_json=as_json)
    elif as_json:
        print_json(read_status(folder).to_json())
    else:
        print_blocks(*status_lines(read_status(folder)))


def _watch(look: Callable[[], RunStatus], *, every: float, as_json: bool) -> None:
    """Show the status again and again: in one place on a terminal, else where something has changed."""
    found = look()
    try:
        if as_json or not sys.stdout.isatty():
            _print_changes(found, look, every=every, as_json=as_json)
            return
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(), auto_refresh=False) as live:
            while True:
                live.update(_text(found), refresh=True)
                if found.is_done:
                    return
                time.sleep(every)
                found = look()
    except KeyboardInterrupt:  # it only looked: nothing was interrupted
        return


def _print_changes(found: RunStatus, look: Callable[[], RunStatus], *, every: float, as_json: bool) -> None:
    said = None
    while True:
        content = found.to_json()
        text = json.dumps(content, ensure_ascii=False, allow_nan=False) if as_json else _text(found)
        if (content["stages"], content["verdict"]) != said:
            click.echo(text)
            sys.stdout.flush()
        said = content["stages"], content["verdict"]
        if found.is_done:
            return
        time.sleep(every)
        found = look()


def _text(found: RunStatus) -> str:
    return "\n\n".join("\n".join(block) for block in status_lines(found))
