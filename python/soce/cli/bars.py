"""Bars on stderr, where it is a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, ProgressColumn, TaskID


@contextmanager
def byte_bar(*, enabled: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Show bytes, rate and time left; yield what is called with bytes done and bytes in all."""
    if not (enabled and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    bars = bars_of((BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()))
    tasks: list[TaskID] = []  # none until the size of the work is known: `0/?` would say nothing

    def tell(done: int, total: int) -> None:
        if not tasks:
            bars.start()  # not before: there may be another bar, of a download
            tasks.append(bars.add_task("merge", total=total))
        bars.update(tasks[0], completed=done, total=total)

    try:
        yield tell
    finally:
        if tasks:
            bars.stop()


def bars_of(columns: tuple[ProgressColumn, ...], *, enabled: bool = True) -> Progress:
    """Return bars with these columns; nothing is shown where it is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, quiet=not enabled)
    return Progress(*columns, console=console, transient=True, disable=not (enabled and sys.stderr.isatty()))
