"""Processes of an engine: they answer on a private socket, and nothing of them outlives soce, however it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soce.evaluate.engines import process as process_module
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.engines.watchdog import descendants
from soce.exceptions import EngineLostError, EvaluationError

# A server that leaves a grandchild in its group and one in a session of its own, as engines with many ranks do.
SERVER = """
import json, os, subprocess, sys, time
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer

import soce

sleeper = [sys.executable, "-c", "import time; time.sleep(1000)"]
children = [subprocess.Popen(sleeper), subprocess.Popen(sleeper, start_new_session=True)]
# One whose parent is gone already.
orphan = subprocess.run(
    [sys.executable, "-c",
     "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid)", *sleeper],
    stdout=subprocess.PIPE, check=True, text=True,
)
print("serving", flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"soce": soce.__file__, "given": os.environ.get("GIVEN"),
                "processes": [os.getpid(), *(one.pid for one in children), int(orphan.stdout)]}
        self.answer(json.dumps(told).encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


UnixStreamServer(sys.argv[1], Handler).serve_forever()
"""

PARENT = """
import json, sys, time
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.unix_http import ask

engine = EngineProcess("Test")
engine.start([sys.executable, "-c", sys.argv[1], engine.socket], environment={}, seconds=60)
print(json.dumps([str(engine.folder), *ask(engine.socket, "/")[1]["processes"]]), flush=True)
time.sleep(1000)
"""


def started(code: str = SERVER, *, seconds: float = 60) -> EngineProcess:
    engine = EngineProcess("Test")
    engine.start([sys.executable, "-c", code, engine.socket], environment={"GIVEN": "yes"}, seconds=seconds)
    return engine


def are_gone(processes: list[int], *, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(runs, processes)):
            return True
        time.sleep(0.05)
    return False


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def test_it_answers_on_a_socket_that_nobody_else_can_reach_and_finds_this_soce() -> None:
    import soce

    engine = started()
    try:
        assert stat.S_IMODE(engine.folder.stat().st_mode) == 0o700
        status, told = ask(engine.socket, "/anything")
        assert (status, told["given"]) == (200, "yes")
        assert Path(told["soce"]).resolve() == Path(soce.__file__).resolve()
        assert ask(engine.socket, "/", {"a": [1]}) == (200, {"a": [1]})
        engine.check()
    finally:
        engine.close()


def test_close_leaves_no_process_and_no_folder() -> None:
    before = descendants(os.getpid())
    engine = started()
    processes = ask(engine.socket, "/")[1]["processes"]
    assert all(map(runs, processes))
    engine.close()
    assert not any(map(runs, processes))
    assert not engine.folder.exists()
    assert descendants(os.getpid()) <= before
    engine.close()
    with pytest.raises(EngineLostError, match="Test is not running"):
        engine.check()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_nothing_outlives_a_parent_that_is_killed(number: signal.Signals) -> None:
    import json

    with subprocess.Popen(
        [sys.executable, "-c", PARENT, SERVER], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        folder, *processes = json.loads(parent.stdout.readline())
        assert all(map(runs, processes))
        parent.send_signal(number)
        parent.wait(10)
    assert are_gone(processes)
    end = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(folder).exists()


def test_an_engine_that_is_killed_is_lost_and_takes_along_what_it_started() -> None:
    engine = started()
    try:
        server, *others = ask(engine.socket, "/")[1]["processes"]
        os.kill(server, signal.SIGKILL)
        assert are_gone([server, *others])
        while process_module._status(engine._process) is None:
            time.sleep(0.02)
        with pytest.raises(
            EngineLostError, match="Test was ended by SIGKILL: its last words: serving"
        ) as lost:
            engine.check()
        log = lost.value.problems[0].hint.split("`")[1]
        assert Path(log).read_text() == "serving\n"
        Path(log).unlink()
    finally:
        engine.close()


def test_close_ends_the_group_where_the_watchdog_was_killed() -> None:
    engine = started()
    server, child, apart, orphan = ask(engine.socket, "/")[1]["processes"]
    assert engine._process is not None
    os.kill(engine._process.pid, signal.SIGKILL)
    assert are_gone([server])  # by its death signal
    assert runs(child)
    engine.close()
    assert not runs(child)
    assert not runs(orphan)
    os.kill(apart, signal.SIGKILL)  # nobody is left who could have known of it


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import nowhere",
            "Test ended with exit status 1 before it answered: ModuleNotFoundError: No module",
        ),
        (
            "print('(Core pid=3) ERROR 11-30 10:00:00 [core.py:9] ValueError: the reason'); "
            "raise RuntimeError('Engine core initialization failed. See root cause above.')",
            "before it answered: ValueError: the reason\nhint: all",
        ),
        (
            "import os, signal; os.kill(os.getpid(), 9)",
            "Test was ended by SIGKILL before it answered: it wrote",
        ),
        (
            "import time; print('late', flush=True); time.sleep(1000)",
            "does not answer 1 second after its start",
        ),
    ],
    ids=["missing", "cause", "killed", "slow"],
)
def test_a_start_that_fails_is_one_line_and_leaves_nothing(code: str, message: str) -> None:
    before = descendants(os.getpid())
    with pytest.raises(EvaluationError, match=message) as failed:
        started(code, seconds=1 if "late" in code else 60)
    assert not isinstance(failed.value, EngineLostError)
    assert descendants(os.getpid()) <= before
    Path(failed.value.problems[0].hint.split("`")[1]).unlink()


def test_a_program_that_is_not_there_leaves_nothing() -> None:
    engine = EngineProcess("Test")
    with pytest.raises(EvaluationError, match=r"FileNotFoundError.*no/python") as failed:
        engine.start(["no/python"], environment={}, seconds=60)
    assert not engine.folder.exists()
    Path(failed.value.problems[0].hint.split("`")[1]).unlink()


def test_a_long_temporary_folder_does_not_make_the_socket_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(process_module.tempfile, "tempdir", str(deep))
    engine = EngineProcess("Test")
    assert len(os.fsencode(engine.socket)) <= 100
    engine.close()
