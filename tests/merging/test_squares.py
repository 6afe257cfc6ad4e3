"""Squares of tensors and of their differences: defined to the bit, and near the exact sums."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import fp8, reference
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, bf16, checkpoint, f32, sparse

from soce import Mixer
from soce._core import build_info
from soce.exceptions import RecipeError

SHAPES = ((), (1,), (33,), (5, 7), (3, 4097), (2000, 3), (2, 3, 70_000), (0, 4), (4, 0))
DTYPES = ("F32", "BF16", "F16", "F64")


def words(dtype: str, count: int, seed: int) -> bytes:
    """Return numbers near one, of all formats."""
    values = np.random.default_rng(seed).normal(1, 1, count)
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()


def numbers(data: bytes, dtype: str) -> NDArray[np.float64]:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(float)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).astype(float)


def tensors(seed: int, dtypes: Sequence[str] = DTYPES) -> Tensors:
    return {
        f"{dtype}.{shape}": (dtype, list(shape), words(dtype, math.prod(shape), seed))
        for dtype in dtypes
        for shape in SHAPES
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("three")
    for seed in range(4):
        checkpoint(home / str(seed), tensors(seed))
    return home


@cache
def mixer(home: Path, names: str, io: str = "auto") -> Mixer:
    return Mixer([str(home / name) for name in names], io=io)


def squares(mixer: Mixer, name: str, inputs: int, threads: int | None = None) -> NDArray[np.float64]:
    out = np.full(inputs * (inputs + 1) // 2, math.nan)
    assert mixer.squares(name, out, num_threads=threads) == [(0, 0)] * inputs
    return out


def by_definition(flat: Sequence[NDArray[np.float64]]) -> list[float]:
    """Return what docs/numerics.md defines of each tensor and of each pair."""
    return [
        reference.sum_by_definition(flat[i] ** 2 if i == j else (flat[i] - flat[j]) ** 2)
        for i, j in combinations_with_replacement(range(len(flat)), 2)
    ]


@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("inputs", [1, 3])
def test_sums_are_those_of_the_definition_for_any_threads(home: Path, inputs: int, io: str) -> None:
    names = "012"[:inputs]
    for name, (dtype, shape, _) in tensors(0).items():
        flat = [numbers(tensors_of(seed)[name][2], dtype) for seed in range(inputs)]
        expected = by_definition(flat)
        for threads in (None, 1, 5):
            assert list(squares(mixer(home, names, io), name, inputs, threads)) == expected
        rows = shape[0] if shape else 1
        out = np.full((rows, len(expected)), math.nan)
        mixer(home, names, io).squares(name, out, filters=True)
        for k in {0, rows // 2, rows - 1} if rows else ():
            assert list(out[k]) == by_definition([one.reshape(rows, -1)[k] for one in flat])
        assert np.allclose(out.sum(axis=0), expected, rtol=1e-12, atol=0)


@cache
def tensors_of(seed: int) -> Tensors:
    return tensors(seed)


def test_what_else_is_measured_changes_no_bit(home: Path) -> None:
    places = list(combinations_with_replacement(range(4), 2))
    for name in tensors_of(0):
        found = dict(zip(places, squares(mixer(home, "0123"), name, 4), strict=True))
        for order in ("3120", "21", "30"):
            inner = combinations_with_replacement(map(int, order), 2)
            expected = [found[min(pair), max(pair)] for pair in inner]
            assert list(squares(mixer(home, order), name, len(order))) == expected


@pytest.mark.parametrize("kernels", cast("list[str]", build_info()["kernels"]))
def test_every_kernel_set_has_the_same_bits(home: Path, kernels: str) -> None:
    code = (
        "import sys, numpy as np\nfrom soce import Mixer\nmixer = Mixer(sys.argv[1:])\n"
        "for name, *_ in mixer.tensors():\n"
        "    out = np.zeros(6)\n    mixer.squares(name, out)\n    print(out.tobytes().hex())"
    )
    paths = [str(home / name) for name in "012"]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        env={"SOCE_KERNELS": kernels}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    mine = [squares(mixer(home, "012"), name, 3).tobytes().hex() for name, *_ in mixer(home, "012").tensors()]
    assert done.stdout.split() == mine


@given(st.data())
def test_sums_are_near_the_exact_ones(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 50))
    dtypes = data.draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=4))
    columns = []
    for dtype in dtypes:
        infinity, sign = reference.infinity(dtype), reference.sign(dtype)
        bits = st.builds(lambda m, s: m + s, st.integers(0, infinity - 1), st.sampled_from([0, sign]))
        columns.append(data.draw(st.lists(bits, min_size=count, max_size=count)))
    home = tmp_path_factory.mktemp("near")
    paths = [
        str(checkpoint(home / str(i), {"w": (dtype, [count], reference.pack(bits, dtype))}))
        for i, (dtype, bits) in enumerate(zip(dtypes, columns, strict=True))
    ]
    found = squares(Mixer(paths), "w", len(paths))
    exact = [
        [Fraction(reference.value(one, dtype) or 0, 2**-reference.UNIT) for one in bits]
        for dtype, bits in zip(dtypes, columns, strict=True)
    ]
    pairs = combinations_with_replacement(range(len(exact)), 2)
    for sum_, (i, j) in zip(found, pairs, strict=True):
        terms = zip(exact[i], exact[j] if i != j else [Fraction(0)] * count, strict=True)
        correct = sum(((a - b) * (a - b) for a, b in terms), Fraction(0))
        if correct < Fraction(2) ** 1023:
            # Two roundings of a difference and one of its square, at most four sums of a lane and four of lanes;
            # and half of the least f64 where a square is below all normal ones.
            bound = correct * 11 * Fraction(2) ** -53 + count * Fraction(2) ** -1075
            assert abs(Fraction(float(sum_)) - correct) <= bound
        else:
            assert sum_ > 2.0**1022


def test_near_tensors_are_as_far_apart_as_they_are(tmp_path: Path) -> None:
    ones = np.ones(10_000, "<f4")
    near = ones.copy()
    near[1234] = np.nextafter(np.float32(1), np.float32(2))
    paths = [
        str(checkpoint(tmp_path / name, {"w": ("F32", [10_000], one.tobytes())}))
        for name, one in (("A", ones), ("B", near), ("C", ones))
    ]
    assert list(squares(Mixer(paths), "w", 3))[1:3] == [2.0**-46, 0.0]
    assert list(squares(Mixer(paths), "w", 3))[3:] == [float(near.astype(float) @ near), 2.0**-46, 10_000.0]


def test_tensors_of_other_mixers_are_measured_beside(home: Path, tmp_path: Path) -> None:
    name = "F32.(2, 3, 70000)"
    out = np.zeros(6)
    mixer(home, "0").squares(name, out, beside=[mixer(home, "12")])
    assert list(out) == list(squares(mixer(home, "012"), name, 3))
    other = checkpoint(tmp_path / "other", {name: ("BF16", [2], bf16(1, 2))})
    with pytest.raises(RecipeError, match=r"has shapes \[2, 3, 70000\] and \[2\]"):
        mixer(home, "0").squares(name, out, beside=[Mixer([str(other)])])


def test_codes_are_measured_as_the_numbers_they_stand_for(tmp_path: Path) -> None:
    codes = bytes(range(120))
    lines = [codes[:60], codes[60:]]
    scale = ("F32", [2, 1], f32(0.5, 0.75))
    quantised = {"w.weight": ("F8_E4M3", [2, 60], codes), "w.weight_scale_inv": scale}
    config: dict[str, object] = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 60]}}
    a = checkpoint(tmp_path / "A", quantised, config=config)
    b = checkpoint(tmp_path / "B", {"w.weight": ("BF16", [2, 60], bf16(*([1.0] * 120)))})
    values = [
        float(fp8.code_value(code, "F8_E4M3")) * factor
        for line, factor in zip(lines, (0.5, 0.75), strict=True)
        for code in line
    ]
    expected = by_definition([np.array(values), np.ones(120)])
    assert list(squares(Mixer([str(a), str(b)]), "w.weight", 2)) == expected


def test_a_base_with_an_adapter_on_top_is_measured_as_their_sum(tmp_path: Path) -> None:
    """Small integers, so that the sum is exact."""
    random = np.random.default_rng(0)
    w, a, b = (random.integers(-8, 9, shape).astype("<f4") for shape in ((70, 3000), (3, 3000), (70, 3)))
    base = checkpoint(tmp_path / "base", {"x.y.weight": ("F32", [70, 3000], w.tobytes())})
    start = "base_model.model.x.y"
    factors: Tensors = {
        f"{start}.lora_A.weight": ("F32", [3, 3000], a.tobytes()),
        f"{start}.lora_B.weight": ("F32", [70, 3], b.tobytes()),
    }
    path = adapter(tmp_path / "lora", factors, r=3, lora_alpha=6)
    both = Mixer([str(base), f"{base}+{path}"])
    change = 2.0 * b.astype(float) @ a.astype(float)
    expected = by_definition([w.astype(float).ravel(), (w + change).ravel()])
    for threads in (None, 1, 5):
        assert list(squares(both, "x.y.weight", 2, threads)) == expected
    adapter(path, factors, r=3, lora_alpha=3)
    states = [state for state, _ in both.states()]
    again = [state for state, _ in Mixer([str(base), f"{base}+{path}"]).states()]
    assert (states[0] == again[0], states[1] == again[1]) == (True, False)


def test_what_is_not_finite_is_counted_and_zero_everywhere(tmp_path: Path) -> None:
    a = checkpoint(tmp_path / "A", {"w": ("F32", [2, 3], f32(math.nan, 2, math.inf, 4, 5, -math.inf))})
    b = checkpoint(tmp_path / "B", {"w": ("F32", [2, 3], f32(1, 1, 1, math.nan, 1, math.nan))})
    out = np.zeros((2, 3))
    found = Mixer([str(a), str(b)]).squares("w", out, filters=True)
    assert found == [(1, 2), (2, 0)]
    assert out.tolist() == [[4, 1, 1], [25, 16, 1]]


@pytest.mark.parametrize(
    ("name", "out", "error", "words"),
    [
        ("w", np.zeros(2), RecipeError, "expected a buffer of 1 × 3 numbers, got one of 2"),
        ("x", np.zeros(3), RecipeError, "tensor `x`: not a tensor of these ingredients"),
        ("ids", np.zeros(3), RecipeError, "tensor `ids`: is not averaged"),
        ("w", np.zeros(3, "<f4"), BufferError, "must hold float64"),
        ("w", bytes(24), BufferError, "read-only"),
    ],
)
def test_what_cannot_be_measured_is_told(
    name: str, out: object, error: type[Exception], words: str, tmp_path: Path
) -> None:
    held: Tensors = {"w": ("F32", [2], f32(1, 2)), "ids": ("I64", [1], bytes(8))}
    paths = [str(checkpoint(tmp_path / one, held)) for one in "AB"]
    with pytest.raises(error, match=words):
        Mixer(paths).squares(name, out)


def test_memory_does_not_depend_on_the_tensor(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    code = (
        "import resource, sys, numpy as np\nfrom soce import Mixer\nmixer = Mixer(sys.argv[1:], io='pread')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nmixer.squares('w0', np.zeros(3))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = []
    for elements in (1 << 22, 1 << 26):
        paths = [str(sparse(tmp_path / f"{name}{elements}", "F16", elements, tensors=1)) for name in "AB"]
        done = subprocess.run(
            [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
        )
        grown.append(int(done.stdout) / 1024)
    assert max(grown) < 16, f"MiB, for tensors of 8 and 128 MiB: {grown}"
