"""Many soups from one pass over the ingredients, and rows that choose by tensor name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests import reference
from tests.checkpoints import Tensors, checkpoint, read_directory, shards
from tests.merging.test_exactness import bits_like

import soce
from soce import Recipe
from soce.exceptions import CheckpointError, RecipeError
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

QUICK = soce.MergeOptions(sync=False)
DTYPES = ("BF16", "F16", "F32", "F64")


def tensors(seed: int) -> Tensors:
    """Return a tensor of each float dtype in two layers, and integers."""
    found: Tensors = {"ids": ("I64", [4], bytes(range(32)))}
    for layer in range(2):
        for n, dtype in enumerate(DTYPES):
            bits = bits_like(dtype, 100 * seed + 10 * layer + n, 3000, "finite" if layer else "near")
            found[f"layers.{layer}.{dtype}.weight"] = (dtype, [30, 100], reference.pack(bits, dtype))
    return found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("three")
    return [checkpoint(home / name, tensors(seed)) for seed, name in enumerate("ABC")]


# ---- many recipes


def test_a_grid_makes_the_bytes_of_separate_merges(three: list[Path], tmp_path: Path) -> None:
    grid = {f"{a}-{b}-{10 - a - b}": (a, b, 10 - a - b) for a in range(0, 11, 2) for b in range(0, 11 - a, 2)}
    text = {
        "ingredients": [str(path) for path in three],
        "recipes": [{"name": name, "weights": weights} for name, weights in grid.items()],
    }
    (tmp_path / "grid.json").write_text(json.dumps(text))
    options = replace(QUICK, digests="tensors")
    report = soce.merge_all(
        tmp_path / "grid.json", output=tmp_path / "soups", options=replace(options, num_threads=3)
    )
    assert [path.name for path in report.outputs] == list(grid)
    assert len(grid) == 21
    data = sum(len(data) for path in three for _, _, data in read_directory(path).values())
    assert report.bytes_read == data - 2 * 32, "every float once, the integers of the first ingredient"
    for name, weights in grid.items():
        recipe = dict(zip(map(str, three), weights, strict=True))
        alone = soce.merge(recipe, output=tmp_path / name, options=replace(options, chunk_bytes=4096))
        assert shards(tmp_path / "soups" / name) == shards(tmp_path / name), name
        files = [{path.name for path in (home / name).iterdir()} for home in (tmp_path, tmp_path / "soups")]
        assert files[0] == files[1]
        digests = (
            report.result_digests[report.outputs.index(tmp_path / "soups" / name)],
            alone.result_digests[0],
        )
        assert digests[0] == digests[1]


def test_recipes_of_different_ingredients_share_one_pass(three: list[Path], tmp_path: Path) -> None:
    a, b, c = map(str, three)
    recipes = {"ab": [a, b], "cb": {c: 1, b: 3}, "b": [b], "bac": {b: "0.2", a: "0.5", c: "0.3"}}
    soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)
    for name, recipe in recipes.items():
        soce.merge(recipe, output=tmp_path / name, options=QUICK)
        assert shards(tmp_path / "soups" / name) == shards(tmp_path / name), name


def test_one_bad_soup_of_many_leaves_none(three: list[Path], tmp_path: Path) -> None:
    poison = str(
        checkpoint(tmp_path / "P", tensors(0) | {"layers.0.F32.weight": ("F32", [30, 100], b"\xff" * 12_000)})
    )
    recipes = {"good": [str(three[0]), str(three[1])], "bad": [str(three[0]), poison]}
    with pytest.raises(CheckpointError, match="3000 NaN"):
        soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)
    assert [path.name for path in tmp_path.rglob("*.safetensors")] == ["model.safetensors"]
    report = soce.merge_all(recipes, output=tmp_path / "soups", options=replace(QUICK, nonfinite="warn"))
    assert [(found.tensor, found.ingredient, found.nan) for found in report.nonfinite] == [
        ("layers.0.F32.weight", poison, 3000)
    ]


def test_rows_choose_by_tensor_name_and_the_first_match_decides(three: list[Path], tmp_path: Path) -> None:
    ingredients = tuple(Ingredient(str(path), Fraction(1)) for path in three)
    rows = (
        Row("layers.0.BF16.*", (1, 0, 0), 1),
        Row("layers.?.F16.weight", (2, 3, 5), 10),
        Row("layers.1.*", (3, -1, -1), 1),
    )
    soce.merge(Recipe(ingredients, rows), output=tmp_path / "soup", options=replace(QUICK, nonfinite="warn"))
    inputs, soup = [read_directory(path) for path in three], read_directory(tmp_path / "soup")
    expected = {
        "layers.0.BF16.weight": ((1, 0, 0), 1),
        "layers.0.F16.weight": ((2, 3, 5), 10),
        "layers.0.F32.weight": ((1, 1, 1), 3),
        "layers.1.F16.weight": ((2, 3, 5), 10),
        "layers.1.BF16.weight": ((3, -1, -1), 1),
        "layers.1.F64.weight": ((3, -1, -1), 1),
    }
    for name, (numerators, whole) in expected.items():
        columns = [(found[name][0], found[name][2]) for found in inputs]
        assert soup[name][2] == reference.soup(columns, numerators, whole), name
    manifest = json.loads((tmp_path / "soup/soce.json").read_text())
    # In the order of the parts, so that the order of the ingredients does not matter; as given in `sources`.
    assert [row["parts"] for row in manifest["result"]["recipe"]["rows"]] == [
        [1, 0, 0],
        [2, 5, 3],
        [3, -1, -1],
        [1, 1, 1],
    ]
    assert [source["parts"] for source in manifest["sources"]] == [[1, 2, 3, 1], [0, 3, -1, 1], [0, 5, -1, 1]]


def test_a_tensor_that_no_row_matches_is_an_error(three: list[Path], tmp_path: Path) -> None:
    ingredients = tuple(Ingredient(str(path), None) for path in three)
    with pytest.raises(RecipeError, match=r"layers\.1"):
        soce.merge(Recipe(ingredients, (Row("layers.0.*", (1, 1, 1), 3),)), output=tmp_path / "soup")


def test_importing_soce_and_merging_load_no_heavy_library(three: list[Path], tmp_path: Path) -> None:
    heavy = ["torch", "pandas", "matplotlib", "click", "numpy", "transformers", "safetensors", "pickle"]
    code = f"""
import sys, soce
loaded = [m for m in {heavy!r} if m in sys.modules]
soce.merge({[str(path) for path in three]!r}, output={str(tmp_path / "soup")!r}, options=soce.MergeOptions(sync=False))
print(loaded, [m for m in {heavy!r} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def test_a_plan_of_many_soups_makes_nothing(three: list[Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = home.stat().st_mtime_ns
    planned = soce.plan_all({"a": [str(path) for path in three]}, output=home / "soups", options=QUICK)
    assert home.stat().st_mtime_ns == before
    assert not planned.execute().output.samefile(home)
    assert (home / "soups" / "a" / "soce.json").exists()
