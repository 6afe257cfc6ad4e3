"""Models that were pruned by one mask, and what a soup keeps of their zeros."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import reference
from tests.checkpoints import read_file, write_file

import soce
import soce.merging.zeros
from soce.cli.merge import merge as command
from soce.exceptions import IncompatibleError
from soce.merging.options import MergeOptions

OPTIONS = MergeOptions(sync=False, sparsity_report=True)
VALUES = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-42, 2.0)
"""One of them is zero only where it is rounded to fewer bits."""


def bits_of(number: float, dtype: str) -> int:
    if number == 0:
        return reference.sign(dtype) if math.copysign(1, number) < 0 else 0
    numerator, denominator = number.as_integer_ratio()
    return reference.rounded(numerator << -reference.UNIT, denominator, dtype)


def save(path: Path, rows: dict[str, list[float]], dtype: str = "F32") -> str:
    tensors = {
        name: (dtype, [len(values)], reference.pack([bits_of(float(one), dtype) for one in values], dtype))
        for name, values in rows.items()
    }
    write_file(path / "model.safetensors", tensors)
    (path / "config.json").write_text("{}")
    return str(path)


def zeros_in(path: Path, name: str) -> int:
    dtype, _, data = read_file(path / "model.safetensors")[name]
    return sum(bits & (reference.sign(dtype) - 1) == 0 for bits in reference.unpack(data, dtype))


def test_the_counts_of_different_masks(tmp_path: Path) -> None:
    a = save(tmp_path / "a", {"v": [0, 0, 1, 2, -0.0], "w": [1, 2]})
    b = save(tmp_path / "b", {"v": [0, 1, 0, -2, 0], "w": [1, -2]})
    found = soce.merge([a, b], output=tmp_path / "soup", options=OPTIONS).zeros
    assert [one.to_json() for one in found] == [
        {"tensor": "v", "size": 5, "ingredients": {a: 3, b: 3}, "shared": 2, "outputs": [3]},
        {"tensor": "w", "size": 2, "ingredients": {a: 0, b: 0}, "shared": 0, "outputs": [1]},
    ]
    assert zeros_in(tmp_path / "soup", "v") == 3


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["F64", "F32", "F16", "BF16"]), st.sampled_from([None, "bf16"]))
def test_counts_are_those_of_the_files_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str, out: str | None
) -> None:
    home, size = tmp_path_factory.mktemp("zeros"), data.draw(st.integers(1, 9))
    values = st.lists(st.sampled_from(VALUES), min_size=size, max_size=size)
    paths = [save(home / name, {"w": data.draw(values)}, dtype) for name in "abc"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soce.merging.zeros, "_BLOCK", data.draw(st.integers(1, 4)))
        (found,) = soce.merge(paths, output=home / "soup", options=replace(OPTIONS, dtype=out)).zeros
    assert list(found.ingredients.values()) == [zeros_in(Path(path), "w") for path in paths]
    assert found.outputs == (zeros_in(home / "soup", "w"),)
    assert found.shared <= min(found.ingredients.values())
    assert found.shared <= found.outputs[0]  # what is zero in all is zero in the soup


def test_one_mask_is_kept_and_two_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    a = save(tmp_path / "a", {"v": [0, 1, -0.0, 2], "w": [1, 1]})
    b = save(tmp_path / "b", {"v": [-0.0, 3, 0, 1], "w": [2, 3]})
    c = save(tmp_path / "c", {"v": [0, 1, 1, 2], "w": [1, 0]})
    options = replace(OPTIONS, require_same_mask=True)
    (found, _) = soce.merge([a, b], output=tmp_path / "soup", options=options).zeros
    assert (found.shared, found.outputs) == (2, (2,))
    with pytest.raises(IncompatibleError) as raised:
        soce.merge([a, c], output=tmp_path / "other", options=options)
    assert [(one.tensor, one.message) for one in raised.value.problems] == [
        ("v", f"zeros are in different places: 2 in `{a}` and 1 in `{c}`, of which 1 are shared"),
        ("w", f"zeros are in different places: 0 in `{a}` and 1 in `{c}`, of which 0 are shared"),
    ]
    assert not (tmp_path / "other").exists()
    only = soce.Recipe.of({a: 1, b: 1, c: 0})  # what has no part has no mask either
    soce.merge(only, output=tmp_path / "other", options=options)


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    a, b = (save(tmp_path / name, {"w": [0, 1, 0, 2]}, "BF16") for name in "ab")
    asked = [a, b, "--output", str(tmp_path / "soup"), "--sparsity-report"]
    runner = CliRunner()
    found = runner.invoke(command, asked)
    assert found.exit_code == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    assert lines[1] == ["w", "4", *["2", "(50.0", "%)"] * 4]
    assert lines[2][:3] == ["all", "tensors", "4"]
    for more in ([], ["--plan"]):
        told = json.loads(runner.invoke(command, [*asked, "--json", *more]).stdout)
        assert told["zeros"][0] | {"ingredients": None} == {
            "tensor": "w",
            "size": 4,
            "ingredients": None,
            "shared": 2,
            "outputs": [2],
        }


def test_a_method_has_the_base_among_its_masks(tmp_path: Path) -> None:
    a = save(tmp_path / "a", {"w": [0, 1, 0, 2]})
    b = save(tmp_path / "b", {"w": [0, 2, 0, 2]})
    o = save(tmp_path / "o", {"w": [1, 1, 0, 2]})
    method = soce.Method("task_arithmetic", base=o, parameters={"lambda": "0.5"})
    (found,) = soce.merge([a, b], method=method, output=tmp_path / "soup", options=OPTIONS).zeros
    # 1 - 2 x 1/2 of the base is left: it goes in with no part, and is not read
    assert found.ingredients == {a: 2, b: 2}
    method = soce.Method("task_arithmetic", base=o, parameters={"lambda": "0.3"})
    options = replace(OPTIONS, require_same_mask=True)
    with pytest.raises(IncompatibleError, match="zeros are in different places"):
        soce.merge([a, b], method=method, output=tmp_path / "other", options=options)
