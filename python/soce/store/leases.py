"""Leases: who scores which mix, told by a heartbeat, so that nobody waits for a worker that is gone."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import StudyError
from soce.files.plain import Plain
from soce.store.database import leases_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.store.database import Database

_log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 60.0
"""A lease whose last beat is older is taken over by whoever needs it."""
_BEATS: Final = 6
"""In that time."""


@dataclass(frozen=True, slots=True)
class Lease(Plain):
    """A mix that is being scored."""

    host: str
    """Of the worker."""
    process: int
    """Its id."""
    since: float
    """When it began: seconds since the epoch."""
    beat: float
    """When it was last heard of."""
    what: str
    """The weights, as people read them."""
    is_expired: bool
    """Whether the next one who needs it takes it over: its process is gone, or has not been heard of."""


@contextmanager
def leased(database: Database, mix: str, what: str) -> Iterator[bool]:
    """Hold the lease of a mix while the block runs; the value is False if another worker has it.

    A thread beats meanwhile. A worker that was stopped and comes back finds its lease taken over; what it
    then adds was added by another one, and what it reads is what that one added.
    """
    token = secrets.token_hex(8)
    if not _taken(database, mix, token, what):
        yield False
        return
    done = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(database.path, mix, token, done), name="soce-lease", daemon=True
    )
    thread.start()
    try:
        yield True
    finally:
        done.set()
        thread.join()
        # On a full disk for instance: the lease runs out, and goes at once with this process.
        with suppress(StudyError), database.changing() as connection:
            connection.execute("DELETE FROM leases WHERE mix = ? AND token = ?", (mix, token))


def read_leases(database: Database) -> tuple[Lease, ...]:
    """Return all leases, the oldest first."""
    with database.reading() as connection:
        if connection is None:
            return ()
        rows = connection.execute(
            "SELECT host, process, since, beat, what, machine FROM leases ORDER BY since, mix"
        ).fetchall()
    return tuple(
        Lease(host, process, since, beat, what, is_expired=_is_free(process, machine, beat))
        for host, process, since, beat, what, machine in rows
    )


def _taken(database: Database, mix: str, token: str, what: str) -> bool:
    """Take the lease if nobody has it, or whoever has it is gone; return whether it was taken."""
    look = "SELECT process, machine, beat, host FROM leases WHERE mix = ?"
    with database.reading() as connection:  # most often it is taken: nobody waits to see that
        row = None if connection is None else connection.execute(look, (mix,)).fetchone()
    if row is not None and not _is_free(*row[:3]):
        return False
    with database.changing() as connection:
        row = connection.execute(look, (mix,)).fetchone()
        if row is not None:
            if not _is_free(*row[:3]):
                return False
            _log.warning("taking over `%s` from process %d on %s", what, row[0], row[3])
        now = time.time()
        connection.execute(
            "INSERT OR REPLACE INTO leases (mix, token, host, machine, process, since, beat, what) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (mix, token, socket.gethostname(), _machine(), os.getpid(), now, now, what),
        )
    return True


def _beat(path: Path, mix: str, token: str, done: threading.Event) -> None:
    """Say again and again that the worker lives, until it is done or the lease is another's."""
    database: Database | None = None
    while not done.wait(LEASE_SECONDS / _BEATS):
        # What cannot be written now may be written next time; at worst somebody takes the lease over.
        with suppress(StudyError):
            database = database or leases_beside(path)
            with database.changing() as connection:
                now = time.time()
                beaten = connection.execute(
                    "UPDATE leases SET beat = ? WHERE mix = ? AND token = ?", (now, mix, token)
                )
                if not beaten.rowcount:
                    _log.warning("another worker has taken over what this one scores")
                    return


def _is_free(process: int, machine: str, beat: float) -> bool:
    """Return whether a lease may be taken over.

    The system knows of processes on this machine; of others the clock decides, also one that was put back.
    """
    if abs(time.time() - beat) > LEASE_SECONDS:
        return True
    if machine != _machine():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


@cache
def _machine() -> str:
    """Return what is the same for processes that see each other's ids: host, boot, namespace of processes."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(told)
