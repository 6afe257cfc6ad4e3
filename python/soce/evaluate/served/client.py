"""Requests to a server, many at once: a request that fails is an error and never an answer."""

from __future__ import annotations

import json
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from soce.evaluate.engines.unix_http import UnixConnection
from soce.evaluate.evaluation import refuse, told
from soce.evaluate.http.refusals import refusal_of
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RECIPE_HEADER: Final = "X-Soce-Recipe"
"""Names, in every answer of the model, the recipe that answered."""

ANOTHER_RECIPE: Final = "somebody else gave the server another recipe: use one server for each search"
"""What is to be done about a soup that is not the one that was set."""

CONCURRENCY: Final = 128
"""Requests at once that keep an engine busy, with few enough open files."""

ANSWER_SECONDS: Final = 14_400.0
"""How long an answer may take. Hours: many long texts, asked for at once, wait for each other on a CPU."""

_IDLE_SECONDS: Final = 60.0
"""A connection that was not used for longer is not used again: the server may just be closing it."""


class Client:
    """Asks one server; connections are kept, and threads may share it.

    Parameters
    ----------
    address : str
        ``http://HOST:PORT`` or ``https://HOST``, or the absolute path of a Unix socket.
    token : str, optional
        What the server wants to see.
    timeout_seconds : float
        How long a request may take until it is an error.
    """

    def __init__(
        self, address: str, *, token: str | None = None, timeout_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self.expected: str | None = None
        """Id of the recipe that must have answered; None: any."""
        self._token = token
        self._idle: list[tuple[HTTPConnection, float]] = []
        """With the time since when they are."""
        self._lock = Lock()
        if address.startswith("/"):
            return
        parts = urlsplit(address)
        with suppress(ValueError):
            if parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) > 0:
                return
        refuse(f"`{shown(address)}` is no address of a server", "it looks like `http://127.0.0.1:8000`")

    def __enter__(self) -> Self:
        """Return itself, to be closed when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections that are kept."""
        self.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return what the server answers to a path such as ``/v1/models``; see `post`."""
        return self._ask("GET", path, None, _Together())

    def post(self, path: str, body: object, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Return what the server answers to a path such as ``/v1/completions``.

        Raises EvaluationError, or what the server refused the request with, unless it answers in time
        with status 200, a JSON object and, of the model, from the recipe that is `expected`.
        """
        return self._ask("POST", path, body, _Together(), timeout_seconds)

    def ask_all(
        self,
        path: str,
        bodies: Sequence[object],
        on_done: Callable[[int], object] | None = None,
        *,
        read: Callable[[int, dict[str, Any]], Any] | None = None,
        concurrency: int = CONCURRENCY,
    ) -> list[Any]:
        """Return one answer per body, as `post` would, asking for many at once; or what is read from each.

        `read` is given a body's place and its answer, which is let go of then: log-probabilities of a long
        prompt are large. `on_done` is called on this thread with the number of answers that came. The first
        error, of a request, of `read` or of `on_done`, ends all others and is raised.
        """
        if not bodies:
            return []
        together = _Together()
        pool = ThreadPoolExecutor(min(concurrency, len(bodies)), thread_name_prefix="soce-client")

        def ask(place: int) -> Any:  # noqa: ANN401 - what `read` returns
            answer = self._ask("POST", path, bodies[place], together)
            return answer if read is None else read(place, answer)

        try:
            asked = [pool.submit(ask, place) for place in range(len(bodies))]
            for one in as_completed(asked):
                one.result()
                if on_done is not None:
                    on_done(1)
            return [one.result() for one in asked]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            together.stop()
            raise
        finally:
            pool.shutdown()

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            while self._idle:
                self._idle.pop()[0].close()

    def _ask(
        self, method: str, path: str, body: object, together: _Together, timeout_seconds: float | None = None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if method == "POST":
            data = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        where, seconds = f"the server at `{shown(self.address)}`", timeout_seconds or self.timeout_seconds
        try:
            with self._connection() as connection, together.using(connection):
                connection.sock.settimeout(seconds)
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                content = response.read()
        except TimeoutError as error:
            which = f": {_beginning(data)}" if data is not None and path.startswith("/v1/") else ""
            message = f"{where} did not answer `{shown(path)}` in {seconds:g} seconds{which}"
            refuse(message, "does its engine still compute?", cause=error)
        except (OSError, HTTPException) as error:
            refuse(f"{where} did not answer `{shown(path)}`: {told(error)}", "is it running?", cause=error)
        answer = _parsed(content)
        if response.status != 200:
            raise refusal_of(answer, response.status, path)
        if not isinstance(answer, dict):
            refuse(f"the answer to `{shown(path)}` is no JSON object: {_beginning(content)}")
        if method == "POST" and path.startswith("/v1/"):
            self._check_recipe(path, response.headers.get(RECIPE_HEADER))
        return answer

    def _check_recipe(self, path: str, found: str | None) -> None:
        if self.expected is None or found == self.expected:
            return
        which = "no recipe" if found is None else f"recipe `{shown(found)}`"
        message = f"`{shown(path)}` was answered by {which}, not by `{self.expected}`"
        refuse(message, ANOTHER_RECIPE)

    @contextmanager
    def _connection(self) -> Iterator[HTTPConnection]:
        """Lend a connection; it is kept if all went well."""
        with self._lock:
            found, since = self._idle.pop() if self._idle else (None, 0.0)
        if found is not None and (time.monotonic() - since > _IDLE_SECONDS or not _is_open(found)):
            found.close()
            found = None
        connection = self._opened() if found is None else found
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # it is None if the server said that it closes
            with self._lock:
                self._idle.append((connection, time.monotonic()))

    def _opened(self) -> HTTPConnection:
        if self.address.startswith("/"):
            connection: HTTPConnection = UnixConnection(self.address)
            connection.connect()
            return connection
        parts = urlsplit(self.address)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(str(parts.hostname), parts.port)
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host may vanish
        return connection


def _is_open(connection: HTTPConnection) -> bool:
    """Return whether an idle connection is still good: if there is something to read, it was closed."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


class _Together:
    """Requests that end together: those that run when one of them fails, and those that were about to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[HTTPConnection] = set()
        self._is_stopped = False

    @contextmanager
    def using(self, connection: HTTPConnection) -> Iterator[None]:
        """Let `stop` end what is asked on a connection."""
        with self._lock:
            if self._is_stopped:
                message = "another request failed"
                raise ConnectionAbortedError(message)
            self._running.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(connection)

    def stop(self) -> None:
        """Wake all threads that wait for an answer: each gets an error."""
        with self._lock:
            self._is_stopped = True
            for connection in self._running:
                with suppress(OSError, AttributeError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _beginning(content: bytes) -> str:
    return f"`{shown(content.decode('utf-8', 'replace'))}`"
