"""The server in front of an engine: a port, a Unix socket, a token, and of the engine only what is in /v1."""

from __future__ import annotations

import errno
import logging
import secrets
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.served.handler import Handler
from soce.evaluate.served.service import Service
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.served.outline import ServedOutline

_log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
_MOST_CONNECTIONS: Final = 1024
_POLL_SECONDS: Final = 0.05


class SoupServer:
    """Serves one engine to whoever has the token, on a port and on a Unix socket.

    `start` returns when the engine answers; `close` ends it and every connection.

    Parameters
    ----------
    outline : ServedOutline
        The soups, and the engine, which is not started yet.
    names : mapping of str to str, optional
        What people call the ingredients: name → path; their paths otherwise.
    token : str, optional
        What requests must show; a new one otherwise.
    address : tuple of str and int
        Host and port; port 0 is one that is free.

    Raises
    ------
    EvaluationError
        The port is in use, or the host is none of this machine's: before the engine is started.
    """

    def __init__(
        self,
        outline: ServedOutline,
        *,
        names: Mapping[str, str] | None = None,
        token: str | None = None,
        address: tuple[str, int] = (LOOPBACK, 0),
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        paths = {path: path for path in outline.ingredients}
        self.service = Service(outline, names or paths, self.token)
        self._ends = ExitStack()
        handler = type("_Handler", (Handler,), {"service": self.service})
        with ExitStack() as opened:
            folder = opened.enter_context(TemporaryDirectory(prefix="soce-served-"))  # nobody else may enter
            self.socket = str(Path(folder, "socket"))
            """Path of the Unix socket."""
            unix = opened.enter_context(_Listener(self.socket, handler))
            port = opened.enter_context(_Listener(address, handler))
            self._listeners = (unix, port)
            self._ends = opened.pop_all()
        host, number = str(port.server_address[0]), port.server_address[1]
        self.url = f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"

    def start(self) -> None:
        """Answer requests, and start the engine; raises what `Engine.start` and `Engine.open` do."""
        for listener in self._listeners:
            listener.start()
        self.service.start()

    def close(self) -> None:
        """End the engine and every connection; may be called at any time, and twice."""
        for listener in self._listeners:
            listener.stop()
        try:
            self.service.engine.close()
        finally:
            self._ends.close()


class _Listener(ThreadingMixIn, TCPServer):
    """Answers the connections to one address, each in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int] | str, handler: type[Handler]) -> None:
        is_path = isinstance(address, str)
        if is_path:
            self.address_family = socket.AF_UNIX
        elif ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._lock = Lock()
        self._live: set[socket.socket] = set()
        self._thread: Thread | None = None
        try:
            super().__init__(address, handler)  # type: ignore[arg-type] # a path, for a Unix socket
        except (OSError, OverflowError) as error:
            _refuse_address(address, error)

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread = Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, and end those that there are."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        with self._lock:
            for one in self._live:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002 - the base's
        """Return whether there may be one more connection, and note it."""
        with self._lock:
            if len(self._live) >= _MOST_CONNECTIONS:
                return False
            self._live.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base's
        """Close a connection."""
        with self._lock:
            self._live.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - the base's
        """Note what went wrong with a connection, such as a client that left."""
        _log.debug("a connection failed", exc_info=True)


def _refuse_address(address: tuple[str, int] | str, error: OSError | OverflowError) -> None:
    if isinstance(address, str):
        refuse(f"no socket can be made: {shown(str(error))}", None, address, cause=error)
    host, port = address
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        hint = "name another with `--port`, or 0 for one that is free"
        refuse(f"port {port} of `{shown(host)}` is in use", hint, cause=error)
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    refuse(f"cannot listen on port {port} of `{shown(host)}`: {shown(what)}", cause=error)
