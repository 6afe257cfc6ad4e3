"""A merge can be stopped at any time, leaves nothing half done, and gets in nobody's way while it runs."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32, read_directory, sparse

import soce
from soce.exceptions import OutputError

# A test run in the background of a shell ignores SIGINT, and so would its children.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEED}; from soce.cli import main_merge; main_merge()"]
SLOW = soce.MergeOptions(kernels="scalar", num_threads=1, sync=False)
"""Integers, one element at a time: some hundred milliseconds for what `big` makes."""


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    return [
        str(checkpoint(tmp_path / name, {"w": ("F32", [2], f32(1, value))}))
        for name, value in (("A", 2), ("B", 4))
    ]


@pytest.fixture
def big(tmp_path: Path) -> list[str]:
    """Write three ingredients of 100 MB, sparse."""
    return [str(sparse(tmp_path / name, "F64", 12_500_000)) for name in "XYZ"]


@pytest.mark.parametrize("name", ["main", "main_merge"])
@pytest.mark.parametrize("module", ["click", "soce.exceptions"])
def test_a_command_that_is_still_being_imported_ends_as_any_other(name: str, module: str) -> None:
    code = f"""
{HEED}
import os, sys
class Stop:
    def find_spec(self, module, *_):
        if module == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
from soce.cli import {name}
for loaded in [one for one in sys.modules if one == {module!r}]:
    del sys.modules[loaded]
