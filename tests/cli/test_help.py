"""What `--help` prints."""

from __future__ import annotations

from importlib import import_module

import pytest
from click.testing import CliRunner

from soce.cli import _COMMANDS
from soce.cli.run import run


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_fits_a_terminal(name: str) -> None:
    command = getattr(import_module(f"soce.cli.{name}"), name)
    told = CliRunner().invoke(command, ["--help"], prog_name=f"soce {name}").stdout
    assert "Usage" in told
    assert [line for line in told.splitlines() if len(line) > 80] == []


def test_the_help_of_run_fits_one_screen() -> None:
    told = CliRunner().invoke(run, ["--help"], prog_name="soce run").stdout
    assert len(told.splitlines()) <= 50
