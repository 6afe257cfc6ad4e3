"""Runs `soce-merge` and decides, call by call, what its system calls meet."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import system_calls
from tests.faults.decisions import Call, Decide
from tests.faults.supervisor import Supervisor

LIMIT = 120.0
"""Seconds after which a run counts as hanging."""
OUTPUT_SIDE = system_calls.WRITING | system_calls.NAMING | {"close", "flock"}
"""Calls by which an output comes to be."""


@dataclass(repr=False)
class Outcome:
    """How a run ended."""

    code: int
    out: str
    err: str
    calls: list[Call] = field(default_factory=list)
    hits: list[Call] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"exit {self.code}, after {', '.join(map(str, self.hits)) or 'nothing'}:\n{self.out}{self.err}"


def usable() -> str | None:
    """Return why calls cannot be caught here, or None."""
    if sys.platform != "linux" or not system_calls.numbers():
        return "catching system calls is for Linux on x86_64 and aarch64"
    code = (
        "import runpy, sys; calls = runpy.run_path(sys.argv[1]); "
        "sys.exit(0 if calls['catch'](['mkdir']) > 2 else 1)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, system_calls.__file__], capture_output=True, text=True, check=False
    )
    return found.stderr.strip().rpartition("\n")[2] or None if found.returncode else None


def command(arguments: Sequence[str], *, cwd: Path) -> Outcome:
    """Run `soce-merge` as a user does."""
    code = "from soce.cli import main_merge; main_merge()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


class Server:
    """The process that makes a new process for each run. See server.py."""

    _running: Server | None = None

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = str(Path(__file__).with_name("server.py"))
        with theirs:
            # Ends when this end of the channel is closed, at the latest with this process.
            self.process = subprocess.Popen(
                [sys.executable, "-P", script, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    @classmethod
    def running(cls) -> Server:
        """Return the server of this process, started when first asked for."""
        if cls._running is None:
            cls._running = cls()
            atexit.register(cls._running.end)
        return cls._running

    def end(self) -> None:
        """Close the channel, upon which the server ends."""
        self.channel.close()
        self.process.wait(LIMIT)


def run(
    arguments: Sequence[str],
    decide: Decide | None = None,
    *,
    cwd: Path,
    places: Iterable[Path] = (),
    names: Iterable[str] = OUTPUT_SIDE,
    environment: dict[str, str] | None = None,
    file_size: int | None = None,
    meanwhile: Callable[[int], None] | None = None,
) -> Outcome:
    """Run `soce-merge` in a new process, and ask `decide` for each named call that acts at or below one of `places`.

    `file_size` is a limit in bytes. `meanwhile` is called with the process's id once it runs.
    """
    server = Server.running()
    outcome = Outcome(0, "", "")
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": environment or {},
            "file_size": file_size,
            "catch": sorted(set(names) & system_calls.numbers().keys()) if decide else [],
        }
        socket.send_fds(
            server.channel, [json.dumps(request).encode()], [out.fileno(), err.fileno(), theirs.fileno()]
        )
        theirs.close()
        process = int(server.channel.recv(32))
        try:
            if meanwhile:
                meanwhile(process)
            if decide:
                _, descriptors, *_ = socket.recv_fds(ours, 16, 1)
                if descriptors:  # else it died before
                    supervisor = Supervisor(process, descriptors[0], cwd, list(places), decide)
                    outcome.calls, outcome.hits = supervisor.calls, supervisor.hits
                    supervisor.serve(LIMIT)
            server.channel.settimeout(LIMIT)
            outcome.code = os.waitstatus_to_exitcode(int(server.channel.recv(32)))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            server.channel.recv(32)
            raise
        for stream, name in ((out, "out"), (err, "err")):
            stream.seek(0)
            setattr(outcome, name, stream.read())
    return outcome
