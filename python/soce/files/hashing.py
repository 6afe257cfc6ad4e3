"""SHA-256 of files: computed once, at the speed of the disk, and remembered for the user."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.files.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

OnBytes: TypeAlias = Callable[[int, int], object]
"""Called with bytes done and bytes in all."""

SETTLED_NS: Final = 2_000_000_000
"""What changed less long ago might change again within one tick of the file system's clock."""

_CHUNK: Final = 4 << 20
_TICK_SECONDS: Final = 0.1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class ChangingFileError(OSError):
    """A file was written to while it was read."""


def file_digests(files: Collection[Path], *, on_progress: OnBytes | None = None) -> dict[Path, str]:
    """Return the SHA-256 of each file, in parallel; what is known is not read.

    Known is what was read before and has since had the same device, inode, size and times of change, and what
    lies in the cache of the Hub, whose large files are named by their digests. `on_progress` is called on
    this thread while files are read; raising from it stops the reading.

    Raises
    ------
    ChangingFileError
        A file was written to meanwhile.
    OSError
        A file cannot be read.
    """
    states = {file: _State.of(file.stat()) for file in files}
    with _Memory() as memory:
        found = {
            file: digest
            for file, state in states.items()
            if (digest := _named_by_digest(file) or memory.find(state)) is not None
        }
        lacking = {file: state for file, state in states.items() if file not in found}
        for file, digest in _read_all(lacking, on_progress):
            found[file] = digest
            memory.keep(lacking[file], digest)
    return {file: found[file] for file in states}


@dataclass(frozen=True, slots=True)
class _State:
    """What is another if a file is another one, or was written to."""

    file: str
    bytes: int
    modified: int
    changed: int
    """Of the inode: nobody puts it back, as copying puts the other time back."""

    @classmethod
    def of(cls, status: os.stat_result) -> _State:
        name = f"{status.st_dev}:{status.st_ino}"
        return cls(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _named_by_digest(file: Path) -> str | None:
    """Return the digest that a file of the Hub's cache has as its name; None if it was written to since."""
    if not file.is_symlink():
        return None
    blob = file.parent / file.readlink()
    is_named = blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name)
    # A download makes the blob and then the link to it: a later blob was written through the link.
    if is_named and not blob.is_symlink() and blob.stat().st_mtime_ns <= file.lstat().st_mtime_ns:
        return blob.name
    return None


def _read_all(states: dict[Path, _State], on_progress: OnBytes | None) -> Iterable[tuple[Path, str]]:
    """Read files, the largest first, and yield their digests as they come."""
    if not states:
        return
    total = sum(state.bytes for state in states.values())
    reading = _Reading()
    pool = ThreadPoolExecutor(min(len(states), os.cpu_count() or 1), "digest")
    try:
        largest = sorted(states, key=lambda file: -states[file].bytes)
        waiting = {pool.submit(reading.digest, file, states[file]): file for file in largest}
        while waiting:
            done, _ = wait(waiting, timeout=_TICK_SECONDS, return_when="FIRST_COMPLETED")
            if on_progress is not None:
                on_progress(reading.done, total)
            for one in done:
                yield waiting.pop(one), one.result()
    finally:
        reading.is_stopped = True
        pool.shutdown(cancel_futures=True)


class _Reading:
    """Files being read by several threads."""

    def __init__(self) -> None:
        self.done = 0
        self.is_stopped = False
        self._lock = threading.Lock()

    def digest(self, file: Path, state: _State) -> str:
        found = hashlib.sha256()
        chunk = memoryview(bytearray(min(_CHUNK, max(1, state.bytes))))
        with file.open("rb", buffering=0) as opened:
            while not self.is_stopped and (count := opened.readinto(chunk)):
                found.update(chunk[:count])
                with self._lock:
                    self.done += count
            after = _State.of(os.fstat(opened.fileno()))
        if after != state and not self.is_stopped:
            message = "it changed while it was read"
            raise ChangingFileError(None, message, str(file))
        return found.hexdigest()


class _Memory(AbstractContextManager["_Memory"]):
    """Digests of files by their state, in the user's cache; without one nothing is known."""

    def __init__(self) -> None:
        path = cache_folder() / "digests.db"
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS digests (file TEXT PRIMARY KEY, bytes INTEGER, modified INTEGER, "
                "changed INTEGER, sha256 TEXT) WITHOUT ROWID"
            )

    def find(self, state: _State) -> str | None:
        """Return the digest of a file that is as it was; None if it is not known."""
        if self._database is None:
            return None
        with suppress(sqlite3.Error):
            found = self._database.execute(
                "SELECT sha256 FROM digests WHERE file = ? AND bytes = ? AND modified = ? AND changed = ?",
                (state.file, state.bytes, state.modified, state.changed),
            ).fetchone()
            if found is not None and _SHA256.fullmatch(str(found[0])):
                return str(found[0])
        return None

    def keep(self, state: _State, digest: str) -> None:
        """Remember a digest, unless the file changed so recently that it may do so again unnoticed."""
        if self._database is None or time.time_ns() - max(state.modified, state.changed) < SETTLED_NS:
            return
        with suppress(sqlite3.Error):
            self._database.execute(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)",
                (state.file, state.bytes, state.modified, state.changed, digest),
            )

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
