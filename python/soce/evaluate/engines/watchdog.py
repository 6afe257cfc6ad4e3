"""Runs a program and lets nothing that it starts outlive it, nor outlive the process that asked for it.

It is a program of its own that needs the standard library alone:
``python -I -S watchdog.py PARENT FOLDER PROGRAM…``.
A signal to the process group would miss what left the group, and a death signal what the program started, so
this process adopts every orphan below it and ends all of them, then, if its parent is gone, removes the
folder that the parent cannot any more.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG of prctl
_ADOPT_ORPHANS: Final = 36  # PR_SET_CHILD_SUBREAPER
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 6.0

LONGEST_SECONDS: Final = 4 * _GRACE_SECONDS
"""How long it may take to end everything: the program, what it leaves, what does not listen."""


def watched(command: Sequence[str], folder: Path) -> list[str]:
    """Return the command that runs another one for this process, and removes a folder if it cannot."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder), *command]


def status_of(status: int) -> int:
    """Return how the program ended, minus the number of a signal if by one, from how this one did."""
    return 128 - status if 128 < status <= 128 + max(signal.Signals) else status


def main() -> int:
    """Run the program and return its exit status, as a shell gives it."""
    parent, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    _control(_ADOPT_ORPHANS, 1)
    # Should this process be killed, the program dies with it: there is one thread, so no death is mistaken.
    program = subprocess.Popen(command, preexec_fn=lambda: _control(_SET_DEATH_SIGNAL, signal.SIGKILL))
    while program.poll() is None and os.getppid() == parent and not asked_to_stop:
        time.sleep(_POLL_SECONDS)
    if program.poll() is None:
        program.terminate()  # it knows best how to end what it started
        with suppress(subprocess.TimeoutExpired):
            program.wait(_GRACE_SECONDS)
    _end_descendants()
    if os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)
    status = program.poll()
    return 137 if status is None else status if status >= 0 else 128 - status


def _control(option: int, value: int) -> None:
    """Tell the kernel something about this process; without effect where it is not Linux."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_descendants() -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE_SECONDS
        told: set[int] = set()
        while (left := descendants(os.getpid())) and time.monotonic() < end:
            for process in left - told:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
            told |= left
            time.sleep(0.02)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def descendants(process: int) -> set[int]:
    """Return the processes below one that have not ended, by number; none where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    ended = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            state, parent = path.read_bytes().rpartition(b")")[2].split()[:2]
            number = int(path.parent.name)
            children.setdefault(int(parent), []).append(number)
            if state in (b"Z", b"X"):
                ended.add(number)
    found: set[int] = set()
    rest = [process]
    while rest:
        below = children.get(rest.pop(), [])
        found.update(below)
        rest += below
    return found - ended


if __name__ == "__main__":
    sys.exit(main())
