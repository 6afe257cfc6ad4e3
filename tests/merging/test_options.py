"""Options of a merge as one value."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32

import soce
from soce.exceptions import RecipeError
from soce.merging.options import CHANGE_FILES, DECISIONS


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return [str(checkpoint(tmp_path / name, {"w": ("F32", [2], f32(i, 2.0))})) for i, name in enumerate("AB")]


def manifest_level(soup: Path) -> str | None:
    return soce.verify(soup).level


def test_only_what_is_not_the_default_is_changed() -> None:
    assert soce.MergeOptions().changed() == {}
    assert soce.MergeOptions(dtype="bf16", sync=True, num_threads=2).changed() == {
        "dtype": "bf16",
        "num_threads": 2,
    }


def test_kinds_of_options_are_named_as_the_options_are() -> None:
    assert {field.name for field in fields(soce.MergeOptions)} > CHANGE_FILES | DECISIONS


def test_a_plan_is_carried_out_as_it_was_made_or_otherwise(two: list[str], tmp_path: Path) -> None:
    options = soce.MergeOptions(digests="none", sync=False)
    soce.plan(two, output=tmp_path / "first", options=options).execute()
    assert manifest_level(tmp_path / "first") == "none"
    plan = soce.plan(two, output=tmp_path / "second", options=options)
    plan.execute(options=soce.MergeOptions(digests="full", sync=False))
    assert manifest_level(tmp_path / "second") == "full"


def test_options_win_over_the_recipe_file(two: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("ingredients: [A, B]\ndtype: bf16\nconfig_from: B\n")
    planned = soce.plan(recipe, output=tmp_path / "soup").data
    assert {tensor["dtype"] for tensor in planned["tensors"]} == {"BF16"}
    planned = soce.plan(recipe, output=tmp_path / "soup", options=soce.MergeOptions(dtype="fp16")).data
    assert {tensor["dtype"] for tensor in planned["tensors"]} == {"F16"}


@pytest.mark.parametrize(
    "options",
    [
        soce.MergeOptions(max_shard_size=0),
        soce.MergeOptions(dtype="int8"),
        soce.MergeOptions(config_from="C"),
    ],
)
def test_options_that_make_no_sense(two: list[str], tmp_path: Path, options: soce.MergeOptions) -> None:
    with pytest.raises(RecipeError):
        soce.plan(two, output=tmp_path / "soup", options=options)
    with pytest.raises(RecipeError, match="`num_threads` is 0"):
        soce.merge(two, output=tmp_path / "soup", options=soce.MergeOptions(num_threads=0))
