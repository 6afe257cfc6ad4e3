"""R4: inputs that change at any moment of a merge: an error that names the file, or a right soup, never a wrong one."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.checkpoints import state_of
from tests.faults import inject
from tests.faults.compare import differences
from tests.faults.inject import Call, Outcome
from tests.faults.sampling import each, runs, spread
from tests.faults.subject import PLAIN, SHARDS, Subject, finished, ingredient
from tests.faults.tally import record

import soce

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
NAMES = inject.OUTPUT_SIDE | {"read", "pread64", "getdents64", "mmap"}


# ---- what happens to an input; `spare` is a valid shard of the same layout with other bytes


def cut(shard: Path, spare: Path) -> None:
    os.truncate(shard, shard.stat().st_size // 3)


def empty(shard: Path, spare: Path) -> None:
    os.truncate(shard, 0)


def replace(shard: Path, spare: Path) -> None:
    shutil.copy(spare, shard.with_name("new"))
    shard.with_name("new").replace(shard)


def delete(shard: Path, spare: Path) -> None:
    shard.unlink()


def rewrite(shard: Path, spare: Path) -> None:
    """Write other bytes into the file and put the time of its last change back."""
    before = shard.stat()
    with shard.open("r+b") as file:
        file.write(spare.read_bytes())
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


def close_off(shard: Path, spare: Path) -> None:
    shard.chmod(0)


CHANGES = [cut, empty, replace, delete, rewrite, close_off]
Change = Callable[[Path, Path], None]
BACKENDS = ["mmap", "pread"]


class Changing:
    """A subject whose inputs get changed and put back."""

    def __init__(self, home: Path, **size: int) -> None:
        (home / "subject").mkdir(parents=True)
        self.subject = Subject(home / "subject", (PLAIN,), **size)
        self.pristine = home / "pristine"
        shutil.copytree(self.subject.home / "in", self.pristine)
        self.spare = ingredient(home / "spare", 99, **size)
        self.counts: Counter[str] = Counter()

    def put_back(self) -> None:
        """Give the inputs their bytes, modes and times again; inode and ctime are new, as after any repair."""
        for file in self.pristine.rglob("*"):
            if file.is_file():
                path = self.subject.home / "in" / file.relative_to(self.pristine)
                if not path.exists() or state_of(path) != {str(path): (*state_of(file)[str(file)],)}:
                    path.unlink(missing_ok=True)
                    shutil.copy2(file, path)
        assert self.subject.inputs_changed() == []

    def run(self, arguments: list[str], **options: object) -> Outcome:
        return inject.run([*PLAIN.arguments, *arguments], cwd=self.subject.home, **options)

    def check(
        self, change: Change, shard: str, run: Callable[[Callable[[], None]], Outcome], io: str
    ) -> None:
        """Have a run meet a change, and see what comes of it, of the next run, and of one after a repair."""
        path = self.subject.home / "in" / shard
        self.subject.begin(PLAIN)
        changed: list[bool] = []

        def now() -> None:
            if not changed:
                changed.append(True)
                change(path, self.spare / path.name)

        try:
            outcome = run(now)
            self.counts["runs"] += 1
            if not changed:  # it was over before
                now()
            self._first(outcome, path)
            self._second(path, io)
        finally:
            self.put_back()
        self._third(io)

    def check_between(self, change: Change, shard: str, number: int, options: list[str]) -> None:
        """Have a run killed, an input changed, and the command run again."""
        path = self.subject.home / "in" / shard
        self.subject.begin(PLAIN)
        self.made_of = "nothing"

        def kill(call: Call) -> inject.Decision:
            return inject.Kill() if call.number == number else None

        killed = self.run(options, decide=kill, places=[self.subject.home / "out"])
        assert killed.code == -signal.SIGKILL, killed
        self.counts["kills"] += 1
        self.counts["shards finished before"] += len(finished(self.output))
        try:
            change(path, self.spare / path.name)
            self._second(path, "auto", *options)
        finally:
            self.put_back()
        self._third("auto", *options)

    def _third(self, io: str, *options: str) -> None:
        """Run once more after the inputs were repaired."""
        if not self.output.exists():
            outcome = self.run(["--io", io, *options, "--restart"])
            assert outcome.code == 0, outcome
        if self.made_of != "inputs as they are now":
            assert differences(self.output, self.reference) == []

    @property
    def output(self) -> Path:
        return self.subject.home / "out/soup"

    @property
    def reference(self) -> Path:
        return self.subject.outputs(PLAIN)[self.output]

    def _first(self, outcome: Outcome, path: Path) -> None:
        """Judge the run that met the change."""
        assert outcome.code >= 0, f"died by {signal.Signals(-outcome.code).name}: {outcome}"
        assert outcome.code in {0, 1}, outcome
        assert "Traceback" not in outcome.err, outcome
        if outcome.code == 0:
            self.made_of = self._made_of()
            self.counts[f"a soup of {self.made_of}"] += 1
        else:
            self.made_of = "nothing"
            self.counts["an error"] += 1
            assert not self.output.exists(), outcome
            assert f"in/{path.parent.name}" in outcome.err, outcome
            assert path.name in outcome.err, outcome

    def _second(self, path: Path, io: str, *options: str) -> None:
        """Run again with the inputs as they are now: old and new bytes never meet."""
        if self.output.exists():
            return
        outcome = self.run(["--io", io, *options])
        assert outcome.code in {0, 1}, outcome
        if outcome.code == 0:
            self.made_of = self._made_of()
            self.counts[f"then a soup of {self.made_of}"] += 1
        else:
            self.counts["then refused"] += 1
            assert path.name in outcome.err or "--restart" in outcome.err, outcome

    def _made_of(self) -> str:
        """Return of which inputs the soup was made; fail if of none that ever were there together."""
        if not differences(self.output, self.reference):
            return "inputs as they were"
        fresh = self.subject.home / "out/fresh"
        again = inject.run(["in/A=1", "in/B=2", "in/C=3", "-o", "out/fresh"], cwd=self.subject.home)
        assert again.code == 0, f"a soup was made, but cannot be: {again}"
        wrong = [found for found in differences(self.output, fresh) if "plan_digest" not in found]
        shutil.rmtree(fresh)
        assert wrong == [], f"a wrong soup: {wrong}"
        return "inputs as they are now"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Changing:
    return Changing(tmp_path_factory.mktemp("small"))


def all_shards() -> list[str]:
    return [f"{name}/model-{i:05}-of-{SHARDS:05}.safetensors" for name in "ABC" for i in range(1, SHARDS + 1)]


def at_call(changing: Changing, number: int, io: str) -> Callable[[Callable[[], None]], Outcome]:
    """Return a run in which the change happens while a call waits."""

    def run(now: Callable[[], None]) -> Outcome:
        def decide(call: Call) -> None:
            if call.number == number:
                now()

        home = changing.subject.home
        return changing.run(["--io", io], decide=decide, places=[home / "in", home / "out"], names=NAMES)

    return run


def count_calls(changing: Changing, io: str) -> int:
    changing.subject.begin(PLAIN)
    outcome = at_call(changing, -1, io)(lambda: None)
    assert outcome.code == 0, outcome
    return len(outcome.calls)


@pytest.mark.parametrize("io", BACKENDS)
def test_changed_at_some_calls(small: Changing, io: str) -> None:
    moments = spread(count_calls(small, io), len(CHANGES), phase=0.3 if io == "mmap" else 0.6)
    shards = all_shards()
    small.counts.clear()

    def check(i: int) -> None:
        moment = moments[::-1][i] if io == "mmap" else moments[i]
        small.check(CHANGES[i], shards[(5 * i + 4) % len(shards)], at_call(small, moment, io), io)

    each(range(len(CHANGES)), check)
    record(f"changed at some calls: {io}", **small.counts)


@pytest.mark.faults_long
@pytest.mark.parametrize("io", BACKENDS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_at_many_calls(small: Changing, change: Change, io: str) -> None:
    """Twenty moments each, so 240 in all."""
    moments = spread(count_calls(small, io), runs(20), phase=0.5)
    shards = all_shards()
    small.counts.clear()

    def check(i: int) -> None:
        small.check(change, shards[(7 * i + 3) % len(shards)], at_call(small, moments[i], io), io)

    each(range(len(moments)), check)
    record(f"changed at many calls: {change.__name__}, {io}", **small.counts)


def between(changing: Changing, level: str, count: int) -> None:
    """Kill at calls spread over a run, and change inputs before the next one."""
    options = ["--digests", level]
    changing.subject.begin(PLAIN)
    whole = changing.run(options, decide=lambda call: None, places=[changing.subject.home / "out"])
    moments = spread(len(whole.calls), count, phase=0.7)
    shards = all_shards()
    changing.counts.clear()

    def check(i: int) -> None:
        changing.check_between(
            CHANGES[i % len(CHANGES)], shards[(7 * i + 2) % len(shards)], moments[i], options
        )

    each(range(count), check)
    record(f"changed after a kill: digests {level}", **changing.counts)


def test_changed_between_a_kill_and_the_next_run(small: Changing) -> None:
    between(small, "tensors", len(CHANGES))


@pytest.mark.faults_long
@pytest.mark.parametrize("level", ["none", "tensors", "full"])
def test_changed_between_many_kills_and_the_next_run(small: Changing, level: str) -> None:
    between(small, level, runs(10 * len(CHANGES)))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see signals")
@pytest.mark.parametrize("change", [cut, empty], ids=lambda change: change.__name__)
def test_a_page_lost_under_a_map_is_a_signal_that_does_not_kill(
    small: Changing, change: Change, tmp_path: Path
) -> None:
    """See with another's eyes that SIGBUS comes at all, and that the run goes on after it."""
    log = tmp_path / "signals"
    small.subject.begin(PLAIN)
    path = small.subject.home / "in/B/model-00002-of-00006.safetensors"
    tracers: list[subprocess.Popen] = []
    writes: list[Call] = []

    def watch(process: int) -> None:
        """Have the signals logged before the process gets to its first caught call."""
        command = ["strace", "-f", "-e", "trace=none", "-e", "signal=BUS", "-o", log, "-p", str(process)]
        tracers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        assert tracers[0].stderr
        line = tracers[0].stderr.readline()
        if "attached" not in line:
            pytest.skip(f"strace may not attach: {line.strip()}")

    def decide(call: Call) -> None:
        if call.name == "pwrite64" and call.path.endswith("00002-of-00006.safetensors"):
            writes.append(call)
            if len(writes) == 1:
                change(path, path)

    try:
        outcome = small.run(
            ["--io", "mmap"], decide=decide, places=[small.subject.home / "out"], meanwhile=watch
        )
        tracers[0].communicate(timeout=inject.LIMIT)
        assert outcome.code == 1, outcome
        assert f"in/B/{path.name}" in outcome.err, outcome
        assert not small.output.exists()
        signals = [line for line in log.read_text().splitlines() if "SIGBUS" in line]
        assert signals
        assert not any("killed by" in line for line in signals)
        record(f"pages lost under a map: {change.__name__}", signals=len(signals), deaths=0)
    finally:
        small.put_back()


