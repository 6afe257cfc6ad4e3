"""Soups of every method: the bytes that exact coefficients give, what is told of them, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests import reference
from tests.checkpoints import checkpoint, directory, f32, read_directory, shards, state_of
from tests.merging.test_exactness import bits_like

import soce
from soce import MergeOptions, Method, Recipe
from soce.exceptions import CheckpointError, IncompatibleError, RecipeError
from soce.merging.plan import plan
from soce.methods.masks import MASKS
from soce.recipes.files import read_recipes
from soce.recipes.methods import METHODS as KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.checkpoints import Tensors

QUICK = MergeOptions(sync=False)
NAMES = "ABCO"
METHODS: dict[str, tuple[list[str], Mapping[str, Any]]] = {
    "task_arithmetic": (["A=0.3", "B=-1/4"], {"base": "O", "parameters": {"lambda": "0.7"}}),
    "interpolate": (["A"], {"base": "O"}),
    "slerp": (["A=0.7", "B=0.3"], {}),
    "nuslerp": (["A=0.7", "B=0.3"], {"base": "O"}),
    "multislerp": (["A=3", "B=1", "C=2"], {"base": "O"}),
    "karcher": (["A", "B", "C"], {}),
    "model_stock": (["A", "B", "C"], {"base": "O"}),
}


def tensors(seed: int) -> Tensors:
    """Return a tensor of each float dtype, one of zeros, and integers."""
    found: Tensors = {"ids": ("I64", [4], bytes(range(32))), "zeros": ("F32", [3], f32(0, 0, 0))}
    for n, dtype in enumerate(("BF16", "F16", "F32", "F64")):
        bits = bits_like(dtype, 100 * seed + n, 600, "near")
        found[f"{dtype}.weight"] = (dtype, [6, 100], reference.pack(bits, dtype))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate(NAMES):
        checkpoint(folder / name, tensors(seed))
    return folder


def recipe_of(home: Path, name: str, *, backwards: bool = False) -> Recipe:
    given, asked = METHODS[name]
    pairs = [one.partition("=") for one in (reversed(given) if backwards else given)]
    asked = {**asked, **({"base": str(home / asked["base"])} if "base" in asked else {})}
    return Recipe.of({str(home / path): weight or None for path, _, weight in pairs}, Method(name, **asked))


@pytest.mark.parametrize("name", METHODS)
def test_a_soup_is_the_exact_sum_of_the_parts_that_are_recorded(
    home: Path, tmp_path: Path, name: str
) -> None:
    recipe = recipe_of(home, name)
    soce.merge(recipe, output=tmp_path / "soup", options=QUICK)
    manifest = json.loads((tmp_path / "soup/soce.json").read_bytes())
    inputs = [read_directory(home / one.rpartition("/")[2]) for one in manifest["run"]["ingredients"]]
    made = read_directory(tmp_path / "soup")
    rows = manifest["result"]["recipe"]["rows"]
    for tensor in ("BF16.weight", "F16.weight", "F32.weight"):
        place = next(i for i, row in enumerate(rows) if row["pattern"] in {tensor, "*"})
        parts = [source["parts"][place] for source in manifest["sources"]]
        dtype = made[tensor][0]
        columns = zip(*(reference.unpack(one[tensor][2], dtype) for one in inputs), strict=True)
        whole = rows[place]["whole"]
        expected = [reference.mean(bits, [dtype] * len(parts), parts, whole, dtype) for bits in columns]
        assert made[tensor][2] == reference.pack(expected, dtype)
    assert made["ids"] == inputs[0]["ids"]


@pytest.mark.parametrize("name", METHODS)
def test_no_order_of_ingredients_changes_a_byte(home: Path, tmp_path: Path, name: str) -> None:
    one, other = (recipe_of(home, name, backwards=backwards) for backwards in (False, True))
    assert one.id == other.id
    options = MergeOptions(sync=False, config_from=str(home / "A"))
    for number, recipe in enumerate((one, other)):
        soce.merge(recipe, output=tmp_path / str(number), options=options)
    assert shards(tmp_path / "0") == shards(tmp_path / "1")


@pytest.mark.parametrize("name", METHODS)
def test_a_soup_is_computed_again_from_what_its_manifest_names(home: Path, tmp_path: Path, name: str) -> None:
    soce.merge(recipe_of(home, name), output=tmp_path / "soup", options=QUICK)
    assert soce.verify(tmp_path / "soup", recompute=True).ok
    (told,) = json.loads((tmp_path / "soup/soce.json").read_bytes())["run"]["methods"]
    assert told["method"] == name
    assert told.get("base") == (str(home / "O") if "base" in METHODS[name][1] else None)


@pytest.mark.parametrize("name", METHODS)
def test_copies_of_one_model_are_that_model(home: Path, tmp_path: Path, name: str) -> None:
    """Coefficients are rounded to 2^-20 of the whole, so what is exact is a sum that is exactly 1."""
    given, asked = METHODS[name]
    copies = [tmp_path / one.partition("=")[0] for one in given]
    for copy in copies:
        checkpoint(copy, tensors(0))
    base = {"base": str(home / "O")} if "base" in asked else {}
    weights = {"task_arithmetic": [Fraction(1, len(copies))] * len(copies)}
    parameters = {"interpolate": {"alpha": 1}}.get(name, {})
    each = weights.get(name, [None] * len(copies))
    recipe = Recipe.of(
        dict(zip(map(str, copies), each, strict=True)), Method(name, **base, parameters=parameters)
    )
    soce.merge(recipe, output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup") == read_directory(home / "A")


def test_an_interpolation_is_the_average_and_its_ends_are_the_inputs(home: Path, tmp_path: Path) -> None:
    a, o = str(home / "A"), str(home / "O")

    def soup(name: str, recipe: Recipe) -> dict[str, Any]:
        soce.merge(recipe, output=tmp_path / name, options=QUICK)
        return read_directory(tmp_path / name)

    def between(alpha: str, one: str = a, base: str = o) -> Recipe:
        return Recipe.of([one], Method("interpolate", base, {"alpha": alpha}))

    assert soup("0", between("0")) == read_directory(home / "O")
    assert soup("1", between("1")) == read_directory(home / "A")
    assert soup("half", between("1/2")) == soup("uniform", Recipe.of([a, o]))
    assert soup("quarter", between("1/4")) == soup("swapped", between("3/4", o, a))


def test_the_base_is_not_read_where_nothing_is_left_for_it(home: Path, tmp_path: Path) -> None:
    paths = [str(home / name) for name in "AB"]
    method = Method("task_arithmetic", str(home / "O"))
    planned = plan(dict.fromkeys(paths, "1/2"), method=method, output=tmp_path / "soup")
    data = sum(len(data) for path in "AB" for _, _, data in read_directory(home / path).values())
    assert planned.data["bytes_read"] == data - 32, "every float of the two, the integers of the first"
    planned.execute(options=QUICK)
    soce.merge(paths, output=tmp_path / "mean", options=QUICK)
    assert shards(tmp_path / "soup") == shards(tmp_path / "mean")


def test_slerp_is_what_the_vectors_say(tmp_path: Path) -> None:
    """In F64 the parts are all that is rounded."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(2, 500))
    for name, row in zip("AB", rows, strict=True):
        checkpoint(tmp_path / name, {"w": ("F64", [20, 25], row.tobytes())})
    soce.merge(
        {str(tmp_path / "A"): 3, str(tmp_path / "B"): 1}, method=Method("slerp"), output=tmp_path / "soup"
    )
    theta = np.arccos(rows[0] @ rows[1] / np.prod(np.linalg.norm(rows, axis=1)))
    expected = (np.sin(0.75 * theta) * rows[0] + np.sin(0.25 * theta) * rows[1]) / np.sin(theta)
    made = np.frombuffer(read_directory(tmp_path / "soup")["w"][2])
    assert np.abs(made - expected).max() < 8 * 2.0**-20


