"""Disks that are too small, really: refused in time, or failed cleanly, and finished once there is room."""

from __future__ import annotations

import json
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults import disks, tally
from tests.faults.commands import (
    STATE_SUFFIX,
    beside,
    error,
    errors,
    ingredient,
    journaled,
    names,
    run,
    run_apart,
    untouched,
    whole,
)

SPACE = re.compile(r"not enough space: (\d+) bytes needed, (\d+) free, (\d+) missing$")
QUICK = (1, 25, 50, 75, 99)
LONG = (1, 2, 3, *range(5, 96, 5), 97, 98, 99)
assert len(LONG) == 25


@dataclass(frozen=True)
class Subject:
    """Three ingredients of six shards, and the soup that an undisturbed run makes of them."""

    home: Path
    paths: list[Path]
    soup: Path
    need: int
    """Bytes that all files of the soup have, in whole blocks."""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    home = tmp_path_factory.mktemp("disk")
    paths = [ingredient(home / name, seed) for seed, name in enumerate("ABC")]
    done = run(*paths, "-o", home / "soup", "--quiet")
    assert done.returncode == 0, done.stderr
    sizes = [file.stat().st_size for file in (home / "soup").iterdir()]
    return Subject(home, paths, home / "soup", sum(-(-size // 4096) * 4096 for size in sizes))


@dataclass
class Disk:
    """A filesystem with too little room, and a way to make more."""

    place: Path
    make_room: Callable[[], None]


@contextmanager
def small_disk(kind: str, percent: int, home: Path, need: int) -> Iterator[Disk]:
    """Yield a disk on which `percent` of the need is free."""
    place, leave = home / "disk", need * percent // 100
    if kind == "tmpfs":
        with disks.tmpfs(place, -(-leave // 4096) * 4096):
            yield Disk(place, lambda: disks.resize_tmpfs(place, 2 * need))
        return
    # Without extents there is no fallocate: then the room ends in the middle of the work.
    features = {"ext4": "", "ext4-without-fallocate": "^extent,^64bit"}[kind]
    image = disks.Image(home / "image", place, size=need + (8 << 20), features=features)
    try:
        image.fill(leave)
        if percent % 2:
            yield Disk(place, image.empty)
        else:
            yield Disk(place, lambda: image.enlarge(3 * need + (16 << 20)))
    finally:
        image.close()


def fails_and_finishes(subject: Subject, disk: Disk) -> int:
    """Let a merge meet a full disk with and without the comparison before it, then make room; return the shards used again."""
    output = disk.place / "soup"
    before = names(disk.place)
    with untouched(*subject.paths):
        here = disks.free(disk.place)
        line = error(run(*subject.paths, "-o", output))
        needed, found, missing = map(int, SPACE.search(line).groups())
        assert (found, missing) == (here, needed - here)
        assert (
            sum(file.stat().st_size for file in subject.soup.iterdir()) <= needed < 1.1 * subject.need + 65536
        )
        assert names(disk.place) == before

        failed = run(*subject.paths, "-o", output, "--no-preflight")
        line = error(failed)
        assert f"`{output}" in line
        assert "no space left on device" in line.lower()
        assert not output.exists()
        finished = journaled(output)
        assert beside(output) == ([output.name + STATE_SUFFIX] if finished else [])
        if finished:
            assert f"{finished} of 6 shards" in failed.stderr

        disk.make_room()
        done = run(*subject.paths, "-o", output, "--json", "--no-preflight")
        assert done.returncode == 0, done.stderr
    assert whole(output) == whole(subject.soup)
    assert beside(output) == []
    report = json.loads(done.stdout)
    assert report.get("reused_shards", 0) == finished
    return finished


def all_sizes(subject: Subject, kind: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    reused = []
    for percent in sizes:
        home = tmp_path / str(percent)
        home.mkdir()
        with small_disk(kind, percent, home, subject.need) as disk:
            reused.append(fails_and_finishes(subject, disk))
    tally.record(
        f"R3 full disk, {kind}",
        sizes=len(sizes),
        refused_by_preflight=len(sizes),
        failed_cleanly=len(sizes),
        finished_after_room_was_made=len(sizes),
        resumed=sum(count > 0 for count in reused),
        shards_reused=sum(reused),
    )


def test_a_disk_of_any_size_below_the_need(subject: Subject, tmp_path: Path) -> None:
    all_sizes(subject, "tmpfs", QUICK, tmp_path)


def test_a_disk_that_fills_up_in_the_middle_of_the_work(subject: Subject, tmp_path: Path) -> None:
    all_sizes(subject, "ext4-without-fallocate", (62, 81), tmp_path)


@pytest.mark.faults_long
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "ext4-without-fallocate"])
def test_a_disk_of_many_sizes(subject: Subject, tmp_path: Path, kind: str) -> None:
    all_sizes(subject, kind, LONG, tmp_path)


@pytest.mark.faults_release
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "ext4-without-fallocate"])
def test_a_disk_of_every_size(subject: Subject, tmp_path: Path, kind: str) -> None:
    all_sizes(subject, kind, tuple(range(1, 100)), tmp_path)


def test_many_soups_that_do_not_all_fit(subject: Subject, tmp_path: Path) -> None:
    grid = tmp_path / "grid.json"
    recipes = {f"s{n}": {path.name: n + k for k, path in enumerate(subject.paths, 1)} for n in range(3)}
    paths = {path.name: str(path) for path in subject.paths}
    grid.write_text(json.dumps({"ingredients": paths, "recipes": recipes}))
    plain = run("--recipes", grid, "-o", tmp_path / "soups", "-q")
    assert plain.returncode == 0, plain.stderr
    with disks.tmpfs(tmp_path / "disk", 2 * subject.need) as place:
        line = error(run("--recipes", grid, "-o", place / "soups"))
        assert SPACE.search(line)
        assert names(place) == []
        failed = errors(run("--recipes", grid, "-o", place / "soups", "--no-preflight"))
        assert len(failed) == 1
        assert "no space left on device" in failed[0].lower()
        assert [name for name in names(place / "soups") if not name.endswith(STATE_SUFFIX)] == []
        disks.resize_tmpfs(place, 4 * subject.need)
        done = run("--recipes", grid, "-o", place / "soups", "-q")
        assert done.returncode == 0, done.stderr
        for n in range(3):
            assert whole(place / f"soups/s{n}") == whole(tmp_path / f"soups/s{n}")
        assert names(place / "soups") == ["s0", "s1", "s2"]


def test_old_and_new_soup_must_fit_together(subject: Subject, tmp_path: Path) -> None:
    with disks.tmpfs(tmp_path / "disk", subject.need * 3 // 2) as place:
        assert run(*subject.paths, "-o", place / "soup", "-q").returncode == 0
        weights = [f"{path}={weight}" for path, weight in zip(subject.paths, (5, 1, 1), strict=True)]
        with untouched(place / "soup", *subject.paths):
            assert SPACE.search(error(run(*weights, "-o", place / "soup", "--overwrite")))
            line = error(run(*weights, "-o", place / "soup", "--overwrite", "--no-preflight"))
            assert "no space left on device" in line.lower()
        disks.resize_tmpfs(place, 3 * subject.need)
        done = run(*weights, "-o", place / "soup", "--overwrite", "-q")
        assert done.returncode == 0, done.stderr
        assert names(place) == ["soup"]
        assert whole(place / "soup") != whole(subject.soup)


def test_a_disk_without_inodes(subject: Subject, tmp_path: Path) -> None:
    with disks.mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m,nr_inodes=7", "tmpfs") as place:
        line = error(run(*subject.paths, "-o", place / "soup"))
        assert f"`{place}/soup" in line
        assert "no space left on device" in line.lower()
        assert not (place / "soup").exists()
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", place], check=True)
        done = run(*subject.paths, "-o", place / "soup", "-q")
        assert done.returncode == 0, done.stderr
        assert whole(place / "soup") == whole(subject.soup)
        assert names(place) == ["soup"]


def test_a_limit_on_the_size_of_files(subject: Subject, tmp_path: Path) -> None:
    """What a shell's `ulimit -f` sets: every shard is longer than a process may make a file."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    output = tmp_path / "soup"
    with untouched(*subject.paths):
        line = error(run_apart(*subject.paths, "-o", output, preexec_fn=limit))
        assert f"`{output}" in line
        assert "file too large" in line.lower()
        assert names(tmp_path) == []
        assert run(*subject.paths, "-o", output, "-q").returncode == 0
    assert whole(output) == whole(subject.soup)
