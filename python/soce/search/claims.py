"""Claims between processes: locks on files, which a killed process gives up at once.

They are held for moments only; what takes longer is leased, see `soce.store.leases`. Workers on several
machines need a folder on a file system whose locks work between them.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.search.refusal import refuse
from soce.store.holder import holder_of, release_hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

_WAIT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02


@contextmanager
def claim(path: str | os.PathLike[str], *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file at `path` while the block runs; the value says whether it is held.

    Whoever holds it makes and removes it. `wait` until it is free, or else go on without it. Who keeps it for
    a minute is stopped: that is a `StudyError` that names the process.
    """
    name = os.fspath(path)
    descriptor = None
    until = time.monotonic() + _WAIT_SECONDS
    try:
        while descriptor is None:
            opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(opened, name):
                    descriptor = opened
            except BlockingIOError:
                if not wait:
                    break
                if time.monotonic() > until:
                    _refuse(Path(name))
                time.sleep(_POLL_SECONDS)
            finally:
                if descriptor is None:
                    os.close(opened)
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                Path(name).unlink()  # while it is held, so that nobody can hold a file without a name
            os.close(descriptor)


def _refuse(path: Path) -> NoReturn:
    holder = holder_of(path)
    who = "another process" if holder is None else f"the process {holder}"
    message = f"{who} has kept the folder to itself for {_WAIT_SECONDS:.0f} seconds: it may be stopped"
    refuse(message, release_hint(holder), path.parent)


def _is_still(descriptor: int, name: str) -> bool:
    """Return whether the name still leads to the locked file: its last holder removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))  # noqa: PTH116 - beside fstat
    except FileNotFoundError:
        return False
