"""FP8 ingredients: every element is code times scale, exactly, and from then on one like any other."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import fp8, reference
from tests.checkpoints import bf16, checkpoint, f32, read_directory, row, shards
from tests.merging.test_exactness import KERNELS

import soce
from soce.exceptions import CheckpointError, RecipeError, UnsupportedDtypeError

QUICK = soce.MergeOptions(sync=False)
BLOCK = [24, 40]
BLOCKS = fp8.config(quant_method="fp8", weight_block_size=BLOCK, activation_scheme="dynamic")
NAME, SCALE = "model.up.weight", "model.up.weight_scale_inv"


def blocks(path: Path, seed: int, shape: list[int], dtype: str = "F32") -> Path:
    """Write a checkpoint in blocks of 24 by 40, the scales in another shard than the codes."""
    tensors = fp8.deepseek(seed, shape, BLOCK, dtype)
    first = {name: tensors[name] for name in (NAME, "model.norm.weight")}
    return checkpoint(path, first, {SCALE: tensors[SCALE]}, config=BLOCKS)


def exact(path: Path) -> bytes:
    """Return the values of a checkpoint in blocks, in F64."""
    tensors = read_directory(path)
    return fp8.values(tensors[NAME], tensors[SCALE], BLOCK)


def dequantised(path: Path, source: Path) -> Path:
    """Write a checkpoint of the exact values, in F64."""
    tensors = read_directory(source)
    plain = {
        NAME: ("F64", tensors[NAME][1], exact(source)),
        "model.norm.weight": tensors["model.norm.weight"],
    }
    return checkpoint(path, plain, config={"model_type": "test"})


# ---- values


@pytest.mark.parametrize(
    ("kernels", "dtype"),
    [*((kernels, "F32") for kernels in KERNELS), *(("scalar", d) for d in fp8.SCALES[1:])],
)
def test_every_code_by_awkward_scales_is_exact(tmp_path: Path, kernels: str, dtype: str) -> None:
    random_ = random.Random(17)
    every = [(codes, [1, 16, 256], bytes(range(256)) * 16) for codes in ("F8_E4M3", "F8_E5M2")]
    tensors, expected = {}, {}
    for (codes, shape, data), name in zip(every, ("a.weight", "b.weight"), strict=True):
        scales = fp8.scales(random_, [1, 16, 1], dtype)
        if dtype == "F32":  # subnormal, least, largest, negative, and all bits in use
            odd = [1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xBF800001, 0x3FFFFFFF, 0]
            scales = dtype, [1, 16, 1], reference.pack(odd, "F32") + scales[2][: 4 * 9]
        tensors[name] = codes, shape, data
        tensors[f"{name}_scale"] = scales
        expected[name] = fp8.values((codes, shape, data), scales, [1, 256])
    path = checkpoint(tmp_path / "A", tensors, config=fp8.config(quant_method="compressed-tensors"))
    options = replace(QUICK, dtype="float64", nonfinite="warn", kernels=kernels)
    soce.merge([str(path)], output=tmp_path / "soup", options=options)
    got = read_directory(tmp_path / "soup")
    assert sorted(got) == ["a.weight", "b.weight"]
    for name, data in expected.items():
        # Every NaN is the canonical one, as in a mean of several.
        assert got[name][2] == reference.soup([("F64", data)] * 2, [1, 1], 2)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_torch_decodes_codes_alike(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    kind = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}[dtype]
    decoded = torch.arange(256, dtype=torch.uint8).view(kind).double().tolist()
    for code, value in enumerate(decoded):
        ours = float(fp8.code_value(code, dtype))
        assert ours == value or (ours != ours and value != value)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", [[25, 81], [24, 40], [1, 300], [257, 1], [3, 26, 41]])
def test_blocks_end_where_they_end(tmp_path: Path, kernels: str, shape: list[int]) -> None:
    paths = [blocks(tmp_path / name, seed, shape) for seed, name in enumerate("AB")]
    options = replace(QUICK, kernels=kernels, chunk_bytes=8192, num_threads=3)
    soce.merge(row(paths, [2, 3], 5), output=tmp_path / "soup", options=options)
    got = read_directory(tmp_path / "soup")[NAME]
    assert got[:2] == ("BF16", shape)
    assert got[2] == reference.soup([("F64", exact(path)) for path in paths], [2, 3], 5, "BF16")


@pytest.mark.parametrize("dtype", [None, "float32", "float16", "float64"])
@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_the_soup_is_that_of_checkpoints_dequantised_before(
    tmp_path: Path, dtype: str | None, io: str
) -> None:
    shape = [30, 100]
    paths = [blocks(tmp_path / name, seed, shape, "BF16") for seed, name in enumerate("ABC")]
    plain = [dequantised(tmp_path / f"{path.name}-plain", path) for path in paths]
    options = replace(QUICK, dtype=dtype or "bfloat16", io=io)
    for chosen, to in ((plain, "expected"), (paths, "soup"), ([plain[0], *paths[1:]], "mixed")):
        given_ = replace(options, dtype=dtype) if to == "soup" else options
        soce.merge(row(chosen, [1, 1, 1], 3), output=tmp_path / to, options=given_)
    expected, *others = (read_directory(tmp_path / name) for name in ("expected", "soup", "mixed"))
    assert others == [expected, expected]


@given(st.data())
@settings(deadline=None, max_examples=12)
def test_any_shape_of_scales_and_any_recipe_is_exact(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("fp8")
    size = st.integers(1, 24)
    shape = data.draw(st.lists(size, min_size=2, max_size=3))
    lines, columns = shape[-2:]
    outer = shape[:-2]
    down, across = data.draw(st.tuples(st.integers(2, 20), st.integers(2, 20)))
    grid = [-(-lines // down), -(-columns // across)]
    forms: list[tuple[list[int], list[int]]] = [
        ([*outer, lines, 1], [1, columns]),
        ([*outer, 1, columns], [lines, 1]),
        ([*outer, 1, 1], [lines, columns]),
        ([*outer, *grid], [down, across]),
    ]
    inputs, paths = [], []
    for i in range(data.draw(st.integers(1, 3))):
        random_ = random.Random(data.draw(st.integers(0, 1000)))
        scale_shape, block = data.draw(st.sampled_from(forms))
        codes = fp8.codes(random_, shape, data.draw(st.sampled_from(sorted(fp8.CODES))))
        scales = fp8.scales(random_, scale_shape, data.draw(st.sampled_from(fp8.SCALES)))
        config = fp8.config(quant_method="fp8", weight_block_size=[down, across])
        paths.append(checkpoint(home / str(i), {"x.weight": codes, "x.weight_scale": scales}, config=config))
        effective = [lines if n == 1 else b for n, b in zip(scale_shape[-2:], block, strict=True)]
        effective[1] = columns if scale_shape[-1] == 1 else block[1]
        inputs.append(("F64", fp8.values(codes, scales, effective)))
    parts = [data.draw(st.integers(1, 9)) for _ in paths]
    out = data.draw(st.sampled_from(["BF16", "F32"]))
    options = replace(QUICK, dtype={"BF16": None, "F32": "float32"}[out])
    soce.merge(row(paths, parts, sum(parts)), output=home / "soup", options=options)
    got = read_directory(home / "soup")["x.weight"]
    assert got == (out, shape, reference.soup(inputs, parts, sum(parts), out))


def test_fp8_beside_bf16_takes_the_dtype_of_the_first(tmp_path: Path) -> None:
    shape = [30, 50]
    a = blocks(tmp_path / "A", 1, shape)
    random_ = random.Random(3)
    plain = {
        NAME: ("BF16", shape, b"".join(bf16(random_.randrange(-8, 8) / 4) for _ in range(1500))),
        "model.norm.weight": ("BF16", [4], bf16(1, 2, 3, 4)),
    }
    b = checkpoint(tmp_path / "B", plain, config={"model_type": "test", "torch_dtype": "bfloat16"})
    expected = reference.soup([("F64", exact(a)), ("BF16", plain[NAME][2])], [1, 3], 4, "BF16")
    for paths, parts, to in (([a, b], [1, 3], "ab"), ([b, a], [3, 1], "ba")):
        soce.merge(row(paths, parts, 4), output=tmp_path / to, options=QUICK)
        assert read_directory(tmp_path / to)[NAME] == ("BF16", shape, expected)
    assert shards(tmp_path / "ba").keys() == {"model.safetensors"}
    assert read_directory(tmp_path / "ab") == read_directory(tmp_path / "ba")


# ---- what a soup is told to be


def test_scales_are_accounted_for_and_no_part_of_the_soup(tmp_path: Path) -> None:
    random_ = random.Random(5)
    tensors = {
        "l.q.weight": fp8.codes(random_, [4, 6]),
        "l.q.weight_scale": fp8.scales(random_, [4, 1]),
        "l.q.input_scale": ("F32", [1], f32(0.5)),
        "l.k_scale": ("F32", [], f32(1.0)),
        "l.norm.weight": ("BF16", [2], bf16(1, 2)),
    }
    declared = {"quant_method": "compressed-tensors", "config_groups": {}}
    path = checkpoint(tmp_path / "A", tensors, config=fp8.config(**declared))
    (path / "hf_quant_config.json").write_text("{}")
    plan = soce.plan([str(path)], output=tmp_path / "soup")
    assert plan.data["counts"]["averaged"] == 2
    assert plan.data["counts"]["left_out"] == 3
    assert plan.data["ingredients"][0]["derived"] == 1
    said = "\n".join(plan.data["warnings"])
    assert "1 tensor of F8_E4M3 codes is read as code times scale, exactly (`l.q.weight` by" in said
    assert "and 2 scales of activations are no part of the soup" in said
    assert "`quantization_config` is left out of the soup's" in said
    soce.merge([str(path)], output=tmp_path / "soup", options=QUICK)
    assert sorted(read_directory(tmp_path / "soup")) == ["l.norm.weight", "l.q.weight"]
    config = json.loads((tmp_path / "soup/config.json").read_text())
    assert config == {"model_type": "test", "torch_dtype": "bfloat16"}
    assert not (tmp_path / "soup/hf_quant_config.json").exists()
    result = json.loads((tmp_path / "soup/soce.json").read_text())["result"]
    assert sorted(result["left_out"]) == ["l.k_scale", "l.q.input_scale", "l.q.weight_scale"]
    assert result["counts"]["left_out"] == 3


def test_codes_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    data = bytes([0x38] * 30 + [0x7F] + [0x38] * 33)
    tensors = {"w": ("F8_E4M3", [8, 8], data), "w_scale": ("F32", [], f32(0.25))}
    path = checkpoint(tmp_path / "A", tensors, config=fp8.config(quant_method="fp8"))
    with pytest.raises(CheckpointError, match=r"1 of 64 values are not finite.*first at element 30"):
        soce.merge([str(path)], output=tmp_path / "soup", options=QUICK)


def test_a_soup_is_recomputed_from_codes(tmp_path: Path) -> None:
    paths = [blocks(tmp_path / name, seed, [50, 130]) for seed, name in enumerate("AB")]
    for digests in ("tensors", "full"):
        target = tmp_path / digests
        options = replace(QUICK, digests=digests, num_threads=2, chunk_bytes=8192, dtype="float64")
        soce.merge(row(paths, [2, 3], 5), output=target, options=options)
        found = soce.verify(
            target, recompute=[str(path) for path in reversed(paths)] if digests == "full" else True
        )
        assert found.ok, found.findings
        assert found.checked["recomputed"] == 2
    scaled = read_directory(paths[0])[SCALE][2]
    shard = next(path for path in paths[0].glob("*.safetensors") if scaled in path.read_bytes())
    content = bytearray(shard.read_bytes())
    content[-2] ^= 1
    shard.write_bytes(content)
    found = soce.verify(tmp_path / "full", recompute=[str(path) for path in paths])
    assert any("holds other tensors than any ingredient" in finding.message for finding in found.findings)


def test_many_recipes_share_one_pass_and_a_run_goes_on(tmp_path: Path) -> None:
    paths = [blocks(tmp_path / name, seed, [50, 140]) for seed, name in enumerate("AB")]
    mixes = {"a": [1, 3], "b": [2, 2], "c": [4, 0]}
    recipes = {name: row(paths, parts, 4) for name, parts in mixes.items()}
    soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)
    for name, parts in mixes.items():
        used = [(("F64", exact(path)), part) for path, part in zip(paths, parts, strict=True) if part]
        expected = reference.soup([data for data, _ in used], [part for _, part in used], 4, "BF16")
        assert read_directory(tmp_path / "soups" / name)[NAME][2] == expected
    again = soce.merge(recipes["a"], output=tmp_path / "soups/a", options=QUICK)
    assert json.loads(again.json)["complete_before"] == [str(tmp_path / "soups/a")]


def test_an_interrupted_merge_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    paths = []
    for seed, name in enumerate("AB"):
        random_, files = random.Random(seed), []
        for layer, lines in enumerate((50, 50, 60_000)):  # the last takes long enough to be interrupted
            found, width = fp8.codes(random_, [50, 512]), 512
            scales = fp8.scales(random_, [-(-lines // BLOCK[0]), -(-width // BLOCK[1])])
            data = found[2] * (lines // 50)
            weight = f"model.layers.{layer}.up.weight"
            files.append({weight: (found[0], [lines, width], data), f"{weight}_scale_inv": scales})
        paths.append(str(checkpoint(tmp_path / name, *files, config=BLOCKS)))
    options = replace(QUICK, num_threads=1, kernels="scalar", max_shard_size=100_000)

    def interrupt(done: int, total: int) -> None:
        if done > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soce.merge(paths, output=tmp_path / "soup", options=options, on_progress=interrupt)
    assert not (tmp_path / "soup").exists()
    assert soce.merge(paths, output=tmp_path / "soup", options=options).reused_shards == 2
    assert soce.merge(paths, output=tmp_path / "fresh", options=options).reused_shards == 0
    assert shards(tmp_path / "soup") == shards(tmp_path / "fresh")
    assert soce.verify(tmp_path / "soup", recompute=paths).ok


def test_the_mixer_gives_the_bytes_of_the_soup(tmp_path: Path) -> None:
    paths = [blocks(tmp_path / name, seed, [50, 140]) for seed, name in enumerate("AB")]
    soce.merge(row(paths, [1, 2], 3), output=tmp_path / "soup", options=QUICK)
    mixer = soce.Mixer([str(path) for path in paths])
    assert {name: dtype for name, dtype, _ in mixer.tensors()} == {NAME: "BF16", "model.norm.weight": "BF16"}
    expected = read_directory(tmp_path / "soup")[NAME][2]
    out = bytearray(len(expected))
    mixer.mix(NAME, [1, 2], 3, out)
    assert out == expected
    part = bytearray(2 * 500)
    mixer.mix(NAME, [1, 2], 3, part, start=139)
    assert part == expected[2 * 139 : 2 * 639]


# ---- refusals


def refused(home: Path, tensors: dict, config: dict | None = None, match: str = "") -> None:
    """Expect one problem with these words."""
    path = checkpoint(home / "A", tensors, config=config or fp8.config(quant_method="fp8"))
    with pytest.raises(UnsupportedDtypeError, match=match) as caught:
        soce.merge([str(path)], output=home / "soup")
    assert len(caught.value.problems) == 1, caught.value.problems


def test_what_is_not_understood_is_refused_in_one_line(tmp_path: Path) -> None:
    codes = ("F8_E4M3", [256, 256], bytes(65536))
    one = ("F32", [], f32(1.0))
    cases = [
        (
            {"w": codes},
            {"model_type": "t"},
            "holds scaled codes, but there is no `w_scale_inv` and no `w_scale`",
        ),
        (
            {"w": codes, "w_scale": ("F64", [], bytes(8))},
            None,
            "expected scales of F32, F16, BF16 or F8_E8M0, got F64",
        ),
        ({"w": codes, "w_scale": ("U8", [256, 8], bytes(2048))}, None, "F8_E8M0, got U8"),
        (
            {"w": codes, "w_scale_inv": ("F32", [2, 2], bytes(16))},
            None,
            "config.json names no size of blocks",
        ),
        ({"w": codes, "w_scale_inv": ("F32", [2, 3], bytes(24))}, BLOCKS, "do not fit .* blocks of 24x40"),
        ({"w": codes, "w_scale": one, "v.weight_zero_point": one}, None, "compressed-tensors"),
        ({"w": codes, "w_scale": one}, fp8.config(quant_method="gptq"), r"\(gptq\): only FP8 of"),
        (
            {"w": codes, "w_scale": one},
            fp8.config(quant_method="compressed-tensors", transform_config={"a": 1}),
            "weights are transformed",
        ),
        ({"x.weight": ("I8", [1], b"\1"), "x.weight_scale": one}, {"model_type": "t"}, "compressed-tensors"),
    ]
    for number, (tensors, config, match) in enumerate(cases):
        refused(tmp_path / str(number), tensors, config, match)


def test_what_is_computed_is_not_taken_byte_for_byte(tmp_path: Path) -> None:
    paths = [str(blocks(tmp_path / name, seed, [30, 50])) for seed, name in enumerate("AB")]
    options = replace(QUICK, take={NAME: paths[0]})
    with pytest.raises(RecipeError, match="cannot be taken byte for byte: it is F8_E4M3 codes"):
        soce.merge(paths, output=tmp_path / "soup", options=options)


def test_codes_that_are_left_out_need_no_scales(tmp_path: Path) -> None:
    tensors = {"mtp.w": ("F8_E4M3", [2], bytes(2)), "w": ("F32", [1], f32(1))}
    path = checkpoint(tmp_path / "A", tensors)
    soce.merge([str(path)], output=tmp_path / "soup", options=replace(QUICK, leave_out=["mtp.*"]))
    assert list(read_directory(tmp_path / "soup")) == ["w"]


def test_memory_counts_what_is_computed(tmp_path: Path) -> None:
    path = blocks(tmp_path / "A", 1, [30, 50])
    plain = dequantised(tmp_path / "B", path)
    counted = [soce.plan([str(p)], output=tmp_path / "soup").data["memory_bytes"] for p in (path, plain)]
    assert counted[0] > counted[1]
    assert struct.calcsize("d") == 8
