"""R2: a system call that fails or does less than asked: the same soup, or an error that names the file, and no soup."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults import inject, system_calls
from tests.faults.compare import Soup, differences, seen
from tests.faults.decisions import Call, Decision, Fail, Short
from tests.faults.judging import NAMES, again, caught, home_in_memory, named
from tests.faults.sampling import each, spread
from tests.faults.subject import BEGUN, OVERWRITE, PLAIN, STATE, Scenario, Subject, state
from tests.faults.tally import record

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@dataclass(frozen=True)
class Fault:
    """What a call meets, which calls can meet it, and whether the merge must not mind."""

    name: str
    decision: Decision
    calls: frozenset[str]
    harmless: bool = False

    def fits(self, call: Call) -> bool:
        """Return whether a real system could answer this call so."""
        if call.name not in self.calls:
            return False
        if self.name in {"ENOSPC", "EDQUOT"} and call.name in {"open", "openat"}:
            return bool(call.arguments[2] & os.O_CREAT)
        # Closing fails where it has bytes to bring away.
        return call.name != "close" or (call.written and not call.is_directory)


TAKES_ROOM = system_calls.WRITING | {"openat", "mkdir", "rename", "renameat2", "close"}
INTERRUPTIBLE = (system_calls.WRITING - {"sync_file_range"}) | {"openat", "read", "pread64", "flock", "close"}
"""Calls whose manual pages have EINTR among their errors."""
FAULTS = [
    Fault("EIO", Fail(errno.EIO), NAMES),
    Fault("ENOSPC", Fail(errno.ENOSPC), TAKES_ROOM),
    Fault("EDQUOT", Fail(errno.EDQUOT), TAKES_ROOM),
    Fault("EAGAIN", Fail(errno.EAGAIN), NAMES - {"close", "flock"}),
    Fault("EINTR", Fail(errno.EINTR), INTERRUPTIBLE, harmless=True),
    Fault("short", Short(), frozenset({"read", "write", "pread64", "pwrite64"}), harmless=True),
]
BY_NAME = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with home_in_memory(tmp_path_factory, "errno") as home:
        yield Subject(home, (PLAIN, BEGUN, OVERWRITE))


def must_fail(call: Call, error: int) -> bool:
    """Return whether a run in which this call failed may not succeed: bytes or names would be missing."""
    match call.name:
        case "fallocate":
            return error in {errno.EIO, errno.ENOSPC, errno.EDQUOT}
        case "read" | "pread64" | "openat" if STATE not in call.path:
            return call.path.endswith(".safetensors")
        case "openat":
            return bool(call.arguments[2] & os.O_CREAT)
        case "getdents64" | "unlink" | "unlinkat" | "rmdir" | "read" | "pread64":
            return False  # what cannot be read is made again; what cannot be removed stays, with a warning
        case _:
            return True


def undisturbed(subject: Subject, scenario: Scenario) -> list[Call]:
    subject.begin(scenario)
    done = caught(subject, scenario, lambda call: None)
    assert done.code == 0, done
    return done.calls


def met(subject: Subject, scenario: Scenario, fault: Fault, number: int, counts: Counter[str]) -> None:
    """Have one call meet the fault, and the same command go on afterwards."""
    subject.begin(scenario)
    (output, reference) = next(iter(subject.outputs(scenario).items()))
    met: list[Call] = []
    committed = []

    def decide(call: Call) -> Decision:
        if not met and call.number >= number and fault.fits(call):
            met.append(call)
            return fault.decision
        if call.name.startswith("rename") and call.path == str(output):
            committed.append(call)
        return None

    outcome = caught(subject, scenario, decide)
    if not met:
        assert outcome.code == 0, outcome
        counts["not met"] += 1
        return
    call = met[0]
    committed_before = bool(committed) and committed[0].number < call.number
    assert outcome.code in {0, 1}, outcome
    new, old = Soup(reference), Soup(subject.old)
    found = seen(output, {"new": new, "old": old})
    if outcome.code == 0:
        counts["the same soup"] += 1
        error = fault.decision.error if isinstance(fault.decision, Fail) else 0
        assert fault.harmless or committed_before or not must_fail(call, error), outcome
        assert found == "new", outcome
        assert differences(output, reference) == []
    else:
        counts["an error"] += 1
        assert not fault.harmless, outcome
        assert isinstance(fault.decision, Fail)
        named(call, fault.decision.error, outcome)
        expected = "new" if committed_before else "old" if scenario.replaces else "absent"
        assert found == expected, outcome
    assert subject.inputs_changed() == []
    if outcome.code == 1 or state(output).exists():
        again(subject, scenario, counts, complete=committed_before, after=outcome)


def some(calls: list[Call], count: int) -> list[int]:
    """Return the numbers of some calls, of as many kinds as possible."""
    kinds: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        kinds.setdefault((call.name, Path(call.path).suffix), []).append(call)
    groups = list(kinds.values())
    chosen = {groups[i][len(groups[i]) // 2].number for i in spread(len(groups), count)}
    rest = [call.number for call in calls if call.number not in chosen]
    return sorted(chosen | {rest[i] for i in spread(len(rest), count - len(chosen))})


@BY_NAME
def test_a_fault_at_some_calls(subject: Subject, fault: Fault) -> None:
    calls = [call for call in undisturbed(subject, PLAIN) if fault.fits(call)]
    counts: Counter[str] = Counter(calls=len(calls))
    each(some(calls, 10), lambda number: met(subject, PLAIN, fault, number, counts))
    record(f"fault at some calls: {fault.name}", **counts)


@pytest.mark.faults_long
@pytest.mark.parametrize("scenario", [PLAIN, BEGUN, OVERWRITE], ids=lambda scenario: scenario.name)
@BY_NAME
def test_a_fault_at_every_call(subject: Subject, fault: Fault, scenario: Scenario) -> None:
    calls = [call for call in undisturbed(subject, scenario) if fault.fits(call)]
    counts: Counter[str] = Counter(calls=len(calls))
    each(calls, lambda call: met(subject, scenario, fault, call.number, counts))
    record(f"fault at every call: {fault.name}, {scenario.name}", **counts)
