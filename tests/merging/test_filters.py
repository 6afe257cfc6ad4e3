"""Rows with numerators for each index of the first axis: the bytes of one plain soup for each, in every way to make them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from itertools import permutations
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import reference
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, checkpoint, f32, read_directory, shards
from tests.merging.test_exactness import bits_like
from tests.merging.test_manifest_schema import faults, validator

import soce
from soce import Recipe
from soce.exceptions import CheckpointError, IncompatibleError, RecipeError
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row
from soce.recipes.wire import recipe_from_json, recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["validator"]

QUICK = soce.MergeOptions(sync=False, digests="full", differences=True)
DTYPES = ("BF16", "F16", "F32", "F64")
SHAPES = ([6, 100], [7], [1, 50, 10], [50, 3, 2])


def tensors(seed: int) -> Tensors:
    """Return a tensor of each float dtype, of some shapes, and integers."""
    found: Tensors = {"ids": ("I64", [4], bytes(range(32)))}
    for n, (dtype, shape) in enumerate(zip(DTYPES, SHAPES, strict=True)):
        bits = bits_like(dtype, 100 * seed + n, prod(shape), "near")
        found[f"{dtype}.weight"] = (dtype, shape, reference.pack(bits, dtype))
    return found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("three")
    return [checkpoint(home / name, tensors(seed)) for seed, name in enumerate("ABC")]


def rows_of(turn: int = 0) -> list[Row]:
    """Return a row for each tensor, in which the second ingredient is absent from some filters."""
    rows = []
    for n, (dtype, shape) in enumerate(zip(DTYPES, SHAPES, strict=True)):
        filters = [[5 + i + n, (i + turn) % 2, 3 - i] for i in range(shape[0])]
        rows.append(
            Row.of_filters(f"{dtype}.weight", [(one, 7 + n + i % 3) for i, one in enumerate(filters)])
        )
    return rows


def recipe_of(paths: Sequence[Path], rows: Sequence[Row], order: Sequence[int] = (0, 1, 2)) -> Recipe:
    return Recipe(
        tuple(Ingredient(str(paths[i]), None) for i in order),
        tuple(row.over([order.index(i) for i in range(3)], 3) for row in rows),
    )


def expected(paths: Sequence[Path], rows: Sequence[Row]) -> dict[str, bytes]:
    """Return the bytes of each tensor by the definition."""
    inputs = [read_directory(path) for path in paths]
    found = {}
    for row in rows:
        dtype, shape, _ = inputs[0][row.pattern]
        size = prod(shape[1:]) * struct.calcsize(reference.FORMATS[dtype][0])
        each = []
        for i, (numerators, whole) in enumerate(zip(row.filters, row.wholes, strict=True)):
            columns = [(dtype, one[row.pattern][2][i * size : (i + 1) * size]) for one in inputs]
            each.append(reference.soup(columns, numerators, whole, dtype))
        found[row.pattern] = b"".join(each)
    return found


def test_a_soup_is_one_of_each_filter(three: list[Path], tmp_path: Path) -> None:
    recipe = recipe_of(three, rows_of())
    soce.merge(recipe, output=tmp_path / "soup", options=QUICK)
    made = read_directory(tmp_path / "soup")
    correct = expected(three, rows_of())
    assert {name: made[name][2] for name in correct} == correct
    for threads, io, chunk in ((1, "pread", 4096), (3, "mmap", 65536)):
        options = replace(QUICK, num_threads=threads, io=io, chunk_bytes=chunk)
        soce.merge(recipe, output=tmp_path / str(threads), options=options)
        assert shards(tmp_path / str(threads)) == shards(tmp_path / "soup")


@given(st.data())
def test_a_mixer_makes_any_part_of_it(three: list[Path], data: st.DataObject) -> None:
    mixer = soce.Mixer([str(path) for path in three])
    row = data.draw(st.sampled_from(rows_of()))
    correct = expected(three, [row])[row.pattern]
    size = struct.calcsize(reference.FORMATS[row.pattern.partition(".")[0]][0])
    first = data.draw(st.integers(0, len(correct) // size))
    end = data.draw(st.integers(first, len(correct) // size))
    out = bytearray((end - first) * size)
    mixer.mix(row.pattern, *row.mix, out, start=first)
    assert out == correct[first * size : end * size]


def test_the_manifest_says_all_of_it_and_is_computed_again_in_any_order(
    three: list[Path],
    tmp_path: Path,
    validator: Any,
) -> None:
    soups = []
    for digests in ("full", "tensors", "none"):
        for order in permutations(range(3)):
            soup = tmp_path / f"{digests}-{order}"
            options = replace(QUICK, digests=digests, config_from=str(three[0]))
            soce.merge(recipe_of(three, rows_of(), order), output=soup, options=options)
            assert soce.verify(soup, recompute=True).ok
            found = json.loads((soup / "soce.json").read_bytes())
            assert faults(validator, found) == []
            assert found["result"]["format"] == 3
            soups.append(found["result"]["recipe"])
    assert all(soup == soups[0] for soup in soups), "no order changes a manifest"
    for order in permutations(three):
        assert soce.verify(tmp_path / "full-(1, 2, 0)", recompute=list(map(str, order))).ok
    assert not soce.verify(tmp_path / "full-(0, 1, 2)", recompute=[*map(str, three[:2]), str(three[0])]).ok


def test_equal_sums_of_parts_do_not_mix_the_ingredients_up(three: list[Path], tmp_path: Path) -> None:
    filters = [[1, 2, 0], [2, 1, 0], [3, 3, 1], [1, 2, 0], [2, 1, 0], [1, 1, 4]]
    rows = [Row.of_filters("BF16.weight", [(one, 7) for one in filters]), Row("*", (1, 1, 1), 3)]
    for digests in ("full", "tensors"):
        soup = tmp_path / digests
        soce.merge(recipe_of(three, rows, (1, 2, 0)), output=soup, options=replace(QUICK, digests=digests))
        assert soce.verify(soup, recompute=True).ok
        assert read_directory(soup)["BF16.weight"][2] == expected(three, rows[:1])["BF16.weight"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows, _: rows[0]["filters"].pop(), "expected 5 wholes, one for each filter, got 6"),
        (lambda rows, _: rows[0].pop("wholes"), "got 0"),
        (lambda rows, _: rows[0].pop("filters"), "no filter"),
        (lambda rows, _: rows[0].update(pattern="F16.weight"), "cannot be `averaged` by this recipe"),
        (lambda rows, _: rows[0]["filters"][0].__setitem__(0, 99), "as its filters sum to"),
        (lambda rows, _: rows[0]["filters"][0].pop(), "expected 2 numerators, as the first has, got 3"),
        (lambda rows, _: rows[0].update(filters=[]), "no filter"),
        (lambda _, sources: sources[0].pop("column"), "which parts of the recipe are whose"),
        (lambda _, sources: sources[0].update(column=2), "which parts of the recipe are whose"),
    ],
)
def test_a_manifest_that_was_changed_is_told(
    three: list[Path], tmp_path: Path, change: Any, told: str
) -> None:
    soce.merge(recipe_of(three, rows_of()), output=tmp_path / "soup", options=QUICK)
    file = tmp_path / "soup/soce.json"
    manifest = json.loads(file.read_bytes())
    change(manifest["result"]["recipe"]["rows"], manifest["sources"])
    file.write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":")))
    found = soce.verify(tmp_path / "soup", recompute=True)
    assert any(told in str(problem) for problem in found.findings), found.findings


def test_many_recipes_of_one_pass_may_have_filters_or_not(three: list[Path], tmp_path: Path) -> None:
    plain = Recipe.of([str(path) for path in three])
    recipes = {"plain": plain, "one": recipe_of(three, rows_of()), "two": recipe_of(three, rows_of(1))}
    soce.merge_all(recipes, output=tmp_path / "all", options=QUICK)
    for name, recipe in recipes.items():
        soce.merge(recipe, output=tmp_path / name, options=QUICK)
        assert shards(tmp_path / name) == shards(tmp_path / "all" / name)
    made = json.loads((tmp_path / "plain/soce.json").read_bytes())
    assert made["result"]["format"] == 1
    assert "filters" not in json.dumps(made)


def test_an_interrupted_merge_goes_on(three: list[Path], tmp_path: Path) -> None:
    recipe, options = recipe_of(three, rows_of()), replace(QUICK, max_shard_size="2KB")
    soce.merge(recipe, output=tmp_path / "whole", options=options)

    def stop(done: int, _: int) -> None:
        if done > 4000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soce.merge(
            recipe,
            output=tmp_path / "soup",
            options=replace(options, num_threads=1, chunk_bytes=4096),
            on_progress=stop,
        )
    soce.merge(recipe, output=tmp_path / "soup", options=options)
    assert shards(tmp_path / "soup") == shards(tmp_path / "whole")
    with pytest.raises(Exception, match="exists"):
        soce.merge(recipe_of(three, rows_of(1)), output=tmp_path / "soup", options=options)


def test_an_ingredient_counts_only_where_it_takes_part(tmp_path: Path) -> None:
    nan = float("nan")
    a = checkpoint(tmp_path / "a", {"w": ("F32", [2, 2], f32(1, 2, 3, 4))})
    b = checkpoint(tmp_path / "b", {"w": ("F32", [2, 2], f32(nan, 6, 7, 8))})
    one = Recipe(
        (Ingredient(str(a), None), Ingredient(str(b), None)),
        (Row.of_filters("w", [((1, 0), 2), ((1, 1), 2)]),),
    )
    soce.merge(one, output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup")["w"][2] == f32(0.5, 1, 5, 6)
    entry = json.loads((tmp_path / "soup/soce.json").read_bytes())["result"]["tensors"]["w"]
    assert "non_finite" not in entry
    two = replace(one, rows=(Row.of_filters("w", [((0, 1), 2), ((1, 1), 2)]),))
    with pytest.raises(CheckpointError, match="1 of 4 values are not finite"):
        soce.merge(two, output=tmp_path / "other", options=QUICK)


@pytest.mark.parametrize("row", [Row("w", (3, -1), 1), Row.of_filters("w", [((1, 0), 1), ((3, -1), 1)])])
def test_infinities_of_finite_inputs_are_created_and_refused(tmp_path: Path, row: Row) -> None:
    largest = 3.4e38
    a = checkpoint(tmp_path / "a", {"w": ("F32", [2, 1], f32(1, largest))})
    b = checkpoint(tmp_path / "b", {"w": ("F32", [2, 1], f32(1, 1))})
    recipe = Recipe((Ingredient(str(a), None), Ingredient(str(b), None)), (row,))
    with pytest.raises(
        IncompatibleError, match=r"1 of 2 results are too large for F32, the first at element 1"
    ):
        soce.merge(recipe, output=tmp_path / "soup", options=QUICK)
    assert not (tmp_path / "soup").exists()
    soce.merge(recipe, output=tmp_path / "soup", options=replace(QUICK, nonfinite="warn"))
    entry = json.loads((tmp_path / "soup/soce.json").read_bytes())["result"]["tensors"]["w"]
    assert entry["non_finite"] == {"created": 1, "ingredients": [[0, 0, 0], [0, 0, 0]]}
    assert soce.verify(tmp_path / "soup", recompute=True).ok


def test_a_filter_of_one_ingredient_is_copied(tmp_path: Path) -> None:
    payload = struct.pack("<I", 0x7FC01234)
    a = checkpoint(tmp_path / "a", {"w": ("F32", [2, 1], payload + f32(1))})
    b = checkpoint(tmp_path / "b", {"w": ("F32", [2, 1], f32(1, 2))})
    recipe = Recipe(
        (Ingredient(str(a), None), Ingredient(str(b), None)),
        (Row.of_filters("w", [((1, 0), 1), ((0, 1), 1)]),),
    )
    soce.merge(recipe, output=tmp_path / "soup", options=replace(QUICK, nonfinite="warn"))
    assert read_directory(tmp_path / "soup")["w"][2] == payload + f32(2)


def test_rows_for_another_shape_are_refused(three: list[Path], tmp_path: Path) -> None:
    rows = [Row.of_filters("*", [((1, 1, 1), 3)] * 6)]
    with pytest.raises(
        RecipeError, match="expected a first axis of 6, as many as the row has filters"
    ) as error:
        soce.merge(recipe_of(three, rows), output=tmp_path / "soup", options=QUICK)
    assert {problem.tensor for problem in error.value.problems} == {f"{one}.weight" for one in DTYPES[1:]}
    mixer = soce.Mixer([str(path) for path in three])
    with pytest.raises(RecipeError, match="expected a first axis of 2"):
        mixer.mix("BF16.weight", [[1, 1, 1]] * 2, [3] * 2, bytearray(1200))
    for wrong in ([[]], [[1, 1, 1], [1, 1]], [[1, 1, 1], [0, 0, 0]], [[1 << 21, 1, 0]] * 6):
        with pytest.raises(RecipeError):
            mixer.mix("BF16.weight", wrong, [3] * len(wrong), bytearray(1200))


def test_another_process_is_told_of_filters(three: list[Path]) -> None:
    recipe = recipe_of(three, rows_of())
    again = recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe))))
    assert again == recipe
    assert again.id == recipe.id == recipe_of(three, rows_of(), (2, 0, 1)).id
    assert recipe_of(three, rows_of(1)).id != recipe.id


def test_filters_of_an_adapter_on_its_base(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    base = checkpoint(
        tmp_path / "base", {"w.weight": ("F32", [6, 10], rng.normal(size=60).astype("<f4").tobytes())}
    )
    factors = {
        "base_model.model.w.lora_A.weight": ("F32", [2, 10], rng.normal(size=20).astype("<f4").tobytes()),
        "base_model.model.w.lora_B.weight": ("F32", [6, 2], rng.normal(size=12).astype("<f4").tobytes()),
    }
    lora = adapter(tmp_path / "lora", factors, r=2, lora_alpha=3, target_modules=["w"])
    mixer = soce.Mixer([f"{base}+{lora}", str(base)])
    filters = [(i + 1, 3 - i) for i in range(6)]
    out = np.zeros((6, 10), np.float32)
    mixer.mix("w.weight", filters, [4] * 6, out)
    for i, numerators in enumerate(filters):
        whole = np.zeros((6, 10), np.float32)
        mixer.mix("w.weight", numerators, 4, whole)
        assert out[i].tobytes() == whole[i].tobytes()


def test_filters_are_in_lowest_terms() -> None:
    row = Row.of_filters("w", [((2, 4), 8), ((0, -6), 3)])
    assert (row.filters, row.wholes, row.numerators, row.whole) == (((1, 2), (0, -2)), (4, 1), (1, 4), 5)
