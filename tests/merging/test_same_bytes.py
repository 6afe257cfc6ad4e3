"""Nothing but recipe, tensors and layout decides a byte: not order, threads, chunks, reader, kernels or the caller."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from tests import reference
from tests.checkpoints import Tensors, checkpoint, read_directory, row, shards
from tests.merging.test_exactness import KERNELS, bits_like

import soce
from soce.exceptions import RecipeError
from soce.merging.report import MergeReport

PARTS = (5, 2, 3, 1)
QUICK = soce.MergeOptions(sync=False)


def floats(dtype: str, seed: int, *shape: int) -> tuple[str, list[int], bytes]:
    count = 1
    for size in shape:
        count *= size
    return (
        dtype,
        list(shape),
        reference.pack(bits_like(dtype, seed, count, "finite" if seed % 2 else "near"), dtype),
    )


def ingredient(path: Path, seed: int, dtypes: tuple[str, ...] = ("BF16", "F16", "F32", "F64")) -> Path:
    """Write three shards: unaligned, empty and scalar tensors, integers, and tensors of many chunks."""
    half, other, single, double = dtypes
    first: Tensors = {
        "odd": ("U8", [3], b"abc"),
        "bf16.unaligned": floats(half, seed, 70_001),
        "flags": ("BOOL", [5], bytes([1, 0, 1, 1, 0])),
        "f32.unaligned": floats(single, seed + 10, 33, 1001),
    }
    second: Tensors = {
        "empty": (single, [0, 7], b""),
        "scalar": floats(double, seed + 20),
        "f16": floats(other, seed + 30, 257, 129),
        "position_ids": ("I64", [1, 4], bytes(range(32))),
    }
    return checkpoint(
        path, first, second, {"f64": floats(double, seed + 40, 3001), "one": floats(half, seed + 50, 1)}
    )


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("four")
    return [ingredient(home / name, seed) for seed, name in enumerate("ABCD")]


@pytest.fixture(scope="module")
def right(four: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the shards of one merge, after its tensors were compared with the reference."""
    soup = tmp_path_factory.mktemp("right") / "soup"
    soce.merge(
        dict(zip(map(str, four), PARTS, strict=True)),
        output=soup,
        options=replace(QUICK, num_threads=1, io="pread"),
    )
    inputs = [read_directory(path) for path in four]
    for name, (dtype, shape, data) in read_directory(soup).items():
        if dtype in reference.FORMATS:
            tensors = [tensors[name] for tensors in inputs]
            correct = reference.soup([(d, bytes_) for d, _, bytes_ in tensors], PARTS, sum(PARTS))
            assert (shape, data) == (tensors[0][1], correct), name
        else:
            assert (dtype, shape, data) == inputs[0][name]
    return shards(soup)


def merged(paths: list[Path], output: Path, **options: object) -> MergeReport:
    return soce.merge(
        dict(zip(map(str, paths), PARTS, strict=True)), output=output, options=replace(QUICK, **options)
    )


@pytest.mark.parametrize("io", ["mmap", "pread", "auto"])
@pytest.mark.parametrize("threads", range(1, 9))
def test_threads_and_readers_change_no_byte(four, right, tmp_path: Path, threads: int, io: str) -> None:
    report = merged(four, tmp_path / "soup", num_threads=threads, io=io)
    assert report.num_threads == threads
    assert shards(tmp_path / "soup") == right


@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("chunk", [1 << power for power in range(12, 23)])
def test_chunk_sizes_change_no_byte(four, right, tmp_path: Path, chunk: int, io: str) -> None:
    report = merged(four, tmp_path / "soup", chunk_bytes=chunk, io=io, num_threads=3, digests="tensors")
    assert shards(tmp_path / "soup") == right
    again = merged(four, tmp_path / "again", digests="tensors", num_threads=1)
    assert report.result_digests == again.result_digests


