"""A serving engine's processes: they answer on a socket of their own, and none outlives soce."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import soce
from soce.evaluate.command.program import describe_status, last_lines, stop_group
from soce.evaluate.engines import watchdog
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.evaluation import refuse
from soce.exceptions import EngineLostError, Problem, shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_POLL_SECONDS: Final = 0.1
_LONGEST_SOCKET: Final = 100
"""Bytes of a path that a Unix socket can have on every system, and some to spare."""

# What a program says of an exception, without the prefix of a logger: its class, and what it was about.
_EXCEPTION: Final = re.compile(r"\b((?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit)): +(\S.*)")
_UNTELLING: Final = re.compile(r"see (the )?(root cause|stack trace)|initialization failed|\bWARNING\b", re.I)


class EngineProcess:
    """The processes of one engine, started and ended as one.

    They run below a watchdog in a session of their own, and end when `close` is called or this process ends,
    however that happens. The folder, which nobody else may enter, holds the socket, the log and `packages`
    with nothing but this very soce, which they import.

    Parameters
    ----------
    name : str
        What messages call the engine.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = private_folder("soce-engine-", "socket")
        self.socket = str(self.folder / "socket")
        """Path of the Unix socket that the engine is to answer on."""
        self.log = self.folder / "log"
        """What the processes wrote."""
        self.packages = link_soce(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._kept_log: str | None = None

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        seconds: float,
        ready: str = "/health",
    ) -> None:
        """Start the engine and return when ``GET ready`` on its socket answers with status 200.

        It gets this process's environment, and what `environment` says instead. Raises EvaluationError, after
        which no process is left, if it ends before or does not answer in time.
        """
        paths = [str(self.packages), os.environ.get("PYTHONPATH", "")]
        told = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            with self.log.open("xb") as output:
                self._process = subprocess.Popen(
                    watchdog.watched(command, self.folder),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=told,
                    start_new_session=True,
                )
            end = time.monotonic() + seconds
            while not self._answers(ready):
                self._check_start()
                if time.monotonic() > end:
                    told_seconds = counted(seconds, "second")
                    self._refuse_start(f"does not answer {told_seconds} after its start")
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.close()
            raise

    def check(self, *, wait_seconds: float = 0) -> None:
        """Raise EngineLostError if the engine is not running, with what it said last.

        It may take `wait_seconds` to end, where a broken connection tells that it is about to.
        """
        end = time.monotonic() + wait_seconds
        while self._process is not None and _status(self._process) is None and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if self._process is None:
            message, hint = f"{self.name} is not running", None
        elif (status := _status(self._process)) is None:
            return
        else:
            ended = describe_status(watchdog.status_of(status), None)
            message, hint = f"{self.name} {ended}: {self.last_words()}", self._keep_log()
        self._refuse_lost(message, hint)

    def lose(self, what: str, *, wait_seconds: float = 0) -> NoReturn:
        """Raise EngineLostError about what it did, with what it said last; see `check`."""
        self.check(wait_seconds=wait_seconds)
        self._refuse_lost(f"{self.name} {what}; {self.last_words()}", "start it again")

    def end_late(self, what: str, seconds: float) -> NoReturn:
        """End every process, as nobody knows what the engine is at, and raise EngineLostError about that."""
        message = (
            f"{self.name} did not {what} in {counted(seconds, 'second')}, and was ended; {self.last_words()}"
        )
        hint = self._keep_log()
        self.stop()
        self._refuse_lost(message, hint)

    def last_words(self) -> str:
        """Return the first exception that the log tells of and that explains something, or its end."""
        with suppress(OSError):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            for line in text.splitlines():
                found = _EXCEPTION.search(line)
                if found is not None and not _UNTELLING.search(line):
                    return shown(f"{found[1]}: {found[2].strip()}")
        with suppress(OSError):
            return last_lines(self.log)
        return "its log is gone"

    def close(self) -> None:
        """End every process of the engine, wait until none is left, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """End every process of the engine, and wait until none is left."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            end = time.monotonic() + watchdog.LONGEST_SECONDS
            while _status(process) is None and time.monotonic() < end:
                time.sleep(0.02)
            stop_group(process)  # for the case that somebody killed the watchdog

    def _answers(self, ready: str) -> bool:
        try:
            return ask(self.socket, ready, timeout_seconds=10)[0] == 200
        except (OSError, HTTPException):
            return False

    def _check_start(self) -> None:
        if self._process is not None and (status := _status(self._process)) is not None:
            ended = describe_status(watchdog.status_of(status), None)
            self._refuse_start(f"{ended} before it answered")

    @staticmethod
    def _refuse_lost(message: str, hint: str | None) -> NoReturn:
        raise EngineLostError.of([Problem("engine", None, None, message, hint)])

    def _refuse_start(self, what: str) -> NoReturn:
        refuse(f"{self.name} {what}: {self.last_words()}", self._keep_log())

    def _keep_log(self) -> str | None:
        """Put the log where it outlives the folder, once, and return the hint that says where."""
        if self._kept_log is None and self.log.exists():
            handle, self._kept_log = tempfile.mkstemp(prefix=f"soce-{self.name.lower()}-", suffix=".log")
            os.close(handle)
            shutil.copyfile(self.log, self._kept_log)
        return None if self._kept_log is None else f"all that it wrote is in `{self._kept_log}`"


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a process ended, if it did, but leave it a zombie, so that nobody else gets its number."""
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # this process ignores SIGCHLD
        return process.poll() or 0
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def link_soce(folder: Path) -> Path:
    """Make the folder `packages` in a folder, from which other interpreters import this soce and no more."""
    packages = folder / "packages"
    packages.mkdir()
    (packages / "soce").symlink_to(Path(soce.__file__).parent, target_is_directory=True)
    return packages


def private_folder(prefix: str, socket: str) -> Path:
    """Return a new folder that only this user may enter, with a path short enough for a socket in it."""
    place = tempfile.gettempdir()
    if len(os.fsencode(place)) > _LONGEST_SOCKET - len(f"/{prefix}12345678/{socket}"):
        place = "/tmp"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=place))
