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
from tests.faults import inject
from tests.faults.changing import CHANGES, Change, Changing, all_shards, at_call, count_calls, cut, empty
from tests.faults.decisions import Call
from tests.faults.inject import Outcome
from tests.faults.sampling import each, runs, spread
from tests.faults.subject import PLAIN, ingredient
from tests.faults.tally import record

import soce
from soce.exceptions import CheckpointError

REASON = inject.usable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


BACKENDS = ["mmap", "pread"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Changing:
    return Changing(tmp_path_factory.mktemp("small"))


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

    changing.same_digests = level == "tensors"
    try:
        each(range(count), check)
    finally:
        changing.same_digests = True
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
            soce.merge(
                paths,
                output=tmp_path / "soup",
                options=soce.MergeOptions(io="mmap", kernels="scalar", sync=False, restart=True),
            )
        except (CheckpointError, OSError) as error:
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
    soce.merge(paths, output=tmp_path / "soup", options=soce.MergeOptions(sync=False, restart=True))
