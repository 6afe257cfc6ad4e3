"""Recipe files of a text, and what is refused in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import Problem, RecipeError
from soce.recipes.files import read_recipes

TWO = "ingredients:\n  math: A\n  code: B\n"


def write(folder: Path, text: str, name: str = "r.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusals(folder: Path, text: str, name: str = "r.yaml") -> tuple[Problem, ...]:
    """Return every problem of a recipe file, after a look at its kind and path."""
    path = write(folder, text, name)
    with pytest.raises(RecipeError) as caught:
        read_recipes(path)
    assert {(problem.kind, problem.path) for problem in caught.value.problems} == {("recipe", str(path))}
    return caught.value.problems


def check_refusal(folder: Path, text: str, line: int, told: str, hint: str | None) -> None:
    """Expect one problem, in this line (0: in none), with these words."""
    (problem,) = refusals(folder, text)
    quoted = f"line {line} `{text.splitlines()[line - 1].strip()[:200]}"
    assert problem.message.startswith(quoted) == bool(line)
    assert told in problem.message
    assert (problem.hint is None) == (hint is None)
    assert hint is None or hint in (problem.hint or "")
