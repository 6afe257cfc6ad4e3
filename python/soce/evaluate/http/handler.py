"""Requests and answers in JSON, for servers whose clients may send anything."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.http.refusals import refusal_to_json
from soce.exceptions import EngineLostError, EvaluationError, Problem, SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 << 20
"""A request's body."""
_IDLE_SECONDS: Final = 120.0
"""A client that sends nothing for so long is let go."""


class RequestRefused(Exception):
    """A request that is answered with a status and why."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = EvaluationError.of([Problem("evaluation", None, None, message, hint)])


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class JsonHandler(BaseHTTPRequestHandler, ABC):
    """Answers the requests of one connection, one after the other; made anew for each connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    @abstractmethod
    def answer(self, body: bytes | None) -> None:
        """Answer the request of `command` and `path`, by `send`; what it raises is answered as a refusal."""

    def most_bytes(self) -> int:
        """Return how large a body is read, as far as the head of the request tells."""
        return MOST_BYTES

    def status_of(self, error: Exception) -> int:
        """Return the status with which an error is answered."""
        return 503 if isinstance(error, EngineLostError) else 400 if isinstance(error, SoceError) else 500

    def do_GET(self) -> None:
        """Answer a question; the base class finds it by this name."""
        self._answer()

    def do_POST(self) -> None:
        """Do what is asked; the same."""
        self._answer()

    def send(self, status: int, content: object, **headers: str) -> None:
        """Answer with JSON; headers are named with underscores."""
        self.send_bytes(status, json.dumps(content).encode(), "application/json", **headers)

    def send_bytes(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        """Answer with content of some kind."""
        self.send_head(status, kind, Content_Length=str(len(content)), **headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_pieces(self, status: int, pieces: Iterable[bytes], kind: str, **headers: str) -> None:
        """Answer with what comes; if it breaks off with an EvaluationError, the answer has no end."""
        self.send_head(status, kind, Transfer_Encoding="chunked", **headers)
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except EvaluationError as error:
            _log.warning("an answer broke off: %s", error)
            self.close_connection = True

    def send_head(self, status: int, kind: str, **headers: str) -> None:
        """Begin an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def refuse(self, status: int, error: Exception, **headers: str) -> None:
        """Answer with what went wrong."""
        with suppress(OSError):
            self.send(status, refusal_to_json(error, status), **headers)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what is no request that is understood; the base class calls this."""
        self.close_connection = True
        text = message or HTTPStatus(code).phrase
        self.refuse(int(code), RequestRefused(int(code), shown(text)).error)

    def log_message(self, format: str, *values: object) -> None:
        """Keep quiet, unless somebody debugs."""
        _log.debug(format, *values)

    def address_string(self) -> str:
        """Return who asks, for the log."""
        return str(self.client_address)

    def version_string(self) -> str:
        """Return what the answers say of the server."""
        return "soce"

    def _answer(self) -> None:
        try:
            self.answer(self._body())  # read in any case, or the next request would begin with it
        except RequestRefused as refused:
            self.refuse(refused.status, refused.error)
        except (ClientGone, ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            if not isinstance(error, (SoceError, OSError)):
                _log.exception("a request failed")
            self.refuse(self.status_of(error), error)

    def _body(self) -> bytes | None:
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or len(lengths) > 1:
            self._refuse_unread(411, "the body must come with one `Content-Length`")
        if not lengths:
            return None
        if not (lengths[0].isascii() and lengths[0].isdecimal()):
            self._refuse_unread(400, f"`{shown(lengths[0])}` is no length")
        most = self.most_bytes()
        length = int(lengths[0]) if len(lengths[0]) < 20 else most + 1
        if length > most:
            self._refuse_unread(413, f"the body is larger than {most >> 20} MB")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ClientGone
        return body

    def _refuse_unread(self, status: int, message: str) -> NoReturn:
        self.close_connection = True
        raise RequestRefused(status, message)


def json_of(body: bytes | None, *, exact: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return a body as JSON; `exact`: with numbers that are not whole as the text that they are."""
    try:
        return json.loads(body or b"", parse_float=str if exact else None, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, f"the body is no JSON: {shown(str(error))}") from error


def _refuse_constant(name: str) -> NoReturn:
    message = f"`{name}` is no number"
    raise ValueError(message)
