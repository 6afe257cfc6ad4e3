"""Progress on a terminal: bars on stderr while a block runs, nothing where nobody looks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from soce.cli.bars import bars_of
from soce.cli.command import inform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, Task, TaskID

    from soce.search.scoring import SearchProgress

_UNITS = ((1, "s"), (60, "min"), (3600, "h"))


@contextmanager
def waiting(what: str, *, enabled: bool) -> Iterator[None]:
    """Say what takes its time, and show that it goes on where it is a terminal."""
    if not enabled:
        yield
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    inform(what)
    with bars_of((SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())) as bars:
        bars.add_task("", total=None)
        yield


class Stages:
    """Bars for pieces of work that have names, under the sentences that were said."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def show(self, bar: str, done: int, total: int, *, label: str | None = None) -> None:
        """Say how far a piece of work is; a bar with nothing to count is hidden."""
        if bar not in self._tasks:
            self._tasks[bar] = self._bars.add_task(label or bar, total=total)
        self._bars.update(
            self._tasks[bar], description=label or bar, completed=done, total=total, visible=total > 0
        )

    def say(self, sentence: str) -> None:
        """Print a sentence, and take away the bars of what came before."""
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        self._bars.console.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def stage_bars(*, enabled: bool) -> Iterator[Stages]:
    """Show pieces of work, each with count, rate and time left; sentences only where it is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(rate(task.finished_speed or task.speed), style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with bars_of(columns, enabled=enabled) as bars:
        yield Stages(bars)


def stage_label(found: SearchProgress) -> str:
    """Return the stage of a search, with how many soups of it are scored at once if that is more than one."""
    return found.stage if found.n_replicas == 1 else f"{found.stage}, {found.n_replicas} at once"


def rate(speed: float | None) -> str:
    """Return how many things a second are done, in a unit in which that can be read.

    Examples
    --------
    >>> rate(None), rate(12.34), rate(0.05)
    ('', '12.3/s', '3/min')
    """
    if not speed:
        return ""
    return next(f"{speed * unit:.3g}/{name}" for unit, name in _UNITS if speed * unit >= 1 or name == "h")