def test_rows_give_weights_by_tensor_to_a_method(tmp_path: Path) -> None:
    for name, values in {"A": (1, 0), "B": (0, 1), "O": (4, 4)}.items():
        checkpoint(tmp_path / name, {part: ("F32", [2], f32(*values)) for part in ("attn", "mlp")})
    (tmp_path / "r.yaml").write_text(
        "ingredients: {a: A, b: B}\nmethod: task_arithmetic\nbase: O\nparameters: {lambda: 2}\n"
        "weights: {a: 1/2, b: -1/4}\nrows: [{pattern: mlp, weights: {a: 0, b: 1/2}}]\n"
    )
    soce.merge(tmp_path / "r.yaml", output=tmp_path / "soup", options=QUICK)
    made = {
        name: np.frombuffer(data, "<f4").tolist()
        for name, (_, _, data) in read_directory(tmp_path / "soup").items()
    }
    assert made == {"attn": [4 - 3 + 2, 4 - 4 + 1.5], "mlp": [0, 1]}


def test_many_methods_are_made_in_one_pass(home: Path, tmp_path: Path) -> None:
    text = {
        "ingredients": {name: str(home / name) for name in "AB"},
        "base": str(home / "O"),
        "recipes": {
            "stock": {"method": "model_stock"},
            "nu": {"method": "nuslerp", "weights": {"A": 1, "B": 3}},
            "half": {"method": "task_arithmetic", "parameters": {"lambda": 0.5}},
        },
    }
    (tmp_path / "all.json").write_text(json.dumps(text))
    report = soce.merge_all(tmp_path / "all.json", output=tmp_path / "soups", options=QUICK)
    for recipe, output in zip(read_recipes(tmp_path / "all.json").recipes, report.outputs, strict=True):
        soce.merge(recipe[1], output=tmp_path / f"alone-{recipe[0]}", options=QUICK)
        assert shards(output) == shards(tmp_path / f"alone-{recipe[0]}")


