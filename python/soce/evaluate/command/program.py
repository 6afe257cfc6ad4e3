"""Other programs: run without a shell, their output kept, nothing of them left running."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.files.atomic import PathText

_POLL_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 5.0
_TAIL_BYTES: Final = 8192
_TAIL_LINES: Final = 3


def run_program(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    directory: PathText | None = None,
    timeout_seconds: float | None = None,
    keep_open: Sequence[int] = (),
    on_poll: Callable[[], object] | None = None,
) -> int | None:
    """Run a program to its end and return its exit status; None if it ran too long and was stopped.

    What it writes goes to the new file `log`. It runs in `directory`, gets this environment and no other, and
    inherits the file descriptors in `keep_open`. `on_poll` is called twenty times a second; raising from it
    stops the program. When this returns or raises, the program and whatever it started in its process group
    are gone: asked to stop first, killed five seconds later.
    """
    with log.open("xb") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )
    end = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        while not has_ended(process):
            if time.monotonic() >= end:
                return None
            if on_poll is not None:
                on_poll()
            time.sleep(_POLL_SECONDS)
    finally:
        stop_group(process)
    return process.returncode


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a program ended, but leave it a zombie, so that nobody else gets its number."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # this process ignores SIGCHLD
        return True


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End all processes of the program's session that did not leave its process group, then reap the program.

    Once it is reaped, its number and that of its group may be given to a stranger.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE_SECONDS
        if not _has_members(process.pid):
            break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        while _has_members(process.pid) and time.monotonic() < end:
            time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)


def _has_members(group: int) -> bool:
    """Return whether anybody but zombies is in a process group of ours."""
    processes = list(Path("/proc").glob("[0-9]*/stat"))
    if not processes:  # macOS, where signals do not reach zombies
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True
    for process in processes:
        with suppress(OSError):  # it ended just now
            state, _, its_group = process.read_bytes().rpartition(b")")[2].split()[:3]
            if int(its_group) == group and state not in (b"Z", b"X"):
                return True
    return False


def describe_status(status: int | None, timeout_seconds: float | None) -> str:
    """Return how a program ended, in words."""
    if status is None:
        return f"still ran after {counted(timeout_seconds or 0, 'second')} and was stopped"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def last_lines(log: Path) -> str:
    """Return the end of what a program wrote, on one line and safe to show."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it wrote nothing"
    return "its last words: " + " / ".join(shown(line) for line in lines[-_TAIL_LINES:])
