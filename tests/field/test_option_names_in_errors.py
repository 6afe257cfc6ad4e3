"""Hints name options: the command line says `--columns`, Python `columns=`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import traceback
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.checkpoints import checkpoint, f32

import soce
from soce.cli import _COMMANDS
from soce.cli.analyze import analyze
from soce.cli.merge import merge
from soce.evaluate.command.options import CommandOptions
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import CheckpointError, ScoreTableError, with_python_names
from soce.report.report import Report
from soce.scores.read import read_scores
from soce.search.strategies.race.race import Race
from soce.selection.lint import lint_scores

ROOT = Path(__file__).parents[2]
PLACES = [path for path in (ROOT / "python" / "soce").rglob("*.py") if "cli" not in path.parts]
HINTS = {
    found
    for path in [*PLACES, *(ROOT / "rust" / "src").rglob("*.rs")]
    # Reports and experiments speak of commands.
    if not {"sections", "experiment"} & {*path.parts} and path.name != "exceptions.py"
    for found in re.findall(r"(?<!`)`(--[a-z][a-z-]*[^`\n]*)`(?!`)", path.read_text(encoding="utf-8"))
    if "_" not in re.split("[ =]", found)[0]  # an option of another program
}


def arguments() -> set[str]:
    """Return every name that something public may be called with."""
    names = set()
    for value in [
        *(getattr(soce, name) for name in soce.__all__),
        CommandOptions,
        EvaluatorOptions,
        Race,
        Report.write,
    ]:
        if dataclasses.is_dataclass(value):
            names |= {field.name for field in dataclasses.fields(value)}
        elif inspect.isfunction(value):
            names |= set(inspect.signature(value).parameters)
    return names


def options() -> dict[str, click.Option]:
    found = {}
    for name in _COMMANDS:
        command = getattr(import_module(f"soce.cli.{name}"), name)
        for option in command.params:
            if isinstance(option, click.Option):
                found |= dict.fromkeys([*option.opts, *option.secondary_opts], option)
    return found


@pytest.mark.parametrize("hint", sorted(HINTS))
def test_every_option_of_a_hint_exists_in_both_worlds(hint: str) -> None:
    flag = re.split(r"[ =]", hint)[0]
    option = options()[flag]
    name, value = re.fullmatch(r"`(\w+)=(.*)`", with_python_names(f"`{hint}`")).groups()
    assert name in arguments()
    if option.is_flag:
        assert value == str(flag in option.opts)
    else:
        assert value not in {"True", "False"}


def test_python_says_its_own_names_and_the_command_line_its_flags(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,category,score,split\na,math,1,dev\na,math,2,test\n")
    with pytest.raises(ScoreTableError, match="`split=`"):
        read_scores(path)
    assert "`--split`" in CliRunner().invoke(analyze, [str(path)]).stderr


def test_lint_says_the_names_of_python(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,math,code,rank\na,1,2.5,1\nb,2,3.5,2\nc,3,1.5,3\n")
    findings = lint_scores(read_scores(path))
    assert "`columns=`" in str(findings)
    assert findings.to_frame()["hint"].str.contains("`columns=`").any()
    assert "`--columns`" in CliRunner().invoke(analyze, [str(path)]).stdout


def test_notes_say_them_too(tmp_path: Path) -> None:
    shards = [{f"w{i}": ("F32", [1], f32(value))} for i, value in enumerate((1, float("nan")))]
    paths = [str(checkpoint(tmp_path / name, *shards)) for name in "AB"]
    options = soce.MergeOptions(num_threads=1)
    with pytest.raises(CheckpointError) as caught:
        soce.merge(paths, output=tmp_path / "soup", options=options)
    assert "discard them with `restart=True`" in "".join(traceback.format_exception(caught.value))
    told = CliRunner().invoke(merge, [*paths, "-o", str(tmp_path / "soup")]).stderr
    assert "discard them with `--restart`" in told
