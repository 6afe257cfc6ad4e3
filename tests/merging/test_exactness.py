"""Every element is the exact weighted mean, rounded once: bits against the integers of `tests.reference`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests import reference
from tests.checkpoints import checkpoint, read_directory, row

import soce

FLOATS = list(reference.FORMATS)
KERNELS = soce.build_info()["kernels"]
QUICK = soce.MergeOptions(sync=False, nonfinite="warn")


def bits_like(dtype: str, seed: int, count: int, flavour: str) -> list[int]:
    """Return bit patterns: of any kind, near 1, just above zero, on a coarse grid, or the special ones."""
    rng = random.Random(f"{dtype} {seed} {flavour}")
    width, (_, exponent, fraction) = reference.sign(dtype) * 2, reference.FORMATS[dtype]
    one = ((1 << (exponent - 1)) - 1) << fraction
    infinity, sign = reference.infinity(dtype), reference.sign(dtype)
    special = [
        0,
        1,
        infinity - 1,
        infinity,
        infinity + 1,
        reference.canonical_nan(dtype),
        one,
        one - 1,
        1 << fraction,
    ]

    def draw() -> int:
        if flavour == "special":
            magnitude = rng.choice(special)
        elif flavour == "near":
            magnitude = one + rng.randrange(-3 << fraction, 3 << fraction)
        elif flavour == "tiny":
            magnitude = rng.randrange(4 << fraction)
        elif flavour == "grid":
            magnitude = one + (rng.randrange(16) << (fraction - 4))
        elif flavour == "finite":
            magnitude = rng.randrange(infinity)
        else:
            return rng.randrange(width)
        return magnitude | rng.choice((0, sign))

    return [draw() for _ in range(count)]


@cache
def patterns(dtype: str) -> tuple[bytes, ...]:
    """Return 65,536 elements for each of seven ingredients: the first holds every bit pattern once."""
    every = list(range(1 << 16))
    rng = random.Random(dtype)
    shuffled = rng.sample(every, len(every))
    successors = [(bits + 1) & 0xFFFF for bits in every]
    negated = [bits ^ 0x8000 for bits in every]
    # Same binade or the next: what real checkpoints hold, so that no vector lane needs the slow path.
    near = [[bits & 0xFF80 ^ rng.randrange(0x100) for bits in every] for _ in range(3)]
    return tuple(reference.pack(column, dtype) for column in (every, shuffled, successors, negated, *near))


RECIPES = {
    "thirds": ((1, 1, 1, 0, 0, 0, 0), 3),
    "5-2-3": ((5, 2, 0, 0, 3, 0, 0), 10),
    "ties": ((1, 0, 1, 0, 0, 0, 0), 2),
    "cancelling": ((1, 0, 0, 1, 0, 0, 0), 2),
    "primes": ((2, 0, 0, 0, 3, 5, 7), 17),
    "seven": ((1, 1, 1, 1, 1, 1, 1), 7),
    "most-parts": ((1, 0, 0, 0, (1 << 20) - 2, 1, 0), 1 << 20),
    "beyond": ((3, 0, 0, 0, -1, 0, 0), 2),
    "difference": ((1, 0, -1, 0, 0, 0, 0), 1),
    "tiny-share": ((1, 0, 0, 0, 0, 0, 0), 1 << 20),
    "negated": ((-1, 0, 0, 0, 0, 0, 0), 1),
    "task": ((1, 0, 0, 0, 2, -1, -1), 1),
}


@cache
def expected(dtype: str, recipe: str, out: str) -> bytes:
    return reference.soup([(dtype, data) for data in patterns(dtype)], *RECIPES[recipe], out)


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Write the patterns of both half formats as seven ingredients each."""
    home = tmp_path_factory.mktemp("patterns")
    return {
        dtype: [
            checkpoint(home / f"{dtype}-{i}", {"w": (dtype, [256, 256], data)})
            for i, data in enumerate(patterns(dtype))
        ]
        for dtype in ("BF16", "F16")
    }


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_every_half_float_pattern_in_every_recipe(dtype: str, kernels: str, seven, tmp_path: Path) -> None:
    recipes = {name: row(seven[dtype], *rows) for name, rows in RECIPES.items()}
    soce.merge_all(recipes, output=tmp_path / "soups", options=replace(QUICK, kernels=kernels))
    for name in RECIPES:
        found = read_directory(tmp_path / "soups" / name)["w"]
        assert found == (dtype, [256, 256], expected(dtype, name, dtype)), name


@pytest.mark.parametrize("out", FLOATS)
@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_every_half_float_pattern_to_every_output_dtype(dtype: str, out: str, seven, tmp_path: Path) -> None:
    for name in ("thirds", "primes"):
        soce.merge(
            row(seven[dtype], *RECIPES[name]), output=tmp_path / name, options=replace(QUICK, dtype=out)
        )
        assert read_directory(tmp_path / name)["w"][2] == expected(dtype, name, out)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_one_pattern_alone_narrows_and_widens_exactly(dtype: str, seven, tmp_path: Path) -> None:
    for out in FLOATS:
        soce.merge([str(seven[dtype][0])], output=tmp_path / out, options=replace(QUICK, dtype=out))
        alone = reference.soup([(dtype, patterns(dtype)[0])], [1], 1, out)
        assert read_directory(tmp_path / out)["w"][2] == alone


def soups_of(
    inputs: Sequence[tuple[str, bytes]],
    numerators: Sequence[int],
    whole: int,
    out: str | None,
    **options: object,
) -> bytes:
    """Return the one tensor of a merge of one-tensor checkpoints."""
    with tempfile.TemporaryDirectory() as home:
        count = len(reference.unpack(inputs[0][1], inputs[0][0]))
        paths = [
            checkpoint(Path(home, str(i)), {"w": (dtype, [count], data)})
            for i, (dtype, data) in enumerate(inputs)
        ]
        soce.merge(
            row(paths, numerators, whole),
            output=Path(home, "soup"),
            options=replace(QUICK, dtype=out, **options),
        )
        return read_directory(Path(home, "soup"))["w"][2]


