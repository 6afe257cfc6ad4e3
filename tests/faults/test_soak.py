"""The soak itself: what it would notice, and a few of its steps."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests import reference
from tests.faults import groups, tally
from tests.faults.soak_models import (
    BITS,
    LARGEST_WHOLE,
    WIDTH,
    differences,
    packed,
    places,
    plain_architecture,
    unpacked,
    write,
)

import soce

UNIT = 1 << -reference.UNIT


@pytest.mark.parametrize("dtype", BITS)
def test_values_are_rounded_as_the_definition_says(dtype: str) -> None:
    """Also those in the middle between two, and those beside it, of quotients as the soak makes them."""
    chance = random.Random(dtype)
    fractions = []
    for _ in range(3000):
        whole = chance.randint(1, LARGEST_WHOLE)
        numerator = chance.randint(-whole << 24, whole << 24)
        fractions.append(Fraction(numerator, whole << 24))
    step = Fraction(1, 1 << BITS[dtype])
    fractions += [1 + n * step for n in range(-5, 6)]  # every other one is in the middle, above 1
    values = np.array([float(fraction) for fraction in fractions])
    got = reference.unpack(packed(values, dtype), dtype)
    for fraction, bits in zip(fractions, got, strict=True):
        exact = fraction * UNIT
        expected = reference.rounded(exact.numerator, exact.denominator, dtype)
        assert bits == expected or (fraction == 0 and bits & (reference.sign(dtype) - 1) == 0), fraction
    again = unpacked(packed(values, dtype), dtype)
    assert packed(again, dtype) == packed(values, dtype)


@pytest.mark.parametrize("dtype", BITS)
def test_one_wrong_bit_is_found(tmp_path: Path, dtype: str) -> None:
    chance = random.Random(7)
    architecture = plain_architecture("plain", 8, 1, 11)
    paths = [write(tmp_path / name, architecture, [dtype], 2, chance) for name in "ABC"]
    parts = [3, 0, 1021]
    soup = tmp_path / "soup"
    recipe = {str(path): str(part) for path, part in zip(paths, parts, strict=True)}
    soce.merge(recipe, output=soup, options=soce.MergeOptions(sync=False, dtype="F32", max_shard_size=500))
    assert differences(soup, paths, parts, "F32", chance) == []
    assert differences(soup, paths, [3, 1, 1020], "F32", chance) != []
    assert differences(soup, paths, parts, None, chance) == [] or dtype != "F32"
    for name, place in places(soup).items():
        if not np.prod(place.shape, dtype=np.int64):
            continue
        content = bytearray(place.file.read_bytes())
        at = place.offset + chance.randrange(WIDTH[place.dtype] * int(np.prod(place.shape, dtype=np.int64)))
        content[at] ^= 1 << chance.randrange(8)
        kept = place.file.read_bytes()
        place.file.write_bytes(content)
        (found,) = differences(soup, paths, parts, "F32", chance)
        assert f"`{name}`" in found
        place.file.write_bytes(kept)
    assert differences(soup, paths, parts, "F32", chance) == []


def soaked(*arguments: str) -> dict:
    """Run the soak, in a control group where one can be made, and return its summary if it passed."""
    memory = "256M" if None in map(groups.unavailable, (1, 2)) else "none"
    command = [sys.executable, "-m", "tests.faults.soak", "--memory", memory, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    summary = json.loads(done.stdout)
    summary.pop("samples")
    assert (done.returncode, summary["passed"]) == (0, True), summary
    return summary


def test_some_steps_of_every_kind() -> None:
    summary = soaked("--plain", "--seed", "5", "--minutes", "2", "--steps", "12")
    counts = summary["counts"]
    assert {"merge", "merge_all", "killed", "kills", "refused", "stopped"} <= set(counts), counts
    assert counts["soups"] >= 8
    tally.record("R12 soak, quick", **summary)


@pytest.mark.faults_release
def test_an_hour() -> None:
    tally.record("R12 soak, an hour", **soaked("--minutes", "60"))
