"""Every key of an experiment is wrong once: one line says which and where, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.checkpoints import directory

from soce.cli.options.experiment import keys_of
from soce.cli.run import run

GOOD: dict[str, Any] = {
    "scores": {"tables": "scores.csv"},
    "models": {"math": "path/math", "code": "path/code"},
    "select": {"threshold": 0.9},
    "evaluate": {"tasks": "tasks.jsonl"},
    "output": "run/",
}
SECTIONS = tuple(filter(None, keys_of(run).sections))
KEYS = {key.place: key for there in keys_of(run).sections.values() for key in there.values()}
WRONG = ({"nobody": {"knows": [{"what": "this is"}]}}, [[["x"]]])
"""A mapping that no key takes; and what is none, for keys that take one."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text("model,math,code\nmath,74,54\ncode,51,75\nother,42,48\nlast,57,53\n")
    item = {"kind": "exact_match", "prompt": "?", "answer": "!"}
    tasks = [
        {**item, "category": name, "id": str(i), "prompt": f"{name} {i}"}
        for name in ("math", "code")
        for i in (1, 2)
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in tasks))
    (tmp_path / "path").mkdir()
    for place, name in enumerate(("math", "code")):
        directory(tmp_path / "path" / name, float(place), 2.0)
    return tmp_path


def is_instead(section: str, one: str, other: str) -> bool:
    """Whether only one of two keys may be given."""
    either = [KEYS[place].either for name in (one, other) if (place := f"{section}.{name}") in KEYS]
    return len(either) == 2 and either[0] is not None and either[0] == either[1]


def refused(here: Path, place: str, value: object) -> str:
    """Write the file with this value in this place, one key a line; return the only error."""
    section, _, key = place.rpartition(".")
    content = {name: dict(held) if isinstance(held, dict) else held for name, held in GOOD.items()}
    there = content.setdefault(section, {}) if section else content
    for other in [name for name in there if section and is_instead(section, name, key)]:
        del there[other]
    there[key] = value
    lines = []
    for name, held in content.items():
        if name in SECTIONS:
            lines += [f"{name}:", *(f"  {inner}: {json.dumps(one)}" for inner, one in held.items())]
        else:
            lines.append(f"{name}: {json.dumps(held)}")
    number = 1 + lines.index(f"{'  ' if section else ''}{key}: {json.dumps(value)}")
    (here / "soce.yaml").write_text("\n".join(lines) + "\n")
    before = sorted(here.rglob("*"))
    result = CliRunner().invoke(run, [])
    assert result.exit_code in (1, 2), result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert sorted(here.rglob("*")) == before, "something was written"
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert f"soce.yaml`: line {number}" in error, f"{error}\n{number}"
    return error


@pytest.mark.parametrize("place", sorted(KEYS))
def test_a_value_of_another_type_is_one_line(here: Path, place: str) -> None:
    error = refused(here, place, WRONG[bool({"pairs", "lists"} & {*KEYS[place].shapes})])
    assert place.rpartition(".")[2] in error


@pytest.mark.parametrize("place", sorted(KEYS))
def test_a_key_that_is_misspelt_is_one_line(here: Path, place: str) -> None:
    wrong = f"{place[:-1]}x{place[-1]}"
    error = refused(here, wrong, "x")
    assert wrong.rpartition(".")[2] in error
