"""What long commands leave in `soce.log`, and what they show on a terminal meanwhile."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.checkpoints import sparse
from tests.cli.test_search import SELECT, Landscapes, here, landscapes, run, search_here  # noqa: F401

from soce.cli.log_file import Log, _Work
from soce.cli.run import run as run_command
from soce.cli.text.layout import duration

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ (search|run|demo): (.*)")


def log_of(path: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(found), path.read_text()
    return [line[2] for line in found if line]


@pytest.mark.usefixtures("landscapes")
def test_a_search_logs_its_stages_and_its_verdict(here: Path) -> None:  # noqa: F811
    assert search_here("--quiet", "--publish", "soup").exit_code == 0
    lines = log_of(here / "run" / "soce.log")
    assert re.fullmatch(r"soce \S+ started", lines[0])
    assert "candidates: 4, experts: 2, strategy: grid" in lines
    stages = [line.split(":")[0] for line in lines if " of " in line and line.endswith("soups")]
    assert list(dict.fromkeys(stages)) == ["single models", "uniform soups", "grid", "held-out items"]
    assert any(line.startswith("grid: 9 of 9 soups") for line in lines)
    assert lines[-3].startswith("The soup beats the best single model")
    assert lines[-2:] == ["publishing the best soup", "finished"]
    search_here()
    again = log_of(here / "run" / "soce.log")
    assert again[: len(lines)] == lines
    assert "0 evaluations in this run, the others were known" in again[len(lines) :]


def test_a_run_logs_beside_its_selection(here: Path, landscapes: Landscapes) -> None:  # noqa: F811
    arguments = ("scores.csv", "--models", "models.yaml", *SELECT, "-e", "x.jsonl", "-o", "all")
    assert run(run_command, *arguments).exit_code == 0
    lines = log_of(here / "all" / "soce.log")
    assert lines[1].startswith("selected by ")
    assert lines[-1] == "finished"
    assert not (here / "all" / "search" / "soce.log").exists()
    assert (here / "all" / "soup" / "README.md").exists()


@pytest.mark.usefixtures("landscapes")
def test_errors_are_logged_and_arguments_are_not(here: Path) -> None:  # noqa: F811
    secret = "postgresql+nothing://me:hunter2@host/x"
    found = search_here("--storage", secret)
    assert found.exit_code == 1
    assert "hunter2" not in (here / "run" / "soce.log").read_text()
    assert any(line.startswith("error: ") for line in log_of(here / "run" / "soce.log"))


@pytest.mark.usefixtures("landscapes")
def test_a_folder_of_somebody_else_gets_no_log(here: Path) -> None:  # noqa: F811
    (here / "run").mkdir()
    (here / "run" / "thesis.tex").write_text("")
    assert search_here().exit_code == 1
    assert [path.name for path in (here / "run").iterdir()] == ["thesis.tex"]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = Log(tmp_path / "file" / "soce.log", "search")
    log.start()
    log.line("x")
    log.progress("grid", 1, 2)


def test_lines_before_the_start_are_kept_and_names_are_escaped(tmp_path: Path) -> None:
    log = Log(tmp_path / "new" / "soce.log", "search")
    log.line("a\x1b[2J\nb")
    assert not (tmp_path / "new").exists()
    log.start()
    log.start()
    assert log_of(tmp_path / "new" / "soce.log")[1:] == ["a\\u{1b}[2J\\u{a}b"]


def test_progress_is_said_first_and_last_and_not_for_every_step(tmp_path: Path) -> None:
    log = Log(tmp_path / "soce.log", "search")
    log.start()
    for done in range(101):
        log.progress("grid", done, 100, "soups")
    log.progress("grid", 100, 100, "soups")
    assert log_of(log.path)[1:] == ["grid: 0 of 100 soups", "grid: 100 of 100 soups"]


def test_the_time_left_goes_by_the_pace_so_far() -> None:
    work = _Work(10)
    began = work._began[0]
    assert work.left(20, 40, began + 60) == duration(120) == "2 min"
    assert work.left(10, 40, began + 60) == ""
    assert work.left(40, 40, began + 60) == ""


def test_the_bar_of_a_merge_never_shows_an_unknown_size(tmp_path: Path) -> None:
    for name in "ab":
        sparse(tmp_path / name, "F32", 1 << 22)
    ours, theirs = pty.openpty()
    code = "from soce.cli import main_merge; main_merge()"
    command = [
        sys.executable,
        "-c",
        code,
        str(tmp_path / "a"),
        str(tmp_path / "b"),
        "-o",
        str(tmp_path / "soup"),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert "\x1b[" in text, "it was no terminal"
    assert "0.0/16.8 MB" in text
    assert "/?" not in text
