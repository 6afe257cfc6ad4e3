"""Whether a run ended as it should after a fault, and the next one after it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults import inject
from tests.faults.compare import differences, present
from tests.faults.decisions import Call, Decide
from tests.faults.inject import Outcome
from tests.faults.subject import Scenario, Subject, finished, state

NAMES = inject.OUTPUT_SIDE | {"read", "pread64", "getdents64"}
PREAD = ("--io", "pread")
LISTING = frozenset(["openat", "getdents64", "unlinkat"])
"""Calls in the course of listing or clearing a directory, which is then what is named."""


@contextmanager
def home_in_memory(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Make a directory, in memory if there is room: where errors are made up, no disk needs to be waited for."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 26
    home = Path(tempfile.mkdtemp(dir=memory)) if room else factory.mktemp(name)
    try:
        yield home
    finally:
        shutil.rmtree(home)


def caught(subject: Subject, scenario: Scenario, decide: Decide, *more: str) -> Outcome:
    """Run a scenario with its calls on both sides caught."""
    arguments = [*scenario.arguments, *PREAD, *more]
    places = [subject.home / "in", subject.home / "out"]
    return inject.run(arguments, decide, cwd=subject.home, places=places, names=NAMES)


def named(call: Call, error: int, outcome: Outcome) -> None:
    """Assert that a message says what failed where, in one line."""
    errors = [line for line in outcome.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, outcome
    for text in ("Traceback", "panicked", "SoceError"):
        assert text not in outcome.err, outcome
    path = Path(call.path)
    assert path.name in errors[0] or (call.name in LISTING and path.parent.name in errors[0]), outcome
    assert os.strerror(error) in errors[0], outcome
    if call.name in {"pwrite64", "pread64"}:
        assert re.search(rf"offset {call.arguments[3]}\b", errors[0]), outcome


def again(
    subject: Subject, scenario: Scenario, counts: Counter[str], *, complete: bool, after: Outcome
) -> None:
    """Assert that the same command, without faults, makes good."""
    (output, reference) = next(iter(subject.outputs(scenario).items()))
    kept = {} if complete else finished(output)  # after the commit, what lies there is the old soup
    whole = complete and not state(output).exists() and not scenario.replaces
    outcome = inject.run([*scenario.arguments, *PREAD], cwd=subject.home)
    if whole:
        assert (outcome.code, "already complete" in outcome.err) == (0, True), (after, outcome)
    else:
        assert outcome.code == 0, (after, outcome)
        counts["shards finished before"] += len(kept)
        now = {name: (output / name).stat().st_ino for name in kept}
        assert now == kept, (after, outcome)
    assert differences(output, reference) == [], (after, outcome)
    assert present(subject.home / "out") == {output.name}, (after, outcome)


def assert_reference(subject: Subject, scenario: Scenario) -> None:
    for output, reference in subject.outputs(scenario).items():
        assert differences(output, reference) == []
    assert present(subject.home / "out") == {"soup"}
    assert subject.inputs_changed() == []


def is_shard(call: Call) -> bool:
    return call.path.endswith(".safetensors")
