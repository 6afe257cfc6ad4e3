"""Who searches a folder now: a shared lock while it lasts, which a killed process gives up at once."""

from __future__ import annotations

import fcntl
import os
from contextlib import AbstractContextManager


class Presence(AbstractContextManager["Presence"]):
    """Be present in a folder, beside others. The file stays: it tells nothing but by its locks.

    Whoever asks whether it is alone holds the folder's other lock, under which all come in.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def is_alone(self) -> bool:
        """Return whether nobody else is present."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        return True

    def close(self) -> None:
        """Leave."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.close()
