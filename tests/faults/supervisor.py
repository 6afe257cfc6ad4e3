"""Answers for the system calls of another process."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.faults import system_calls
from tests.faults.decisions import Call, Decide, Fail, Kill, Lie, Short

AT_FDCWD = -100


class Supervisor:
    """Answers for the calls of one process, in the order in which they come from its threads."""

    def __init__(
        self,
        process: int,
        listener: int,
        cwd: Path,
        places: list[Path],
        decide: Decide,
    ) -> None:
        self.process, self.listener, self.cwd, self.decide = process, listener, cwd, decide
        self.calls: list[Call] = []
        self.hits: list[Call] = []
        """Those on which something else was decided than to let them pass."""
        self.places = [os.path.realpath(place) for place in places]
        self.names = {number: name for name, number in system_calls.numbers().items()}
        self.files = Path(f"/proc/{process}/fd")
        self.written: set[str] = set()
        self.memory = os.open(f"/proc/{process}/mem", os.O_RDWR)

    def serve(self, seconds: float) -> None:
        """Answer until the process has ended."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        try:
            while time.monotonic() < deadline:
                found = poll.poll(1000)
                if found and found[0][1] & select.POLLIN:
                    self._one()
                elif found:
                    return  # no thread is left that could call
            raise TimeoutError(f"still running after {seconds} s: process {self.process}")
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
            paths = self._paths(name, arguments)
            if not any(
                path == place or path.startswith(f"{place}/") for path in paths[-1:] for place in self.places
            ):
                system_calls.answer(self.listener, identity)
                return
            call = Call(
                number=len(self.calls),
                name=name,
                path=(path := paths[-1]),
                source=paths[0] if len(paths) > 1 else None,
                arguments=arguments,
                thread=thread,
                is_directory=Path(path).is_dir(),
                written=path in self.written,
            )
        except OSError:  # the process died meanwhile
            system_calls.answer(self.listener, identity)
            return
        self.calls.append(call)
        if name in system_calls.WRITING:
            self.written.add(path)
        decision = self.decide(call)
        if decision is not None:
            self.hits.append(call)
        match decision:
            case None:
                system_calls.answer(self.listener, identity)
            case Fail(error):
                system_calls.answer(self.listener, identity, error=error)
            case Kill(sent):
                with suppress(ProcessLookupError):  # another thread's call, of a process that died meanwhile
                    os.kill(self.process, sent)
                if sent != signal.SIGKILL:  # else the call must never be answered
                    system_calls.answer(self.listener, identity)
            case Lie():
                system_calls.answer(self.listener, identity, value=arguments[2])
            case Short():
                system_calls.answer(self.listener, identity, value=self._half(call))

    def _paths(self, name: str, arguments: tuple[int, ...]) -> list[str]:
        """Return the paths that a call acts on: one, two for a rename or a link, or none."""
        if pairs := system_calls.AT.get(name):
            return [self._at(*arguments[2 * i : 2 * i + 2]) for i in range(pairs)]
        if count := system_calls.PATHS.get(name):
            return [os.path.normpath(Path(self.cwd, self._text(address))) for address in arguments[:count]]
        descriptor = arguments[4] if name == "mmap" else arguments[0]
        return [self._open_path(descriptor)] if _signed(descriptor) >= 0 else []

    def _at(self, directory: int, text: int) -> str:
        below = str(self.cwd) if _signed(directory) == AT_FDCWD else self._open_path(directory)
        return os.path.normpath(Path(below, self._text(text)))

    def _open_path(self, descriptor: int) -> str:
        return str((self.files / str(descriptor)).readlink()).removesuffix(" (deleted)")

    def _text(self, address: int) -> str:
        page = os.sysconf("SC_PAGE_SIZE")
        found = b""
        # To the end of the page first: there may be no memory behind it.
        while b"\0" not in found and len(found) < 2 * page:
            start = address + len(found)
            read = os.pread(self.memory, page - start % page, start)
            if not read:  # the memory of a process that was killed meanwhile ends everywhere
                raise ProcessLookupError(f"process {self.process} has ended")
            found += read
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
