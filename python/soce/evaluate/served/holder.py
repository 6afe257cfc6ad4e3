"""Who may give a server recipes: one search at a time, told by a heartbeat."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, Problem, SoceError, shown

if TYPE_CHECKING:
    from soce.evaluate.served.client import Client

_log = logging.getLogger(__name__)

HOLD_SECONDS: Final = 30.0
"""A holder that was not heard of for so long is gone."""
_BEATS: Final = 6
"""In that time."""


class HeldError(EvaluationError):
    """Somebody else gives the server recipes."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that gives recipes to a server."""

    id: str
    """Which nobody else knows."""
    host: str
    pid: int
    since: float
    """Seconds since the epoch."""

    def to_json(self) -> dict[str, object]:
        """Return what others may know."""
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.since))
        return {"host": shown(self.host), "pid": self.pid, "since": since}


class Holders:
    """The server's side: at most one holder, until it lets go or is not heard of any more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._holder: Holder | None = None
        self._beat = 0.0

    @property
    def current(self) -> Holder | None:
        """Who holds the server."""
        with self._lock:
            return self._found()

    def hold(self, claim: object) -> Holder:
        """Make who claims it the holder, or note that it is still there; refuse if somebody else is."""
        given: Any = claim
        try:
            one = Holder(str(given["id"]), str(given["host"]), int(given["pid"]), time.time())
        except (KeyError, OverflowError, TypeError, ValueError):
            refuse("a holder tells its `id`, `host` and `pid`")
        if not one.id:
            refuse("the `id` of a holder is empty")
        with self._lock:
            holder = self._found()
            self._check(one.id, holder)
            self._holder, self._beat = holder or one, time.monotonic()
            return self._holder

    def let_go(self, given: str) -> None:
        """End the hold of whoever has this id."""
        with self._lock:
            if self._holder is not None and self._holder.id == given:
                self._holder = None

    def check(self, given: str | None) -> None:
        """Refuse if somebody holds the server who does not have this id."""
        with self._lock:
            self._check(given, self._found())

    def _found(self) -> Holder | None:
        if time.monotonic() - self._beat > HOLD_SECONDS:
            self._holder = None
        return self._holder

    @staticmethod
    def _check(given: str | None, holder: Holder | None) -> None:
        if holder is None or holder.id == given:
            return
        told = holder.to_json()
        message = f"process {told['pid']} on `{told['host']}` gives this server recipes since {told['since']}"
        hint = "wait until it is done, or start a server of your own: each search needs one for itself"
        raise HeldError.of([Problem("evaluation", None, None, message, hint)])


class Hold:
    """The client's side: holds a server from `take` on, by a thread that beats, until `close`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._claim = {"id": secrets.token_hex(16), "host": socket.gethostname(), "pid": os.getpid()}
        self._done = Event()
        self._thread: Thread | None = None

    @property
    def id(self) -> str:
        """What recipes are given with."""
        return str(self._claim["id"])

    def take(self) -> None:
        """Become the holder, or still be it; raises what the server refuses it with."""
        self._client.post("/holder", self._claim)
        if self._thread is None:
            self._thread = Thread(target=self._beat, name="soce-holder", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let go of the server."""
        if self._thread is None:
            return
        self._done.set()
        self._thread.join()
        self._thread = None
        try:
            self._tell({"id": self.id, "done": True})
        except SoceError as error:  # the server is gone, or will notice
            _log.info("cannot let go of the server: %s", error)

    def _beat(self) -> None:
        while not self._done.wait(HOLD_SECONDS / _BEATS):
            try:
                self._tell(self._claim)
            except SoceError as error:  # the next recipe or answer tells whether it matters
                _log.warning("the server does not take note that it is held: %s", error)

    def _tell(self, claim: dict[str, Any]) -> None:
        """Tell the server, which does not answer later than it would forget."""
        self._client.post("/holder", claim, timeout_seconds=HOLD_SECONDS)
