"""Files that say where models are."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import RecipeError
from soce.recipes.files import read_model_paths


@pytest.mark.parametrize(
    ("name", "text"), [("m.yaml", "a: A\n1: /abs/B\n"), ("m.json", '{"a": "A", "1": "/abs/B"}')]
)
def test_paths_are_relative_to_the_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_model_paths(tmp_path / name) == {"a": str(tmp_path / "A"), "1": "/abs/B"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a", "the file must be a mapping, not a list"),
        ("a: [A]", "`a` must be a single value, not a list"),
        ("b: B\na:", "line 2 `a:`: `a` is empty"),
        ('a: "x\\0"', "NUL"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_model_paths(path)
    (problem,) = caught.value.problems
    assert told in problem.message
    assert problem.path == str(path)
