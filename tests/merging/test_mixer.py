"""Tensors mixed straight into a caller's memory are the bytes of a merge."""

from __future__ import annotations

import array
import os
import struct
import threading
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import reference
from tests.checkpoints import checkpoint, read_directory
from tests.merging.test_many_recipes import DTYPES, QUICK, tensors

import soce
from soce._core import matches
from soce.exceptions import CheckpointError, RecipeError


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("three")
    return [checkpoint(home / name, tensors(seed)) for seed, name in enumerate("ABC")]


@pytest.fixture(scope="module")
def mixer(three: list[Path]) -> soce.Mixer:
    return soce.Mixer([str(path) for path in three])


@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("parts", [(5, 2, 3), (1, 1, 1), (0, 1, 0), (1, 0, 3)])
def test_a_mixer_gives_the_bytes_of_a_merge(
    three: list[Path], tmp_path: Path, io: str, parts: tuple[int, ...]
) -> None:
    soce.merge(dict(zip(map(str, three), parts, strict=True)), output=tmp_path / "soup", options=QUICK)
    soup = read_directory(tmp_path / "soup")
    mixer = soce.Mixer([str(path) for path in three], io=io)
    assert [(name, dtype, shape) for name, (dtype, shape, _) in soup.items()] == mixer.tensors()
    for name, (_, _, data) in soup.items():
        for threads in (None, 1, 5):
            out = bytearray(b"\xaa" * len(data))
            mixer.mix(name, parts, sum(parts), out, num_threads=threads)
            assert out == data


@given(st.data())
def test_any_mix_into_any_dtype(mixer: soce.Mixer, three: list[Path], data: st.DataObject) -> None:
    name, dtype, _ = data.draw(st.sampled_from([found for found in mixer.tensors() if found[0] != "ids"]))
    numerators = data.draw(st.lists(st.integers(-50, 50), min_size=3, max_size=3).filter(any))
    whole, out_dtype = data.draw(st.integers(1, 200)), data.draw(st.sampled_from(DTYPES))
    columns = [(dtype, read_directory(path)[name][2]) for path in three]
    correct = reference.soup(columns, numerators, whole, out_dtype)
    out = bytearray(len(correct))
    mixer.mix(name, numerators, whole, out, dtype=out_dtype)
    assert out == correct


def mean(three: list[Path], name: str) -> bytes:
    columns = [read_directory(path)[name] for path in three]
    return reference.soup([(dtype, data) for dtype, _, data in columns], (5, 2, 3), 10)


@pytest.mark.parametrize(
    ("dtype", "numpy"), [("F16", "<f2"), ("F32", "<f4"), ("F64", "<f8"), ("BF16", "<u2")]
)
def test_numpy_arrays_are_filled(mixer: soce.Mixer, three: list[Path], dtype: str, numpy: str) -> None:
    out = np.full((30, 100), 7, numpy)
    mixer.mix(f"layers.0.{dtype}.weight", (5, 2, 3), 10, out)
    assert out.tobytes() == mean(three, f"layers.0.{dtype}.weight")


@pytest.mark.parametrize(("dtype", "torch_name"), [("F16", "float16"), ("F32", "float32"), ("F64", "float64"), ("BF16", "bfloat16")])  # fmt: skip
def test_torch_tensors_are_filled(mixer: soce.Mixer, three: list[Path], dtype: str, torch_name: str) -> None:
    torch = pytest.importorskip("torch")
    name = f"layers.0.{dtype}.weight"
    out = torch.full((30, 100), 7, dtype=getattr(torch, torch_name))
    mixer.mix(name, (5, 2, 3), 10, out)
    assert out.view(torch.uint8).numpy().tobytes() == mean(three, name)
    whole = torch.zeros(90, 100, dtype=out.dtype)
    mixer.mix(name, (5, 2, 3), 10, whole[30:60])
    assert torch.equal(whole[30:60], out)
    assert not whole[:30].any()
    assert not whole[60:].any()
    parameter = torch.nn.Parameter(torch.zeros_like(out))
    mixer.mix(name, (5, 2, 3), 10, parameter.data)
    assert torch.equal(parameter, out)


