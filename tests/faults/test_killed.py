"""R1: killed at any call and run again, a merge gives the bytes of an undisturbed run, and nobody sees half of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.faults import inject
from tests.faults.compare import Soup, Watcher, differences, present, seen
from tests.faults.decisions import Call, Decide, Decision, Fail, Kill
from tests.faults.inject import Outcome
from tests.faults.sampling import each, runs, spread
from tests.faults.subject import (
    BEGUN,
    FAST,
    FOUR,
    FULL,
    OVERWRITE,
    PARTS,
    PLAIN,
    RECIPES,
    Scenario,
    Subject,
    finished,
    state,
)
from tests.faults.tally import record

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SCENARIOS = (PLAIN, BEGUN, FULL, OVERWRITE, RECIPES, FOUR, PARTS)
IDS = [scenario.name for scenario in SCENARIOS]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(tmp_path_factory.mktemp("killed"), SCENARIOS)


def caught(subject: Subject, scenario: Scenario, decide: Decide, *more: str) -> Outcome:
    """Run a scenario with its calls on the output side caught."""
    arguments = [*scenario.arguments, *more]
    return inject.run(arguments, decide, cwd=subject.home, places=[subject.home / "out"])


def watcher(subject: Subject, scenario: Scenario, *, small: bool = True) -> Watcher:
    new = {output: Soup(path, small=small) for output, path in subject.outputs(scenario).items()}
    return Watcher(new, Soup(subject.old, small=small) if scenario.replaces else None)


class Continued:
    """Runs of one scenario that end before their time, and the last one, which must make good."""

    def __init__(
        self, subject: Subject, scenario: Scenario, counts: Counter[str], *, small: bool = True
    ) -> None:
        self.subject, self.scenario, self.counts = subject, scenario, counts
        self.outputs = subject.outputs(scenario)
        subject.begin(scenario)
        self.watcher = watcher(subject, scenario, small=small)
        self.watcher.look()

    def go_on(self) -> None:
        """Run the command without faults, and see that it ends as if there had been none."""
        new = self.watcher.new
        kept = {
            output: finished(output) for output in self.outputs if seen(output, {"new": new[output]}) != "new"
        }
        whole = all(path.exists() and not state(path).exists() for path in self.outputs)
        done = inject.run([*self.scenario.arguments, "--json"], cwd=self.subject.home)
        self.counts["shards finished before"] += sum(map(len, kept.values()))
        assert done.code == 0, done
        if whole and not self.scenario.replaces:  # killed after everything was done
            self.counts["was complete"] += 1
            assert "nothing was read or written" in done.err
        else:
            self.counts["continued"] += 1
            report = json.loads(done.out)
            self.counts["shards reused"] += report["reused_shards"]
            # Where nothing but renames was missing, no shard is used again: all are in place.
            complete = {self.subject.home / output for output in report["complete_before"]}
            needed = sum(len(shards) for output, shards in kept.items() if output not in complete)
            assert report["reused_shards"] >= needed, done
            for output, shards in kept.items():
                now = {name: (output / name).stat().st_ino for name in shards}
                assert now == shards, f"shards of {output} were made again"
        self.check()

    def check(self) -> None:
        for output, reference in self.outputs.items():
            assert differences(output, reference) == []
        top = {name.partition("/")[0] for name in self.scenario.outputs}
        assert present(self.subject.home / "out") == top
        for output in self.outputs:
            assert present(output.parent) == {path.name for path in self.outputs}
        assert self.subject.inputs_changed() == []
        self.counts["looks"] += self.watcher.looks
        assert self.watcher.wrong == []


def calls_of(subject: Subject, scenario: Scenario) -> list[Call]:
    """Return the calls of an undisturbed run, looking at the target at each of them."""
    continued = Continued(subject, scenario, Counter())

    def look(call: Call) -> None:
        continued.watcher.look()

    done = caught(subject, scenario, look)
    assert done.code == 0, done
    continued.watcher.look()
    continued.check()
    return done.calls


def killed_at(subject: Subject, scenario: Scenario, number: int, counts: Counter[str]) -> None:
    """Kill a run before a call, and have the same command go on."""
    continued = Continued(subject, scenario, counts)
    with continued.watcher:
        killed = caught(subject, scenario, lambda call: Kill() if call.number == number else None)
        if killed.hits:
            counts[f"killed at {killed.hits[0].name}"] += 1
            assert killed.code == -signal.SIGKILL, killed
        else:  # two threads took turns in another order, and made a call less
            assert killed.code == 0, killed
        continued.go_on()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_killed_at_some_calls(subject: Subject, scenario: Scenario) -> None:
    calls = calls_of(subject, scenario)
    renames = [call.number for call in calls if call.name.startswith("rename")]
    counts: Counter[str] = Counter(calls=len(calls))
    chosen = {
        *spread(len(calls), 6, phase=SCENARIOS.index(scenario) / len(SCENARIOS)),
        renames[0],
        renames[-1] + 1,
    }
    each(sorted(chosen), lambda number: killed_at(subject, scenario, number, counts))
    record(f"killed at some calls: {scenario.name}", **counts)


def test_killed_while_cleaning(subject: Subject) -> None:
    """All soups are in place, and what was needed to make them goes, one after the other."""
    calls = calls_of(subject, RECIPES)
    last = max(call.number for call in calls if call.name.startswith("rename"))
    removals = [c for c in calls if c.number > last and c.name in {"unlink", "unlinkat", "rmdir"}]
    counts: Counter[str] = Counter(calls=len(calls))
    each(removals, lambda call: killed_at(subject, RECIPES, call.number, counts))
    record("killed while cleaning", **counts)


def test_killed_again_and_again(subject: Subject) -> None:
    """Each run is killed a little later than the one before, until one has nothing left to do."""
    counts: Counter[str] = Counter()
    continued = Continued(subject, RECIPES, counts)
    kept: dict[tuple[str, str], int] = {}
    with continued.watcher:
        for number in itertools.count(30, 30):
            killed = caught(
                subject, RECIPES, lambda call, number=number: Kill() if call.number == number else None
            )
            now = {
                (output.name, name): inode
                for output in continued.outputs
                for name, inode in finished(output).items()
            }
            assert kept.items() <= now.items() or any(output.exists() for output in continued.outputs)
            kept = now
            if not killed.hits:
                break
            counts["kills"] += 1
        assert killed.code == 0, killed
        continued.check()
    record("killed again and again", **counts)


@pytest.mark.faults_long
@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_killed_at_every_call(subject: Subject, scenario: Scenario) -> None:
    calls = calls_of(subject, scenario)
    counts: Counter[str] = Counter(calls=len(calls))
    each(calls, lambda call: killed_at(subject, scenario, call.number, counts))
    record(f"killed at every call: {scenario.name}", **counts)


@pytest.mark.faults_long
def test_killed_at_every_call_where_directories_cannot_be_exchanged(subject: Subject) -> None:
    """Between two renames the target is absent; it is never anything but that, the old soup or the new one."""
    counts: Counter[str] = Counter()

    def without(call: Call) -> Decision:
        return Fail(errno.EINVAL) if call.name == "renameat2" else None

    subject.begin(OVERWRITE)
    calls = caught(subject, OVERWRITE, without).calls
    counts["calls"] = len(calls)

    def killed_without(call: Call) -> None:
        continued = Continued(subject, OVERWRITE, counts)
        continued.watcher.may_be_absent = True
        with continued.watcher:
            killed = caught(
                subject, OVERWRITE, lambda now: Kill() if now.number == call.number else without(now)
            )
            assert killed.code in {0, -signal.SIGKILL}, killed
            continued.go_on()

    each(calls, killed_without)
    record("killed at every call, no exchange", **counts)


# ---- at any time


@pytest.mark.faults_release
def test_killed_a_thousand_times_in_a_merge_of_a_gigabyte(tmp_path: Path) -> None:
    """Three ingredients of 1 GB, 12 shards; a third of the runs that go on are killed as well."""
    subject = Subject(tmp_path, (FAST,), elements=14_000_000 // 64 * 64, shards=12)
    counts: Counter[str] = Counter()
    seed = random.randrange(1 << 32)
    choose = random.Random(seed)
    subject.begin(FAST)
    started = time.monotonic()
    assert inject.run(FAST.arguments, cwd=subject.home).code == 0
    lasts = time.monotonic() - started

    def kill(process: int) -> None:
        handle = os.pidfd_open(process)  # its id may belong to another process when it has ended
        time.sleep(choose.uniform(0, lasts))
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)

    while counts["kills"] < runs(1000):
        continued = Continued(subject, FAST, counts, small=False)
        with continued.watcher:
            for before in itertools.count():
                started = time.monotonic()
                killed = inject.run(FAST.arguments, cwd=subject.home, meanwhile=kill)
                assert killed.code in {0, 1, -signal.SIGKILL}, killed  # 1: killed before when all was done
                if killed.code < 0:
                    counts["kills"] += 1
                else:
                    counts["too late"] += 1
                    if before == 0:  # a whole run: the first may have waited for the disk
                        lasts = min(lasts, time.monotonic() - started)
                if killed.code >= 0 or choose.random() > 1 / 3:
                    break
            continued.go_on()
    record("killed at random times, 1 GB", seed=seed, seconds=round(lasts, 1), **counts)
    shutil.rmtree(tmp_path)
