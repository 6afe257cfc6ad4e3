"""Control groups with a limit on memory, of version 2 and of version 1."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Group:
    """One control group."""

    path: Path
    version: int

    def limit(self, size: int) -> None:
        """Let it have `size` bytes, and no more by swapping."""
        if self.version == 2:
            self._write("memory.max", size)
            if (self.path / "memory.swap.max").exists():
                self._write("memory.swap.max", 0)
        else:
            self._write("memory.limit_in_bytes", size)
            if (self.path / "memory.memsw.limit_in_bytes").exists():
                self._write("memory.memsw.limit_in_bytes", size)

    def _write(self, name: str, value: int) -> None:
        (self.path / name).write_text(str(value))

    def enter(self) -> None:
        """Move this process in; its children are born there."""
        self._write("cgroup.procs", os.getpid())

    def peak(self) -> int | None:
        """Most memory ever charged, page cache included; None where the kernel does not keep it."""
        file = self.path / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")
        return int(file.read_text()) if file.exists() else None

    def anonymous(self) -> int:
        """Memory charged now that is no page cache."""
        words = (self.path / "memory.stat").read_text().split()
        return int(words[words.index("anon" if self.version == 2 else "total_rss") + 1])

    def kills(self) -> int:
        """Processes killed here because there was no memory."""
        words = (
            (self.path / ("memory.events" if self.version == 2 else "memory.oom_control")).read_text().split()
        )
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def remove(self) -> None:
        """Remove it; whoever is still in it goes to the group above."""
        for process in (self.path / "cgroup.procs").read_text().split():
            (self.path.parent / "cgroup.procs").write_text(process)
        self.path.rmdir()


def unavailable(version: int) -> str | None:
    """Why no group of this version can be had, or None."""
    try:
        with made(version, 1 << 30):
            return None
    except OSError as error:
        return f"no control group of version {version} with a limit on memory can be made: {error}"


@contextmanager
def made(version: int, limit: int, name: str = "soce-faults") -> Iterator[Group]:
    """Make a group below this process's own, or where that is hidden below the mount; `OSError` where none can be."""
    group = _make(version, f"{name}-{os.getpid()}", limit)
    try:
        yield group
    finally:
        group.remove()


def _make(version: int, name: str, limit: int) -> Group:
    problem: OSError = FileNotFoundError(2, "no such controller", os.fspath(_MOUNT))
    for parent in _parents(version):
        group = Group(parent / name, version)
        try:
            group.path.mkdir()
        except OSError as error:
            problem = error
            continue
        try:
            group.limit(limit)
        except OSError as error:
            group.path.rmdir()
            problem = error
        else:
            return group
    raise problem


def _parents(version: int) -> Iterator[Path]:
    file = Path("/proc/self/cgroup")
    for line in file.read_text().splitlines() if file.exists() else ():
        _, controllers, own = line.split(":", 2)
        if version == 2 and controllers == "":
            for mount in (_MOUNT, _MOUNT / "unified"):
                yield from (mount / own.lstrip("/"), mount)
        elif version == 1 and "memory" in controllers.split(","):
            yield from (_MOUNT / "memory" / own.lstrip("/"), _MOUNT / "memory")


class Watch(threading.Thread):
    """Looks again and again at how much anonymous memory a process has, until that is over."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.file = Path(f"/proc/{process}/status")
        self.most = 0
        """Bytes."""
        self.looks = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.002):
            self.look()

    def look(self) -> None:
        """Look once."""
        try:
            words = self.file.read_text().split()
            self.most = max(self.most, int(words[words.index("RssAnon:") + 1]) << 10)
            self.looks += 1
        except (OSError, ValueError):  # it has ended
            self._over.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip
        self._over.set()
        self.join()


@contextmanager
def few_tasks(count: int) -> Iterator[Path]:
    """Make a group in which at most `count` threads run; `OSError` where none can be made."""
    problem: OSError = FileNotFoundError(2, "no control group limits threads", os.fspath(_MOUNT))
    for parent in (_MOUNT / "pids", _MOUNT):
        path = parent / f"soce-faults-tasks-{os.getpid()}"
        try:
            path.mkdir()
            try:
                (path / "pids.max").write_text(str(count))
            except OSError:
                path.rmdir()
                raise
        except OSError as error:
            problem = error
            continue
        try:
            yield path
        finally:
            path.rmdir()
        return
    raise problem
