"""The log of a long command: ``soce.log`` in its output folder, plain text, one line for each event.

A line is the time in UTC, the process, the command and what happened. Arguments and the environment are not
in it: they may hold passwords, as the URL of a storage does. Errors are in it as they were printed.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from soce.cli.command import error_lines
from soce.cli.text.layout import duration
from soce.exceptions import SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EVERY: Final = 30.0
"""Seconds between two lines about the same piece of work."""


class Log:
    """Appends to a file, from `start` on; what comes before is kept in memory, and lost if it never starts.

    A log that cannot be written, as on a full disk, stops no work: its lines are lost. Several processes may
    write to one file.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self._command = command
        self._waiting: list[str] | None = []
        self._work: dict[str, _Work] = {}

    def start(self) -> None:
        """Begin to write: the folder is known to be this command's own."""
        if self._waiting is None:
            return
        import soce

        waiting, self._waiting = self._waiting, None
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.line(f"soce {soce.__version__} started")
        self._append("".join(waiting))

    def line(self, text: str) -> None:
        """Write that something happened."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{now} {os.getpid()} {self._command}: {shown(text, limit=2_000)}\n"
        if self._waiting is None:
            self._append(line)
        else:
            self._waiting.append(line)

    def progress(self, name: str, done: int, total: int, unit: str = "") -> None:
        """Write how far a piece of work is and how long the rest may take, now and then."""
        work = self._work.get(name)
        if work is None or done < work.done:
            work = self._work[name] = _Work(done)
        finished = done >= total and work.done < total
        now = time.monotonic()
        if finished or work.said is None or (now - work.said >= _EVERY and done > work.done):
            left = work.left(done, total, now)
            self.line(f"{name}: {done} of {total}{unit and f' {unit}'}{left and f', {left} left'}")
            work.said = now
        work.done = done

    def _append(self, text: str) -> None:
        with suppress(OSError), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)


class _Work:
    """How far a piece of work was when."""

    def __init__(self, done: int) -> None:
        self.done = done
        self.said: float | None = None
        self._began = (time.monotonic(), done)

    def left(self, done: int, total: int, now: float) -> str:
        """Return how long the rest takes at the pace so far, or nothing if there is no telling."""
        began, first = self._began
        if not first < done < total or now <= began:
            return ""
        return duration((now - began) / (done - first) * (total - done))


@contextmanager
def logged(path: Path, command: str) -> Iterator[Log]:
    """Log how the block ends, whichever way it does."""
    log = Log(path, command)
    try:
        yield log
    except (SoceError, OSError) as error:
        for text in error_lines(error):
            if text:
                log.line(text)
        raise
    except KeyboardInterrupt:
        log.line("interrupted")
        raise
    except BaseException as error:
        log.line(f"stopped by {type(error).__name__}")
        raise
    log.line("finished")
