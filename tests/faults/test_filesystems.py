"""R2, continued: filesystems that cannot do everything, or lose what they were given."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.checkpoints import checkpoint
from tests.faults import inject
from tests.faults.compare import differences, present
from tests.faults.decisions import Call, Decide, Decision, Fail, Kill, Lie
from tests.faults.judging import PREAD, again, assert_reference, caught, home_in_memory, is_shard, named
from tests.faults.sampling import each, spread
from tests.faults.subject import FULL, OVERWRITE, PLAIN, Scenario, Subject, finished
from tests.faults.tally import record

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with home_in_memory(tmp_path_factory, "filesystems") as home:
        yield Subject(home, (PLAIN, OVERWRITE, FULL))


# ---- filesystems that cannot do everything


def always(name: str, error: int) -> Decide:
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

    def decide(call: Call) -> Decision:
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

    def decide(call: Call) -> Decision:
        return Fail(errno.EOPNOTSUPP) if call.name in {"fallocate", "ftruncate"} and is_shard(call) else None

    outcome = inject.run(
        [*PLAIN.arguments, *PREAD], decide, cwd=subject.home, places=[subject.home / "out"], file_size=20_000
    )
    assert outcome.code == 1, outcome
    # The kernel wrote up to the limit, which is no multiple of a chunk, and refused the rest.
    assert "cannot write at offset 20000: " + os.strerror(errno.EFBIG) in outcome.err, outcome
    assert not (subject.home / "out/soup").exists()
    again(subject, PLAIN, Counter(), complete=False, after=outcome)


# ---- a disk that loses what it was given


def test_a_lost_write_is_found_by_reading_back(subject: Subject) -> None:
    """Whichever write of a shard it is, the header included."""
    subject.begin(FULL)
    calls = caught(subject, FULL, lambda call: None).calls
    writes = [call for call in calls if call.name == "pwrite64" and is_shard(call)]
    counts: Counter[str] = Counter(calls=len(writes))

    def lose(number: int) -> None:
        subject.begin(FULL)
        lost: list[Call] = []

        def decide(call: Call) -> Decision:
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

    def decide(call: Call) -> Decision:
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
