"""A system call that waits, and what can be decided on it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """A system call that waits to be decided on."""

    number: int
    """Of this run's calls below the watched places, from 0, over all threads."""
    name: str
    path: str
    """What it acts on; of a rename, where to."""
    source: str | None
    """Of a rename, where from."""
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
