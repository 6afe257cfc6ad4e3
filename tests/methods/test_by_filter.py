"""Methods that find their numbers for each index of the first axis: what they make of each row as a tensor of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests import reference
from tests.checkpoints import Tensors, checkpoint, f32, read_directory, shards
from tests.merging.test_exactness import bits_like
from tests.methods.test_coefficients import vectors

import soce
from soce import MergeOptions, Method, Recipe
from soce.cli.text.merge import plan_text
from soce.exceptions import CheckpointError
from soce.merging.plan import plan
from soce.methods.model_stock import model_stock
from soce.recipes.model import Ingredient
from soce.report.card.card import make_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

QUICK = MergeOptions(sync=False)
NAMES = "ABCO"
METHODS: dict[str, tuple[list[str], Mapping[str, Any], Mapping[str, Any]]] = {
    "model_stock": (["A", "B", "C"], {"base": "O"}, {"filter_wise": True}),
    "angle": (["A", "B", "C"], {"base": "O"}, {"filter_wise": True, "average": "angle", "clamp": False}),
    "nuslerp": (["A=0.7", "B=0.3"], {}, {"row_wise": True}),
    "nuslerp_base": (["A=0.7", "B=0.3"], {"base": "O"}, {"row_wise": True}),
}
SHAPES = {"BF16": [6, 100], "F16": [7], "F32": [2, 5, 30], "F64": [1, 50]}


def tensors(seed: int) -> Tensors:
    """Return a tensor of each float dtype, an empty one and a scalar, and integers."""
    found: Tensors = {"ids": ("I64", [4], bytes(range(32))), "none": ("F32", [0, 3], b"")}
    found["scalar"] = ("F32", [], f32(seed + 1))
    for n, (dtype, shape) in enumerate(SHAPES.items()):
        bits = bits_like(dtype, 100 * seed + n, prod(shape), "near")
        found[f"{dtype}.weight"] = (dtype, shape, reference.pack(bits, dtype))
    return found


def apart(seed: int) -> Tensors:
    """Return the same with a tensor for each row."""
    found: Tensors = {}
    for name, (dtype, shape, data) in tensors(seed).items():
        if len(shape) < 2 or not data or dtype == "I64":
            found[name] = (dtype, shape, data)
            continue
        size = len(data) // shape[0]
        for i in range(shape[0]):
            found[f"{name}.{i:03}"] = (dtype, shape[1:], data[i * size : (i + 1) * size])
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate(NAMES):
        checkpoint(folder / name, tensors(seed))
        checkpoint(folder / "apart" / name, apart(seed))
    return folder


def method_of(home: Path, name: str, *, by_filter: bool = True) -> Method:
    _, asked, parameters = METHODS[name]
    asked = {key: str(home / value) for key, value in asked.items()}
    wanted = {key: value for key, value in parameters.items() if by_filter or value is not True}
    return Method({"angle": "model_stock"}.get(name, name.partition("_base")[0]), **asked, parameters=wanted)


def recipe_of(home: Path, name: str, *, by_filter: bool = True, backwards: bool = False) -> Recipe:
    given = METHODS[name][0]
    pairs = [one.partition("=") for one in (reversed(given) if backwards else given)]
    weights = {str(home / path): weight or None for path, _, weight in pairs}
    return Recipe.of(weights, method_of(home, name, by_filter=by_filter))


@pytest.mark.parametrize("name", METHODS)
def test_each_row_is_what_the_method_makes_of_it_alone(home: Path, tmp_path: Path, name: str) -> None:
    soce.merge(recipe_of(home, name), output=tmp_path / "soup", options=QUICK)
    made = read_directory(tmp_path / "soup")
    soce.merge(recipe_of(home / "apart", name, by_filter=False), output=tmp_path / "apart", options=QUICK)
    rows = read_directory(tmp_path / "apart")
    assert any(tensor not in made for tensor in rows)
    for tensor, (_, shape, data) in made.items():
        each = [tensor] if tensor in rows else [f"{tensor}.{i:03}" for i in range(shape[0])]
        assert data == b"".join(rows[one][2] for one in each), tensor
    plain = recipe_of(home, name, by_filter=False)
    soce.merge(plain, output=tmp_path / "plain", options=QUICK)
    assert read_directory(tmp_path / "plain")["BF16.weight"] != made["BF16.weight"]


@pytest.mark.parametrize("name", METHODS)
def test_no_order_and_no_scale_changes_it(home: Path, tmp_path: Path, name: str) -> None:
    one, other = (recipe_of(home, name, backwards=backwards) for backwards in (False, True))
    assert one.id == other.id != recipe_of(home, name, by_filter=False).id
    options = replace(QUICK, config_from=str(home / "A"))
    for number, recipe in enumerate((one, other)):
        soce.merge(recipe, output=tmp_path / str(number), options=options)
    assert shards(tmp_path / "0") == shards(tmp_path / "1")
    for seed, ingredient in enumerate(NAMES):
        dtype, shape, data = tensors(seed)["F32.weight"]
        larger = (np.frombuffer(data, "<f4") * np.float32(8)).tobytes()
        checkpoint(tmp_path / "scaled" / ingredient, {"F32.weight": (dtype, shape, larger)})
    soce.merge(recipe_of(tmp_path / "scaled", name), output=tmp_path / "larger", options=QUICK)
    larger, before = (
        np.frombuffer(read_directory(tmp_path / folder)["F32.weight"][2], "<f4") for folder in ("larger", "0")
    )
    assert (larger == before * np.float32(8)).all()


@pytest.mark.parametrize("name", METHODS)
def test_copies_of_one_model_are_that_model(tmp_path: Path, name: str) -> None:
    for ingredient in NAMES:
        checkpoint(tmp_path / ingredient, tensors(3 if ingredient == "O" else 0))
    soce.merge(recipe_of(tmp_path, name), output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup") == read_directory(tmp_path / "A")


@pytest.mark.parametrize("name", METHODS)
def test_it_is_computed_again_and_goes_on(home: Path, tmp_path: Path, name: str) -> None:
    recipe = recipe_of(home, name)
    options = replace(QUICK, digests="full", differences=True, max_shard_size="2KB")
    soce.merge(recipe, output=tmp_path / "whole", options=options)
    assert soce.verify(tmp_path / "whole", recompute=True).ok
    paths = [one.path for one in recipe.ingredients]
    assert soce.verify(tmp_path / "whole", recompute=paths[1:] + paths[:1]).ok

    def stop(done: int, _: int) -> None:
        if done > 2500:
            raise KeyboardInterrupt

    few = replace(options, num_threads=1, chunk_bytes=4096)
    with pytest.raises(KeyboardInterrupt):
        soce.merge(recipe, output=tmp_path / "soup", options=few, on_progress=stop)
    soce.merge(recipe, output=tmp_path / "soup", options=options)
    assert shards(tmp_path / "soup") == shards(tmp_path / "whole")


@pytest.mark.parametrize("name", METHODS)
def test_a_live_model_has_the_tensors_that_are_published(home: Path, tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    from soce.evaluate.live.mixing import SoupMixer

    recipe = recipe_of(home, name)
    soce.merge(recipe, output=tmp_path / "soup", options=QUICK)
    mixer = SoupMixer([str(home / one) for one in "OCBA"], MergeOptions())
    rows = mixer.rows(recipe)
    assert set(rows) == set(mixer.tensors)
    for tensor, (_, _, data) in read_directory(tmp_path / "soup").items():
        found = mixer.original(tensor, 0)
        mixer.mix(tensor, rows[tensor], found)
        assert bytes(found.reshape(-1).view(torch.uint8).numpy()) == data, tensor


def soup_of(folder: Path, inputs: Mapping[str, tuple[list[int], list[float]]], recipe: Recipe) -> list[float]:
    for name, (shape, values) in inputs.items():
        checkpoint(folder / name, {"w": ("F64", shape, np.array(values, "<f8").tobytes())})
    soce.merge(recipe, output=folder / "soup", options=QUICK)
    return np.frombuffer(read_directory(folder / "soup")["w"][2], "<f8").tolist()


def test_model_stock_of_rows_made_by_hand(tmp_path: Path) -> None:
    """Rows with deltas that agree, that are orthogonal, opposed, and with cosine 4/5; the last is not there at all."""
    base = [1.0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    a = [0.0, 1, 1, 0, 1, 0, 4, 3, 0, 0]
    b = [0.0, 1, 0, 1, -1, 0, 3, 4, 0, 0]
    inputs = {
        "O": ([5, 2], base),
        "A": ([5, 2], [x + y for x, y in zip(base, a, strict=True)]),
        "B": ([5, 2], [x + y for x, y in zip(base, b, strict=True)]),
    }
    recipe = Recipe.of(
        [str(tmp_path / "A"), str(tmp_path / "B")],
        Method("model_stock", str(tmp_path / "O"), {"filter_wise": True}),
    )
    found = soup_of(tmp_path, inputs, recipe)
    assert found[:6] == [1, 2, 2, 2, 3, 3]
    cosine = Fraction(24, 25)
    t = 2 * cosine / (1 + cosine)
    assert found[6:8] == pytest.approx([float(4 + t * Fraction(7, 2))] * 2, abs=2**-17)
    assert found[8:] == [5, 5]
    hand = model_stock((Fraction(1, 2),) * 2, vectors((4, 3), (3, 4)), Method("model_stock", "base"))
    assert hand.told["t"] == pytest.approx(float(t), rel=1e-14)
    manifest = json.loads((tmp_path / "soup/soce.json").read_bytes())
    told = manifest["run"]["methods"][0]["tensors"]["w"]
    assert float(told["t"]) == pytest.approx(float((1 + 0 + 0 + t + 1) / 5), rel=1e-14)
    assert manifest["result"]["recipe"]["rows"][0]["filters"][:3] == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert any("1 of 5 filters opposed deltas" in one for one in manifest["run"]["warnings"])


def test_nuslerp_of_rows_made_by_hand(tmp_path: Path) -> None:
    inputs = {"A": ([2, 2], [1.0, 0, 3, 4]), "B": ([2, 2], [0.0, 1, 6, 8])}
    recipe = Recipe.of(
        [str(tmp_path / one) for one in "AB"], Method("nuslerp", parameters={"row_wise": True})
    )
    found = soup_of(tmp_path, inputs, recipe)
    assert found[:2] == pytest.approx([sqrt(0.5)] * 2, abs=2**-18)
    assert found[2:] == [4.5, 6]


def test_one_row_of_large_coefficients_takes_no_parts_from_the_others(tmp_path: Path) -> None:
    nearly = [-1.0, 1e-3]
    inputs = {"A": ([2, 2], [1.0, 0, 1, 0]), "B": ([2, 2], [*nearly, 0, 1])}
    recipe = Recipe.of(
        [str(tmp_path / one) for one in "AB"], Method("nuslerp", parameters={"row_wise": True})
    )
    found = soup_of(tmp_path, inputs, recipe)
    assert found[2:] == pytest.approx([sqrt(0.5)] * 2, abs=2**-18)
    row = json.loads((tmp_path / "soup/soce.json").read_bytes())["result"]["recipe"]["rows"][0]
    assert row["wholes"][0] < 1 << 12 < row["wholes"][1]


def test_a_base_may_stand_anywhere_among_the_ingredients(home: Path, tmp_path: Path) -> None:
    for by_filter in (False, True):
        method = method_of(home, "model_stock", by_filter=by_filter)
        expected = None
        for number, order in enumerate(("ABCO", "OABC", "AOBC")):
            given = tuple(Ingredient(str(home / one), Fraction(one != "O")) for one in order)
            output = tmp_path / f"{by_filter}{number}"
            options = replace(QUICK, config_from=str(home / "A"))
            soce.merge(Recipe(given, method=method), output=output, options=options)
            expected = expected or shards(output)
            assert shards(output) == expected


def test_values_that_are_not_finite_are_named(home: Path, tmp_path: Path) -> None:
    for name in "AB":
        checkpoint(tmp_path / name, {"w": ("F32", [2, 2], f32(1, 2, 3, float("inf") if name == "B" else 4))})
    recipe = Recipe.of(
        [str(tmp_path / one) for one in "AB"], Method("nuslerp", parameters={"row_wise": True})
    )
    with pytest.raises(CheckpointError, match=r"1 of 4 values are not finite \(0 NaN, 1 infinite\)"):
        plan(recipe, output=tmp_path / "soup", options=QUICK)
    same = {"w": ("F32", [2, 2], f32(1, 2, 3, 4))}
    for name in "CD":
        checkpoint(tmp_path / name, same)
    again = Recipe.of([str(tmp_path / one) for one in "CD"], Method("nuslerp", parameters={"row_wise": True}))
    rows = plan(again, output=tmp_path / "soup", options=QUICK).data["outputs"][0]["rows"]
    assert rows == [{"pattern": "*", "numerators": [1, 1], "whole": 2}]


def test_plan_and_card_say_that_parts_are_those_of_rows(home: Path, tmp_path: Path) -> None:
    made = plan(recipe_of(home, "model_stock"), output=tmp_path / "soup", options=QUICK)
    told = "tensors BF16.weight, each of 6 rows with parts of its own"
    assert told in plan_text(made)
    made.execute()
    card = make_card(tmp_path / "soup")
    assert "each index of the first axis has parts of its own" in card.text