def test_model_stock_tells_its_ratios_and_warns_of_unrelated_experts(tmp_path: Path) -> None:
    for name, delta in {"O": (0, 0), "A": (1, 0.1), "B": (0.1, 1)}.items():
        checkpoint(tmp_path / name, {"w": ("F32", [2], f32(*delta)), "v": ("F32", [2], f32(1, *delta[1:]))})
    planned = plan(
        [str(tmp_path / "A"), str(tmp_path / "B")],
        method=Method("model_stock", str(tmp_path / "O")),
        output=tmp_path / "soup",
    )
    (told,) = planned.data["methods"]
    assert float(told["tensors"]["w"]["t"]) == pytest.approx(2 * 0.19801980 / 1.19801980, rel=1e-6)
    assert float(told["tensors"]["v"]["t"]) == 1
    assert planned.data["warnings"] == []
    (tmp_path / "A/model.safetensors").unlink()
    checkpoint(tmp_path / "A", {"w": ("F32", [2], f32(1, 0)), "v": ("F32", [2], f32(2, 0))})
    again = plan(
        [str(tmp_path / "A"), str(tmp_path / "B")],
        method=Method("model_stock", str(tmp_path / "O")),
        output=tmp_path / "soup",
    )
    assert any("hardly agree" in text for text in again.data["warnings"])


