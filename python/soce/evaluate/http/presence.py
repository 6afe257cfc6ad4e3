"""Whether the other end of a connection still waits for an answer."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LEAVES: Final = getattr(select, "POLLRDHUP", 0)
"""What to poll a client's socket for, where the system tells it; hang-up and errors are told in any case."""


def still_waits(client: socket.socket) -> Callable[[], bool]:
    """Return what tells whether a client still waits."""

    def look() -> bool:
        if client.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(client, LEAVES)
        return not poll.poll(0)

    return look
