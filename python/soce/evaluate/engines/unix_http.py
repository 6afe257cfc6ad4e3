"""Requests to a server on a Unix socket."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any


class UnixConnection(HTTPConnection):
    """A connection of `http.client` to a server on a Unix socket."""

    def __init__(self, path: str, *, timeout_seconds: float | None = None) -> None:
        super().__init__("localhost")
        self._path = path
        self._seconds = timeout_seconds

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)


def ask(
    path: str, route: str, body: object | None = None, *, timeout_seconds: float | None = None
) -> tuple[int, Any]:
    """Return status and answer of one request, GET or with a body POST; the answer is JSON, text or None.

    Raises OSError or HTTPException if nobody answers.
    """
    connection = UnixConnection(path, timeout_seconds=timeout_seconds)
    try:
        text = None if body is None else json.dumps(body)
        headers = {} if text is None else {"Content-Type": "application/json"}
        connection.request("GET" if text is None else "POST", route, text, headers)
        response = connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    try:
        return response.status, json.loads(answer) if answer else None
    except ValueError:
        return response.status, answer
