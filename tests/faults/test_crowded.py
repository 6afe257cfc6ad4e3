"""Too few descriptors, too few threads, and others at work in the same place."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.checkpoints import Tensors, checkpoint, f32, read_directory
from tests.faults import disks, groups, tally
from tests.faults.commands import (
    STATE_SUFFIX,
    Pair,
    error,
    errors,
    ingredient,
    names,
    picture,
    run,
    run_apart,
    start,
    untouched,
    whole,
)

# ---- descriptors


def tensor(n: int, scale: float = 1) -> Tensors:
    return {f"w{n}": ("F32", [2], f32(n * scale, -n))}


def descriptors(count: int):
    """Return a function that leaves the process which calls it `count` descriptors."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def merged_or_hinted(paths: list[Path], output: Path, limit: int) -> bool:
    """Merge with few descriptors: True if it went well; else nothing is left and the hint says what to raise."""
    done = run_apart(*paths, "-o", output, "-q", "--no-sync", preexec_fn=descriptors(limit))
    if done.returncode == 0:
        return True
    assert "too many open files" in error(done).lower()
    assert "ulimit -n" in done.stderr
    assert not output.exists()
    return False


@pytest.mark.parametrize("limit", [24, 64, 256])
def test_few_descriptors_and_many_shards(limit: int, tmp_path: Path) -> None:
    paths = [
        checkpoint(tmp_path / name, *(tensor(n, k) for n in range(300))) for k, name in enumerate("AB", 1)
    ]
    with untouched(*paths):
        made = merged_or_hinted(paths, tmp_path / "soup", limit)
    assert made or limit < 64, "64 descriptors are enough: few shards are needed at a time"
    if made:
        soup = read_directory(tmp_path / "soup")
        assert soup == {name: found for n in range(300) for name, found in tensor(n, 1.5).items()}
    tally.record("R7 few descriptors", limit=limit, shards=300, made=made)


def test_shards_in_crossing_orders(tmp_path: Path) -> None:
    """Every shard of B holds an early and a late tensor: kept open from the one to the other, all would be open."""
    half, limit = 200, 128
    a = checkpoint(tmp_path / "A", *(tensor(2 * n) | tensor(2 * n + 1) for n in range(half)))
    b = checkpoint(tmp_path / "B", *(tensor(n) | tensor(half + n) for n in range(half)))
    with untouched(a, b):
        made = merged_or_hinted([a, b], tmp_path / "soup", limit)
    assert made, "an input that is not needed now may be closed and opened again"
    assert read_directory(tmp_path / "soup") == {k: v for n in range(2 * half) for k, v in tensor(n).items()}


def test_many_soups_with_few_descriptors(tmp_path: Path) -> None:
    paths = {
        name: checkpoint(tmp_path / name, *(tensor(n, k) for n in range(30)))
        for k, name in enumerate("AB", 1)
    }
    grid = {
        "ingredients": {name: str(path) for name, path in paths.items()},
        "recipes": [[n, 1] for n in range(1, 13)],
    }
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    arguments = ["--recipes", tmp_path / "grid.json", "-q", "--no-sync", "-o"]
    done = run_apart(*arguments, tmp_path / "soups", preexec_fn=descriptors(64))
    run(*arguments, tmp_path / "plain")
    assert len(names(tmp_path / "plain")) == 12
    if done.returncode:
        assert "too many open files" in error(done).lower()
        assert "ulimit -n" in done.stderr
        return
    for name in names(tmp_path / "plain"):
        assert whole(tmp_path / "soups" / name) == whole(tmp_path / "plain" / name)


def test_shards_that_wait_for_the_disk_do_not_pile_up(tmp_path: Path) -> None:
    """Workers are faster than a disk that is waited for after every little shard; each shard that waits is open."""
    paths = {
        name: checkpoint(tmp_path / name, *(tensor(n, k) for n in range(100)))
        for k, name in enumerate("AB", 1)
    }
    grid = {
        "ingredients": {name: str(path) for name, path in paths.items()},
        "recipes": [[n, 1] for n in range(1, 5)],
    }
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    arguments = ["--recipes", tmp_path / "grid.json", "-o", tmp_path / "soups", "-q", "--sync", "-j", "4"]
    done = run_apart(*arguments, preexec_fn=descriptors(128))
    assert done.returncode == 0, done.stderr
    assert len(read_directory(tmp_path / "soups/4-1")) == 100


# ---- threads


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_fewer_threads_than_asked_for(pair: Pair, tasks: int) -> None:
    """A soup by the threads that could be started, or an error: never a crash, never a wait for nobody."""
    try:
        with groups.few_tasks(tasks) as group:

            def enter() -> None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

            done = run_apart(*pair.paths, "-o", pair.home / "soup", "-q", "-j", "8", preexec_fn=enter)
    except OSError as reason:
        pytest.skip(str(reason))
    if done.returncode == 0:
        assert read_directory(pair.home / "soup") == pair.mean()
    else:
        assert "thread" in error(done)
        assert not (pair.home / "soup").exists()


