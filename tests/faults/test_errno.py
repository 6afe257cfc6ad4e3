"""R2: a system call that fails or does less than asked: the same soup, or an error that names the file, and no soup."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.checkpoints import checkpoint
from tests.faults import inject
from tests.faults.compare import Soup, differences, present, seen
from tests.faults.inject import Call, Fail, Kill, Lie, Outcome, Short
from tests.faults.sampling import each, spread
from tests.faults.subject import BEGUN, FULL, OVERWRITE, PLAIN, Scenario, Subject, finished, state
from tests.faults.tally import record

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
CREATE = os.O_CREAT
NAMES = inject.OUTPUT_SIDE | {"read", "pread64", "getdents64"}
PREAD = ("--io", "pread")


@dataclass(frozen=True)
class Fault:
    """What a call meets, which calls can meet it, and whether the merge must not mind."""

    name: str
    decision: inject.Decision
    calls: frozenset[str]
    harmless: bool = False

    def fits(self, call: Call) -> bool:
        """Return whether a real system could answer this call so."""
        if call.name not in self.calls:
            return False
        if self.name in {"ENOSPC", "EDQUOT"} and call.name in {"open", "openat"}:
            return bool(call.arguments[2] & CREATE)
        return call.name != "close" or call.written  # closing fails where it has bytes to bring away


STATE_PART = ".soce-partial/"
TAKES_ROOM = frozenset(
    [
        "openat",
        "mkdir",
        "write",
        "pwrite64",
        "fsync",
        "fdatasync",
        "fallocate",
        "rename",
        "renameat2",
        "close",
    ]
)
INTERRUPTIBLE = frozenset(
    [
        "openat",
        "read",
        "write",
        "pread64",
        "pwrite64",
        "fsync",
        "fdatasync",
        "fallocate",
        "ftruncate",
        "flock",
        "close",
    ]
)
"""Calls whose manual pages have EINTR among their errors."""
LISTING = frozenset(["openat", "getdents64", "unlinkat"])
"""Calls in the course of listing or clearing a directory, which is then what is named."""
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
    """Keep the subject in memory if there is room: errors are made up, so no disk needs to be waited for."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 26
    home = Path(tempfile.mkdtemp(dir=memory)) if room else tmp_path_factory.mktemp("errno")
    yield Subject(home, (PLAIN, BEGUN, OVERWRITE, FULL))
    shutil.rmtree(home)


def caught(subject: Subject, scenario: Scenario, decide: inject.Decide, *more: str) -> Outcome:
    """Run a scenario with its calls on both sides caught."""
    arguments = [*scenario.arguments, *PREAD, *more]
    places = [subject.home / "in", subject.home / "out"]
    return inject.run(arguments, decide, cwd=subject.home, places=places, names=NAMES)


def must_fail(call: Call, error: int) -> bool:
    """Return whether a run in which this call failed may not succeed: bytes or names would be missing."""
    match call.name:
        case "fallocate":
            return error in {errno.EIO, errno.ENOSPC, errno.EDQUOT}
        case "read" | "pread64" | "openat" if STATE_PART not in call.path:
            return call.path.endswith(".safetensors")
        case "openat":
            return bool(call.arguments[2] & CREATE)
        case "getdents64" | "unlink" | "unlinkat" | "rmdir" | "read" | "pread64":
            return (
                False  # what cannot be read again is made again; what cannot be removed stays, with a warning
            )
        case _:
            return True


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

    def decide(call: Call) -> inject.Decision:
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


def again(
    subject: Subject, scenario: Scenario, counts: Counter[str], *, complete: bool, after: Outcome
) -> None:
    """Assert that the same command, without faults, makes good."""
    (output, reference) = next(iter(subject.outputs(scenario).items()))
    kept = finished(output)
    whole = complete and not state(output).exists() and not scenario.replaces
    outcome = inject.run([*scenario.arguments, *PREAD], cwd=subject.home)
    if whole:
        assert (outcome.code, "already exists" in outcome.err) == (1, True), (after, outcome)
    else:
        assert outcome.code == 0, (after, outcome)
        counts["shards finished before"] += len(kept)
        now = {name: (output / name).stat().st_ino for name in kept}
        assert now == kept, (after, outcome)
    assert differences(output, reference) == [], (after, outcome)
    assert present(subject.home / "out") == {output.name}, (after, outcome)


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


