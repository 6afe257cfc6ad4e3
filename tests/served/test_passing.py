"""What an engine answers is passed on as it comes, and whoever stops in the middle makes nobody wait."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest

from soce.evaluate.http.handler import ClientGone
from soce.evaluate.served import passing
from soce.evaluate.served.passing import Passing
from soce.evaluate.served.state import ServedSoup
from soce.exceptions import EngineLostError, EvaluationError

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEASURED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


class Engine:
    """Answers one request with these bytes, one after the other, and then stops without an end."""

    def __init__(self, path: Path, *parts: bytes) -> None:
        self.socket = str(path)
        self.is_lost = self.is_closed = False
        self.all_is_said = threading.Event()
        self.may_close = threading.Event()
        self._parts = parts
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket)
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def check(self) -> None:
        if self.is_lost:
            raise EngineLostError("it hangs")

    def close(self) -> None:
        self.may_close.set()
        self._thread.join()
        self._listener.close()

    def _answer(self) -> None:
        one, _ = self._listener.accept()
        with one:
            while b"{}" not in one.recv(65_536):
                pass
            for part in self._parts:
                one.sendall(part)
                threading.Event().wait(0.02)
            self.all_is_said.set()
            self.may_close.wait()


@contextmanager
def answered(engine: Engine) -> Iterator[tuple[Passing, HTTPResponse, socket.socket]]:
    """Give a request whose answer has begun, and the other end of its client."""
    here, client = socket.socketpair()
    with closing(engine), here, client, Passing(ServedSoup(engine), here) as asked:
        yield asked, asked.answer("POST", "/v1/completions", b"{}", {}), client


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "_WATCH_SECONDS", 0.05)
    monkeypatch.setattr(passing, "_LOST_SECONDS", 0.2)


@pytest.mark.parametrize(
    "parts",
    [
        (CHUNKED, b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"),
        (CHUNKED + b"3\r\nabc\r\n3\r\ndef\r\n", b"0\r\n\r\n"),
        (MEASURED, b"abc", b"def"),
        (MEASURED + b"abcdef",),
    ],
)
def test_an_answer_comes_whole_however_it_is_cut(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    with answered(Engine(tmp_path / "socket", *parts)) as (asked, response, _):
        is_measured = response.length is not None
        assert (asked.whole(response) if is_measured else b"".join(asked.pieces(response))) == b"abcdef"


@pytest.mark.parametrize("head", [CHUNKED + b"3\r\nabc\r\n", MEASURED + b"abc"])
def test_an_engine_that_hangs_in_the_middle_is_lost(tmp_path: Path, head: bytes) -> None:
    engine = Engine(tmp_path / "socket", head)
    with answered(engine) as (asked, response, _):
        pieces = asked.pieces(response)
        assert next(pieces) == b"abc"
        engine.is_lost = True
        with pytest.raises(EngineLostError, match="it hangs"):
            next(pieces)


@pytest.mark.parametrize("head", [CHUNKED + b"3\r\nabc\r\n", MEASURED + b"abc"])
def test_a_client_that_leaves_in_the_middle_is_noticed(tmp_path: Path, head: bytes) -> None:
    with answered(Engine(tmp_path / "socket", head)) as (asked, response, client):
        pieces = asked.pieces(response)
        assert next(pieces) == b"abc"
        client.close()
        with pytest.raises(ClientGone):
            next(pieces)


@pytest.mark.parametrize("head", [CHUNKED + b"3\r\nabc\r\n", MEASURED + b"abc"])
def test_an_answer_without_its_end_is_an_error(tmp_path: Path, head: bytes) -> None:
    engine = Engine(tmp_path / "socket", head)
    with answered(engine) as (asked, response, _):
        engine.may_close.set()
        with pytest.raises(EvaluationError, match="gave no whole answer, but it is running: IncompleteRead"):
            asked.whole(response)