def test_more_threads_than_there_is_work(pair: Pair) -> None:
    pair.makes(pair.home / "soup", "-j", "1024")


# ---- two at once


def stands_still(process: int) -> bool:
    """Whether every thread of a process is stopped."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] in "tTZX" for task in tasks)


@contextmanager
def held(pair: Pair, output: Path, *options: str, old: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Keep a merge that writes `output` stopped in the middle of its work, and let it finish afterwards.

    `old` is a soup that lies there before.
    """
    state = output.with_name(output.name + STATE_SUFFIX)
    for _ in range(20):
        shutil.rmtree(output, ignore_errors=True)
        if old is not None:
            shutil.copytree(old, output)
        command = ["-o", output, "-q", "-j", "1", "--chunk-bytes", "4096", *options]
        process = start(*pair.paths, *command)
        while process.poll() is None and not (state / "lock").exists():
            time.sleep(0.0005)
        process.send_signal(signal.SIGSTOP)
        while process.poll() is None and not stands_still(process.pid):
            time.sleep(0.001)
        if process.poll() is None and (state / "lock").exists() and (state / "lock").read_text().strip():
            break
        process.send_signal(signal.SIGCONT)
        process.communicate()
    else:
        pytest.skip("every merge ended before it could be stopped")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def slow(tmp_path: Path) -> Pair:
    """Write ingredients that take long enough to be caught at work."""
    made = Pair(
        tmp_path, *(ingredient(tmp_path / name, seed, elements=200_000) for seed, name in enumerate("AB"))
    )
    assert run(*made.paths, "-o", tmp_path / "expected", "-q", "--no-sync").returncode == 0
    return made


def test_the_second_run_is_refused_by_any_name_and_the_first_is_unharmed(slow: Pair) -> None:
    home, output = slow.home, slow.home / "soup"
    (home / "link").symlink_to(".")
    (home / "inner").mkdir()
    state = home / ("soup" + STATE_SUFFIX)
    with untouched(*slow.paths), disks.bound(home, home / "inner"), held(slow, output) as first:
        before = picture(state)
        for place, options in [
            (output, []),
            (output, ["--overwrite"]),
            (home / "link/soup", []),
            (home / "inner/soup", []),
            (home / "A/../soup", []),
        ]:
            line = error(run(*slow.paths, "-o", place, "-q", *options))
            assert f"process {first.pid} is writing it" in line
        line = error(run(*slow.paths, "-o", "../soup", "-q", cwd=slow.a))
        assert f"process {first.pid} is writing it" in line
        assert picture(state) == before
    assert whole(output) == whole(home / "expected")
    assert names(home) == ["A", "B", "expected", "inner", "link", "soup"]


def test_many_soups_beside_a_run_that_makes_one_of_them(slow: Pair) -> None:
    home = slow.home
    (home / "soups").mkdir()
    grid = {"ingredients": {"A": str(slow.a), "B": str(slow.b)}}
    grid |= {"recipes": [{"name": name, "weights": "equal"} for name in ("early", "soup", "late")]}
    (home / "grid.json").write_text(json.dumps(grid))
    with held(slow, home / "soups/soup") as first:
        lines = errors(run("--recipes", home / "grid.json", "-o", home / "soups", "-q"))
        assert [f"process {first.pid} is writing it" in line for line in lines] == [True]
        assert names(home / "soups") == ["soup" + STATE_SUFFIX]
    assert whole(home / "soups/soup") == whole(home / "expected")
    assert names(home / "soups") == ["soup"]


def test_an_old_soup_stays_whole_while_its_successor_is_made(slow: Pair) -> None:
    output = slow.home / "soup"
    before = whole(slow.home / "expected")
    with held(slow, output, "--overwrite", "--dtype", "f32", old=slow.home / "expected") as first:
        assert whole(output) == before
        assert f"process {first.pid}" in error(run(*slow.paths, "-o", output, "-q", "--overwrite"))
        again = run(output, slow.a, "-o", slow.home / "from the old one", "-q", "--no-sync")
        assert again.returncode == 0, again.stderr
    assert whole(output) != before


def test_what_another_user_left_is_refused(slow: Pair) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes what belongs to others")
    state = slow.home / ("soup" + STATE_SUFFIX)
    state.mkdir()
    os.chown(state, 65534, 65534)
    with untouched(state):
        assert "belongs to another user" in error(run(*slow.paths, "-o", slow.home / "soup", "-q"))
