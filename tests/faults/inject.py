"""Runs `soce-merge` and decides, call by call, what its system calls meet."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import system_calls

LIMIT = 120.0
"""Seconds after which a run counts as hanging."""
OUTPUT_SIDE = system_calls.WRITING | system_calls.NAMING | {"close", "flock"}
"""Calls by which an output comes to be."""


@dataclass(frozen=True)
class Call:
    """A system call that waits to be decided on."""

    number: int
    """Of this run's calls below the watched places, from 0, over all threads."""
    name: str
    path: str
    """What it acts on; of a rename, where to."""
    arguments: tuple[int, ...]
    thread: int
    is_directory: bool
    written: bool
    """The run has written to this file before."""

    def __str__(self) -> str:
        return f"{self.name}({self.path})"


@dataclass(frozen=True)
class Fail:
    """The call is not carried out and ends with an error number."""

    error: int


@dataclass(frozen=True)
class Short:
    """A read or a write is carried out for half of its bytes."""


@dataclass(frozen=True)
class Lie:
    """A write is not carried out and yet ends as if it had been: a disk that loses it."""


@dataclass(frozen=True)
class Kill:
    """The process is killed before the call is carried out."""

    signal: signal.Signals = signal.SIGKILL


Decision = Fail | Short | Lie | Kill | None
Decide = Callable[[Call], Decision]


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
    if not system_calls.numbers():
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
    code = "from soce.cli.merge import main; main()"
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
                    Supervisor(process, descriptors[0], cwd, list(places), decide, outcome).serve()
            server.channel.settimeout(LIMIT)
            outcome.code = os.waitstatus_to_exitcode(int(server.channel.recv(32)))
        except BaseException:
            os.kill(process, signal.SIGKILL)
            server.channel.recv(32)
            raise
        for stream, name in ((out, "out"), (err, "err")):
            stream.seek(0)
            setattr(outcome, name, stream.read())
    return outcome


class Supervisor:
    """Answers for the calls of one process, in the order in which they come from its threads."""

    def __init__(
        self,
        process: int,
        listener: int,
        cwd: Path,
        places: list[Path],
        decide: Decide,
        outcome: Outcome,
    ) -> None:
        self.process, self.listener, self.cwd, self.decide, self.outcome = (
            process, listener, cwd, decide, outcome
        )  # fmt: skip
        self.places = [os.path.realpath(place) for place in places]
        self.names = {number: name for name, number in system_calls.numbers().items()}
        self.files = Path(f"/proc/{process}/fd")
        self.written: set[str] = set()
        self.memory = os.open(f"/proc/{process}/mem", os.O_RDWR)

    def serve(self) -> None:
        """Answer until the process has ended."""
        deadline = time.monotonic() + LIMIT
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        try:
            while time.monotonic() < deadline:
                found = poll.poll(1000)
                if found and found[0][1] & select.POLLIN:
                    self._one()
                elif found:
                    return  # no thread is left that could call
            raise TimeoutError(f"still running after {LIMIT} s: process {self.process}")
        finally:
            os.close(self.listener)
            os.close(self.memory)

    def _one(self) -> None:
        received = system_calls.receive(self.listener)
        if received is None:
            return
        identity, thread, number, arguments = received
        try:
            name = self.names[number]
            path = self._path(name, arguments)
            if path is None or not any(
                path == place or path.startswith(f"{place}/") for place in self.places
            ):
                system_calls.answer(self.listener, identity)
                return
            call = Call(
                number=len(self.outcome.calls),
                name=name,
                path=path,
                arguments=arguments,
                thread=thread,
                is_directory=Path(path).is_dir(),
                written=path in self.written,
            )
        except OSError:  # the process died meanwhile
            system_calls.answer(self.listener, identity)
            return
        self.outcome.calls.append(call)
        if name in system_calls.WRITING:
            self.written.add(path)
        decision = self.decide(call)
        if decision is not None:
            self.outcome.hits.append(call)
        match decision:
            case None:
                system_calls.answer(self.listener, identity)
            case Fail(error):
                system_calls.answer(self.listener, identity, error=error)
            case Kill(sent):
                os.kill(self.process, sent)
                if sent != signal.SIGKILL:  # else the call must never be answered
                    system_calls.answer(self.listener, identity)
            case Lie():
                system_calls.answer(self.listener, identity, value=arguments[2])
            case Short():
                system_calls.answer(self.listener, identity, value=self._half(call))

    def _path(self, name: str, arguments: tuple[int, ...]) -> str | None:
        """Return the path that a call acts on; the last one if there are two."""
        if pairs := system_calls.AT.get(name):
            directory, text = arguments[2 * pairs - 2 : 2 * pairs]
            below = str(self.cwd) if _signed(directory) == -100 else self._open_path(directory)
            return os.path.normpath(Path(below, self._text(text)))
        if count := system_calls.PATHS.get(name):
            return os.path.normpath(Path(self.cwd, self._text(arguments[count - 1])))
        descriptor = arguments[4] if name == "mmap" else arguments[0]
        return self._open_path(descriptor) if _signed(descriptor) >= 0 else None

    def _open_path(self, descriptor: int) -> str:
        return str((self.files / str(descriptor)).readlink()).removesuffix(" (deleted)")

    def _text(self, address: int) -> str:
        page = os.sysconf("SC_PAGE_SIZE")
        found = b""
        while (
            b"\0" not in found and len(found) < 2 * page
        ):  # a text may end right before memory that is not there
            start = address + len(found)
            found += os.pread(self.memory, page - start % page, start)
        return os.fsdecode(found.split(b"\0", 1)[0])

    def _half(self, call: Call) -> int:
        """Carry out half of a read or write."""
        descriptor, address, count, offset = call.arguments[:4]
        count = (count + 1) // 2
        own = system_calls.duplicate(self.process, descriptor)
        try:
            match call.name:
                case "pwrite64":
                    return os.pwrite(own, os.pread(self.memory, count, address), offset)
                case "write":
                    return os.write(own, os.pread(self.memory, count, address))
                case "pread64":
                    data = os.pread(own, count, offset)
                case "read":
                    data = os.read(own, count)
                case name:
                    raise ValueError(f"no half of a {name}")
            return os.pwrite(self.memory, data, address) if data else 0
        finally:
            os.close(own)


def _signed(value: int) -> int:
    """Return an argument as the C int that it stands for."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
