"""Which process keeps a locked file, as far as the system tells: nobody should have to search for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")


def holder_of(path: Path) -> int | None:
    """Return the process that holds a write lock on a file; None if nobody knows.

    Linux tells of processes on the same machine. The file is not opened: that would give up SQLite's own
    locks on it.
    """
    with suppress(OSError, ValueError):
        status = path.stat()
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in _LOCKS.read_text(encoding="ascii").splitlines():
            words = line.split()
            if device in words and "WRITE" in words and "->" not in words:
                process = int(words[words.index("WRITE") + 1])
                return process if process not in (0, -1, os.getpid()) else None
    return None


def release_hint(holder: int | None) -> str:
    """Return what to do about a process that keeps a file and is perhaps stopped."""
    how = "" if holder is None else f" with `kill -CONT {holder}`, or end it with `kill -KILL {holder}`"
    return f"let it go on{how}, and run the same command again: everything that was kept is there"
