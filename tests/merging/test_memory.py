"""A merge of ingredients much larger than the memory that its control group allows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checkpoints import sparse

LIMIT = 256 << 20
SIZE = 1 << 30
COMMAND = [sys.executable, "-c", "from soce.cli import main_merge; main_merge()"]


class Group:
    """A control group with a limit on memory."""

    def __init__(self, path: Path, limit: str, swap: str, peak: str, events: str) -> None:
        self.path, self.limit, self.swap, self.peak_file, self.events = path, limit, swap, peak, events

    def make(self) -> None:
        self.path.mkdir()
        (self.path / self.limit).write_text(str(LIMIT))

    def enter(self) -> None:
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int | None:
        file = self.path / self.peak_file
        return int(file.read_text()) if file.exists() else None

    def kills(self) -> int:
        words = (self.path / self.events).read_text().split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def candidates() -> Iterator[Group]:
    """Yield groups below this process's own, of version 2 and of version 1."""
    name = f"soce-test-{os.getpid()}"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "":
            root = Path("/sys/fs/cgroup", own.lstrip("/"), name)
            yield Group(root, "memory.max", "memory.swap.max", "memory.peak", "memory.events")
        elif "memory" in controllers.split(","):
            for root in (
                Path("/sys/fs/cgroup/memory", own.lstrip("/"), name),
                Path("/sys/fs/cgroup/memory", name),
            ):
                yield Group(
                    root, "memory.limit_in_bytes", "", "memory.max_usage_in_bytes", "memory.oom_control"
                )


@pytest.fixture
def group() -> Iterator[Group]:
    if not Path("/proc/self/cgroup").exists():
        pytest.skip("no control groups on this system")
    reasons = []
    for found in candidates():
        try:
            found.make()
        except OSError as error:
            reasons.append(str(error))
            if found.path.is_dir():
                found.path.rmdir()
            continue
        yield found
        found.path.rmdir()
        return
    pytest.skip(f"no control group with a limit on memory can be made: {'; '.join(reasons)}")


@pytest.mark.parametrize(
    "options",
    [
        ["--no-sync", "--io", "mmap"],
        pytest.param(["--no-sync", "--io", "pread"], marks=pytest.mark.slow),
        pytest.param(["--cache", "keep", "-j", "8"], marks=pytest.mark.slow),
        [],
    ],
    ids=" ".join,
)
def test_gigabytes_pass_through_a_quarter_of_one(group: Group, options: list[str], tmp_path: Path) -> None:
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 3 * SIZE:
        pytest.skip("not enough room for the soup")
    paths = [str(sparse(tmp_path / name, "F16", SIZE // 2)) for name in "ABC"]
    output = tmp_path / "soup"
    command = [*COMMAND, *paths, "-o", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=group.enter, timeout=250)
    assert done.returncode == 0, done.stderr
    assert group.kills() == 0
    peak = group.peak()
    assert peak is None or 16 << 20 < peak <= LIMIT
    shard = output / "model.safetensors"
    assert shard.stat().st_size > SIZE
    with shard.open("rb") as file:
        file.seek(-(1 << 20), os.SEEK_END)
        assert file.read() == bytes(1 << 20)
    shard.unlink()


def test_a_gigabyte_is_verified_in_a_quarter_of_one(group: Group, tmp_path: Path) -> None:
    path = sparse(tmp_path / "A", "F16", SIZE // 2)
    command = [sys.executable, "-c", "from soce.cli import main; main()", "verify", str(path), "-j", "4"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=group.enter, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "4 tensors for values that are not finite" in " ".join(done.stdout.split())
    assert group.kills() == 0


@pytest.mark.slow
def test_a_gigabyte_is_computed_again_in_a_quarter_of_one(group: Group, tmp_path: Path) -> None:
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 2 * SIZE:
        pytest.skip("not enough room for the soup")
    paths = [str(sparse(tmp_path / name, "F16", SIZE // 2)) for name in "ABC"]
    subprocess.run([*COMMAND, *paths, "-o", str(tmp_path / "soup"), "--no-sync"], check=True, timeout=250)
    script = "from soce.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        script,
        "verify",
        str(tmp_path / "soup"),
        "--recompute",
        "-j",
        "4",
    ]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=group.enter, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "4 tensors computed again and equal" in " ".join(done.stdout.split())
    assert group.kills() == 0
