"""One bit of a soup flips: `soce verify` finds it, every time, at the depth that docs/verify.md promises."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.checkpoints import bf16, checkpoint, f32
from tests.faults.tally import record

import soce

UNDIGESTED = "mergekit_config.yml"
"""Made for other programs, from what the manifest holds anyway."""


class Region(NamedTuple):
    """A run of bytes of one file, and how it is guarded."""

    kind: str
    path: Path
    start: int
    end: int


@pytest.fixture(params=["tensors", "full"])
def soup(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    source = random.Random(7)

    def ingredient(name: str) -> Path:
        def values(count: int) -> list[float]:
            return [source.gauss(0, 1) for _ in range(count)]

        made = checkpoint(
            tmp_path / name,
            {
                "a": ("F32", [10, 3], f32(*values(30))),
                "empty": ("F32", [0], b""),
                "n\u00e9": ("F64", [1], bytes(8)),
            },
            {"ids": ("I64", [2], struct.pack("<2q", 3, 4)), "mask": ("BOOL", [3], b"\1\0\1")},
            {"b": ("BF16", [301], bf16(*(float(source.randint(-99, 99)) for _ in range(301))))},
        )
        (made / "tokenizer.json").write_text('{"model": {"type": "none"}}\n')
        (made / "LICENSE").write_text("all rights reserved\n")
        return made

    parts = {ingredient("A"): 5, ingredient("B"): 2, ingredient("C\u00df"): 3}
    output = tmp_path / "soup"
    return soce.merge(
        parts,
        output=output,
        options=soce.MergeOptions(digests=request.param, notes={"score": 0.1}, sync=False),
    ).output


def regions(soup: Path) -> list[Region]:
    """Return all bytes of a soup by what guards them."""
    found = []
    for path in sorted(soup.iterdir()):
        size = path.stat().st_size
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                data = 8 + int.from_bytes(file.read(8), "little")
            found += [Region("header", path, 0, data), Region("data", path, data, size)]
        elif path.name != UNDIGESTED:
            names = {"soce.json": "manifest", "model.safetensors.index.json": "index"}
            found.append(Region(names.get(path.name, "side_file"), path, 0, size))
    return found


def flip(path: Path, offset: int, bit: int) -> None:
    """Flip one bit in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def check(soup: Path, region: Region, offset: int, bit: int) -> bool:
    """Return whether a flipped bit is found where it should be; the soup is as before afterwards."""
    flip(region.path, offset, bit)
    try:
        verification = soce.verify(soup, quick=region.kind != "data", num_threads=1)
        if region.kind != "data":
            return not verification.ok
        tensors = json.loads((soup / "soce.json").read_text())["result"]["tensors"]
        (name,) = [
            name
            for name, tensor in tensors.items()
            if tensor["shard"] == region.path.name
            and tensor["offset"] <= offset < tensor["offset"] + tensor["length"]
        ]
        return any(
            (finding.kind, finding.path, finding.tensor) == ("data", os.fspath(region.path), name)
            for finding in verification.findings
        )
    finally:
        flip(region.path, offset, bit)


def samples(soup: Path, count: int) -> Iterator[tuple[Region, int, int]]:
    """Yield places of bits: each kind as often as the others, each bit of a kind equally likely."""
    source = random.Random(count)
    by_kind: dict[str, list[Region]] = {}
    for region in regions(soup):
        by_kind.setdefault(region.kind, []).append(region)
    assert set(by_kind) == {"header", "data", "manifest", "index", "side_file"}
    kinds = sorted(by_kind)
    for i in range(count):
        choice = by_kind[kinds[i % len(kinds)]]
        (region,) = source.choices(choice, [part.end - part.start for part in choice])
        yield region, source.randrange(region.start, region.end), source.randrange(8)


@pytest.mark.parametrize(
    "count",
    [
        50,
        pytest.param(2_000, marks=pytest.mark.faults_long),
        pytest.param(20_000, marks=[pytest.mark.faults_release, pytest.mark.timeout(3600)]),
    ],
)
def test_every_flipped_bit_is_found(soup: Path, count: int) -> None:
    counts: dict[str, int] = {}
    missed = []
    for region, offset, bit in samples(soup, count):
        counts[region.kind] = counts.get(region.kind, 0) + 1
        if not check(soup, region, offset, bit):
            missed.append((region.path.name, offset, bit))
    level = soce.verify(soup, recompute=True)
    record("bit_flips", flips=count, missed=len(missed), level=level.level, **counts)
    assert missed == []
    assert level.ok, "every flip was undone"


@pytest.mark.faults_long
@pytest.mark.timeout(3600)
def test_every_bit_of_every_file_but_the_data_is_guarded(soup: Path) -> None:
    missed, count = [], 0
    for region in regions(soup):
        if region.kind == "data":
            continue
        for offset in range(region.start, region.end):
            for bit in range(8):
                count += 1
                if not check(soup, region, offset, bit):
                    missed.append((region.path.name, offset, bit))
    record("every_bit", flips=count, missed=len(missed))
    assert missed == []
