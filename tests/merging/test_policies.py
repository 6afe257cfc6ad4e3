"""What is not averaged, what is refused, and what is counted: integers, quantised models, NaN and infinities."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests import reference
from tests.checkpoints import checkpoint, f32, read_directory, row
from tests.merging.test_exactness import KERNELS

import soce
from soce.exceptions import CheckpointError, IncompatibleError, RecipeError, UnsupportedDtypeError

QUICK = soce.MergeOptions(sync=False)
INF, NAN = float("inf"), float("nan")


def pair(home: Path, a: tuple, b: tuple, **config: object) -> list[str]:
    """Write the ingredients A and B with one tensor `w` each."""
    return [
        str(checkpoint(home / name, {"w": tensor}, config={"model_type": "test", **config}))
        for name, tensor in (("A", a), ("B", b))
    ]


# ---- non-finite values


def with_specials(count: int, **places: float) -> bytes:
    """Return F32 ones with other values at the elements `at<N>`."""
    values = [1.0] * count
    for place, value in places.items():
        values[int(place.removeprefix("at"))] = value
    return f32(*values)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("threads", [1, 4])
def test_non_finite_values_stop_a_merge_and_are_counted(tmp_path: Path, kernels: str, threads: int) -> None:
    count = 40_000  # many chunks of 4 KiB
    a = ("F32", [count], with_specials(count, at39_999=NAN, at20_000=INF))
    b = ("F32", [count], with_specials(count, at12_345=-INF, at12_346=-INF, at20_000=1.0))
    two = pair(tmp_path, a, b)
    options = replace(QUICK, kernels=kernels, num_threads=threads, chunk_bytes=4096)
    with pytest.raises(CheckpointError) as caught:
        soce.merge(two, output=tmp_path / "soup", options=options)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["A", "B"]
    texts = [problem.message for problem in caught.value.problems]
    assert texts[0].startswith(
        "2 of 40000 values are not finite (1 NaN, 1 +inf, 0 -inf), the first at element "
    )
    assert texts[1].startswith(
        "2 of 40000 values are not finite (0 NaN, 0 +inf, 2 -inf), the first at element "
    )
    assert [problem.tensor for problem in caught.value.problems] == ["w", "w"]
    assert [problem.path for problem in caught.value.problems] == [
        f"{path}/model.safetensors" for path in two
    ]

    report = soce.merge(two, output=tmp_path / "soup", options=replace(options, nonfinite="warn"))
    found = {(f.ingredient, f.nan, f.pos_inf, f.neg_inf, f.created) for f in report.nonfinite}
    assert found == {(two[0], 1, 1, 0, 0), (two[1], 0, 0, 2, 0)}
    assert [found["first"] for found in json.loads(report.json)["nonfinite"]] == [20_000, 12_345]
    entry = json.loads((tmp_path / "soup/soce.json").read_text())["result"]["tensors"]["w"]
    assert entry["non_finite"] == {"ingredients": [[1, 1, 0], [0, 0, 2]], "created": 0}
    assert read_directory(tmp_path / "soup")["w"][2] == reference.soup(
        [("F32", a[2]), ("F32", b[2])], [1, 1], 2
    )


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("place", [0, 1, 511, 512, 4095, 4096, 9998])
@pytest.mark.parametrize("alone", [False, True])
def test_the_first_non_finite_value_is_named(tmp_path: Path, kernels: str, place: int, alone: bool) -> None:
    bad = ("F32", [10_000], with_specials(10_000, **{f"at{place}": -INF, "at9999": NAN}))
    two = pair(tmp_path, ("F32", [10_000], with_specials(10_000)), bad)
    weights = {two[0]: 0 if alone else 1, two[1]: 1}
    with pytest.raises(CheckpointError, match=rf"the first at element {place}\b") as caught:
        soce.merge(
            weights, output=tmp_path / "soup", options=replace(QUICK, kernels=kernels, chunk_bytes=4096)
        )
    assert "2 of 10000" in caught.value.problems[0].message


def test_a_poisoned_ingredient_without_parts_is_not_read(tmp_path: Path) -> None:
    two = pair(tmp_path, ("F32", [2], f32(1, 2)), ("F32", [2], f32(NAN, INF)))
    third = str(checkpoint(tmp_path / "C", {"w": ("F32", [2], f32(3, 4))}))
    report = soce.merge({two[0]: 1, two[1]: 0, third: 1}, output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup")["w"][2] == f32(2, 3)
    assert (report.nonfinite, report.bytes_read) == ((), 16)


@pytest.mark.parametrize("kernels", KERNELS)
def test_infinities_that_rounding_makes_are_refused_or_counted(tmp_path: Path, kernels: str) -> None:
    values = [1.0] * 1000 + [65519.996, 65520.0, -1e30] + [2.0] * 100
    two = pair(tmp_path, ("F32", [1103], f32(*values)), ("F32", [1103], f32(*values)))
    options = replace(QUICK, dtype="f16", kernels=kernels)
    with pytest.raises(
        IncompatibleError, match="2 of 1103 results are too large for F16, the first at element 1001"
    ):
        soce.merge(two, output=tmp_path / "soup", options=options)
    report = soce.merge(two, output=tmp_path / "soup", options=replace(options, nonfinite="warn"))
    assert [(found.created, found.ingredient) for found in report.nonfinite] == [(2, None)]
    assert json.loads(report.json)["nonfinite"][0]["first"] == 1001
    bits = reference.unpack(read_directory(tmp_path / "soup")["w"][2], "F16")
    assert bits[1000:1003] == (0x7BFF, 0x7C00, 0xFC00)


def test_a_sum_that_is_no_average_may_overflow_and_says_so(tmp_path: Path) -> None:
    two = pair(tmp_path, ("F32", [2], f32(3e38, 1)), ("F32", [2], f32(-3e38, 1)))
    recipe = row([Path(path) for path in two], [2, -1], 1)
    with pytest.raises(
        IncompatibleError, match="1 of 2 results are too large for F32, the first at element 0"
    ):
        soce.merge(recipe, output=tmp_path / "soup", options=QUICK)


# ---- integers


@pytest.mark.parametrize("dtype", ["I64", "I32", "U8", "BOOL"])
def test_equal_integers_are_copied_and_others_refused_at_the_first_index(tmp_path: Path, dtype: str) -> None:
    size = {"I64": 8, "I32": 4, "U8": 1, "BOOL": 1}[dtype]
    data = bytearray(5000 * size)
    a = (dtype, [50, 100], bytes(data))
    two = pair(tmp_path / "equal", a, a)
    report = soce.merge(two, output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup")["w"] == a
    assert (report.counts["copied"], report.counts["averaged"]) == (1, 0)
    data[4321 * size] = data[4999 * size] = 1
    two = pair(tmp_path / "different", a, (dtype, [50, 100], bytes(data)))
    with pytest.raises(
        IncompatibleError, match=r"differs from .* at index 4321: expected (0|false), got (1|true)"
    ) as caught:
        soce.merge(two, output=tmp_path / "other", options=QUICK)
    assert caught.value.tensor == "w"
    assert not (tmp_path / "other").exists()
    report = soce.merge({two[0]: 1, two[1]: 0}, output=tmp_path / "unread", options=QUICK)
    assert read_directory(tmp_path / "unread")["w"] == a


def test_integers_and_floats_do_not_mix(tmp_path: Path) -> None:
    two = pair(tmp_path, ("F32", [2], f32(1, 2)), ("I32", [2], bytes(8)))
    with pytest.raises(IncompatibleError, match="expected dtype F32, got I32"):
        soce.merge(two, output=tmp_path / "soup")


# ---- quantised models


def test_scaled_codes_are_refused(tmp_path: Path) -> None:
    two = pair(tmp_path, ("F8_E4M3", [4], bytes(4)), ("F8_E4M3", [4], bytes(4)))
    with pytest.raises(UnsupportedDtypeError, match="F8_E4M3 holds scaled codes") as caught:
        soce.merge(two, output=tmp_path / "soup")
    assert len(caught.value.problems) == 2
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_a_config_that_says_quantised_is_believed(tmp_path: Path, key: str) -> None:
    tensor = ("F32", [1], f32(1))
    two = pair(tmp_path, tensor, tensor, **{key: {"quant_method": "gptq"}})
    with pytest.raises(UnsupportedDtypeError, match="gptq"):
        soce.merge(two, output=tmp_path / "soup")
    two = pair(tmp_path / "null", tensor, tensor, **{key: None})
    soce.merge(two, output=tmp_path / "soup", options=QUICK)


@pytest.mark.parametrize(
    "ending",
    [
        "qweight",
        "qzeros",
        "g_idx",
        "weight_packed",
        "weight_scale",
        "weight_scale_inv",
        "SCB",
        "weight.absmax",
    ],
)
def test_names_that_only_quantised_formats_use_are_refused(tmp_path: Path, ending: str) -> None:
    paths = [
        str(checkpoint(tmp_path / name, {f"model.layers.0.mlp.up_proj.{ending}": ("F32", [1], f32(1))}))
        for name in "AB"
    ]
    with pytest.raises(UnsupportedDtypeError, match="dequantise"):
        soce.merge(paths, output=tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


# ---- code and tokenizers


def test_code_is_copied_only_when_asked(tmp_path: Path) -> None:
    tensor = ("F32", [1], f32(1))
    two = pair(tmp_path, tensor, tensor, auto_map={"AutoModel": "modeling_x.Model"})
    Path(two[0], "modeling_x.py").write_text("raise SystemExit")
    with pytest.raises(RecipeError, match="auto_map"):
        soce.merge(two, output=tmp_path / "soup")
    soce.merge(two, output=tmp_path / "with", options=replace(QUICK, copy_code=True))
    soce.merge(two, output=tmp_path / "without", options=replace(QUICK, copy_code=False))
    assert (tmp_path / "with/modeling_x.py").exists()
    assert not (tmp_path / "without/modeling_x.py").exists()


def test_tokenizers_that_number_tokens_differently_are_refused(tmp_path: Path) -> None:
    tensor = ("F32", [1], f32(1))
    two = pair(tmp_path, tensor, tensor)
    for path, vocabulary in zip(two, ({"a": 0, "b": 1}, {"a": 1, "b": 0}), strict=True):
        Path(path, "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(IncompatibleError, match="`a`"):
        soce.merge(two, output=tmp_path / "soup")
    report = soce.merge(
        two, output=tmp_path / "soup", options=replace(QUICK, allow_different_tokenizers=True)
    )
    assert report.warnings
    assert json.loads((tmp_path / "soup/vocab.json").read_text()) == {"a": 0, "b": 1}
