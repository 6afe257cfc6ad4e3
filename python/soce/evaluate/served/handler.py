"""What a server answers: its own routes, and the engine's for whoever has the token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NoReturn

from soce.evaluate.http.handler import MOST_BYTES, JsonHandler, RequestRefused, json_of
from soce.evaluate.http.presence import still_waits
from soce.evaluate.served.holder import HeldError
from soce.evaluate.served.passing import Passing, is_passed_on
from soce.evaluate.served.state import NoSoupError
from soce.exceptions import EvaluationError, shown

if TYPE_CHECKING:
    from soce.evaluate.served.service import Service

_FORWARDED: Final = ("Content-Type", "Accept")
_STRANGERS_BYTES: Final = 1 << 20
"""Of a body that is only read because the refusal might not be seen otherwise."""


class SoupHandler(JsonHandler):
    """Answers for one `Service`."""

    service: Service
    """Set by a subclass, for every server its own."""

    def answer(self, body: bytes | None) -> None:
        """Answer whoever has the token."""
        if (self.command, self.path) == ("GET", "/health"):  # which needs none
            state = self.service.soup.state
            self.send(503 if state in {"starting", "lost"} else 200, {"state": state})
            return
        self._check_token()
        match self.command, self.path:
            case "GET", "/recipe":
                self.send(200, self.service.describe())
            case "POST", "/recipe":
                asked = json_of(body, exact=True)
                self.service.change(asked, is_wanted=still_waits(self.connection))
                self.send(200, self.service.describe())
            case "POST", "/canary":
                asked = json_of(body) if body else {}
                self.send(200, self.service.check_canary(asked, is_wanted=still_waits(self.connection)))
            case "POST", "/holder":
                self.send(200, self.service.hold(json_of(body)))
            case _ if is_passed_on(self.path):
                self._pass_on(body)
            case _:
                self._no_route()

    def most_bytes(self) -> int:
        """Return how large a body is read: of a stranger, who could fill the memory, less."""
        return MOST_BYTES if self._token_fault() is None else _STRANGERS_BYTES

    def status_of(self, error: Exception) -> int:
        """Return 409 for who must wait for somebody else, and 503 where there is no soup."""
        if isinstance(error, HeldError):
            return 409
        return 503 if isinstance(error, NoSoupError) else super().status_of(error)

    def _pass_on(self, body: bytes | None) -> None:
        if self.command == "GET":  # about the engine, whatever it holds
            self.service.soup.check_engine()
            self._ask_engine(body, {})
        else:
            with self.service.soup.request() as recipe:
                self._ask_engine(body, {"X_Soce_Recipe": recipe.id})

    def _ask_engine(self, body: bytes | None, label: dict[str, str]) -> None:
        headers = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
        with Passing(self.service.soup, self.connection) as asked:
            try:
                response = asked.answer(self.command, self.path, body, headers)
                whole = None if response.length is None else asked.whole(response)
            except EvaluationError as error:
                self.refuse(502, error, **label)
                return
            kind = response.headers.get("Content-Type", "application/json")
            if whole is None:
                self.send_pieces(response.status, asked.pieces(response), kind, **label)
            else:
                self.send_bytes(response.status, whole, kind, **label)

    def _check_token(self) -> None:
        if (fault := self._token_fault()) is not None:
            raise RequestRefused(401, f"the token is {fault}", "send `Authorization: Bearer TOKEN`")

    def _token_fault(self) -> str | None:
        given = self.headers.get("Authorization", "")
        right = f"Bearer {self.service.token}"
        if hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
            return None
        return "wrong" if given else "missing"

    def _no_route(self) -> NoReturn:
        hint = "there are /health, /recipe, /canary and the engine's routes below /v1"
        raise RequestRefused(404, f"there is no route `{shown(self.path)}` for {self.command}", hint)