@pytest.mark.parametrize("cache", ["keep", "drop", "auto"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_kernel_sets_and_caches_change_no_byte(four, right, tmp_path: Path, kernels: str, cache: str) -> None:
    assert merged(four, tmp_path / "soup", kernels=kernels, cache=cache, sync=True).kernels == kernels
    assert shards(tmp_path / "soup") == right


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_environment_names_the_kernel_set(
    four, right, tmp_path: Path, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCE_KERNELS", kernels)
    assert merged(four, tmp_path / "soup").kernels == kernels
    assert shards(tmp_path / "soup") == right
    assert soce.verify(tmp_path / "soup", recompute=four).ok
    assert merged(four, tmp_path / "fastest", kernels="auto").kernels == KERNELS[-1]
    mixer = soce.Mixer([str(path) for path in four])
    name, (_, _, data) = next(iter(read_directory(tmp_path / "soup").items()))
    out = bytearray(len(data))
    mixer.mix(name, PARTS, sum(PARTS), out)
    assert out == data


def test_a_kernel_set_that_is_not_there_is_refused(
    four, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soup = tmp_path / "soup"
    merged(four, soup)
    monkeypatch.setenv("SOCE_KERNELS", "sse9")
    attempts = [
        lambda: merged(four, tmp_path / "other"),
        lambda: soce.verify(soup, recompute=four),
        lambda: soce.Mixer([str(path) for path in four]),
    ]
    for attempt in attempts:
        with pytest.raises(RecipeError, match="`SOCE_KERNELS`: no kernel set `sse9`") as caught:
            attempt()
        assert all(name in str(caught.value) for name in ["auto", *KERNELS])
    assert not (tmp_path / "other").exists()
    assert merged(four, tmp_path / "explicit", kernels="scalar").kernels == "scalar"


def test_every_order_of_the_ingredients_gives_the_same_shards(four, right, tmp_path: Path) -> None:
    weights = dict(zip(map(str, four), PARTS, strict=True))
    digests = set()
    for i, order in enumerate(permutations(weights)):
        report = soce.merge({path: weights[path] for path in order}, output=tmp_path / str(i), options=QUICK)
        assert shards(tmp_path / str(i)) == right, order
        digests.update(report.result_digests)
    assert len(digests) == 1


def test_every_order_of_ingredients_of_different_dtypes(tmp_path: Path) -> None:
    kinds = [("BF16", "F16", "F32", "F64"), ("F16", "F32", "BF16", "F64"), ("F32", "BF16", "F16", "F32")]
    paths = [ingredient(tmp_path / str(i), i, dtypes) for i, dtypes in enumerate(kinds)]
    inputs = [read_directory(path) for path in paths]
    options = replace(QUICK, nonfinite="warn")
    for out in reference.FORMATS:
        found = []
        for i, order in enumerate(permutations(range(3))):
            weights = {str(paths[k]): PARTS[k] for k in order}
            soce.merge(
                weights,
                output=tmp_path / f"{out}-{i}",
                options=replace(options, dtype=out, num_threads=2),
            )
            found.append(shards(tmp_path / f"{out}-{i}"))
        assert all(other == found[0] for other in found)
        tensors = read_directory(tmp_path / f"{out}-0")
        for name in ("bf16.unaligned", "f16", "scalar", "one"):
            columns = [(tensors_[name][0], tensors_[name][2]) for tensors_ in inputs]
            assert tensors[name][2] == reference.soup(columns, PARTS[:3], sum(PARTS[:3]), out)


def test_the_output_dtype_is_the_first_ingredients(tmp_path: Path) -> None:
    data = {"BF16": floats("BF16", 2, 9), "F32": floats("F32", 4, 9)}
    paths = [checkpoint(tmp_path / dtype, {"w": tensor}) for dtype, tensor in data.items()]
    for i, order in enumerate((paths, paths[::-1])):
        report = soce.merge([str(path) for path in order], output=tmp_path / f"soup{i}", options=QUICK)
        assert read_directory(tmp_path / f"soup{i}")["w"][0] == order[0].name
        assert any("another float dtype" in warning for warning in report.warnings)


def test_how_the_ingredients_are_sharded_changes_no_tensor(four, right, tmp_path: Path) -> None:
    whole = [checkpoint(tmp_path / path.name, read_directory(path)) for path in four]
    merged([four[0], *whole[1:]], tmp_path / "soup")
    assert shards(tmp_path / "soup") == right
    merged(whole, tmp_path / "one")
    merged(four, tmp_path / "cut", max_shard_size=50_000)
    recut = merged(whole, tmp_path / "whole-cut", max_shard_size=10**9)
    assert recut.counts == dict.fromkeys(recut.counts, 0) | {"averaged": 7, "copied": 3}
    merged(four, tmp_path / "right")
    tensors = read_directory(tmp_path / "right")
    for name in ("one", "cut", "whole-cut"):
        assert read_directory(tmp_path / name) == tensors


def test_copies_of_one_checkpoint_make_the_same_files(four, tmp_path: Path) -> None:
    copies = [ingredient(tmp_path / f"copy{i}", 3) for i in range(3)]
    report = soce.merge({str(path): part for path, part in zip(copies, (50, 20, 30), strict=True)}, output=tmp_path / "soup", options=QUICK)  # fmt: skip
    assert read_directory(tmp_path / "soup") == read_directory(copies[0])
    assert report.nonfinite == ()


def test_parts_are_proportions(four, tmp_path: Path) -> None:
    found = []
    for i, weights in enumerate(
        [(5, 2, 3, 0), ("0.5", "0.2", "0.3", "0"), (50, 20, 30, 0), ("1/2", "1/5", "3/10", 0)]
    ):
        soce.merge(dict(zip(map(str, four), weights, strict=True)), output=tmp_path / str(i), options=QUICK)
        found.append(shards(tmp_path / str(i)))
    assert all(other == found[0] for other in found)
    doubled = {str(four[0]): 2, f"{four[0]}/.": 3, str(four[1]): 2, str(four[2]): 3}
    soce.merge(doubled, output=tmp_path / "doubled", options=QUICK)
    assert shards(tmp_path / "doubled") == found[0]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_flush_to_zero_of_the_caller_changes_nothing(threads: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    tensors = {}
    for dtype in ("BF16", "F16", "F32", "F64"):
        columns = [bits_like(dtype, rng.randrange(1000), 2000, "tiny") for _ in range(3)]
        tensors[dtype] = [(dtype, reference.pack(column, dtype)) for column in columns]
    paths = [
        checkpoint(tmp_path / str(i), {d: (d, [2000], c[i][1]) for d, c in tensors.items()}) for i in range(3)
    ]
    correct = {dtype: reference.soup(columns, [1, 1, 1], 3) for dtype, columns in tensors.items()}
    assert torch.set_flush_denormal(True)
    try:
        assert (
            torch.tensor([1e-310], dtype=torch.float64).mul(1.0).item() == 0
        )  # subnormals really vanish here
        for kernels in KERNELS:
            soce.merge(
                row(paths, [1, 1, 1], 3),
                output=tmp_path / kernels,
                options=replace(QUICK, num_threads=threads, kernels=kernels),
            )
        mixer = soce.Mixer([str(path) for path in paths])
        for dtype in tensors:
            out = bytearray(len(correct[dtype]))
            mixer.mix(dtype, [1, 1, 1], 3, out, num_threads=threads)
            assert out == correct[dtype]
        assert (
            torch.tensor([1e-310], dtype=torch.float64).mul(1.0).item() == 0
        )  # and the caller keeps its mode
    finally:
        torch.set_flush_denormal(False)
    for kernels in KERNELS:
        found = read_directory(tmp_path / kernels)
        assert {dtype: found[dtype][2] for dtype in tensors} == correct


def test_the_environment_changes_no_byte(four, right, tmp_path: Path) -> None:
    weights = [f"{path}={part}" for path, part in zip(four, PARTS, strict=True)]
    hostile = {
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "1",
        "TZ": "Asia/Kathmandu",
    }
    code = "from soce.cli import main_merge; main_merge()"
    command = [sys.executable, "-c", code, *weights, "-o", str(tmp_path / "soup"), "--no-sync", "-q"]
    subprocess.run(command, env=os.environ | hostile, check=True)
    assert shards(tmp_path / "soup") == right
