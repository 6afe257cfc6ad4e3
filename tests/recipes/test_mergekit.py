"""mergekit's `linear` YAML: what is read exactly, what is refused, and the file beside a soup."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from tests.recipes.reading import check_refusal, write

from soce.exceptions import RecipeError
from soce.recipes.files import read_recipes
from soce.recipes.mergekit_file import mergekit_yaml
from soce.recipes.model import Recipe
from soce.recipes.rows import Row

LINEAR = """merge_method: linear
models:
  - model: A
    parameters:
      weight: 0.7
  - model: B
    parameters:
      weight: 0.2
  - model: C
    parameters:
      weight: 0.1
"""


def test_mergekit_linear_is_read_exactly(tmp_path: Path) -> None:
    file = read_recipes(
        write(tmp_path, LINEAR + "parameters:\n  normalize: false\ndtype: float32\nout_dtype: bfloat16\n")
    )
    assert file.recipe.parts == (7, 2, 1)
    assert [i.path for i in file.recipe.ingredients] == [str(tmp_path / name) for name in "ABC"]
    assert file.dtype == "BF16"
    file = read_recipes(
        write(tmp_path, "merge_method: linear\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 3}")
    )
    assert (file.recipe.parts, file.dtype) == ((1, 1), None)
    file = read_recipes(
        write(tmp_path, "merge_method: linear\nmodels: [{model: A}, {model: B}]\ndtype: float16")
    )
    assert (file.recipe.parts, file.dtype) == ((1, 1), "F16")


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("modules: {}", "key `modules` is not supported here", "list them under `models`"),
        ("out_dtpye: float32", "unknown key `out_dtpye`", "did you mean `out_dtype`"),
        ("parameters: {normalise: true}", "unknown key `normalise` in `parameters`", "did you mean `normalize`"),
        ("parameters: {normalize: maybe}", "`parameters.normalize` must be true or false, not `maybe`", None),
        ("slices: []", "`slices` is empty", None),
        ("parameters: {int8_msk: true}", "unknown key `int8_msk`", "known keys: `weight`, `density`"),
        ("parameters: 1", "`parameters` must be a mapping, not `1`", None),
        ("dtype: int8", "`int8` is not a dtype soce writes", "bf16"),
    ],
)  # fmt: skip
def test_what_is_refused_beside_the_models(tmp_path: Path, text: str, told: str, hint: str | None) -> None:
    check_refusal(tmp_path, LINEAR + text, 12, told, hint)


@pytest.mark.parametrize(
    ("old", "new", "line", "told", "hint"),
    [
        ("linear", "slrp", 1, "soce does not read `merge_method: slrp`", "did you mean `slerp`"),
        ("linear", "sce", 1, "soce does not read `merge_method: sce`", "use mergekit"),
        ("merge_method: linear\n", "", 0, "`merge_method` is missing", None),
        ("model: A", "model: {model: A, lora: B}", 3, "a model is named by a mapping", "`BASE+ADAPTER`"),
        ("model: A", "model: {model: {path: A, revision: x}}", 3, "a mapping", "`org/name@revision`"),
        ("weight: 0.7", "weight: -0.7", 5, "weight `-0.7` is negative", "numerators"),
        ("weight: 0.7", "weight: .inf", 5, "weight `.inf` is infinite", "write an integer"),
        ("weight: 0.7", "density: 0.7", 5, "key `density` is not supported here", "no effect"),
        ("weight: 0.7", "densty: 0.7", 5, "unknown key `densty` in `models[0].parameters`", "`density`"),
        ("    parameters:\n      weight: 0.7\n", "", 2, "some ingredients have weights, but not `A`", "every ingredient"),
    ],
)  # fmt: skip
def test_what_is_refused_in_models(
    tmp_path: Path, old: str, new: str, line: int, told: str, hint: str | None
) -> None:
    check_refusal(tmp_path, LINEAR.replace(old, new, 1), line, told, hint)


def test_sums_other_than_one_without_normalize(tmp_path: Path) -> None:
    text = LINEAR.replace("0.7", "0.5") + "parameters: {normalize: false}\n"
    check_refusal(tmp_path, text, 12, "`normalize: false` with weights that sum to 4/5", "sum to 1")
    text = LINEAR.replace("0.7", "0").replace("0.2", "0").replace("0.1", "0.0")
    check_refusal(tmp_path, text, 2, "the weights of all ingredients are zero", "greater than zero")


def test_mergekit_paths_are_found_like_mergekit_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "A").mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "configs", "merge_method: linear\nmodels: [{model: A}, {model: B}]")
    first, second = read_recipes(path).recipe.ingredients
    assert (first.path, second.path) == ("A", str(tmp_path / "configs/B"))
    (tmp_path / "configs/A").mkdir()
    with pytest.raises(RecipeError, match="exists both beside the recipe and in the working directory"):
        read_recipes(path)


def test_the_mergekit_file_that_is_written_can_be_read_back(tmp_path: Path) -> None:
    recipe = Recipe.of({"a b/\u00e9": "1/3", "B": "1/6", "1": "1/2", "z": 0})
    paths = [ingredient.path for ingredient in recipe.ingredients]
    text = mergekit_yaml(recipe, paths, "BF16")
    assert text.isascii()
    assert text.startswith("# ")
    assert "bits differ" in text
    assert yaml.safe_load(text) == {
        "merge_method": "linear",
        "models": [
            {"model": path, "parameters": {"weight": part}}
            for path, part in zip(paths, (2, 1, 3), strict=False)
        ],
        "parameters": {"normalize": True},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    back = read_recipes(write(tmp_path, text))
    assert (back.recipe.parts, back.dtype) == ((2, 1, 3), "BF16")
    assert mergekit_yaml(Recipe(recipe.ingredients, (Row("a", (1, 0, 0, 0), 1),)), paths, "F32") == ""


@given(
    st.text(max_size=30).filter(
        lambda text: text.strip() == text and text and "\0" not in text and "+" not in text
    )
)
@example("no")
@example("1.5")
def test_any_path_survives_the_mergekit_file(path: str) -> None:
    text = mergekit_yaml(Recipe.of([path]), [path], "F32")
    assert yaml.safe_load(text)["models"][0]["model"] == path
