"""The server in front of an engine: a port, a Unix socket, a token, and of the engine only what is in /v1."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.http.listener import Listener
from soce.evaluate.served.handler import SoupHandler
from soce.evaluate.served.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.served.outline import ServedOutline

LOOPBACK: Final = "127.0.0.1"


class SoupServer:
    """Serves one engine to whoever has the token, on a port and on a Unix socket.

    `start` returns when the engine answers; `close` ends it and every connection. The Unix socket is beside
    the engine's own, in a folder that nobody else may enter and that goes with the engine in any case.

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
        self.socket: str | None = None
        """Path of the Unix socket; None before `start`."""
        self._handler = type("_Handler", (SoupHandler,), {"service": self.service})
        port = Listener(address, self._handler)
        self._listeners = [port]
        host, number = str(port.server_address[0]), port.server_address[1]
        self.url = f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"

    def start(self, first: str | None = None) -> None:
        """Answer requests, and start the engine as the ingredient of a name, or as no soup.

        Raises what `Engine.start`, `Engine.open` and `Engine.become` do.
        """
        self._listeners[0].start()
        self.service.start(first)
        self.socket = str(Path(str(self.service.engine.socket)).with_name("served"))
        self._listeners.append(Listener(self.socket, self._handler))
        self._listeners[1].start()

    def close(self) -> None:
        """End the engine and every connection; may be called at any time, and twice."""
        for listener in self._listeners:
            listener.stop()
        self.service.engine.close()
