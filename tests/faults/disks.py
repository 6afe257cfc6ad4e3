"""Small disks: filesystems mounted for a test, and taken away after it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def free(place: Path) -> int:
    """Return the bytes that can still be written at a place."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


@contextmanager
def mounted(place: Path, *arguments: object) -> Iterator[Path]:
    """Mount something at `place`, which is made; skips the test where that is not allowed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("mount(8) as Linux has it")
    place.mkdir(parents=True, exist_ok=True)
    _do("mount", *arguments, place)
    try:
        yield place
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """Take a filesystem away; waits a little for whoever still looks at it."""
    for _ in range(50):
        if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", place], check=True)


def tmpfs(place: Path, size: int):
    """Mount an empty filesystem of `size` bytes, kept in memory."""
    return mounted(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def resize_tmpfs(place: Path, size: int) -> None:
    """Give a mounted tmpfs another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


@contextmanager
def bound(source: Path, place: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Show a directory or a file at a second place."""
    if source.is_file():
        place.touch()
        _do("mount", "--bind", source, place)
    else:
        place.mkdir(exist_ok=True)
        _do("mount", "--bind", source, place)
    try:
        if read_only:
            _do("mount", "-o", "remount,bind,ro", place)
        yield place
    finally:
        unmount(place)


class Image:
    """A file with an ext4 filesystem in it, mounted by a loop device."""

    def __init__(self, file: Path, place: Path, *, size: int, features: str = "") -> None:
        self.file, self.place = file, place
        file.touch()
        os.truncate(file, size)
        options = ["-O", features] if features else []
        _do("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", *options, file)
        place.mkdir()
        self._mount()

    def _mount(self) -> None:
        _do("mount", "-o", "loop", self.file, self.place)

    def close(self) -> None:
        """Take it away, with all that is in it."""
        if os.path.ismount(self.place):  # not so if enlarging it failed
            unmount(self.place)
        with suppress(FileNotFoundError):
            self.file.unlink()

    def fill(self, leave: int) -> None:
        """Take all room but `leave` bytes away from whoever writes here next."""
        filler = self.place / "filler"
        with filler.open("ab") as file:
            while free(self.place) > leave:
                file.write(bytes(min(1 << 20, max(free(self.place) - leave, 4096))))
                file.flush()
                os.fsync(file.fileno())  # blocks are promised first and taken later

    def empty(self) -> None:
        """Take the filler away."""
        (self.place / "filler").unlink()

    def enlarge(self, size: int) -> None:
        """Take the disk away, put the same filesystem on a bigger one, and bring that back."""
        unmount(self.place)
        os.truncate(self.file, size)
        _do("e2fsck", "-f", "-y", self.file, codes=(0, 1))
        _do("resize2fs", self.file)
        self._mount()


def _do(*command: object, codes: tuple[int, ...] = (0,)) -> None:
    """Run a tool, or skip the test with what it says."""
    try:
        done = subprocess.run([os.fspath(w) if isinstance(w, Path) else str(w) for w in command], capture_output=True, text=True, check=False)  # fmt: skip
    except FileNotFoundError as missing:
        pytest.skip(f"no {missing.filename} here")
    if done.returncode not in codes:
        reason = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        pytest.skip(f"{command[0]}: {reason[0]}")
