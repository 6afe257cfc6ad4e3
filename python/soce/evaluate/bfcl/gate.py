"""The one thing that BFCL's process reaches: the served model, through a Unix socket in its own folder.

Tokens stay on this side, and so do errors of requests, which end the evaluation and are never answers.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from soce.exceptions import SoceError

if TYPE_CHECKING:
    from pathlib import Path

_COMPLETIONS: Final = "/v1/completions"
_MOST_BYTES: Final = 1 << 28


class Posts(Protocol):
    """What asks the server: `soce.evaluate.served.client.Client`."""

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Return the answer, or raise EvaluationError."""


class Gate:
    """Passes completions on to a server, from `__enter__` to `__exit__`."""

    def __init__(self, path: Path, client: Posts) -> None:
        self._path = path
        self.failure: SoceError | None = None
        """Why the first request that failed did."""
        self._lock = threading.Lock()
        self._server = _Server(str(path), _handler(client, self._fail))

    def __enter__(self) -> Self:
        """Let requests in."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let none in any more."""
        self._server.shutdown()
        self._server.server_close()
        with suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - beside what else is closed here

    def _fail(self, error: SoceError) -> None:
        with self._lock:
            self.failure = self.failure or error


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever asked is gone."""


def _handler(client: Posts, fail: Any) -> type[BaseHTTPRequestHandler]:  # noqa: ANN401
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= _MOST_BYTES:
                self.close_connection = True
                self._answer(413, {"error": {"message": "this is no request that is taken"}})
                return
            content = self.rfile.read(length)
            if self.path != _COMPLETIONS:
                self._answer(404, {"error": {"message": f"only {_COMPLETIONS} is here"}})
                return
            try:
                found = client.post(_COMPLETIONS, json.loads(content))
            except SoceError as error:
                fail(error)
                self._answer(502, {"error": {"message": str(error)}})
            except ValueError:
                self._answer(400, {"error": {"message": "the request is no JSON"}})
            else:
                self._answer(200, found)

        def _answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def address_string(self) -> str:
            return "bfcl"

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