@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_a_part_is_the_slice_of_the_whole(three: list[Path], io: str) -> None:
    mixer = soce.Mixer([str(path) for path in three], io=io)
    for name, size in (("layers.0.F32.weight", 4), ("layers.0.BF16.weight", 2), ("ids", 8)):
        whole = next(prod(shape) * size for found, _, shape in mixer.tensors() if found == name)
        correct = bytearray(whole)
        mixer.mix(name, (5, 2, 3), 10, correct)
        elements = whole // size
        for start, stop in ((0, elements), (0, 1), (1, elements), (elements - 1, elements), (2, 3), (3, 3)):
            out = bytearray(size * (stop - start))
            mixer.mix(name, (5, 2, 3), 10, out, start=start)
            assert out == correct[size * start : size * stop]
        nothing = bytearray()
        mixer.mix(name, (5, 2, 3), 10, nothing, start=elements)
    wide = np.zeros(10)
    mixer.mix("layers.0.BF16.weight", (0, 1, 0), 1, wide, dtype="F64", start=2990)
    values = reference.unpack(read_directory(three[1])["layers.0.BF16.weight"][2], "BF16")[-10:]
    assert list(wide) == [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in values]


@pytest.mark.parametrize(
    ("start", "size", "words"),
    [
        (3001, 0, "expected a start of at most 3000, got 3001"),
        (2999, 8, "expected a buffer of whole elements, at most 4 bytes from 2999 on, got 8"),
        (0, 12_004, "at most 12000 bytes from 0 on, got 12004"),
        (0, 5, "whole elements"),
        (1 << 63, 4, "expected a start of at most 3000"),
    ],
)
def test_a_part_beyond_the_tensor_is_refused(mixer: soce.Mixer, start: int, size: int, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        mixer.mix("layers.0.F32.weight", (5, 2, 3), 10, bytearray(size), start=start)
    with pytest.raises(OverflowError):
        mixer.mix("layers.0.F32.weight", (5, 2, 3), 10, bytearray(4), start=-1)


def test_half_floats_of_the_other_kind_are_refused(mixer: soce.Mixer, three: list[Path]) -> None:
    torch = pytest.importorskip("torch")
    for out, holds in ((torch.zeros(3000, dtype=torch.float16), "F16"), (np.zeros(3000, "<f2"), "F16")):
        with pytest.raises(RecipeError, match="expected a buffer of BF16, got one of F16") as caught:
            mixer.mix("layers.0.BF16.weight", (5, 2, 3), 10, out)
        assert caught.value.tensor == "layers.0.BF16.weight"
        mixer.mix("layers.0.BF16.weight", (5, 2, 3), 10, out, dtype=holds)
    out = torch.zeros(3000, dtype=torch.int16)
    mixer.mix("layers.0.BF16.weight", (5, 2, 3), 10, out)
    assert out.numpy().tobytes() == mean(three, "layers.0.BF16.weight")


def test_any_writable_buffer_will_do(mixer: soce.Mixer, three: list[Path]) -> None:
    name, correct = "layers.0.F32.weight", mean(three, "layers.0.F32.weight")
    for out in (bytearray(12_000), array.array("f", bytes(12_000)), memoryview(bytearray(12_000))):
        mixer.mix(name, (5, 2, 3), 10, out)
        assert bytes(out) == correct
    ids = bytearray(32)
    mixer.mix("ids", (5, 2, 3), 10, ids)
    assert ids == bytes(range(32))


def test_memory_that_does_not_fit_is_refused_and_untouched(mixer: soce.Mixer) -> None:
    torch = pytest.importorskip("torch")
    read_only = np.zeros(3000, "<f4")
    read_only.flags.writeable = False
    wrong = [
        (bytes(12_000), BufferError, "read-only"),
        (read_only, BufferError, "read-only"),
        (np.zeros((3000, 2), "<f4")[:, 0], BufferError, "not contiguous"),
        (np.zeros((30, 100), "<f4").T, BufferError, "not contiguous"),
        (torch.zeros(100, 30).T, BufferError, "not contiguous"),
        (torch.zeros(3000, 2)[:, 0], BufferError, "not contiguous"),
        (torch.zeros(3000, requires_grad=True), (BufferError, RuntimeError), "grad"),
        (bytearray(11_999), RecipeError, "expected a buffer of 12000 bytes, got 11999"),
        (np.zeros(3000, "<i8"), RecipeError, "expected a buffer of 12000 bytes, got 24000"),
        (np.zeros(1500, "<f8"), RecipeError, "expected a buffer of F32, got one of F64"),
        (
            torch.zeros(6000, dtype=torch.bfloat16),
            RecipeError,
            "expected a buffer of F32, got one of BF16",
        ),
        (np.zeros(3000, ">f4"), BufferError, "big-endian"),
        (torch.zeros(2999), RecipeError, "expected a buffer of 12000 bytes, got 11996"),
        (bytearray(), RecipeError, "got 0"),
        ([0.0] * 3000, TypeError, "writable buffer or DLPack"),
        (torch.zeros(3000, device="meta"), (BufferError, TypeError, ValueError), None),
    ]
    for out, error, words in wrong:
        with pytest.raises(error, match=words):
            mixer.mix("layers.0.F32.weight", (5, 2, 3), 10, out)
        if isinstance(out, torch.Tensor):
            assert out.is_meta or not out.detach().any()
        else:
            assert not np.asarray(out).any() or not any(out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none", (1, 1, 1), 3), "not a tensor"),
        (("layers.0.F32.weight", (1, 1), 2), "expected 3 numerators, got 2"),
        (("layers.0.F32.weight", (0, 0, 0), 1), "zero"),
        (("layers.0.F32.weight", (1, 1, 1), 0), "zero"),
        (("layers.0.F32.weight", (1 << 20, 1, 0), 3), "parts"),
    ],
)
def test_wrong_mixes_are_refused(mixer: soce.Mixer, arguments: tuple, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        mixer.mix(*arguments, bytearray(12_000))


def test_one_mixer_serves_many_threads(mixer: soce.Mixer, three: list[Path]) -> None:
    name, correct, wrong = "layers.0.F64.weight", mean(three, "layers.0.F64.weight"), []

    def work() -> None:
        for _ in range(50):
            out = bytearray(len(correct))
            mixer.mix(name, (5, 2, 3), 10, out, num_threads=2)
            if out != correct:
                wrong.append(bytes(out))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


CHANGES = {
    "cut": lambda file, content: os.truncate(file, 2000),
    "cut and whole again": lambda file, content: (os.truncate(file, 2000), file.write_bytes(content)),
    "overwritten": lambda file, content: file.write_bytes(content[:-4] + struct.pack("<f", 7)),
    "replaced": lambda file, content: (file.rename(f"{file}.old"), file.write_bytes(content)),
    "gone": lambda file, content: file.unlink(),
}


@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_refused_until_it_is_opened_again(
    tmp_path: Path, io: str, change: str
) -> None:
    """Also one that was cut while it was mapped and is whole again: what the map lost does not come back."""
    ones = {"w": ("F32", [100_000], struct.pack("<f", 1) * 100_000)}
    paths = [checkpoint(tmp_path / name, ones) for name in "AB"]
    mixer, out = soce.Mixer([str(path) for path in paths], io=io), bytearray(400_000)
    file = paths[1] / "model.safetensors"
    content = file.read_bytes()
    CHANGES[change](file, content)
    with pytest.raises(CheckpointError) as caught:
        mixer.mix("w", (1, 1), 2, out)
    assert caught.value.path == str(file)
    mixer.mix("w", (1, 0), 1, out)  # which does without it
    assert out == ones["w"][2]
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"changed since it was opened: .* was .*, is ") as again:
        mixer.mix("w", (1, 1), 2, out)
    assert "then run again; start a server that has it open again too" in str(again.value)
    soce.Mixer([str(path) for path in paths], io=io).mix("w", (1, 1), 2, out)
    assert out == ones["w"][2]


