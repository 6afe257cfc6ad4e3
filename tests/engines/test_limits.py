"""An engine that does not end a change is ended, and the change says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soce import Recipe
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.limits import change_seconds
from soce.evaluate.engines.open import open_engine
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.watchdog import descendants
from soce.exceptions import EngineLostError

SERVER = """
import sys, time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        print("ValueError: nothing ends here", flush=True)
        time.sleep(1000)

    address_string = lambda self: "unix"
    log_message = lambda *_: None

class Server(ThreadingMixIn, UnixStreamServer):
    pass

Server(sys.argv[1], Handler).serve_forever()
"""


@pytest.fixture
def endless() -> Iterator[EngineProcess]:
    process = EngineProcess("Test")
    process.start([sys.executable, "-c", SERVER, process.socket], environment={}, seconds=60)
    yield process
    process.close()


@pytest.mark.parametrize("name", ["vllm", "transformers"])
def test_a_change_without_an_end_ends_the_engine(name: str, endless: EngineProcess) -> None:
    engine = open_engine(name, ["A"], EngineOptions(change_seconds=0.5))
    engine._process = endless
    engine.check()
    before = descendants(os.getpid())
    message = r"Test did not .* in 0\.5 seconds, and was ended; ValueError: nothing ends here\nhint: all that"
    with pytest.raises(EngineLostError, match=message) as lost:
        engine.become(Recipe.of({"A": 1}))
    Path(lost.value.problems[0].hint.split("`")[1]).unlink()
    assert len(before & descendants(os.getpid())) == len(before) - 2, "a watchdog and the engine"
    assert endless.folder.exists(), "whoever asks at the socket of the server is still answered"
    with pytest.raises(EngineLostError, match="Test is not running"):
        engine.become(Recipe.of({"A": 1}))
    engine.close()
    assert not endless.folder.exists()


def test_the_limit_of_a_change_grows_with_what_is_read(tmp_path: Path) -> None:
    for name, nbytes in (("a", 25_000_000), ("b", 50_000_000), ("c", 25_000_000)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as file:
            file.truncate(nbytes)
    paths = [str(tmp_path / name) for name in "abc"]
    assert change_seconds(Recipe.of({paths[0]: 1})) == 601
    assert change_seconds(Recipe.of(paths[:2])) == 603
    assert change_seconds(Recipe.of({"nowhere": 1})) == 600
