"""That bytes are about to come over the network, as the log of this room tells it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from soce.files.words import listed

LOG: Final = logging.getLogger("soce.remote")
"""Gets a `Fetching` before the first byte of weights, as the message itself."""
_GIGABIT: Final = 125_000_000


@dataclass(frozen=True, slots=True)
class Fetching:
    """What will be fetched."""

    names: tuple[str, ...]
    """Exactly which checkpoints: with their commits, without signatures."""
    bytes: int
    how: str
    """``downloaded``, to stay on this disk, or ``streamed``."""

    @property
    def seconds(self) -> float:
        """How long that takes over a line of 1 Gbit/s that does nothing else."""
        return self.bytes / _GIGABIT

    def __str__(self) -> str:
        """Return it for a log."""
        return f"{self.bytes} bytes of {listed(self.names)} are {self.how}"
