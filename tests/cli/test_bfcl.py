"""The commands `soce bfcl …`."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from soce.cli.bfcl import bfcl
from soce.evaluate.bfcl import setup
from soce.evaluate.bfcl.environment import VERSION
from soce.scores.bfcl import BOARDS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bfcl, [*map(str, arguments)], prog_name="soce bfcl")


def test_categories_are_listed_with_why_some_are_refused() -> None:
    told = run("categories").stdout
    assert "web_search_base            100  no: it searches the web" in told
    assert "  non_live      1390  7 of 7" in told
    assert max(map(len, told.splitlines())) <= 80
    found = json.loads(run("categories", "--json").stdout)
    assert found["version"] == VERSION
    assert len(found["categories"]) == 23
    assert found["groups"]["memory"] == ["memory_kv", "memory_vector", "memory_rec_sum"]


def test_weights_are_those_of_the_board_without_what_cannot_be_scored() -> None:
    weights = {name: Fraction(text) for name, text in yaml.safe_load(run("weights", "v4").stdout).items()}
    assert weights.items() <= BOARDS["v4"].overall.items()
    assert BOARDS["v4"].overall.keys() - weights.keys() == {
        *("web_search_base", "web_search_no_snippet", "memory_vector")
    }
    older = {name: Fraction(text) for name, text in yaml.safe_load(run("weights", "v3").stdout).items()}
    assert sum(older.values()) == 1
    assert older["simple_javascript"] == BOARDS["v3"].overall["javascript"]


def test_setup_says_what_failed_and_completes_what_is_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        if "-m" in command and "venv" in command:
            (tmp_path / "new" / "bin").mkdir(parents=True)
            (tmp_path / "new" / "pyvenv.cfg").touch()
            (tmp_path / "new" / "bin" / "python").symlink_to(sys.executable)
        failed = "pip" in command
        return subprocess.CompletedProcess(command, int(failed), "", "ERROR: no matching distribution\n")

    monkeypatch.setattr(setup.shutil, "which", lambda _: None)
    monkeypatch.setattr(setup, "_own_python", lambda: sys.executable)
    monkeypatch.setattr(setup.subprocess, "run", pip)
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "new", "new"):
        done = run("setup", name)
        assert done.exit_code == 1
        assert "`python -m pip …` failed: ERROR: no matching distribution" in done.stderr
    assert [command[-1] for command in ran if "venv" in command] == [str(tmp_path / "new")]
    assert ran[-1][-2:] == [f"bfcl-eval=={VERSION}", "soundfile"]


def test_setup_takes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = run("setup", tmp_path)
    assert done.exit_code == 1
    assert "this folder holds something else" in done.stderr
    assert run("setup", tmp_path / "mine").exit_code == 1


def test_setup_leaves_what_is_whole_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "find_environment", str)
    monkeypatch.setattr(setup, "_run", lambda _: None)
    done = run("setup", tmp_path / "made", "--quiet")
    assert done.stdout == f"{tmp_path / 'made' / 'bin' / 'python'}\n"
    assert done.stderr == ""
