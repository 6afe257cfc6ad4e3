"""Whether a directory is the soup that it should be, at the end of a run and at every moment of it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MANIFEST = "soce.json"
BLOCK = 1 << 20


def differences(output: Path, reference: Path) -> list[str]:
    """Return in what a soup differs from the one that an undisturbed run made of the same ingredients.

    Every file has the same bytes and mode. Of `soce.json` only `run` may be another, with `file_digest`, which covers
    it; of `sources`, paths and what belongs to files rather than to bytes.
    """
    names = [sorted(str(p.relative_to(d)) for p in d.rglob("*")) for d in (output, reference)]
    if names[0] != names[1]:
        return [f"{output.name} holds {names[0]} instead of {names[1]}"]
    found = []
    for name in names[0]:
        ours, theirs = output / name, reference / name
        if ours.is_symlink() or ours.is_dir() != theirs.is_dir():
            found.append(f"{name}: of another kind")
        elif stat.S_IMODE(ours.stat().st_mode) != stat.S_IMODE(theirs.stat().st_mode):
            found.append(f"{name}: of another mode")
        elif name == MANIFEST:
            left, right = ({**json.loads(p.read_text()), "run": 0, "file_digest": 0} for p in (ours, theirs))
            found += [
                f"{name}: {key}"
                for key in sorted(left.keys() | right.keys())
                if left.get(key) != right.get(key)
            ]
        elif not ours.is_dir() and not same_bytes(ours, theirs):
            found.append(f"{name}: other bytes")
    return found


def same_bytes(one: Path, other: Path) -> bool:
    """Return whether two files have the same bytes."""
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            block = left.read(BLOCK)
            if block != right.read(BLOCK):
                return False
            if not block:
                return True


def _raise(error: OSError) -> None:
    raise error


class Soup:
    """A complete soup, by which a directory seen at some moment is told from an incomplete one."""

    def __init__(self, path: Path, *, small: bool = True) -> None:
        self.name = path.name
        self.small = small
        files = [found for found in path.rglob("*") if found.is_file()]
        self.files = {
            str(p.relative_to(path)): self._essence(p.read_bytes, p.stat().st_size, p.name) for p in files
        }

    def _essence(self, read: Any, size: int, name: str) -> object:
        """Return what must be the same: all bytes, or of a large soup the sizes; of a manifest its `result`."""
        if name == MANIFEST:
            return json.loads(read())["result"]
        return read() if self.small else size

    def is_at(self, directory: int) -> bool:
        """Return whether exactly this lies in an open directory."""
        walked = os.fwalk(".", dir_fd=directory, onerror=_raise)
        if {os.path.normpath(f"{root}/{name}") for root, _, names, _ in walked for name in names} != (
            self.files.keys()
        ):
            return False
        for name, expected in self.files.items():
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
            with os.fdopen(descriptor, "rb") as file:
                size = os.fstat(descriptor).st_size
                if self._essence(file.read, size, name) != expected:
                    return False
                if name.endswith(".safetensors") and os.pread(descriptor, 8, 0) == bytes(8):
                    return False  # begun and not finished
        return True


def seen(target: Path, allowed: dict[str, Soup]) -> str:
    """Return what a reader finds under a name: the key of a soup, `absent`, or `incomplete`."""
    while True:
        try:
            directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return "absent"
        try:
            found = "incomplete"
            with contextlib.suppress(FileNotFoundError, ValueError):
                found = next((key for key, soup in allowed.items() if soup.is_at(directory)), "incomplete")
            if found != "incomplete":
                return found
            # Opened just before it was replaced, and emptied while we read: nobody finds it under the name any more.
            try:
                now, then = target.stat(), os.fstat(directory)
            except FileNotFoundError:
                continue
            if (now.st_ino, now.st_dev) == (then.st_ino, then.st_dev):
                return found
        finally:
            os.close(directory)


class Watcher:
    """A reader who looks at targets again and again while runs go on.

    Each target leads first to what it led to before the runs, then to the new soup, and to nothing else ever.
    """

    def __init__(self, new: dict[Path, Soup], old: Soup | None = None) -> None:
        self.new, self.old = new, old
        self.may_be_absent = old is None
        """Set this where an old soup and the new one are exchanged by two renames."""
        self.done: set[Path] = set()
        self.looks = 0
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def look(self) -> None:
        """Look once at every target."""
        for target, new in self.new.items():
            found = seen(target, {"new": new} | ({"old": self.old} if self.old else {}))
            self.looks += 1
            if found == "new":
                self.done.add(target)
            elif target in self.done:
                self.wrong.append(f"{target.name} was {found} after it had been complete")
            elif found != "old" and not (found == "absent" and self.may_be_absent):
                self.wrong.append(f"{target.name} was {found}")

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            time.sleep(0.0005)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.look()


def present(directory: Path) -> set[str]:
    """Return the names in a directory."""
    return {path.name for path in directory.iterdir()}


def strays(directory: Path, expected: Iterable[str]) -> list[str]:
    """Return what lies in a directory and should not."""
    return sorted(present(directory) - set(expected))
