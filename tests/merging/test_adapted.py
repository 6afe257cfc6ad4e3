"""A base with an adapter on top: W + s·B·A of every element, exactly, and one rounding of the mean."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import adapted, fp8, reference
from tests.adapted import Adapter, fractions, updated
from tests.checkpoints import checkpoint, f32, read_directory, shards
from tests.merging.test_exactness import KERNELS
from tests.merging.test_ranges import Ranges

import soce
import soce._core as _core
from soce import MergeOptions
from soce.adapters.on_base import Change
from soce.exceptions import CheckpointError, IncompatibleError, OutputError, RecipeError
from soce.merging.manifest import manifest_schema
from soce.remote.located import ServedShard

NAME = "model.up.weight"
PLANNING: _core.Planning = {
    "dtype": None,
    "max_shard_size": None,
    "config_from": 0,
    "overwrite": False,
    "allow_different_tokenizers": False,
    "allow_different_configs": False,
    "copy_code": None,
    "follow_links": False,
    "ignore_unreferenced": False,
    "leave_out": [],
    "take": [],
    "makes_parent": False,
    "skip_space_check": False,
    "remarks": [],
}


def options(**changed) -> MergeOptions:
    return MergeOptions(**{"sync": False, "digests": "full", **changed})


def merge(
    paths: list[Path],
    parts: list[int],
    output: Path,
    adapters: list[Change],
    how: MergeOptions | None = None,
    **planning,
) -> dict:
    rows = [(str(output), [("*", parts, sum(parts))])]
    made = _core.plan([str(path) for path in paths], rows, PLANNING | {"adapters": adapters} | planning)
    text = made.execute(how or options(), recipe_texts=[], run_info="{}", on_progress=None)
    return json.loads(text) | {"plan": json.loads(made.to_json(kernels=None))}


def base(path: Path, seed: int, shape: list[int], dtype: str = "BF16") -> Path:
    random_ = random.Random(seed)
    tensors = {NAME: adapted.floats(random_, shape, dtype), "model.norm.weight": ("F32", [2], f32(1, 2))}
    return checkpoint(path, tensors)


def adapter(
    path: Path, seed: int, shape: list[int], rank: int, scale: float = 2.0, dtype: str = "F32"
) -> Adapter:
    random_ = random.Random(seed)
    made = Adapter(path / "adapter_model.safetensors")
    lines, columns = shape
    a, b = ([rank, columns], [lines, rank])
    made.add(NAME, adapted.floats(random_, a, dtype), adapted.floats(random_, b, dtype), scale)
    return made.write()


def values(path: Path, on: Adapter | None = None) -> list[Fraction]:
    weight = read_directory(path)[NAME]
    if on is None:
        return fractions(weight)
    a, b = (on.tensors[f"{NAME}.lora_{letter}"] for letter in "AB")
    return updated(weight, a, b, on.changes[0].get("scale", 0.0))


# ---- values


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("out", ["bfloat16", "float16", "float32", "float64"])
def test_the_mean_is_the_exact_one_rounded_once(tmp_path: Path, kernels: str, out: str) -> None:
    shape = [19, 70]
    paths = [base(tmp_path / name, seed, shape) for seed, name in enumerate("AB")]
    on = adapter(tmp_path / "lora", 7, shape, 5, scale=16 / 12)
    dtype = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}[out]
    merge(paths, [2, 3], tmp_path / "soup", on.on(1), options(kernels=kernels), dtype=dtype)
    expected = adapted.mean([values(paths[0]), values(paths[1], on)], [2, 3], dtype)
    assert read_directory(tmp_path / "soup")[NAME] == (dtype, shape, expected)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_any_shape_and_recipe_is_exact(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    home = tmp_path_factory.mktemp("adapted")
    lines, columns, rank = data.draw(st.tuples(*[st.integers(1, 40)] * 2, st.integers(1, 9)))
    inputs, paths, adapters = [], [], []
    for i in range(data.draw(st.integers(1, 3))):
        random_ = random.Random(data.draw(st.integers(0, 1000)))
        dtype = data.draw(st.sampled_from(["BF16", "F16", "F32"]))
        spread = 1 if data.draw(st.booleans()) else 9  # near enough for ties, or not
        weight = adapted.floats(random_, [lines, columns], dtype, spread, zeros=0.1)
        paths.append(checkpoint(home / str(i), {NAME: weight}))
        if not data.draw(st.booleans()):
            inputs.append(fractions(weight))
            continue
        transposed = data.draw(st.booleans())
        kind = data.draw(st.sampled_from(adapted.FACTORS))
        down, across = (columns, lines) if transposed else (lines, columns)
        # Zeros, and powers of two, make exact ties likely.
        a = adapted.floats(
            random_, [rank, across], kind, spread, zeros=data.draw(st.sampled_from([0.2, 0.95]))
        )
        b = adapted.floats(random_, [down, rank], kind, spread, zeros=0.2)
        scale = data.draw(st.sampled_from([0.0, 1.0, -2.0, 2.0**-100, 0.1, 16 / 3, 2.0**60]))
        on = Adapter(home / f"lora{i}" / "adapter_model.safetensors")
        on.add(NAME, a, b, scale, transposed)
        adapters += on.write().on(i)
        inputs.append(updated(weight, a, b, scale, transposed))
    parts = [data.draw(st.integers(1, 9)) for _ in paths]
    out = data.draw(st.sampled_from(["BF16", "F16", "F32", "F64"]))
    how = options(
        kernels=data.draw(st.sampled_from(KERNELS)),
        chunk_bytes=data.draw(st.sampled_from([4096, 8192, 65536])),
        num_threads=data.draw(st.integers(1, 3)),
        io=data.draw(st.sampled_from(["mmap", "pread"])),
        nonfinite="warn",  # a scale of 2^60 is too much for F16
    )
    merge(paths, parts, home / "soup", adapters, how, dtype=out)
    got = read_directory(home / "soup")[NAME][2]
    signless = ~reference.sign(out)
    expected = reference.unpack(adapted.mean(inputs, parts, out), out)
    # A sum that is exactly zero may have the sign of what went in; one that is only too small has its own.
    pairs = zip(reference.unpack(got, out), expected, strict=True)
    assert [one if other or one & signless else 0 for one, other in pairs] == list(expected)


def test_a_sum_that_cancels_leaves_what_is_exact(tmp_path: Path) -> None:
    # 1 + 2^-30 - 1, and the least that a term can be beside the largest.
    weight = ("F32", [1, 3], f32(-1.0, 0.0, -0.0))
    a = ("F32", [2, 3], f32(1.0, 2.0**100, 0.0, 2.0**-30, 2.0**-149, 0.0))
    b = ("F32", [1, 2], f32(1.0, 1.0))
    path = checkpoint(tmp_path / "A", {NAME: weight})
    on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
    on.add(NAME, a, b, 1.0)
    merge([path], [1], tmp_path / "soup", on.write().on(0), dtype="F64")
    got = read_directory(tmp_path / "soup")[NAME][2]
    # What nothing is added to stays as it is, sign of zero included.
    expected = [2.0**-30, 2.0**100, -0.0]
    assert got == struct.pack("<3d", *expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_ranks_and_sizes_beyond_a_tile_are_exact(tmp_path: Path, transposed: bool) -> None:
    # 600 ranks leave 54 columns and lines to a tile.
    shape, rank, random_ = [2, 200], 600, random.Random(1)
    across, down = (shape[0], shape[1]) if transposed else (shape[1], shape[0])
    weight = adapted.floats(random_, shape, "BF16")
    a = adapted.floats(random_, [rank, across], "BF16", zeros=0.9)
    b = adapted.floats(random_, [down, rank], "F16", zeros=0.5)
    path = checkpoint(tmp_path / "A", {NAME: weight})
    on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
    on.add(NAME, a, b, 0.3, transposed)
    expected = adapted.mean([updated(weight, a, b, 0.3, transposed)], [1], "BF16")
    for io in ("mmap", "pread"):
        how = options(chunk_bytes=4096, num_threads=2, io=io)
        merge([path], [1], tmp_path / io, on.write().on(0), how)
        assert read_directory(tmp_path / io)[NAME][2] == expected


def test_the_base_and_two_adapters_of_it_are_three_ingredients(tmp_path: Path) -> None:
    shape = [8, 30]
    path = base(tmp_path / "A", 1, shape)
    ons = [adapter(tmp_path / f"lora{i}", i, shape, 3) for i in range(2)]
    merge([path] * 3, [1, 2, 4], tmp_path / "soup", [*ons[0].on(1), *ons[1].on(2)])
    inputs = [values(path), *(values(path, on) for on in ons)]
    assert read_directory(tmp_path / "soup")[NAME][2] == adapted.mean(inputs, [1, 2, 4], "BF16")
    merge([path] * 3, [4, 2, 1], tmp_path / "again", [*ons[1].on(0), *ons[0].on(1)])
    assert read_directory(tmp_path / "again") == read_directory(tmp_path / "soup")


def test_convolutions_replacements_and_codes_are_weights_like_any(tmp_path: Path) -> None:
    random_ = random.Random(3)
    codes, scales = fp8.codes(random_, [6, 8]), fp8.scales(random_, [6, 1])
    tensors = {
        "conv": adapted.floats(random_, [4, 3, 2, 2], "BF16"),
        "head": adapted.floats(random_, [5, 4], "BF16"),
        "x.weight": codes,
        "x.weight_scale": scales,
        "norm": ("F32", [1], f32(1)),
    }
    path = checkpoint(tmp_path / "A", tensors, config=fp8.config(quant_method="compressed-tensors"))
    on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
    conv = adapted.floats(random_, [2, 3, 2, 2], "F32"), adapted.floats(random_, [4, 2, 1, 1], "F32")
    head = adapted.floats(random_, [2, 4], "F32"), adapted.floats(random_, [5, 2], "F32")
    code = adapted.floats(random_, [2, 8], "F32"), adapted.floats(random_, [6, 2], "F32")
    saved = adapted.floats(random_, [5, 4], "F32")
    on.add("conv", *conv, 2.0)
    on.add("head", *head, 2.0)
    on.add("x.weight", *code, 2.0)
    on.replace("head", saved)
    told = merge([path, path], [1, 1], tmp_path / "soup", on.write().on(1))["plan"]
    got = read_directory(tmp_path / "soup")
    numbers = ("F64", [6, 8], fp8.values(codes, scales, [1, 8]))
    expected = {
        "conv": [fractions(tensors["conv"]), updated(tensors["conv"], *conv, 2.0)],
        "head": [fractions(tensors["head"]), updated(saved, *head, 2.0)],
        "x.weight": [fractions(numbers), updated(numbers, *code, 2.0)],
    }
    for name, inputs in expected.items():
        assert got[name] == ("BF16", tensors[name][1], adapted.mean(inputs, [1, 1], "BF16"))
    assert [entry["adapted"] for entry in told["ingredients"]] == [0, 3]
    assert told["ingredients"][1]["path"] == f"{path}+{on.path.parent}"
    assert not any(
        "W + s·B·A" in text for text in told["warnings"]
    )  # as everybody who names an adapter wants


def test_the_mixer_gives_the_bytes_of_the_soup(tmp_path: Path) -> None:
    shape = [40, 300]
    paths = [base(tmp_path / name, seed, shape) for seed, name in enumerate("AB")]
    on = adapter(tmp_path / "lora", 7, shape, 4)
    merge(paths, [1, 2], tmp_path / "soup", on.on(0))
    expected = read_directory(tmp_path / "soup")[NAME][2]
    mixer = _core.Mixer([str(path) for path in paths], adapters=on.on(0))
    out = bytearray(len(expected))
    mixer.mix(NAME, [1, 2], 3, out)
    assert out == expected
    part = bytearray(2 * 999)
    mixer.mix(NAME, [1, 2], 3, part, start=137)
    assert part == expected[2 * 137 : 2 * 1136]


def test_factors_that_are_no_numbers_are_counted_as_what_they_make(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "A", {NAME: ("F32", [2, 2], f32(1, 2, 3, 4))})
    on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
    on.add(NAME, ("F32", [1, 2], f32(float("inf"), 1)), ("F32", [2, 1], f32(0, -1)), 1.0)
    with pytest.raises(
        CheckpointError, match=r"2 of 4 values are not finite \(1 NaN, 0 \+inf, 1 -inf\), the first at"
    ):
        merge([path], [1], tmp_path / "soup", on.write().on(0))
    merge([path], [1], tmp_path / "soup", on.on(0), options(nonfinite="warn"))
    got = reference.unpack(read_directory(tmp_path / "soup")[NAME][2], "F32")
    minus = reference.infinity("F32") | reference.sign("F32")
    assert got == (
        reference.canonical_nan("F32"),
        *reference.unpack(f32(2), "F32"),
        minus,
        *reference.unpack(f32(3), "F32"),
    )


# ---- what is recorded, and computed again


def verified(output: Path, paths: list[Path], adapters: list[Change]) -> dict:
    asked: _core.Verifying = {
        "quick": False,
        "recompute": [str(path) for path in paths],
        "num_threads": 2,
        "io": "auto",
        "follow_links": False,
        "adapters": adapters,
    }
    return json.loads(_core.verify(str(output), asked, on_progress=None))


@pytest.mark.parametrize("digests", ["tensors", "full"])
def test_a_soup_is_computed_again_from_base_and_adapters(tmp_path: Path, digests: str) -> None:
    shape = [16, 300]
    path = base(tmp_path / "A", 1, shape)
    ons = [adapter(tmp_path / f"lora{i}", i, shape, 3, scale=1.1) for i in range(2)]
    ons[1].replace("model.norm.weight", ("F32", [2], f32(3, 5)))
    ons[1].write()
    merge([path] * 3, [1, 2, 4], tmp_path / "soup", [*ons[0].on(1), *ons[1].on(2)], options(digests=digests))
    found = verified(tmp_path / "soup", [path] * 3, [*ons[0].on(1), *ons[1].on(2)])
    assert found["findings"] == []
    assert found["checked"]["recomputed"] == 2
    if digests == "full":  # then each is known by what it is, in any order
        found = verified(tmp_path / "soup", [path] * 3, [*ons[1].on(0), *ons[0].on(1)])
        assert found["findings"] == []
        assert found["checked"]["ingredient_contents"] == 3
        strange = "holds other tensors than any ingredient"
    else:
        strange = "as computed from the ingredients"
    for changed in (
        [*ons[0].on(1), *ons[0].on(2)],
        ons[0].on(1),
        [*ons[0].on(1), *scaled(ons[1], 1.2).on(2)],
    ):
        found = verified(tmp_path / "soup", [path] * 3, changed)
        assert any(strange in finding["message"] for finding in found["findings"]), changed


def scaled(on: Adapter, scale: float) -> Adapter:
    changes = [{**change, "scale": scale} if "scale" in change else change for change in on.changes]
    return Adapter(on.path, on.tensors, changes)


def test_a_manifest_tells_of_the_adapter(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3, scale=4 / 3)
    on.replace("model.norm.weight", ("F32", [2], f32(3, 5)))
    merge([path, path], [1, 1], tmp_path / "soup", on.write().on(1))
    manifest = json.loads((tmp_path / "soup/soce.json").read_text())
    jsonschema.Draft202012Validator(manifest_schema()).validate(manifest)
    plain, source = manifest["sources"]
    assert "adapter" not in plain
    assert source["adapter"] == {
        "file": on.path.name,
        "modules": 1,
        "replaced": 1,
        "scales": [repr(4 / 3)],
    }
    assert [shard["name"] for shard in source["shards"]] == ["model.safetensors", on.path.name]
    assert source["shards"][1]["size"] == on.path.stat().st_size
    assert plain["content"] != source["content"]
    assert manifest["run"]["ingredients"] == [str(path), f"{path}+{on.path.parent}"]
    assert manifest["result"]["counts"] == {"averaged": 2, "copied": 0, "refused": 0, "tied": 0}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve what is written to the folder `there`."""
    Ranges.folder, Ranges.word, Ranges.delay = tmp_path / "there", "good", 0.0
    Ranges.is_waited_for, Ranges.redirected, Ranges.is_closed = threading.Event(), [], False
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_base_of_a_server_is_read_with_an_adapter_here(tmp_path: Path, address: str) -> None:
    folder = tmp_path / "there/d"
    path = base(folder, 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    here = tmp_path / "here/d"
    here.mkdir(parents=True)
    (here / "config.json").write_bytes((folder / "config.json").read_bytes())
    served: ServedShard = {
        "root": str(here),
        "name": "model.safetensors",
        "url": f"{address}/good/d/model.safetensors",
        "size": (folder / "model.safetensors").stat().st_size,
        "etag": None,
        "identity": "1",
    }
    merge([path] * 2, [1, 3], tmp_path / "local", on.on(1))
    told = merge([here] * 2, [1, 3], tmp_path / "soup", on.on(1), remote=[served])
    assert shards(tmp_path / "soup") == shards(tmp_path / "local")
    assert told["plan"]["bytes_to_fetch"] == 2 * (2 * 8 * 30 + 8)
    mixer = _core.Mixer([str(here)] * 2, adapters=on.on(1), remote=[served])
    out = bytearray(2 * 8 * 30)
    mixer.mix(NAME, [1, 3], 4, out)
    assert out == read_directory(tmp_path / "local")[NAME][2]


# ---- files that change, and runs that stop


def test_an_adapter_that_changes_stops_the_merge(tmp_path: Path) -> None:
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    rows = [(str(tmp_path / "soup"), [("*", [1], 1)])]
    planned = _core.plan([str(path)], rows, PLANNING | {"adapters": on.on(0)})
    os.utime(on.path, ns=(1, 1))
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors.*changed since it was opened"):
        planned.execute(options(), recipe_texts=[], run_info="{}", on_progress=None)
    assert not (tmp_path / "soup").exists()


def test_a_soup_is_that_of_its_adapter_and_scale(tmp_path: Path) -> None:
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    merge([path, path], [1, 1], tmp_path / "soup", on.on(0))
    again = merge([path, path], [1, 1], tmp_path / "soup", on.on(0))
    assert again["complete_before"] == [str(tmp_path / "soup")]
    on.changes[0]["scale"] = 3.0
    with pytest.raises(soce.exceptions.SoceError, match="exists"):
        merge([path, path], [1, 1], tmp_path / "soup", on.on(0))


def test_a_run_goes_on_with_the_same_adapter_and_no_other(tmp_path: Path) -> None:
    random_ = random.Random(1)
    files = [{f"w{i}": adapted.floats(random_, [8, 30], "F32")} for i in range(2)]
    path = checkpoint(tmp_path / "A", *files, {"x": ("F32", [1], f32(float("inf")))})
    on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
    for i in range(2):
        a, b = adapted.floats(random_, [2, 30], "F32"), adapted.floats(random_, [8, 2], "F32")
        on.add(f"w{i}", a, b, 2.0)
    soup, one = tmp_path / "soup", options(num_threads=1)
    with pytest.raises(CheckpointError, match="not finite"):
        merge([path] * 2, [1, 1], soup, on.write().on(0), one)
    for changed, words in [(scaled(on, 3.0), "`derived"), (scaled(on, 2.0), "")]:
        if words:
            with pytest.raises(OutputError, match="of another plan is unfinished.*" + words):
                merge([path] * 2, [1, 1], soup, changed.on(0), one)
        else:
            report = merge([path] * 2, [1, 1], soup, changed.on(0), options(nonfinite="warn"))
    assert report["reused_shards"] == 2
    merge([path] * 2, [1, 1], tmp_path / "fresh", on.on(0), options(nonfinite="warn"))
    assert shards(soup) == shards(tmp_path / "fresh")


def test_a_mixer_refuses_an_adapter_that_changed(tmp_path: Path) -> None:
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    mixer = _core.Mixer([str(path)], adapters=on.on(0))
    out = bytearray(2 * 8 * 30)
    mixer.mix(NAME, [1], 1, out)
    for change in (lambda: os.utime(on.path, ns=(1, 1)), lambda: os.truncate(on.path, 100)):
        change()
        with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
            mixer.mix(NAME, [1], 1, out)


def test_memory_does_not_grow_with_an_adapter(tmp_path: Path) -> None:
    small, large = (peak(tmp_path / str(rank), rank) for rank in (1, 512))
    assert large - small < 8 << 20, "of factors that have 42 MB"


def peak(home: Path, rank: int) -> int:
    """Return by how many bytes a merge that maps nothing makes a process grow."""
    lines, columns = 20_000, 400
    path = checkpoint(home / "A", {NAME: ("BF16", [lines, columns], bytes(2 * lines * columns))})
    on = Adapter(home / "lora" / "adapter_model.safetensors")
    a, b = (
        ("F32", [rank, columns], bytes(4 * rank * columns)),
        ("F32", [lines, rank], bytes(4 * lines * rank)),
    )
    on.add(NAME, a, b, 1.0)
    on.write()
    code = f"""
import resource
import soce._core as core
from soce import MergeOptions
rows = [({str(home / "soup")!r}, [("*", [1], 1)])]
plan = core.plan([{str(path)!r}], rows, {PLANNING | {"adapters": on.on(0)}!r})
options = MergeOptions(sync=False, num_threads=2, io="pread")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plan.execute(options, recipe_texts=[], run_info="{{}}", on_progress=None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    return int(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )


# ---- refusals


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    tensors = {
        NAME: ("F32", [2, 3], f32(*range(6))),
        "ids": ("I64", [2, 3], bytes(48)),
    }
    path = checkpoint(tmp_path / "A", tensors)
    a, b = ("F32", [1, 3], f32(1, 2, 3)), ("F32", [2, 1], f32(1, 2))
    cases = [
        ({"name": "other"}, "the base lacks it"),
        ({"name": "ids"}, "is I64, to which no adapter can add"),
        ({"a": ("F32", [1, 2], f32(1, 2))}, r"factors of shapes \[1, 2\] and \[2, 1\] do not fit \[2, 3\]"),
        ({"b": ("F32", [2, 2], f32(1, 2, 3, 4))}, "do not fit"),
        ({"transposed": True}, "do not fit"),
        ({"a": ("F64", [1, 3], bytes(24))}, "in F32, F16 or BF16, got F64"),
        ({"scale": 2.0**101}, "expected a scale"),
        ({"scale": float("nan")}, "expected a scale"),
        ({"a": ("F32", [0, 3], b""), "b": ("F32", [2, 0], b"")}, "expected a rank from 1 to 4096, got 0"),
    ]
    for number, (changed, match) in enumerate(cases):
        on = Adapter(tmp_path / str(number) / "adapter_model.safetensors")
        on.add(**{"name": NAME, "a": a, "b": b, "scale": 1.0, **changed})
        with pytest.raises(IncompatibleError, match=match) as caught:
            merge([path], [1], tmp_path / "soup", on.write().on(0))
        assert len(caught.value.problems) == 1, caught.value.problems
        assert str(on.path) in str(caught.value)
    on.tensors = {}
    with pytest.raises(IncompatibleError, match="in the adapter, got no such tensor"):
        merge([path], [1], tmp_path / "soup", on.write().on(0))
    for replacement, match in [
        (("F32", [3, 2], f32(*range(6))), r"expected a replacement of shape \[2, 3\], got \[3, 2\]"),
        (("I64", [2, 3], bytes(48)), "F32 is replaced by I64"),
    ]:
        on = Adapter(tmp_path / "lora" / "adapter_model.safetensors")
        on.replace(NAME, replacement)
        with pytest.raises(IncompatibleError, match=match):
            merge([path], [1], tmp_path / "soup", on.write().on(0))
    on.path.unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        merge([path], [1], tmp_path / "soup", on.on(0))


def test_what_is_changed_is_not_taken_byte_for_byte(tmp_path: Path) -> None:
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    with pytest.raises(RecipeError, match="cannot be taken byte for byte: an adapter changes it"):
        merge([path, path], [1, 1], tmp_path / "soup", on.on(0), take=[(NAME, 0)])


def test_memory_counts_what_is_computed(tmp_path: Path) -> None:
    path = base(tmp_path / "A", 1, [8, 30])
    on = adapter(tmp_path / "lora", 2, [8, 30], 3)
    rows = [(str(tmp_path / "soup"), [("*", [1], 1)])]
    counted = [
        json.loads(_core.plan([str(path)], rows, PLANNING | {"adapters": adapters}).to_json(kernels=None))
        for adapters in ([], on.on(0))
    ]
    assert counted[1]["memory_bytes"] > counted[0]["memory_bytes"]
    assert counted[1]["bytes_read"] > counted[0]["bytes_read"]
