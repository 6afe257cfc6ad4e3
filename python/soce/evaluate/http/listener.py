"""A server on a port or a Unix socket, with a thread for every connection."""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS: Final = 1024
_POLL_SECONDS: Final = 0.05


class Listener(ThreadingMixIn, TCPServer):
    """Answers the connections to one address.

    Parameters
    ----------
    address : tuple of str and int, or str
        Host and port, or the path of a Unix socket that is not there yet.
    handler : type
        Answers one connection.

    Raises
    ------
    EvaluationError
        The port is in use, or the host is none of this machine's.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int] | str, handler: type[BaseHTTPRequestHandler]) -> None:
        if isinstance(address, str):
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
        self.server_close()  # or whoever connects would wait for an answer
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
        """Note what went wrong with a connection."""
        _log.exception("a connection failed")


def _refuse_address(address: tuple[str, int] | str, error: OSError | OverflowError) -> NoReturn:
    if isinstance(address, str):
        refuse(f"no socket can be made: {shown(str(error))}", None, address, cause=error)
    host, port = address
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        hint = "name another port, or 0 for one that is free"
        refuse(f"port {port} of `{shown(host)}` is in use", hint, cause=error)
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    refuse(f"cannot listen on port {port} of `{shown(host)}`: {shown(what)}", cause=error)