# ---- in the middle of the computation, where no call tells the moment


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Changing:
    """Three ingredients of 24 MB."""
    return Changing(tmp_path_factory.mktemp("large"), elements=4_000_000 // 6 // 64 * 64)


def at_random_times(changing: Changing, io: str, count: int, seed: int) -> None:
    options = ["--io", io, "--chunk-bytes", "65536"]
    slow = {"SOCE_KERNELS": "scalar"}
    changing.subject.begin(PLAIN)
    started = time.monotonic()
    assert changing.run(options, environment=slow).code == 0
    lasts = time.monotonic() - started
    choose = random.Random(seed)
    changing.counts.clear()

    def check(i: int) -> None:
        moment = choose.uniform(0, lasts)

        def run(now: Callable[[], None]) -> Outcome:
            def meanwhile(process: int) -> None:
                time.sleep(moment)
                now()

            return changing.run(options, environment=slow, meanwhile=meanwhile)

        changing.check(CHANGES[i % len(CHANGES)], choose.choice(all_shards()), run, io)

    each(range(count), check)
    record(f"changed at random times: {io}", seed=seed, **changing.counts)


@pytest.mark.faults_long
@pytest.mark.parametrize("io", BACKENDS)
def test_changed_at_random_times(large: Changing, io: str) -> None:
    at_random_times(large, io, runs(60), seed=4)


@pytest.mark.faults_release
@pytest.mark.parametrize("io", BACKENDS)
def test_changed_at_a_thousand_random_times(large: Changing, io: str) -> None:
    at_random_times(large, io, runs(500), seed=5)


# ---- in this very process


def handler_of(number: int) -> bytes:
    """Return what the C library tells of a signal's handler: function, flags and mask."""
    action = ctypes.create_string_buffer(256)
    assert ctypes.CDLL(None).sigaction(number, None, action) == 0
    pointer, flags = ctypes.sizeof(ctypes.c_void_p), 128 + ctypes.sizeof(ctypes.c_void_p)
    return (
        action.raw[: pointer + 8] + action.raw[flags : flags + 4]
    )  # of the mask's 128 bytes, the kernel has 8


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
def test_this_process_lives_on_with_the_handler_that_it_had(tmp_path: Path) -> None:
    paths = [ingredient(tmp_path / name, seed, elements=1 << 20, shards=2) for seed, name in enumerate("AB")]
    shard = paths[1] / "model-00001-of-00002.safetensors"
    whole = shard.read_bytes()
    before = handler_of(signal.SIGBUS)
    threads = threading.active_count()
    outcomes: Counter[str] = Counter()
    for i in range(12):
        timer = threading.Timer(0.004 * i, os.truncate, (shard, len(whole) // 5))
        timer.start()
        try:
            soce.merge(paths, output=tmp_path / "soup", io="mmap", kernels="scalar", sync=False, restart=True)
        except (soce.CheckpointError, OSError) as error:
            outcomes[
                "an error" if shard.name in f"{error} {getattr(error, 'filename', '')}" else "nameless"
            ] += 1
        else:
            outcomes["a soup"] += 1
            shutil.rmtree(tmp_path / "soup")
        timer.join()
        shard.write_bytes(whole)
        assert handler_of(signal.SIGBUS) == before
        assert not (tmp_path / "soup").exists()
    assert threading.active_count() == threads
    assert outcomes["an error"] > 0
    assert outcomes["nameless"] == 0
    record("changed in this process", **outcomes)
    soce.merge(paths, output=tmp_path / "soup", sync=False, restart=True)
