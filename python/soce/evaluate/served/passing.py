"""A request passed on to the engine, and its answer passed back as it comes."""

from __future__ import annotations

import re
import select
import socket
import time
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final, Self

from soce.evaluate.engines.unix_http import UnixConnection
from soce.evaluate.evaluation import told
from soce.evaluate.http.handler import ClientGone
from soce.evaluate.http.presence import LEAVES
from soce.exceptions import EvaluationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soce.evaluate.served.state import ServedSoup

_ROUTE: Final = re.compile(
    r"/v1/(completions|chat/completions|embeddings|models(/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*)(\?[^\s#]*)?"
)
"""What asks the model and keeps nothing: `/v1/responses` may go on from what another soup said."""
_LOST_SECONDS: Final = 3.0
"""How long it may take until an engine that broke a connection is known to be gone."""
_WATCH_SECONDS: Final = 10.0
"""How often the engine is looked at while requests wait for it: it may hang."""
_PIECE_BYTES: Final = 1 << 16


def is_passed_on(path: str) -> bool:
    """Return whether the engine may see a request for a path: the routes of `_ROUTE` and nothing else.

    Examples
    --------
    >>> [is_passed_on(path) for path in ("/v1/models", "/v1/models/a.b?c=d")]
    [True, True]
    >>> [is_passed_on(path) for path in ("/pause", "/v1/../pause", "/v1/load_lora_adapter", "/v1/responses")]
    [False, False, False, False]
    """
    return _ROUTE.fullmatch(path) is not None


class _WatchedSocket(socket.socket):
    """A connection to the engine each of whose reads first waits until there is something."""

    wait: Callable[[], None]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Wait, and read; `http.client` reads heads and bodies by this."""
        self.wait()
        return super().recv_into(buffer, nbytes, flags)


class Passing:
    """One request at the engine, as a context that ends it there when it is left.

    Whatever is waited for, a head or the middle of a stream: raises EvaluationError, or EngineLostError with
    its last words, if the engine gives no whole answer, and ClientGone if the client leaves before.
    """

    def __init__(self, soup: ServedSoup, client: socket.socket) -> None:
        self._connection = UnixConnection(str(soup.engine.socket))
        self._soup = soup
        self._client = client

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the request: the engine stops working on it."""
        self._connection.close()

    def answer(self, method: str, route: str, body: bytes | None, headers: dict[str, str]) -> HTTPResponse:
        """Ask, and return the answer once its head is there."""
        try:
            self._connection.connect()
            watched = _WatchedSocket(fileno=self._connection.sock.detach())
            watched.wait = lambda: self._wait(watched)
            self._connection.sock = watched
            self._connection.request(method, route, body, {**headers, "Connection": "close"})
            return self._connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def whole(self, response: HTTPResponse) -> bytes:
        """Return the body of an answer that says how long it is."""
        try:
            return response.read()
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        """Yield the body of an answer as it comes."""
        try:
            while piece := response.read1(_PIECE_BYTES):
                yield piece
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def _wait(self, engine: socket.socket) -> None:
        """Return when something comes from the engine, or it breaks the connection.

        Raises ClientGone if the client leaves, and EngineLostError if the engine does not tell its health.
        """
        poll = select.poll()
        poll.register(engine, select.POLLIN)
        poll.register(self._client, LEAVES)
        while not (ready := {number for number, _ in poll.poll(1000 * _WATCH_SECONDS)}):
            self._soup.look(every=_WATCH_SECONDS)
        if engine.fileno() not in ready:
            raise ClientGone

    def _failure(self, error: Exception) -> EvaluationError:
        """Return what to tell of an engine that gave no answer, once it is known whether it lives."""
        end = time.monotonic() + _LOST_SECONDS
        while time.monotonic() < end:
            try:
                self._soup.look()
            except EvaluationError as lost:
                return lost
            time.sleep(0.05)
        message = f"the engine gave no whole answer, but it is running: {told(error)}"
        failure = EvaluationError.of([Problem("evaluation", None, None, message, None)])
        assert isinstance(failure, EvaluationError)
        return failure