@pytest.mark.parametrize("offset", range(9))
def test_memory_need_not_be_aligned(mixer: soce.Mixer, three: list[Path], offset: int) -> None:
    name, correct = "layers.0.BF16.weight", mean(three, "layers.0.BF16.weight")
    memory = bytearray(b"\xaa" * (len(correct) + 20))
    mixer.mix(name, (5, 2, 3), 10, memoryview(memory)[offset : offset + len(correct)])
    assert memory == b"\xaa" * offset + correct + b"\xaa" * (20 - offset)


def test_memory_that_others_use_meanwhile_is_neither_moved_nor_written_beyond(tmp_path: Path) -> None:
    """Threads read, try to resize, and fill the same memory: the bytes are right once all have returned."""
    count = 4_000_000
    paths = [
        str(checkpoint(tmp_path / n, {"w": ("F32", [count], struct.pack("<f", 1) * count)})) for n in "AB"
    ]
    out, mixer, refused = bytearray(4 * count), soce.Mixer(paths), []
    workers = [threading.Thread(target=mixer.mix, args=("w", (1, 1), 2, out)) for _ in range(3)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert out.count(0, 0, 4096) <= 4096
        try:
            out.append(0)
            out.pop()
        except BufferError as error:
            refused.append(error)
    assert refused
    assert out == struct.pack("<f", 1) * count


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    hard = "*a" * 50 + "*b"
    assert not matches(hard, "a" * 4096)
    assert matches(hard, "a" * 4096 + "b")
    assert matches("layers.?.*", "layers.1.mlp.weight")
    assert not matches("[ab].w", "a.w")
