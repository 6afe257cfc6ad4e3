"""`soce status`: what of a run is done, who works on it and what is left, while it goes on and afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.landscapes import Landscape, pool, search_with
from tests.report_runs import Kitchen, make_run

from soce.cli.status import status
from soce.search.folder import STUDY
from soce.search.open import open_run
from soce.search.scoring import SearchProgress
from soce.search.status import read_status
from soce.selection.file import read_selection
from soce.store.evaluations import EvaluationStore

pytest.importorskip("optuna")
MODELS = ("ash", "birch", "cedar", "elm")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(status, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def told(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


class StoppedError(Exception):
    """Raised to stop a search."""


class Stopping(Kitchen):
    """Fails when it is asked for one evaluation more."""

    def __init__(self, most: int) -> None:
        super().__init__(MODELS, 3)
        self.most = most

    def score(self, *arguments: Any, **others: Any) -> Any:
        if self.calls == self.most:
            raise StoppedError
        return super().score(*arguments, **others)


def interrupted(folder: Path, most: int) -> Path:
    """Return a run of four models and a grid of 37 points, of which one is uniform, that was stopped after so many evaluations.

    Four more were made for its score table.
    """
    with pytest.raises(StoppedError):
        make_run(folder, kitchen=Stopping(4 + most))
    return folder


def stages(found: dict[str, Any]) -> dict[str, tuple[int, int | None]]:
    return {one["name"]: (one["done"], one["total"]) for one in found["stages"]}


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, {"single models": (0, 4), "uniform soups": (0, 2), "grid": (0, 37), "held-out items": (0, 7)}),
        (5, {"single models": (4, 4), "uniform soups": (1, 2), "grid": (0, 37), "held-out items": (0, 7)}),
        (10, {"single models": (4, 4), "uniform soups": (2, 2), "grid": (5, 37), "held-out items": (0, 7)}),
        (42, {"single models": (4, 4), "uniform soups": (2, 2), "grid": (37, 37), "held-out items": (0, 7)}),
        (44, {"single models": (4, 4), "uniform soups": (2, 2), "grid": (37, 37), "held-out items": (2, 7)}),
    ],
)
def test_an_interrupted_run_says_what_is_done_and_what_is_left(
    tmp_path: Path, most: int, expected: dict[str, tuple[int, int]]
) -> None:
    folder = interrupted(tmp_path / "run", most)
    found = told(folder)
    assert stages(found) == expected
    assert found["n_left"] == 4 + 2 + 36 + 7 - most
    assert found["store"]["n_evaluations"] == most
    assert (found["done"], found["verdict"], found["running"]) == (False, None, [])
    text = run(folder).stdout
    assert "not running: the same command goes on" in text
    assert (found["best"] is None) == (most == 0)
    assert "best " in text or most == 0


def test_the_best_so_far_is_named_by_its_weights(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run", 30)
    found = told(folder)
    trials = open_run(folder).trials
    assert trials is not None
    assert found["best"] == trials.best
    said = " ".join(run(folder).stdout.split())
    assert f"best {found['best']:.4g} on the items to choose on: {found['best_weights']} store" in said


def test_a_finished_run_says_what_it_came_to(tmp_path: Path) -> None:
    result = make_run(tmp_path / "run", publishes=False)
    assert result is not None
    found = told(tmp_path / "run")
    assert found["done"]
    assert found["n_left"] == 0
    assert found["verdict"] == result.verdict
    assert found["best"] == max(
        [one.value for one in result.ranked] + [arm.selection.value for arm in result.arms]
    )
    assert stages(found) == {
        "single models": (4, 4),
        "uniform soups": (2, 2),
        "grid": (37, 37),
        "held-out items": (7, 7),
    }
    assert run(tmp_path / "run").stdout.startswith(f"{tmp_path / 'run'}: finished\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    assert run(tmp_path / "run", "--watch").exit_code == 0, "there is nothing to wait for"
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*")) == before


def test_held_out_tasks_and_strategies_without_a_grid(tmp_path: Path) -> None:
    def stop(found: SearchProgress) -> None:
        if found.stage == "held-out items" and found.done == 2:
            raise StoppedError

    folder = tmp_path / "search"
    with pytest.raises(StoppedError):
        search_with(
            pool(tmp_path),
            Landscape(),
            folder=folder,
            strategy="greedy",
            held_out_evaluator=Landscape(tag="held-out-"),
            on_progress=stop,
            draws=20,
        )
    found = told(folder)
    assert stages(found)["held-out items"] == (2, 5), "the two uniform soups are one"
    done, total = stages(found)["greedy"]
    assert total is None
    assert done > 0
    assert found["n_left"] is None


def test_who_works_on_what_is_told_while_it_goes_on(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run", 10)
    opened = open_run(folder)
    assert opened.identity is not None
    store = EvaluationStore(
        opened.search, ingredients=opened.identity.ingredients, evaluator=opened.identity.evaluator
    )
    began = time.time()
    with store.claim(opened.pool.recipe({"ash": 1, "cedar": 3})) as is_mine:
        assert is_mine
        (lease,) = told(folder)["running"]
        assert lease["process"] == os.getpid()
        assert lease["host"] == os.uname().nodename
        assert began - 1 < lease["since"] <= lease["beat"] <= time.time()
        assert not lease["expired"]
        text = run(folder).stdout
        assert f"{folder}: running, " in text
        assert f" {os.getpid()} " in text
        assert "3/4 cedar + 1/4 ash" in text
    assert told(folder)["running"] == []


def test_a_killed_worker_is_told_as_gone(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run", 5)
    code = (
        "import os, sys\n"
        "from soce.search.open import open_run\n"
        "from soce.store.evaluations import EvaluationStore\n"
        "run = open_run(sys.argv[1])\n"
        "store = EvaluationStore(\n"
        "    run.search, ingredients=run.identity.ingredients, evaluator=run.identity.evaluator\n"
        ")\n"
        "with store.claim(run.pool.recipe({'ash': 1})):\n"
        "    os._exit(9)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert process.returncode == 9
    found = read_status(folder)
    (lease,) = found.running
    assert lease.is_expired
    text = run(folder).stdout
    assert "not running" in text
    assert "gone" in text


def test_candidates_that_are_scored_first_are_counted(tmp_path: Path) -> None:
    from soce.search.measure import measure_scores

    kitchen = Stopping(2)
    paths = pool(tmp_path, "ab", "c").paths
    kitchen.models = ("a", "b", "c")
    with pytest.raises(StoppedError):
        measure_scores(paths, kitchen, folder=tmp_path / "run" / "search")
    assert not (tmp_path / "run" / "search" / STUDY).exists()
    found = told(tmp_path / "run")
    assert stages(found) == {"single models": (2, None)}
    assert (found["store"]["n_evaluations"], found["done"]) == (2, False)


@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_a_folder_without_a_run_is_one_line(tmp_path: Path, watch: tuple[str, ...]) -> None:
    for path, said in ((tmp_path, "the directory holds no run"), (tmp_path / "none", "o such file")):
        result = run(path, *watch)
        assert result.exit_code == 1
        (line, *rest) = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert said in line
        assert not [other for other in rest if other.startswith("error")]
        assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_watching_ends_with_the_search(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run", 10)
    paths = {name: str(folder / "models" / f"model-{place}") for place, name in enumerate(MODELS)}

    def finish() -> None:
        found, kitchen = read_selection(folder / "selection.yaml"), Kitchen(MODELS, 3)
        search_with(found, kitchen, folder=folder / "search", candidates=paths, draws=500)

    finishing = threading.Timer(0.5, finish)
    with watching(folder, "--json", "--every", "0.1") as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]
        finishing.start()
        lines += [json.loads(line) for line in process.stdout]
        finishing.join()
    assert process.returncode == 0
    done = [sum(one["done"] for one in line["stages"]) for line in lines]
    assert done[0] == 11, "the uniform soup of the experts is a point of the grid as well"
    assert done == sorted(done)
    assert lines[-1]["done"]
    assert not any(line["done"] for line in lines[:-1])


def test_ctrl_c_ends_watching_and_nothing_else(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run", 10)
    with watching(folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(str(folder))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def watching(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    # A test that was started in the background of a shell has its children ignore Ctrl-C.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from soce.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "status", str(folder), "--watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
