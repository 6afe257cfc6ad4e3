"""The client's connections, against a server that answers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from soce.evaluate.http.handler import JsonHandler
from soce.evaluate.http.listener import Listener
from soce.evaluate.served import client
from soce.evaluate.served.client import Client
from soce.exceptions import EvaluationError


class Echo(JsonHandler):
    """Says which recipe answers."""

    seen: ClassVar[set[object]] = set()

    late: ClassVar[threading.Event] = threading.Event()

    def answer(self, body: bytes | None) -> None:
        self.seen.add(self.client_address)
        if "late" in self.path:
            self.late.wait(20)
        self.send(200, {}, X_Soce_Recipe="r")


@pytest.fixture
def listener() -> Iterator[Listener]:
    Echo.seen.clear()
    with Listener(("127.0.0.1", 0), Echo) as listener:
        listener.start()
        yield listener
        listener.stop()


def test_connections_are_kept_but_not_for_long(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(f"http://127.0.0.1:{listener.server_address[1]}") as asking:
        for _ in range(5):
            asking.post("/v1/x", {})
        assert len(Echo.seen) == 1
        monkeypatch.setattr(client, "_IDLE_SECONDS", 0.0)
        asking.post("/v1/x", {})
        assert len(Echo.seen) == 2
        assert asking.ask_all("/v1/x", [{}] * 40, concurrency=4) == [{}] * 40


def test_a_server_that_stops_lets_nobody_wait(listener: Listener) -> None:
    with Client(f"http://127.0.0.1:{listener.server_address[1]}") as asking:
        asking.expected = "r"
        asking.post("/v1/x", {})
        asking.expected = "s"
        with pytest.raises(EvaluationError, match="answered by recipe `r`, not by `s`"):
            asking.post("/v1/x", {})
        listener.stop()
        with pytest.raises(EvaluationError, match="did not answer"):
            asking.post("/v1/x", {})


def test_a_request_that_is_not_answered_is_an_error_that_names_it(listener: Listener) -> None:
    Echo.late.clear()
    bodies: list[object] = [{"prompt": f"abc {i}"} for i in range(3)]
    with Client(f"http://127.0.0.1:{listener.server_address[1]}", timeout_seconds=0.3) as asking:
        asked = r"did not answer `/v1/late` in 0\.3 seconds: `{\"prompt\": \"abc \d\"}`"
        with pytest.raises(EvaluationError, match=asked):
            asking.post("/v1/late", bodies[0])
        with pytest.raises(EvaluationError, match=asked):
            asking.ask_all("/v1/late", bodies)
        with pytest.raises(EvaluationError, match=r"`/late` in 0\.1 seconds\nhint"):
            asking.post("/late", {"id": "secret"}, timeout_seconds=0.1)
        assert asking.post("/v1/x", {}) == {}
        Echo.late.set()
        assert asking.ask_all("/v1/late", bodies) == [{}] * 3
