"""Executors as commands name them: the same output as without, and one clear line where that is not to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory
from tests.ray_nodes import RayNode, processes_of

from soce.cli.run import run as run_command
from soce.cli.search import search
from soce.cli.study import study

ROOT = Path(__file__).parents[3]
# A test run in the background of a shell ignores SIGINT, and so would its children.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
PROGRAM = """
import json, pathlib, struct, sys
checkpoint, output = map(pathlib.Path, sys.argv[1:])
content = (checkpoint / "model.safetensors").read_bytes()
start = 8 + struct.unpack("<Q", content[:8])[0]
first, second = struct.unpack("<2f", content[start:])
(output / "scores.json").write_text(json.dumps({"soup": {"math": 80 - 10 * (first - 0.8) ** 2, "code": 60 + second}}))
"""
SCORES = "model,math,code\na,60.5,50\nb,40.0,62\n"
EVALUATOR = ("--evaluator-command", f"{sys.executable} score.py {{checkpoint}} {{output}}")
EVALUATOR += ("--set", "evaluate.scores='{output}/scores.json'")
SELECT = ("--rule", "explicit", "--category", "math", "--category", "code", "--step", "1/4")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text(SCORES)
    Path("score.py").write_text(PROGRAM)
    for place, name in enumerate("ab"):
        directory(tmp_path / name, float(place), 2.0)
    Path("models.yaml").write_text("a: a\nb: b\n")
    return tmp_path


def run(command: object, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments)  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.mark.slow  # sixteen programs are started
def test_a_run_by_processes_prints_and_writes_the_same(here: Path) -> None:
    results = []
    for executor in ("inline", "processes:2"):
        output = f"run-{executor[:4]}"
        found = run(
            run_command,
            *("scores.csv", "--models", "models.yaml", *SELECT, *EVALUATOR, "-o", output),
            *("--strategy", "greedy", "--set", f"search.executor={executor}"),
        )
        assert found.exit_code == 0, found.stderr
        results.append((found.stdout, (here / output / "search" / "result.json").read_bytes()))
    assert results[0] == results[1]
    assert "executor: processes:2" in (here / "run-proc" / "soce.log").read_text()


def test_a_study_by_processes_scores_what_is_missing(here: Path) -> None:
    found = run(
        study,
        *("study", "--models", "models.yaml", *EVALUATOR, "--points", "2", "--executor", "processes:2"),
        *("--quiet", "--json"),
    )
    assert found.exit_code == 0, found.stderr


def test_what_would_be_done_is_told_with_the_executor(here: Path) -> None:
    found = run(
        run_command,
        *("scores.csv", "--models", "models.yaml", *SELECT, *EVALUATOR, "-o", "run", "--dry-run"),
        *("--set", "search.executor=processes:2"),
    )
    assert found.exit_code == 0, found.stderr
    assert "executor    processes:2" in found.stdout


def test_an_executor_that_is_none_is_an_error_of_usage(here: Path) -> None:
    found = run(search, "selection.yaml", "-e", "x.jsonl", "-o", "run", "--executor", "processes:none")
    assert found.exit_code == 2
    assert "`none` in `processes:none` is no number of replicas: it is a whole number" in found.stderr


WAITING = """
import pathlib, sys, time
pathlib.Path("scoring").touch()
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["a cluster of its own", "a cluster that is there"])
def test_ctrl_c_leaves_nothing_of_ray_and_the_run_goes_on(here: Path, place: str) -> None:
    """The terminal tells everything in the foreground, as a signal to the process group does."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'soce[ray]'")
    mark, program = str(here / "mark"), Path("score.py").read_text()
    words = [
        "scores.csv",
        "--models",
        "models.yaml",
        *SELECT,
        *EVALUATOR,
        "-o",
        "run",
        "--strategy",
        "greedy",
    ]
    words += ["--set", "search.executor=ray:1"]
    environment = {**os.environ, "SOCE_TEST_NODE": mark, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
    environment["PYTHONPATH"] = str(ROOT)
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(dir="/tmp"))  # the names of sockets must be short
        environment["RAY_TMPDIR"] = scratch
        if place == "a cluster that is there":
            node = RayNode("127.0.0.6", python_path=str(ROOT))
            stack.callback(node.close)
            words += ["--set", f"search.ray-address={node.start().address}"]
        for text, ends_with in ((WAITING, 130), (program, 0)):
            Path("score.py").write_text(text)
            command = [sys.executable, "-c", f"{HEED}; from soce.cli.run import run; run()", *words]
            running = subprocess.Popen(
                command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            stack.callback(running.kill)
            until = time.monotonic() + 200
            while running.poll() is None and not Path("scoring").exists():
                assert time.monotonic() < until
                time.sleep(0.1)
            if text == WAITING:
                os.killpg(running.pid, signal.SIGINT)
            _, told = running.communicate(timeout=200)
            assert running.returncode == ends_with, told
            assert "Traceback" not in told
            Path("scoring").unlink(missing_ok=True)
            while left := processes_of(mark) | processes_of(str(here / "score.py")):
                assert time.monotonic() < until, left
                time.sleep(0.1)
            if place == "a cluster that is there":
                assert not any("ray::RayReplica" in command for command in node.processes().values())
    assert "error: interrupted" not in told
    assert (here / "run" / "search" / "result.json").exists()
