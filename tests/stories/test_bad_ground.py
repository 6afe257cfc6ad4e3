"""What an experiment cannot stand on is told in one line, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import chdir, closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.stories.experiment import Experiment

from soce.cli.rescore import rescore
from soce.cli.run import run
from soce.cli.show import show
from soce.cli.status import status
from soce.store.database import STORE

pytest.importorskip("optuna")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an experiment that was run."""
    experiment = Experiment(tmp_path_factory.mktemp("ground") / "experiment").make()
    with chdir(experiment.home):
        done = CliRunner().invoke(run, ["--quiet"])
    assert done.exit_code == 0, done.output
    return experiment.home


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """Work in a copy of it."""
    with chdir(shutil.copytree(finished, tmp_path / "experiment")):
        yield tmp_path


def content(home: Path) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def refused(home: Path, command: click.Command, *arguments: str) -> str:
    """Return the one line of an error, after which everything is as before."""
    before = content(home)
    result = CliRunner().invoke(command, [*arguments])
    assert result.exit_code == 1, result.output
    assert content(home) == before, "something was written"
    return only_error(result)


def only_error(result: Result) -> str:
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    return error


def test_two_experiments_on_one_output(home: Path) -> None:
    other = home / "other"
    other.mkdir()
    said = json.loads(Path("soce.yaml").read_text())
    said["scores"], said["output"] = "../experiment/scores.csv", "../experiment/run/"
    said["evaluate"]["tasks"] = "../experiment/tasks.jsonl"
    said["models"] = {name: f"../experiment/{name}" for name in said["models"]}
    (other / "soce.yaml").write_text(json.dumps(said))
    with chdir(other):
        error = refused(home, run)
    assert "another experiment" in error
    assert "soce.yaml" in error


@pytest.mark.parametrize("command", [run, status, show], ids=lambda command: command.name)
def test_a_store_of_another_version(home: Path, command: click.Command) -> None:
    with closing(sqlite3.connect(Path("run", "search", STORE))) as database:
        database.execute("PRAGMA user_version = 99")
    error = refused(home, command)
    assert "format 99" in error
    assert STORE in error


@pytest.mark.parametrize("command", [run, status], ids=lambda command: command.name)
def test_a_store_that_is_none(home: Path, command: click.Command) -> None:
    Path("run", "search", STORE).write_text("model,math\nash,1\n" * 100)
    assert STORE in refused(home, command)


def test_answers_that_are_missing(home: Path) -> None:
    with closing(sqlite3.connect(Path("run", "search", STORE))) as database:
        database.execute("UPDATE evaluations SET answers = NULL, n_answers = 0")
        database.commit()
    text = Path("tasks.jsonl").read_text().replace('"answer": 1', '"answer": 2')
    Path("other.jsonl").write_text(text)
    error = refused(home, rescore, "--tasks", "other.jsonl")
    assert "answer" in error
    before = content(home)
    shown = CliRunner().invoke(show, ["--limit", "2"])
    assert shown.exit_code == 0, shown.output
    assert "no answers" in " ".join(shown.stderr.split())
    assert content(home) == before