# ---- filesystems that cannot do everything


def always(name: str, error: int) -> inject.Decide:
    return lambda call: Fail(error) if call.name == name else None


def test_space_that_cannot_be_reserved_is_a_note(subject: Subject) -> None:
    subject.begin(PLAIN)
    outcome = caught(subject, PLAIN, always("fallocate", errno.EOPNOTSUPP))
    assert (outcome.code, len(outcome.hits)) == (0, 6), outcome
    assert_reference(subject, PLAIN)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS])
@pytest.mark.parametrize("scenario", [PLAIN, OVERWRITE], ids=lambda scenario: scenario.name)
def test_renames_without_flags_serve_as_well(subject: Subject, scenario: Scenario, error: int) -> None:
    subject.begin(scenario)
    outcome = caught(subject, scenario, always("renameat2", error))
    assert outcome.code == 0, outcome
    assert outcome.hits
    assert_reference(subject, scenario)


def test_killed_between_the_two_renames_that_replace_an_exchange(subject: Subject) -> None:
    """The old soup is aside and the new one not yet in its place: the next run puts one of them there."""
    subject.begin(OVERWRITE)
    output = subject.home / "out/soup"
    renamed: list[Call] = []

    def decide(call: Call) -> inject.Decision:
        if call.name == "renameat2":
            return Fail(errno.EINVAL)
        if call.name in {"rename", "renameat"}:
            renamed.append(call)
            return Kill() if len(renamed) == 2 else None
        return None

    outcome = caught(subject, OVERWRITE, decide)
    assert outcome.code == -9, outcome
    assert not output.exists()
    complete = [path for path in (subject.home / "out").rglob("*") if (path / "soce.json").exists()]
    assert len(complete) == 2
    outcome = inject.run([*OVERWRITE.arguments, *PREAD], cwd=subject.home)
    assert outcome.code == 0, outcome
    assert_reference(subject, OVERWRITE)


def test_a_filesystem_without_locks_is_named_or_does_not_matter(subject: Subject) -> None:
    subject.begin(PLAIN)
    outcome = caught(subject, PLAIN, always("flock", errno.ENOLCK))
    assert outcome.hits
    if outcome.code == 0:
        assert_reference(subject, PLAIN)
    else:
        named(outcome.hits[0], errno.ENOLCK, outcome)
        assert present(subject.home / "out") <= {"soup.soce-partial"}
        again(subject, PLAIN, Counter(), complete=False, after=outcome)


def assert_reference(subject: Subject, scenario: Scenario) -> None:
    for output, reference in subject.outputs(scenario).items():
        assert differences(output, reference) == []
    assert present(subject.home / "out") == {"soup"}
    assert subject.inputs_changed() == []


# ---- a kernel that really writes less


def test_a_limit_on_the_size_of_files_is_an_error_before_anything_is_computed(subject: Subject) -> None:
    subject.begin(PLAIN)
    outcome = inject.run(PLAIN.arguments, cwd=subject.home, file_size=20_000)
    assert outcome.code == 1, outcome
    assert "model-00001-of-00006.safetensors" in outcome.err
    assert os.strerror(errno.EFBIG) in outcome.err
    assert present(subject.home / "out") == set()


