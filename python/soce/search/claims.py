"""Claims between processes: locks on files, which a killed process gives up at once.

No clock and no heartbeat decides whether a worker is alive: the operating system does. Workers on several
machines need a folder on a file system whose locks work between them.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def claim(path: str | os.PathLike[str], *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file at `path` while the block runs; the value says whether it is held.

    Whoever holds it makes and removes it. `wait` until it is free, or else go on without it.
    """
    name = os.fspath(path)
    descriptor = None
    try:
        while descriptor is None:
            opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if _is_still(opened, name):
                    descriptor = opened
            except BlockingIOError:
                break
            finally:
                if descriptor is None:
                    os.close(opened)
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                Path(name).unlink()  # while it is held, so that nobody can hold a file without a name
            os.close(descriptor)


def _is_still(descriptor: int, name: str) -> bool:
    """Return whether the name still leads to the locked file: its last holder removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))  # noqa: PTH116 - beside fstat
    except FileNotFoundError:
        return False