@pytest.mark.parametrize(
    ("given", "asked", "told", "hint"),
    [
        (["A", "B"], {"name": "slurp"}, "there is no method `slurp`", "did you mean `slerp`"),
        (["A", "B"], {"name": "slerp", "parameters": {"t": 1}}, "`slerp` has no parameter `t`", "has no parameters"),
        (["A"], {"name": "model_stock", "base": "O", "parameters": {"averag": "cos"}}, "no parameter `averag`", "`average`"),
        (["A"], {"name": "interpolate", "base": "O", "parameters": {"alpha": "1.5"}}, "`alpha` is `1.5`: expected a number in [0, 1]", "task_arithmetic"),
        (["A"], {"name": "interpolate", "base": "O", "parameters": {"alpha": 0.5}}, "is a float", "0.5"),
        (["A", "B"], {"name": "karcher", "parameters": {"max_iter": "2.5"}}, "`max_iter` is `2.5`, not a whole number", None),
        (["A", "B"], {"name": "karcher", "parameters": {"tol": "0"}}, "expected a number in (0, 1)", None),
        (["A", "B"], {"name": "model_stock", "base": "O", "parameters": {"clamp": "maybe"}}, "not a truth value", "true or false"),
        (["A", "B"], {"name": "model_stock", "base": "O", "parameters": {"average": "mean"}}, "`average` is `mean`", "`cos`"),
        (["A", "B"], {"name": "task_arithmetic"}, "`task_arithmetic` needs a base", "--base"),
        (["A", "B"], {"name": "slerp", "base": "O"}, "`slerp` takes no base", "leave it out"),
        (["A", "O"], {"name": "task_arithmetic", "base": "O"}, "is among the ingredients", "leave it out"),
        (["A"], {"name": "slerp"}, "`slerp` takes 2 ingredients, got 1", None),
        (["A", "B", "C"], {"name": "slerp"}, "`slerp` takes 2 ingredients, got 3", None),
        (["A"], {"name": "model_stock", "base": "O"}, "takes at least 2 ingredients beside its base, got 1", None),
        (["A=1", "B=2"], {"name": "model_stock", "base": "O"}, "takes no weights", "leave them out"),
        (["A=-1", "B=2"], {"name": "slerp"}, "is negative", "numerators"),
        (["A=0", "B=0"], {"name": "task_arithmetic", "base": "O"}, "the weights of all ingredients are 0", "another weight"),
        (["O2", "O3"], {"name": "model_stock", "base": "O"}, "every ingredient equals the base", "trained from"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_before_any_work(
    tmp_path: Path, given: list[str], asked: dict[str, Any], told: str, hint: str | None
) -> None:
    for name, value in {"A": 1, "B": 2, "C": 3, "O": 0, "O2": 0, "O3": 0}.items():
        directory(tmp_path / name, value, 1)
    before = state_of(tmp_path)
    base = {"base": str(tmp_path / asked["base"])} if "base" in asked else {}
    pairs = [one.partition("=") for one in given]
    ingredients = {str(tmp_path / path): weight or None for path, _, weight in pairs}
    with pytest.raises(RecipeError) as caught:
        soce.merge(ingredients, method=Method(**{**asked, **base}), output=tmp_path / "soup")
    (problem,) = caught.value.problems
    assert told in problem.message
    assert "\n" not in problem.message
    assert hint is None or hint in (problem.hint or "")
    assert state_of(tmp_path) == before


def test_a_tensor_without_squares_is_refused_by_its_name(tmp_path: Path) -> None:
    for name, value in {"A": 1.0, "B": float("nan")}.items():
        directory(tmp_path / name, value, 1)
    with pytest.raises(CheckpointError, match="`w`"):
        soce.merge(
            [str(tmp_path / "A"), str(tmp_path / "B")], method=Method("slerp"), output=tmp_path / "soup"
        )


def test_coefficients_that_leave_the_dtype_are_counted_and_refused(tmp_path: Path) -> None:
    for name, value in {"A": 3e38, "O": -3e38}.items():
        directory(tmp_path / name, value, 1)
    method = Method("task_arithmetic", str(tmp_path / "O"))
    with pytest.raises(IncompatibleError, match="1 of 2 results are too large"):
        soce.merge({str(tmp_path / "A"): 2}, method=method, output=tmp_path / "soup", options=QUICK)


def test_every_method_is_tried_here() -> None:
    assert KNOWN.keys() - {"linear"} - MASKS.keys() <= METHODS.keys()