def test_a_write_that_stops_at_the_limit_is_an_error_with_its_offset(subject: Subject) -> None:
    subject.begin(PLAIN)

    def decide(call: Call) -> inject.Decision:
        return Fail(errno.EOPNOTSUPP) if call.name in {"fallocate", "ftruncate"} and is_shard(call) else None

    outcome = inject.run(
        [*PLAIN.arguments, *PREAD], decide, cwd=subject.home, places=[subject.home / "out"], file_size=20_000
    )
    assert outcome.code == 1, outcome
    # The kernel wrote up to the limit, which is no multiple of a chunk, and refused the rest.
    assert "cannot write at offset 20000: " + os.strerror(errno.EFBIG) in outcome.err, outcome
    assert not (subject.home / "out/soup").exists()
    again(subject, PLAIN, Counter(), complete=False, after=outcome)


def is_shard(call: Call) -> bool:
    return call.path.endswith(".safetensors")


# ---- a disk that loses what it was given


def test_a_lost_write_is_found_by_reading_back(subject: Subject) -> None:
    """Whichever write of a shard it is, the header included."""
    writes = [call for call in undisturbed(subject, FULL) if call.name == "pwrite64" and is_shard(call)]
    counts: Counter[str] = Counter(calls=len(writes))

    def lose(number: int) -> None:
        subject.begin(FULL)
        lost: list[Call] = []

        def decide(call: Call) -> inject.Decision:
            if not lost and call.number >= number and call.name == "pwrite64" and is_shard(call):
                lost.append(call)
                return Lie()
            return None

        outcome = caught(subject, FULL, decide)
        assert outcome.code == 1, outcome
        assert Path(lost[0].path).name in outcome.err, outcome
        assert "Traceback" not in outcome.err, outcome
        assert not (subject.home / "out/soup").exists()
        counts["found"] += 1
        again(subject, FULL, counts, complete=False, after=outcome)

    each([writes[i].number for i in spread(len(writes), 6, phase=0.5)], lose)
    record("lost writes", **counts)


def test_a_write_lost_before_a_kill_is_found_by_the_next_run(subject: Subject) -> None:
    """The journal says that the shard is finished; its bytes say otherwise, so it is made again."""
    subject.begin(PLAIN)
    output, shard = subject.home / "out/soup", "model-00002-of-00006.safetensors"

    def decide(call: Call) -> inject.Decision:
        if call.name == "pwrite64" and call.path.endswith(shard) and call.arguments[3] > 20_000:
            return Lie()
        return Kill() if len(finished(output)) == 4 else None

    outcome = caught(subject, PLAIN, decide)
    assert outcome.code == -9, outcome
    assert shard in finished(output)
    outcome = inject.run([*PLAIN.arguments, *PREAD, "--json"], cwd=subject.home)
    assert outcome.code == 0, outcome
    assert json.loads(outcome.out)["reused_shards"] == 3
    assert_reference(subject, PLAIN)


# ---- writing back while the work goes on


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Write two ingredients of one tensor of 80 MiB, enough for windows of dirty bytes to be waited for."""
    for seed, name in enumerate("AB"):
        block = np.random.default_rng(seed).standard_normal(1 << 18, dtype=np.float32).tobytes()
        checkpoint(tmp_path / "in" / name, {"w": ("F32", [80 << 18], block * 80)})
    (tmp_path / "out").mkdir()
    return tmp_path


def test_written_back_by_range_or_not_the_bytes_are_the_same(large: Path) -> None:
    soups = []
    for error in (None, errno.ENOSYS, errno.EIO):
        output = large / "out" / f"soup{len(soups)}"
        outcome = inject.run(
            ["in/A", "in/B", "-o", str(output), "-j", "2"],
            always("sync_file_range", error) if error else lambda call: None,
            cwd=large,
            places=[large / "out"],
        )
        assert [call for call in outcome.calls if call.name == "sync_file_range"], "not enough was written"
        if error == errno.EIO:
            assert outcome.code == 1, outcome
            named(outcome.hits[0], error, outcome)
            assert not output.exists()
        else:
            assert outcome.code == 0, outcome
            soups.append(output)
    assert differences(*soups) == []
    assert present(large / "out") == {soup.name for soup in soups}
