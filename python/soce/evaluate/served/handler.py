"""What a server answers: its own routes, and the engine's for whoever has the token."""

from __future__ import annotations

import hmac
import json
import logging
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.served.client import RECIPE_HEADER
from soce.evaluate.served.holder import HeldError
from soce.evaluate.served.passing import ClientGone, Passing, is_passed_on, is_there
from soce.evaluate.served.refusals import refusal_to_json
from soce.evaluate.served.state import NoSoupError
from soce.exceptions import EngineLostError, EvaluationError, Problem, SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.evaluate.served.service import Service

_log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 << 20
"""A request's body."""
IDLE_SECONDS: Final = 120.0
"""A client that sends nothing for so long is let go."""

_STATUS: Final = {HeldError: 409, NoSoupError: 503, EngineLostError: 503, OSError: 500}


class _Refused(Exception):
    """A request that is answered with a status and why."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = EvaluationError.of([Problem("evaluation", None, None, message, hint)])


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other; made anew for each connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    service: Service
    """Set by a subclass, for every server its own."""

    def do_GET(self) -> None:
        """Answer a question."""
        self._answer_by(self._get)

    def do_POST(self) -> None:
        """Do what is asked."""
        self._answer_by(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what is no request that is understood; the base class calls this."""
        self.close_connection = True
        text = message or HTTPStatus(code).phrase
        self._refuse(int(code), _Refused(int(code), shown(text)).error)

    def log_message(self, format: str, *values: object) -> None:
        """Keep quiet, unless somebody debugs."""
        _log.debug(format, *values)

    def address_string(self) -> str:
        """Return who asks, for the log; a Unix socket does not tell."""
        return str(self.client_address)

    def version_string(self) -> str:
        """Return what the answers say of the server."""
        return "soce"

    def _answer_by(self, route: Callable[[bytes | None], None]) -> None:
        """Check what every request must have, answer it, and tell what is refused."""
        try:
            body = self._body()  # read in any case, or the next request would begin with it
            if self.path != "/health":
                self._check_token()
            route(body)
        except _Refused as refused:
            self._refuse(refused.status, refused.error)
        except ClientGone:
            self.close_connection = True
        except (ConnectionError, TimeoutError):  # the client's
            self.close_connection = True
        except (SoceError, OSError) as error:
            found = [status for kind, status in _STATUS.items() if isinstance(error, kind)]
            self._refuse(found[0] if found else 400, error)

    def _get(self, _: bytes | None) -> None:
        if self.path == "/health":
            state = self.service.soup.state
            self._send(503 if state in {"starting", "lost"} else 200, {"state": state})
        elif self.path == "/recipe":
            self._send(200, self.service.describe())
        elif is_passed_on(self.path):
            self._pass_on(None)
        else:
            self._no_route()

    def _post(self, body: bytes | None) -> None:
        if self.path == "/recipe":
            self._change(body)
        elif self.path == "/holder":
            self._send(200, self.service.hold(_json(body)))
        elif is_passed_on(self.path):
            self._pass_on(body)
        else:
            self._no_route()

    def _change(self, body: bytes | None) -> None:
        self.service.change(_json(body), is_wanted=is_there(self.connection))
        self._send(200, self.service.describe())

    def _pass_on(self, body: bytes | None) -> None:
        kept = ("Content-Type", "Accept")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        soup = self.service.soup
        with soup.request() as recipe, Passing(soup, self.connection) as asked:
            try:
                response = asked.answer(self.command, self.path, body, headers)
                whole = None if response.length is None else asked.whole(response)
            except EvaluationError as error:
                self._refuse(502, error, recipe.id)
                return
            kind = response.headers.get("Content-Type", "application/json")
            if whole is not None:
                self._send_bytes(response.status, whole, kind, recipe.id)
                return
            self._head(response.status, kind, recipe.id, ("Transfer-Encoding", "chunked"))
            try:
                for piece in asked.pieces(response):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            except EvaluationError as error:  # without its end, an answer is none
                _log.warning("an answer broke off: %s", error)
                self.close_connection = True

    def _body(self) -> bytes | None:
        lengths = self.headers.get_all("Content-Length") or []
        self.close_connection = self.close_connection or len(lengths) > 1
        if "Transfer-Encoding" in self.headers or len(lengths) > 1:
            self._refuse_unread(411, "the body must come with one `Content-Length`")
        if not lengths:
            return None
        if not (lengths[0].isascii() and lengths[0].isdecimal()):
            self._refuse_unread(400, f"`{shown(lengths[0])}` is no length")
        length = int(lengths[0]) if len(lengths[0]) < 20 else MOST_BYTES + 1
        if length > MOST_BYTES:
            self._refuse_unread(413, f"the body is larger than {MOST_BYTES >> 20} MB")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ClientGone
        return body

    def _refuse_unread(self, status: int, message: str) -> NoReturn:
        self.close_connection = True
        raise _Refused(status, message)

    def _check_token(self) -> None:
        given = self.headers.get("Authorization", "")
        right = f"Bearer {self.service.token}"
        if not hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
            what = "wrong" if given else "missing"
            raise _Refused(401, f"the token is {what}", "send `Authorization: Bearer TOKEN`")

    def _no_route(self) -> NoReturn:
        hint = "there are /health, /recipe and the engine's routes below /v1"
        raise _Refused(404, f"there is no route `{shown(self.path)}` for {self.command}", hint)

    def _refuse(self, status: int, error: Exception, recipe: str | None = None) -> None:
        with suppress(OSError):
            self._send(status, refusal_to_json(error, status), recipe)

    def _send(self, status: int, content: object, recipe: str | None = None) -> None:
        self._send_bytes(status, json.dumps(content).encode(), "application/json", recipe)

    def _send_bytes(self, status: int, content: bytes, kind: str, recipe: str | None) -> None:
        self._head(status, kind, recipe, ("Content-Length", str(len(content))))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, kind: str, recipe: str | None, length: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header(*length)
        if recipe is not None:
            self.send_header(RECIPE_HEADER, recipe)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _json(body: bytes | None) -> Any:  # noqa: ANN401 - JSON
    """Return a body as JSON, with numbers that are not whole as text, which is exact."""
    try:
        return json.loads(body or b"", parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"the body is no JSON: {shown(str(error))}") from error
