"""Ingredients much larger than the memory a control group allows: no process killed, and the promised bound kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.checkpoints import sparse
from tests.faults import groups, tally
from tests.faults.commands import run, run_apart, start

MIB = 1 << 20
VERSIONS = [
    pytest.param(
        version,
        marks=pytest.mark.skipif(
            groups.unavailable(version) is not None, reason=str(groups.unavailable(version))
        ),
        id=f"v{version}",
    )
    for version in (1, 2)
]


def promised(arguments: list[object]) -> int:
    """Return the bound of private memory that the plan prints."""
    done = run(*arguments, "--plan", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["memory_bytes"]


def merge_within(
    version: int, limit: int, count: int, size: int, options: list[object], tmp_path: Path
) -> dict[str, int]:
    """Merge sparse ingredients of `size` bytes in a group that allows `limit` bytes; return what was measured."""
    here = os.statvfs(tmp_path)
    if here.f_bavail * here.f_frsize < size + (1 << 30):
        pytest.skip(f"no room for a soup of {size} bytes")
    paths = [sparse(tmp_path / name, "BF16", size // 2, tensors=8) for name in "ABCDEFGH"[:count]]
    output = tmp_path / "soup"
    arguments = [*paths, "-o", output, *options]
    bound = promised(arguments)
    with groups.made(version, limit) as group:
        process = start(*arguments, preexec_fn=group.enter)
        with groups.Watch(process.pid) as watch:
            out, err = process.communicate(timeout=1500)
        assert process.returncode == 0, (process.returncode, err)
        assert out == ""
        assert group.kills() == 0
        peak = group.peak()
    assert peak is None or 4 * MIB < peak <= limit
    assert watch.looks > 10
    assert watch.most <= bound, "more private memory than the plan promised"
    shard = output / "model.safetensors"
    assert size < shard.stat().st_size < size + 4096
    with shard.open("rb") as file:
        for place in range(1, 8):
            file.seek(place * size // 8)
            assert not any(file.read(MIB))
    shard.unlink()
    return {
        "limit": limit,
        "bound": bound,
        "anonymous": watch.most,
        "peak": peak or 0,
        "bytes_read": count * size,
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_private_memory_stays_within_what_the_plan_promises(io: str, version: int, tmp_path: Path) -> None:
    measured = merge_within(version, 256 * MIB, 8, 160 << 20, ["--io", io, "--no-sync", "-q"], tmp_path)
    tally.record(f"R5 memory limit, quick, {io}, v{version}", runs=1, killed=0, **measured)


@pytest.mark.faults_long
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("io", ["mmap", "pread"])
@pytest.mark.parametrize("limit", [64, 128, 256, 512])
def test_four_gigabytes_through_little_memory(limit: int, io: str, version: int, tmp_path: Path) -> None:
    # Without waiting for the disk it is the kernel's write-back that must keep up.
    options = ["--io", io, "-q", "--no-sync" if limit in (64, 512) else "--sync"]
    options += ["--digests", "full"] if limit == 128 else []
    measured = merge_within(version, limit * MIB, 3, 4 << 30, options, tmp_path)
    tally.record(f"R5 memory limit, {limit} MiB, {io}, v{version}", runs=1, killed=0, **measured)


@pytest.mark.parametrize("version", VERSIONS)
def test_too_little_memory_even_for_the_interpreter_leaves_no_target(version: int, tmp_path: Path) -> None:
    """The kernel may kill: then a later run finishes what it finds."""
    paths = [sparse(tmp_path / name, "BF16", 8 << 20, tensors=8) for name in "AB"]
    output = tmp_path / "soup"
    with groups.made(version, 6 * MIB) as group:
        done = run_apart(*paths, "-o", output, "-q", preexec_fn=group.enter)
        assert done.returncode != 0
        assert not output.exists()
    assert run(*paths, "-o", output, "-q").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A", "B", "soup"]
