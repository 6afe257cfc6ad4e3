"""A directory for checkpoints that are thrown away, also those of a run that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soce.files.atomic import PathText

_PREFIX = "soce-scratch-"
_LOCK = ".lock"


class Scratch:
    """A fresh directory below `parent` that this process holds until `close`.

    Directories that processes left behind when they were killed are removed first: in ``/dev/shm`` they
    would hold memory for ever. One that a program of a killed process still uses is left alone: it inherits
    the `descriptor` of the lock.
    """

    def __init__(self, parent: PathText) -> None:
        _remove_abandoned(Path(parent))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self.descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            if (self.path / _LOCK).exists():
                return
            os.close(self.descriptor)  # another process saw it without a lock and took it for abandoned

    def close(self) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self.descriptor)
        self.descriptor = -1


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it belongs to somebody else, is in use, or is gone
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)
