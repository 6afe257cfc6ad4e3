"""That bytes are about to come over the network, as the log of this room tells it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeAlias

from soce.files.words import listed

Watcher: TypeAlias = Callable[[], AbstractContextManager[Callable[[int, int], object] | None]]
watcher: ContextVar[Watcher] = ContextVar("watcher", default=nullcontext)
"""What is opened while files are downloaded, to be called with bytes done and bytes in all."""
_GIGABIT: Final = 125_000_000


def least_seconds(n_bytes: int) -> float:
    """Return how long bytes take over a line of 1 Gbit/s that does nothing else."""
    return n_bytes / _GIGABIT


@dataclass(frozen=True, slots=True)
class Fetching:
    """What will be fetched."""

    names: tuple[str, ...]
    """Exactly which checkpoints: with their commits, without signatures."""
    bytes: int
    how: str
    """``downloaded``, to stay on this disk, or ``streamed``."""

    def __str__(self) -> str:
        """Return it for a log."""
        return f"{self.bytes} bytes of {listed(self.names)} are {self.how}"


def announce(found: Fetching) -> None:
    """Log what will be fetched, before the first byte of it; the message is the `Fetching` itself."""
    if found.bytes == 0:  # what is somewhere else has a weight of zero, say
        return
    import logging  # here: a merge of what is on this disk need not wait for it

    logging.getLogger("soce.remote").info(found)
