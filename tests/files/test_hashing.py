"""Digests of files: right after every change, and computed once where nothing changed."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from soce.files import hashing
from soce.files.hashing import ChangingFileError, file_digests

CONTENT = bytes(range(256)) * 100
LONG_AGO = 1_700_000_000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Return the names of files that are read from now on, with a cache that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED_NS", 0)
    names: list[str] = []
    before = hashing._Reading.digest

    def digest(self: object, file: Path, state: object) -> str:
        names.append(file.name)
        return before(self, file, state)  # type: ignore[arg-type]

    monkeypatch.setattr(hashing._Reading, "digest", digest)
    return names


def digest(file: Path) -> str:
    return file_digests([file])[file]


def test_a_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert digest(file) == digest(file) == hashlib.sha256(CONTENT).hexdigest()
    file.rename(tmp_path / "moved")
    assert digest(tmp_path / "moved") == hashlib.sha256(CONTENT).hexdigest()
    assert read[:1] == ["file"]
    assert len(read) <= 2, "a file system may call a rename a change of the inode"


def test_a_change_of_one_size_and_time_is_seen(tmp_path: Path, read: list[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert digest(file) == hashlib.sha256(CONTENT).hexdigest()
    with file.open("r+b") as opened:
        opened.write(b"other")
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert digest(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert read == ["file", "file"]


def test_what_changed_just_now_is_not_remembered(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_NS", 3_600_000_000_000)
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert digest(file) == digest(file)
    assert read == ["file", "file"]


@pytest.mark.parametrize("damage", ["no folder", "no database", "other columns"])
def test_without_a_cache_files_are_read(tmp_path: Path, read: list[str], damage: str) -> None:
    cache = tmp_path / "cache" / "soce"
    if damage == "no folder":
        (tmp_path / "cache").touch()
    else:
        cache.mkdir(parents=True)
        text = "no database" * 1000
        (cache / "digests.db").write_text(text if damage == "no database" else "")
    if damage == "other columns":
        import sqlite3

        database = sqlite3.connect(cache / "digests.db")
        database.execute("CREATE TABLE digests (file TEXT)")
        database.close()
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert digest(file) == digest(file) == hashlib.sha256(CONTENT).hexdigest()
    assert read == ["file", "file"]


def test_the_cache_of_the_hub_names_files_by_their_digests(tmp_path: Path, read: list[str]) -> None:
    named = hashlib.sha256(CONTENT).hexdigest()
    blob, link = tmp_path / "blobs" / named, tmp_path / "snapshots" / "0123" / "model.safetensors"
    blob.parent.mkdir()
    link.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    os.utime(blob, (LONG_AGO, LONG_AGO))
    link.symlink_to(os.path.relpath(blob, link.parent))
    assert digest(link) == named
    assert read == []
    link.write_bytes(b"other")  # through the link
    os.utime(blob, ns=(link.lstat().st_mtime_ns + 1,) * 2)
    assert digest(link) == hashlib.sha256(b"other").hexdigest()


def test_many_files_at_once(tmp_path: Path, read: list[str]) -> None:
    files = [tmp_path / f"{place}" for place in range(20)]
    for place, file in enumerate(files):
        file.write_bytes(CONTENT[: place * 100])
    found = file_digests(files)
    assert list(found) == files
    assert all(found[file] == hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def test_raising_stops_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_CHUNK", 16)
    file = tmp_path / "file"
    file.write_bytes(CONTENT * 400)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file_digests([file], on_progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("digest")]


def test_a_file_that_is_being_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    before = hashing._read_all

    def grown(*arguments: Any) -> Any:
        with file.open("ab") as opened:
            opened.write(b"more")
        return before(*arguments)

    monkeypatch.setattr(hashing, "_read_all", grown)
    with pytest.raises(ChangingFileError, match="it changed while it was read"):
        file_digests([file])
