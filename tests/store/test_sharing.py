"""What is said of the locks of a folder, by its file system and by a try."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from soce.store import sharing
from soce.store.sharing import Mount, locks_hold, sharing_note


def on(monkeypatch: pytest.MonkeyPatch, kind: str, *options: str) -> None:
    monkeypatch.setattr(sharing, "_mounts", lambda: [Mount("/", kind, frozenset(options))])


def test_locks_are_tried_by_a_second_process_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locks_hold(tmp_path)
    assert [*tmp_path.iterdir()] == []
    for lock in ("flock", "lockf"):  # as on a file system that takes one and holds nothing
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, lock, lambda *_: None)
            assert not locks_hold(tmp_path)


def test_nothing_is_said_of_a_local_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ext4")
    monkeypatch.setattr(sharing, "locks_hold", lambda _: pytest.fail("nobody asks"))
    assert sharing_note(tmp_path) is None
    monkeypatch.setattr(sharing, "_mounts", list)
    assert sharing_note(tmp_path) is None


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("nfs4", ("rw", "vers=4.2"), "between processes of this machine; locks reach other machines"),
        ("nfs4", ("local_lock=all",), "mounted so that locks stay on each machine"),
        ("lustre", ("flock",), "if all mount it with `flock`"),
        ("lustre", ("localflock",), "mounted so that locks stay on each machine"),
        ("fuse.sshfs", (), "nobody can say here whether locks reach other machines"),
    ],
)
def test_of_a_network_file_system_it_is_said_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: tuple[str, ...], told: str
) -> None:
    on(monkeypatch, kind, *options)
    note = sharing_note(tmp_path / "not" / "there")
    assert note is not None
    assert note.startswith(f"`{tmp_path / 'not' / 'there'}` is on {kind}")
    assert told in note
    monkeypatch.setattr(sharing, "locks_hold", lambda _: False)
    assert str(sharing_note(tmp_path)).endswith(
        "whose locks do not hold: one process at a time may work there"
    )
