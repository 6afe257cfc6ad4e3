"""What a power cut would leave: names and bytes that were not brought to the disk when something relied on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults import inject
from tests.faults.decisions import Call
from tests.faults.subject import FULL, OVERWRITE, PLAIN, RECIPES, Scenario, Subject

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SCENARIOS = (PLAIN, FULL, OVERWRITE, RECIPES)
BYTES = {"write", "pwrite64", "ftruncate", "fallocate"}
SYNCS = {"fsync", "fdatasync"}


class Unsafe:
    """Paths whose names or bytes only memory has, as far as a sequence of calls tells."""

    def __init__(self) -> None:
        self.bytes: set[str] = set()
        self.names: set[str] = set()

    def add(self, call: Call) -> None:
        match call.name:
            case name if name in BYTES:
                self.bytes.add(call.path)
            case name if name in SYNCS:
                self.bytes.discard(call.path)
                self.names -= {path for path in self.names if str(Path(path).parent) == call.path}
            case "mkdir" | "mkdirat":
                self.names.add(call.path)
            case "openat" if call.arguments[2] & os.O_CREAT:
                self.names.add(call.path)
            case "unlink" | "unlinkat" | "rmdir":
                self._forget(call.path)
            case "rename" | "renameat" | "renameat2":
                assert call.source
                exchanged = self._below(call.path)
                moved = self._below(call.source)
                self._forget(call.source)
                self._forget(call.path)
                for kind, paths in moved.items():
                    getattr(self, kind).update(call.path + path.removeprefix(call.source) for path in paths)
                for kind, paths in exchanged.items():
                    getattr(self, kind).update(call.source + path.removeprefix(call.path) for path in paths)
                self.names.add(call.path)

    def _below(self, top: str) -> dict[str, set[str]]:
        return {
            kind: {path for path in getattr(self, kind) if path == top or path.startswith(f"{top}/")}
            for kind in ("bytes", "names")
        }

    def _forget(self, top: str) -> None:
        for kind, paths in self._below(top).items():
            getattr(self, kind).difference_update(paths)

    def below(self, top: str) -> list[str]:
        """Return what is unsafe in a directory."""
        return sorted(set().union(*self._below(top).values()) - {top})


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(tmp_path_factory.mktemp("durable"), SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_whatever_is_relied_on_was_brought_to_the_disk_before(subject: Subject, scenario: Scenario) -> None:
    """A shard before the journal calls it finished, a soup before its rename, everything before the end."""
    subject.begin(scenario)
    unsafe = Unsafe()
    wrong: list[str] = []
    closed: set[str] = set()

    def look(call: Call) -> None:
        path = Path(call.path)
        if call.name.startswith("rename") and call.source and call.source.endswith("/payload"):
            wrong.extend(f"renamed before it was on the disk: {found}" for found in unsafe.below(call.source))
        if call.name == "close" and call.written:
            closed.add(call.path)
        if path.name == "journal.jsonl" and call.name == "pwrite64":
            shards = {str(found) for found in (path.parent / "payload").glob("*.safetensors")}
            wrong.extend(f"journaled before it was on the disk: {p}" for p in shards & closed & unsafe.bytes)
        unsafe.add(call)

    outcome = inject.run(scenario.arguments, look, cwd=subject.home, places=[subject.home / "out"])
    assert outcome.code == 0, outcome
    assert wrong == []
    assert unsafe.below(str(subject.home / "out")) == []
