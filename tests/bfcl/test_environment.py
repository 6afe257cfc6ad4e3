"""The environment of BFCL, where it is not what it should be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from soce.evaluate.bfcl.environment import VERSION, find_environment
from soce.evaluate.bfcl.process import describe
from soce.exceptions import EvaluationError


def interpreter(path: Path, told: object) -> str:
    """Write a program that answers as an interpreter would."""
    path.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    path.chmod(0o755)
    return str(path)


def test_an_environment_of_the_version_that_was_tried_is_taken(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "python", [[3, 11], VERSION, []])
    assert find_environment(python) == python


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([[3, 11], None, []], "has no BFCL"),
        ([[3, 11], "2025.12.17", []], f"this is BFCL 2025.12.17, and {VERSION} was tried"),
        ([[3, 10], VERSION, []], r"this is Python 3\.10"),
        ([[3, 11], VERSION, ["httpx"]], "without `httpx`"),
        ("hello", "no interpreter that works"),
    ],
)
def test_another_is_refused_with_what_to_do(tmp_path: Path, told: object, said: str) -> None:
    with pytest.raises(EvaluationError, match=f"(?s){said}.*soce bfcl setup"):
        find_environment(interpreter(tmp_path / "python", told))


def test_a_path_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"(?s)no interpreter that can be run.*soce bfcl setup"):
        find_environment(str(tmp_path / "missing"))
    (tmp_path / "bin").mkdir()
    interpreter(tmp_path / "bin" / "python", None)
    with pytest.raises(EvaluationError, match=r"is it `.*/bin/python`\?"):
        find_environment(str(tmp_path))
    with pytest.raises(EvaluationError, match="nobody said where BFCL is"):
        find_environment(None)


def test_a_broken_one_says_its_last_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(
        EvaluationError, match=r"BFCL ended with exit status 1; .*No module named 'bfcl_eval'"
    ):
        describe(sys.executable, categories=["multiple"], handler=None, ingredients=[])
    assert [*tmp_path.iterdir()] == []
