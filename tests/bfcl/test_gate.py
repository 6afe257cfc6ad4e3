"""The one thing that BFCL's process reaches."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from soce.evaluate.bfcl.gate import Gate
from soce.exceptions import EvaluationError


class Client:
    """Answers with what it was asked."""

    def post(self, path: str, body: Any) -> dict[str, Any]:
        if body["prompt"] == "bad":
            raise EvaluationError.of([*EvaluationError("the engine is gone").problems])
        return {"path": path, "asked": body}


class Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("soup")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def ask(connection: Connection, path: str, body: object) -> tuple[int, Any]:
    """Return status and answer."""
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    is_json = (answer.headers["Content-Type"] or "").startswith("application/json")
    return answer.status, json.loads(content) if is_json else None


def test_only_completions_pass_and_the_first_failure_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "model.sock"
    with Gate(place, Client()) as gate:
        connection = Connection(place)
        status, answer = ask(connection, "/v1/completions", {"prompt": "é"})
        assert (status, answer) == (200, {"path": "/v1/completions", "asked": {"prompt": "é"}})
        assert ask(connection, "/recipe", {"recipe": {}})[0] == 404
        connection.close()
        connection.request("GET", "/recipe")
        assert connection.getresponse().status == 501
        connection.close()
        assert gate.failure is None
        connection.close()
        status, answer = ask(connection, "/v1/completions", {"prompt": "bad"})
        assert (status, answer["error"]["message"]) == (502, "the engine is gone")
        assert str(gate.failure) == "the engine is gone"
        connection.close()
    assert not place.exists()