@pytest.mark.parametrize("flavour", ["any", "near", "tiny", "grid", "special"])
@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_wide_floats_of_every_kind(dtype: str, flavour: str) -> None:
    inputs = [(dtype, reference.pack(bits_like(dtype, seed, 5000, flavour), dtype)) for seed in range(4)]
    for numerators, whole in [
        ((5, 2, 3, 0), 10),
        ((1, 1, 1, 0), 3),
        ((7, 11, 13, 17), 48),
        ((2, -1, 1, -1), 1),
    ]:
        correct = reference.soup(inputs, numerators, whole)
        for kernels in KERNELS:
            assert soups_of(inputs, numerators, whole, None, kernels=kernels) == correct


@st.composite
def mixes(draw: st.DrawFn) -> tuple[list[tuple[str, bytes]], list[int], int, str]:
    """Draw ingredients of any float dtypes, a recipe (an average or not) and an output dtype."""
    count = draw(st.integers(1, 9))
    elements = draw(st.sampled_from([1, 7, 511, 512, 513, 1000]))
    flavours = st.sampled_from(["any", "near", "tiny", "grid", "finite", "special"])
    one_dtype = draw(st.booleans())
    first = draw(st.sampled_from(FLOATS))
    inputs = []
    for _ in range(count):
        dtype = first if one_dtype else draw(st.sampled_from(FLOATS))
        bits = bits_like(dtype, draw(st.integers(0, 999)), elements, draw(flavours))
        inputs.append((dtype, reference.pack(bits, dtype)))
    parts = st.integers(0, draw(st.sampled_from([3, 20, 1000, 100_000])))
    numerators = draw(st.lists(parts, min_size=count, max_size=count).filter(any))
    whole = sum(numerators)
    if draw(st.booleans()):
        numerators = [-n if draw(st.booleans()) else n for n in numerators]
        whole = draw(st.integers(1, 1 << 20))
    return inputs, numerators, whole, draw(st.sampled_from(FLOATS))


@given(mixes(), st.sampled_from(KERNELS))
def test_any_mix_of_dtypes_recipes_and_sizes(mix: tuple, kernels: str) -> None:
    inputs, numerators, whole, out = mix
    assert soups_of(inputs, numerators, whole, out, kernels=kernels) == reference.soup(
        inputs, numerators, whole, out
    )


@given(
    st.sampled_from(FLOATS),
    st.sampled_from(["near", "tiny", "grid", "finite"]),
    st.lists(st.integers(1, 100_000), min_size=1, max_size=8),
    st.sampled_from(KERNELS),
)
@example("F32", "finite", [1, 1, 1], KERNELS[-1])
def test_copies_of_one_checkpoint_are_that_checkpoint(
    dtype: str, flavour: str, parts: list[int], kernels: str
) -> None:
    data = reference.pack(bits_like(dtype, sum(parts), 700, flavour), dtype)
    assert soups_of([(dtype, data)] * len(parts), parts, sum(parts), None, kernels=kernels) == data


@given(st.sampled_from(FLOATS), st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_a_mean_lies_between_its_inputs(dtype: str, parts: list[int]) -> None:
    columns = [bits_like(dtype, sum(parts) + i, 300, "finite") for i in range(len(parts))]
    inputs = [(dtype, reference.pack(column, dtype)) for column in columns]
    means = reference.unpack(soups_of(inputs, parts, sum(parts), None), dtype)
    for bits, *column in zip(means, *columns, strict=True):
        values = [reference.value(found, dtype) for found in column]
        assert min(values) <= reference.value(bits, dtype) <= max(values)


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_ingredient_alone_keeps_every_payload(dtype: str, tmp_path: Path) -> None:
    data = reference.pack(bits_like(dtype, 0, 3000, "any") + bits_like(dtype, 0, 3000, "special"), dtype)
    alone = checkpoint(tmp_path / "alone", {"w": (dtype, [6000], data)})
    poison = checkpoint(tmp_path / "poison", {"w": (dtype, [6000], b"\xff" * len(data))})
    soce.merge({str(alone): 3, str(poison): 0}, output=tmp_path / "soup", options=QUICK)
    assert read_directory(tmp_path / "soup")["w"][2] == data
    report = soce.merge({str(poison): 0, str(alone): "1"}, output=tmp_path / "again", options=QUICK)
    assert read_directory(tmp_path / "again")["w"][2] == data
    assert {found.ingredient for found in report.nonfinite} == {str(alone)}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_infinities_and_nans_by_the_rules(dtype: str, kernels: str) -> None:
    zero, minus, inf, nan = (
        0,
        reference.sign(dtype),
        reference.infinity(dtype),
        reference.canonical_nan(dtype),
    )
    payload = nan | 1 | minus
    rows = [
        (zero, zero, zero), (minus, minus, minus), (zero, minus, zero), (inf, zero, inf), (zero, inf | minus, inf | minus),
        (inf, inf, inf), (inf, inf | minus, nan), (payload, zero, nan), (payload, inf, nan), (1, minus | 1, zero),
        (payload, payload, nan),
    ]  # fmt: skip
    rows *= 101  # more than a block of lanes
    a, b, correct = (reference.pack(column, dtype) for column in zip(*rows, strict=True))
    assert soups_of([(dtype, a), (dtype, b)], [1, 1], 2, None, kernels=kernels) == correct
    assert reference.soup([(dtype, a), (dtype, b)], [1, 1], 2) == correct
