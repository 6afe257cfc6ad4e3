"""However a search on an engine ends, no process is left, no score is lost, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.tiny_models import save_models

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc"),
]

SCORED = """
import json, os, pathlib, time, urllib.request

def evaluate(base_url, model):
    calls = pathlib.Path("calls.txt")
    with calls.open("a") as file:
        file.write("begun\\n")
    if len(calls.read_text().split()) == int(os.environ.get("WAIT_AT", "-1")):
        pathlib.Path("waiting").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.05)
    return {name: {str(i): said(base_url, model, name * (1 + i)) for i in range(4)} for name in ("math", "code")}

def said(base_url, model, prompt):
    body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 0}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(base_url + "/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        told = json.load(answer)["choices"][0]["logprobs"]["token_logprobs"][0]
    return min(1.0, 2.0 ** told)
"""
SELECTION = ["--rule", "explicit", "--category", "math", "--category", "code", "--step", "0.5"]
SCORES = "model,math,code\na,2,1\nb,1,2\nc,0,0\n"


class Search:
    """A folder with a search in it, whose processes are known by the folder that they keep their own in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private = Path(tempfile.mkdtemp(prefix="soce-t-", dir="/tmp"))
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *words: str, wait_at: int | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "TMPDIR": str(self.private), "PYTHONPATH": str(self.folder)}
        if wait_at is not None:
            environment["WAIT_AT"] = str(wait_at)
        one = subprocess.Popen(
            [sys.executable, "-c", "from soce.cli import main; main()", *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(one)
        return one

    def run(self, *words: str) -> tuple[int, str, str]:
        return self.end(self.start(*words))

    def end(self, one: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = one.communicate(timeout=600)
        assert "Traceback" not in err
        return one.returncode, out, err

    def search(self, *, wait_at: int | None = None) -> subprocess.Popen[str]:
        words = ["--evaluator", "scored:evaluate", "--engine", "transformers", "-o", "run", "--quiet"]
        return self.start("search", "selection.yaml", *words, wait_at=wait_at)

    def left(self) -> dict[int, str]:
        """Return processes that have the private folder in their environment, by number."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.fsencode(f"TMPDIR={self.private}") in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def engine(self) -> int:
        """Return the number of the process that holds the model."""
        return next(
            number
            for number, words in self.left().items()
            if "transformers.serve" in words.split("watchdog")[0]
        )

    def check_nothing_left(self) -> None:
        """Wait until no process is there, and no file but the log that an error names."""

        def folders() -> list[str]:
            return [
                path.name for path in self.private.iterdir() if not path.name.startswith("soce-transformers-")
            ]

        with suppress(AssertionError):
            wait_for(lambda: not self.left() and not folders(), 60)
        assert (self.left(), folders()) == ({}, [])

    def calls(self) -> int:
        return len((self.folder / "calls.txt").read_text().split())


def wait_for(happened: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Search]:
    search = Search(tmp_path)
    models = dict(zip("abc", save_models(tmp_path / "models", 3), strict=True))
    (tmp_path / "models.yaml").write_text("".join(f"{name}: {path}\n" for name, path in models.items()))
    (tmp_path / "scores.csv").write_text(SCORES)
    (tmp_path / "scored.py").write_text(SCORED)
    code, _, err = search.run(
        "select", "scores.csv", "--models", "models.yaml", *SELECTION, "-o", "selection.yaml"
    )
    assert code == 0, err
    yield search
    for one in search.running:
        one.kill()
        one.communicate()
    wait_for(lambda: not search.left(), 60)
    shutil.rmtree(search.private)


def interrupt(search: Search, one: subprocess.Popen[str]) -> None:
    one.send_signal(signal.SIGINT)
    code, _, err = search.end(one)
    assert code == 130, err


def kill(search: Search, one: subprocess.Popen[str]) -> None:
    one.kill()
    assert search.end(one)[0] == -signal.SIGKILL


def kill_engine(search: Search, one: subprocess.Popen[str]) -> None:
    os.kill(search.engine(), signal.SIGKILL)
    (search.folder / "go").touch()
    code, _, err = search.end(one)
    (search.folder / "go").unlink()
    assert code == 1
    [told] = [line for line in err.splitlines() if line.startswith("error:")]
    assert "is gone" in told, err
    assert "SIGKILL" in told, err
    assert "all that it wrote is in" in err, err


@pytest.mark.parametrize("end", [interrupt, kill, kill_engine])
def test_a_search_that_is_ended_goes_on(
    end: Callable[[Search, subprocess.Popen[str]], None], here: Search
) -> None:
    one = here.search(wait_at=3)
    wait_for(lambda: (here.folder / "waiting").exists() or one.poll() is not None)
    assert one.poll() is None, one.communicate()
    assert any("transformers.serve" in words for words in here.left().values())
    end(here, one)
    here.check_nothing_left()
    code, out, err = here.end(here.search())
    assert code == 0, err
    here.check_nothing_left()
    again = here.calls()
    assert (here.folder / "run" / "result.json").exists()
    assert here.end(here.search())[1] == out
    assert here.calls() == again, "every score was kept"
    fresh = Path(here.folder, "run")
    fresh.rename(here.folder / "old")
    before = here.calls()
    assert here.end(here.search())[1] == out
    assert here.calls() - before == again - 1, "what was ended was asked again, and nothing else"
