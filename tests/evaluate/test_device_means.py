"""Means computed with torch: the bits of `tests.reference` wherever they are allowed, and allowed where it matters."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import reference

torch = pytest.importorskip("torch")

from soce.evaluate.live.device_means import _CHUNK, FORMATS, Exponents, write_mean  # noqa: E402

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def tensor(bits: list[int], dtype: str, device: str = "cpu") -> Any:
    data = bytearray(reference.pack(bits, dtype))
    return torch.frombuffer(data, dtype=DTYPES[dtype]).to(device)


def bits_of(result: Any, dtype: str) -> tuple[int, ...]:
    return reference.unpack(result.cpu().view(torch.uint8).numpy().tobytes(), dtype)


def compare(columns: list[list[int]], dtype: str, numerators: list[int], whole: int, device: str) -> bool:
    """Compare a mean with the reference if it is allowed, and return whether it is."""
    tensors = [tensor(column, dtype, device) for column in columns]
    if not Exponents.of(tensors, dtype).allow(numerators, whole):
        return False
    target = torch.empty_like(tensors[0])
    write_mean(tensors, dtype, numerators, whole, target)
    rows = zip(*columns, strict=True)
    expected = [reference.mean(row, [dtype] * len(columns), numerators, whole, dtype) for row in rows]
    assert list(bits_of(target, dtype)) == expected
    wide = torch.empty_like(target, dtype=torch.float32)
    write_mean(tensors, dtype, numerators, whole, wide)
    assert torch.equal(wide, target.float()), "cast after it was rounded to its own dtype"
    return True


def drawn(rng: random.Random, dtype: str, first_field: int, spread: int, count: int) -> list[int]:
    """Return values with exponents from one field to so many more, zeros among them."""
    _, _, fraction = reference.FORMATS[dtype]
    return [
        rng.choice((0, reference.sign(dtype)))
        | (rng.random() > 0.05)
        * ((first_field + rng.randint(0, spread)) << fraction | rng.getrandbits(fraction))
        for _ in range(count)
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FORMATS)
@given(data=st.data(), seed=st.integers(0, 1 << 32))
def test_a_mean_is_rounded_once(dtype: str, device: str, data: st.DataObject, seed: int) -> None:
    rng, form = random.Random(seed), FORMATS[dtype]
    n = data.draw(st.integers(2, 5))
    signed = data.draw(st.booleans())
    most = data.draw(st.sampled_from([2, 10, 1000, 1 << 20]))
    numerators = [rng.randint(-most if signed else 1, most) or 1 for _ in range(n)]
    whole = rng.randint(1, most) if signed else sum(numerators)
    # As far apart as is allowed, or less: there the last bits of F64 are in use.
    size = max(sum(map(abs, numerators)), whole)
    limit = max(0, min(50 - form.fraction - size.bit_length(), 2 * form.largest - 2))
    spread = data.draw(st.sampled_from([0, 1, 3, limit // 2, limit]))
    first = data.draw(st.sampled_from([0, rng.randint(0, 2 * form.largest - spread), form.largest - 1]))
    columns = [drawn(rng, dtype, min(first, 2 * form.largest - spread), spread, 60) for _ in range(n)]
    compare(columns, dtype, numerators, whole, device)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("numerators", [[1, 1], [5, 2, 3], [333, 333, 334], [10, -4, 4]])
def test_values_on_a_common_grid_are_allowed_and_have_ties(dtype: str, numerators: list[int]) -> None:
    rng, (_, _, fraction) = random.Random(5), reference.FORMATS[dtype]
    one = FORMATS[dtype].largest << fraction
    columns = [
        [one + rng.randrange(16) | rng.choice((0, reference.sign(dtype))) for _ in range(500)]
        for _ in numerators
    ]
    assert compare(columns, dtype, numerators, sum(numerators), "cpu")


@pytest.mark.parametrize("dtype", FORMATS)
def test_subnormal_numbers_and_signs_of_zero(dtype: str) -> None:
    least = list(range(9))
    signs = [bits | reference.sign(dtype) for bits in least]
    columns = [
        [a for a in least + signs for _ in least + signs],
        [b for _ in least + signs for b in least + signs],
    ]
    for numerators in [1, 1], [1, 2], [1, 999], [3, -1], [-1, 3]:
        assert compare(columns, dtype, numerators, sum(numerators), "cpu"), numerators


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_not_allowed(dtype: str) -> None:
    _, _, fraction = reference.FORMATS[dtype]
    one = FORMATS[dtype].largest << fraction
    for strange in reference.infinity(dtype), reference.canonical_nan(dtype):
        assert not Exponents.of([tensor([one, strange], dtype), tensor([one, one], dtype)], dtype).allow(
            [1, 1], 2
        )
    far = Exponents.of([tensor([1 << fraction], dtype), tensor([one], dtype)], dtype)
    assert far.spread == FORMATS[dtype].largest - 1
    assert not far.allow([1, (1 << 36) - 1], 1 << 36)
    assert not far.allow([1, 1], 1 << 60), "a whole that F64 does not hold beside the dtype's bits"
    large = [tensor([reference.infinity(dtype) - 1], dtype)] * 2
    assert not Exponents.of(large, dtype).allow([3, -1], 2), "a result may be infinite"
    zero = Exponents.of([tensor([0, one], dtype), tensor([one, 0], dtype)], dtype)
    assert zero.spread == 0


def test_what_is_longer_than_a_chunk_is_whole() -> None:
    first = torch.randn(_CHUNK + 77, generator=torch.Generator().manual_seed(3)).bfloat16()
    second = first.roll(1)
    first[-1], second[-1] = 2.0**-20, 2.0**9
    exponents = Exponents.of([first, second], "BF16")
    assert exponents.spread >= 29
    assert exponents.allow([1, 1], 2)
    target = torch.zeros_like(first)
    write_mean([first, second], "BF16", [1, 1], 2, target)
    assert torch.equal(target, ((first.double() + second.double()) / 2).bfloat16())