sys.meta_path.insert(0, Stop())
{name}()
"""
    found = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "error: interrupted\n")


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


def begins(process: subprocess.Popen, output: Path) -> bool:
    """Wait until a merge writes; False if it was done before we came to look."""
    shard = output.with_name(f"{output.name}.soce-partial") / "payload/model.safetensors"
    while process.poll() is None:
        if shard.exists():
            return True
        time.sleep(0.001)
    return False


def start(paths: list[str], output: Path) -> subprocess.Popen:
    """Start a merge of a second or so in a process of its own, and return once it writes."""
    command = [*COMMAND, *paths, "-o", str(output), "-j", "1", "--no-sync", "--overwrite"]
    for _ in range(5):  # a busy disk may keep us from looking in time
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if begins(process, output):
            return process
        _, err = process.communicate()
        assert process.returncode == 0, err
        shutil.rmtree(output)
    pytest.skip("every merge ended before it could be looked at")


# ---- Ctrl-C and the like


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_within_a_second_and_leaves_nothing(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    paths = [str(sparse(tmp_path / name, "F64", 37_500_000)) for name in "XYZ"]  # 300 MB each
    process = start(paths, tmp_path / "soup")
    begun = time.monotonic()
    process.send_signal(sent)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 2
    assert (process.returncode, out) == (code, "")
    assert err.strip().endswith("error: interrupted") or sent == signal.SIGTERM
    assert names(tmp_path) == {"X", "Y", "Z"}


def test_a_killed_merge_leaves_no_target_and_the_next_one_says_what_it_removed(
    big: list[str], tmp_path: Path
) -> None:
    process = start(big, tmp_path / "soup")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert names(tmp_path) == {"X", "Y", "Z", "soup.soce-partial"}
    report = soce.merge(big, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    assert any("removed what an interrupted run had left" in warning for warning in report.warnings)
    assert names(tmp_path) == {"X", "Y", "Z", "soup"}
    assert (
        soce.merge(
            big, output=tmp_path / "soup", options=soce.MergeOptions(sync=False, overwrite=True)
        ).warnings
        == ()
    )


def test_a_second_process_on_the_same_output_is_refused(
    big: list[str], small: list[str], tmp_path: Path
) -> None:
    process = start(big, tmp_path / "soup")
    try:
        with pytest.raises(OutputError, match=f"process {process.pid} is writing it"):
            soce.merge(small, output=tmp_path / "soup")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    soce.merge(small, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    assert set(read_directory(tmp_path / "soup")) == {"w"}


# ---- the callback


class Stop(Exception):
    pass


def test_an_exception_of_the_callback_cancels_and_propagates(big: list[str], tmp_path: Path) -> None:
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        raise Stop

    begun = time.monotonic()
    with pytest.raises(Stop):
        soce.merge(big, output=tmp_path / "soup", on_progress=stop, options=SLOW)
    assert time.monotonic() - begun < 2
    assert len(calls) == 1
    assert names(tmp_path) == {"X", "Y", "Z"}


def test_the_same_from_another_thread(big: list[str], tmp_path: Path) -> None:
    caught = []

    def work() -> None:
        def stop(done: int, total: int) -> None:
            assert threading.current_thread() is thread
            raise Stop

        try:
            soce.merge(big, output=tmp_path / "soup", on_progress=stop, options=SLOW)
        except Stop as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert len(caught) == 1
    assert names(tmp_path) == {"X", "Y", "Z"}


def test_progress_grows_to_the_total(big: list[str], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    soce.merge(
        big, output=tmp_path / "soup", on_progress=lambda *progress: seen.append(progress), options=SLOW
    )
    done = [progress[0] for progress in seen]
    assert done == sorted(set(done))
    assert len(done) > 2
    assert {progress[1] for progress in seen} == {done[-1]} == {100_000_000}


# ---- beside other work


def test_other_python_threads_run_on(big: list[str], tmp_path: Path) -> None:
    count, stop = 0, threading.Event()

    def tick() -> None:
        nonlocal count
        while not stop.is_set():
            count += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = count
        seconds = soce.merge(big, output=tmp_path / "soup", options=SLOW).seconds
        counted = count - before
    finally:
        stop.set()
        thread.join()
    assert counted > 50 * seconds


def test_two_hundred_merges_keep_memory_descriptors_and_threads_flat(
    small: list[str], tmp_path: Path
) -> None:
    def state() -> tuple[int, int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        open_files, threads = (sum(1 for _ in Path("/proc/self", kind).iterdir()) for kind in ("fd", "task"))
        return pages * os.sysconf("SC_PAGE_SIZE"), open_files, threads

    def merges(count: int) -> None:
        for i in range(count):
            soce.merge(
                small,
                output=tmp_path / "soup",
                options=soce.MergeOptions(sync=False, overwrite=True, io=("mmap", "pread")[i % 2]),
            )
            with pytest.raises(soce.SoceError):
                soce.merge([small[0], str(tmp_path / "none")], output=tmp_path / "other")

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc")
    merges(50)
    before = state()
    merges(200)
    after = state()
    assert after[0] - before[0] < 4 << 20
    assert after[1:] == before[1:]


def test_merges_in_two_threads_do_not_meet(small: list[str], tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for i in range(20):
                soce.merge(small, output=tmp_path / f"{name}{i}", options=soce.MergeOptions(sync=False))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    tensors = read_directory(tmp_path / "left0")
    assert all(
        read_directory(tmp_path / f"{name}{i}") == tensors for name in ("left", "right") for i in range(20)
    )


def test_threads_that_want_the_same_output_get_one_soup(small: list[str], tmp_path: Path) -> None:
    outcomes: list[str] = []

    def work() -> None:
        try:
            report = soce.merge(small, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
            # Who comes between the rename and the removal of the state finds its own soup published.
            outcomes.append("found" if report.complete_before else "made")
        except OutputError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert outcomes.count("made") == 1
    assert names(tmp_path) == {"A", "B", "soup"}


def test_a_forked_child_can_merge_after_its_parent_did(small: list[str], tmp_path: Path) -> None:
    code = f"""
import os, sys, soce
soce.merge({small!r}, output={str(tmp_path / "parent")!r})
child = os.fork()
soce.merge({small!r}, output={str(tmp_path / "half")!r} + ("child" if child == 0 else "parent"), options=soce.MergeOptions(num_threads=4))
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    found = [read_directory(tmp_path / name) for name in ("parent", "halfchild", "halfparent")]
    assert found[0] == found[1] == found[2]
