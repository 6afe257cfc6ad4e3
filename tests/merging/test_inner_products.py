"""Inner products of a gradient with differences of ingredients: defined to the bit, and near the exact ones."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.checkpoints import checkpoint, f32
from tests.reference import sum_by_definition

from soce import Mixer
from soce._core import build_info
from soce.exceptions import RecipeError

SHAPES = ((), (33,), (5, 7), (3, 4097), (2, 3, 70_000), (0, 4))


def values(seed: int, shape: Sequence[int]) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(1, 1, shape).astype("<f4")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("three")
    for seed in range(3):
        tensors = {str(shape): ("F32", list(shape), values(seed, shape).tobytes()) for shape in SHAPES}
        checkpoint(home / str(seed), {**tensors, "ids": ("I64", [1], bytes(8))})
    return home


def mixer(home: Path, io: str = "auto") -> Mixer:
    return Mixer([str(home / str(seed)) for seed in range(3)], io=io)


def products(mixer: Mixer, name: str, gradient: object, *, of: Sequence[int], **options: Any) -> list[float]:
    out = np.full(len(of), math.nan)
    mixer.inner_products(name, gradient, out, of=of, **options)
    return out.tolist()


@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_sums_are_those_of_the_definition_for_any_threads(home: Path, dtype: str, io: str) -> None:
    opened = mixer(home, io)
    for shape in SHAPES:
        gradient = np.random.default_rng(9).normal(0, 1e-2, shape).astype(dtype)
        flat = [values(seed, shape).astype(float).reshape(-1) for seed in range(3)]
        wide = gradient.astype(float).reshape(-1)
        expected = [sum_by_definition(wide * (flat[i] - flat[1])) for i in (2, 0, 1)]
        for threads in (None, 1, 5):
            found = products(opened, str(shape), gradient, of=[2, 0, 1], reference=1, num_threads=threads)
            assert found == expected
        assert expected[2] == 0
        assert products(opened, str(shape), gradient, of=[], reference=0) == []


def test_gradients_of_torch_are_taken_from_any_place_in_their_memory(home: Path) -> None:
    torch = pytest.importorskip("torch")
    drawn = np.random.default_rng(9).normal(size=21 + 3 * 4097).astype("<f4")
    drawn.setflags(write=False)
    name, opened = "(3, 4097)", mixer(home)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        whole = torch.tensor(drawn).to(dtype)
        for start in (0, 1, 21):
            part = whole[start : start + 3 * 4097]
            wide = part.double().numpy()
            found = products(opened, name, part.reshape(3, 4097), of=[1, 2], reference=0)
            assert found == products(opened, name, wide, of=[1, 2], reference=0)
    assert products(opened, name, drawn[:-21], of=[1], reference=0)  # read-only


@pytest.mark.parametrize("kernels", cast("list[str]", build_info()["kernels"]))
def test_every_kernel_set_has_the_same_bits(home: Path, kernels: str) -> None:
    code = (
        "import sys, math, numpy as np\nfrom soce import Mixer\nmixer = Mixer(sys.argv[1:])\n"
        "for name, dtype, shape in mixer.tensors():\n"
        "    if dtype == 'F32':\n"
        "        out = np.zeros(2)\n"
        "        gradient = np.cos(np.arange(math.prod(shape), dtype=float))\n"
        "        mixer.inner_products(name, gradient, out, of=[0, 2], reference=1)\n"
        "        print(out.tobytes().hex())"
    )
    paths = [str(home / str(seed)) for seed in range(3)]
    found = [
        subprocess.run(
            [sys.executable, "-c", code, *paths],
            env={"SOCE_KERNELS": which}, capture_output=True, text=True, check=True,
        ).stdout.split()
        for which in (kernels, "scalar")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert len(found[0]) == len(SHAPES)


_FLOATS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.tuples(_FLOATS, _FLOATS, _FLOATS), min_size=1, max_size=60))
def test_sums_are_near_the_exact_ones(
    tmp_path_factory: pytest.TempPathFactory, elements: list[tuple[float, float, float]]
) -> None:
    gradient, own, reference = zip(*elements, strict=True)
    home = tmp_path_factory.mktemp("near")
    paths = [
        str(checkpoint(home / name, {"w": ("F32", [len(elements)], f32(*given))}))
        for name, given in (("own", own), ("reference", reference))
    ]
    (found,) = products(Mixer(paths), "w", np.array(gradient), of=[0], reference=1)
    terms = [Fraction(g) * (Fraction(v) - Fraction(r)) for g, v, r in elements]
    bound = sum(map(abs, terms), Fraction(0)) * 11 * Fraction(2) ** -53 + len(terms) * Fraction(2) ** -1074
    assert abs(Fraction(found) - sum(terms)) <= bound


def test_what_is_not_finite_shows(home: Path) -> None:
    opened, name = mixer(home), "(33,)"
    for bad in (math.nan, math.inf):
        gradient = np.zeros(33)
        gradient[20] = bad
        assert not math.isfinite(products(opened, name, gradient, of=[1], reference=0)[0])


def test_what_does_not_fit_is_refused_in_a_line(home: Path) -> None:
    opened, name, gradient = mixer(home), "(33,)", np.zeros(33)
    for call, error, said in (
        ({"name": "x"}, RecipeError, "`x`: not a tensor of these ingredients"),
        ({"name": "ids"}, RecipeError, "`ids`: is not averaged"),
        ({"gradient": np.zeros(32)}, RecipeError, "expected a gradient of 33 elements, got 32 elements"),
        ({"gradient": np.zeros(33, int)}, BufferError, "`gradient` must hold floats"),
        ({"gradient": np.zeros(66)[::2]}, BufferError, "`gradient` is not contiguous"),
        ({"gradient": [0.0]}, TypeError, "`gradient` must offer a buffer"),
        ({"of": [3]}, RecipeError, "there is no ingredient 3 among 3 ingredients"),
        ({"reference": 7}, RecipeError, "there is no ingredient 7"),
        ({"out": np.zeros(2)}, BufferError, "`out` must hold a float64 for each of `of`"),
        ({"out": np.zeros(1, "f4")}, BufferError, "`out` must hold a float64"),
    ):
        given: dict[str, Any] = {
            "name": name, "gradient": gradient, "out": np.zeros(1), "of": [1], "reference": 0, **call,
        }  # fmt: skip
        with pytest.raises(error, match=said.replace("(", r"\(")):
            opened.inner_products(**given)
