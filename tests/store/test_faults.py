"""Stores of other versions, damaged ones, full disks, workers that are killed, that hang and that come back."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.faults.disks import bound, tmpfs
from tests.store.keyed import RECIPE, Keyed, fill, opened

from soce.exceptions import StudyError
from soce.recipes.model import Recipe
from soce.search.study import check_folder
from soce.store import database, leases
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile

TASKS = {"math": {f"m{i}": str(i) for i in range(20)}}


def told(error: pytest.ExceptionInfo[StudyError]) -> tuple[str, str]:
    """Return the one problem's message and hint."""
    (problem,) = error.value.problems
    assert "\n" not in problem.message
    assert problem.path is not None
    assert problem.path.endswith(".db")
    return problem.message, problem.hint or ""


# ---- files that are no store of this version


@pytest.mark.parametrize("use", [StoreFile, check_folder, lambda folder: opened(folder, Keyed(TASKS))])
def test_a_store_of_another_version_is_refused(tmp_path: Path, use) -> None:
    fill(tmp_path, Keyed(TASKS))
    with closing(sqlite3.connect(tmp_path / "store.db")) as changed:
        changed.execute("PRAGMA user_version = 7")
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StudyError) as caught:
        use(tmp_path)
    message, hint = told(caught)
    assert message == "the store is of format 7, and this version of soce reads format 1"
    assert "name another directory" in hint
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}" * 600, "this is no store of scores"),
        (b"SQLite format 3\0" * 100, "this is no store of scores"),
        (None, "this is no store of scores"),
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "store.db"
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE diary (entry)")
        content = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        StoreFile(tmp_path)
    assert told(caught)[0] == words
    assert path.read_bytes() == content


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    fill(tmp_path, Keyed({"math": {f"m{i}": str(i) for i in range(2000)}}))
    path = tmp_path / "store.db"
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        EvaluationStore(tmp_path, ingredients={"a": "A", "b": "B"}, evaluator=Keyed(TASKS).identity).size()
    message, hint = told(caught)
    assert message.startswith("the store is damaged: ")
    assert "backup" in hint


def test_an_empty_file_is_a_store_that_was_not_begun(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    assert StoreFile(tmp_path).size().n_outcomes == 0
    assert fill(tmp_path, Keyed(TASKS)).size().n_outcomes == 20


def test_leases_that_a_power_failure_left_damaged_are_begun_anew(tmp_path: Path) -> None:
    store = fill(tmp_path, Keyed(TASKS))
    (tmp_path / "leases.db").write_bytes(bytes(5000))
    with store.claim(RECIPE) as is_mine:
        assert is_mine
        assert [lease.what for lease in store.leases()] == ["3/4 a + 1/4 b"]


# ---- full disks


def test_a_full_disk_loses_nothing_and_is_one_line(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 1 << 20) as disk:
        store = fill(disk, Keyed(TASKS))
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        large = Keyed({"math": {f"m{i}": str(i) for i in range(3000)}})
        with pytest.raises(StudyError) as caught:
            fill(disk, large)
        message, hint = told(caught)
        assert message == "the store cannot be written: the disk is full"
        assert "make room" in hint
        assert store.find(RECIPE, Keyed(TASKS).item_ids()) is not None
        (disk / "filler").unlink()
        assert fill(disk, large).size().n_outcomes == 3000
        del store, caught


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    evaluator = Keyed(TASKS)
    fill(tmp_path / "run", evaluator)
    with bound(tmp_path / "run", tmp_path / "shown", read_only=True) as shown:
        store = opened(shown, evaluator)
        assert store.find(RECIPE, evaluator.item_ids()) == evaluator.score(RECIPE)
        assert store.leases() == ()
        with pytest.raises(StudyError) as caught:
            store.add(Recipe.of({"a": 1}), evaluator.score(Recipe.of({"a": 1})), is_whole=False)
        assert told(caught)[0].startswith("the store cannot be used: ")
        del store, caught


def test_an_addition_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    evaluator = Keyed(TASKS)
    store = fill(tmp_path, evaluator)
    pages = (tmp_path / "store.db").stat().st_size // 4096
    assert store._database._connection is not None
    store._database._connection.execute(f"PRAGMA max_page_count = {pages}")
    new = {"math": {f"m{i}": f"new {i}" for i in range(3000)}}
    with pytest.raises(StudyError) as caught:
        store.add(RECIPE, Keyed(new).score(RECIPE), is_whole=False)
    assert told(caught)[0] == "the store cannot be written: the disk is full"
    store._database._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.find(RECIPE, evaluator.item_ids()) == evaluator.score(RECIPE)
    assert store.add(RECIPE, Keyed(new).score(RECIPE), is_whole=False) == 2980
    assert store.size().n_outcomes == 3000


# ---- leases


HOLD = """
import sys, time
from tests.store.keyed import RECIPE, Keyed, opened
from tests.store.test_faults import TASKS
from soce.store import leases

leases.LEASE_SECONDS = float(sys.argv[2])
evaluator = Keyed(TASKS)
store = opened(sys.argv[1], evaluator)
with store.claim(RECIPE) as is_mine:
    print(is_mine, flush=True)
    sys.stdin.readline()
    added = store.add(RECIPE, evaluator.score(RECIPE), is_whole=False)
    print(added, store.find(RECIPE, evaluator.item_ids()).to_json() == evaluator.score(RECIPE).to_json())
"""


@contextmanager
def worker(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "python"), str(root)])},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_lease_is_held_by_one_and_leaves_nothing(tmp_path: Path) -> None:
    one, other = opened(tmp_path, Keyed(TASKS)), opened(tmp_path, Keyed(TASKS))
    with one.claim(RECIPE) as mine, other.claim(RECIPE) as second, other.claim(Recipe.of({"a": 1})) as third:
        assert (mine, second, third) == (True, False, True)
        first, _ = StoreFile(tmp_path).leases()
        assert first.process == os.getpid()
        assert first.since <= first.beat <= time.time()
        assert not first.is_expired
    assert one.leases() == ()
    assert not [thread for thread in threading.enumerate() if thread.name == "soce-lease"]
    with other.claim(RECIPE) as mine:
        assert mine


def test_a_killed_worker_gives_its_lease_up_at_once(tmp_path: Path) -> None:
    with worker(HOLD, tmp_path, 60) as process:
        assert line(process) == "True"
        store = opened(tmp_path, Keyed(TASKS))
        with store.claim(RECIPE) as mine:
            assert not mine
        process.kill()
        process.wait()
        assert [lease.is_expired for lease in store.leases()] == [True]
        with store.claim(RECIPE) as mine:
            assert mine


def until(holds: Callable[[], bool], why: str) -> None:
    """Wait as long as a busy machine may need."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, why
        time.sleep(0.02)


def test_a_worker_that_hangs_is_followed_and_adds_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)
    evaluator = Keyed(TASKS)
    with worker(HOLD, tmp_path, 1.0) as process:
        assert line(process) == "True"
        store = opened(tmp_path, evaluator)
        until(lambda: store.leases()[0].beat > store.leases()[0].since + 1, "it beats")
        with store.claim(RECIPE) as mine:
            assert not mine
        process.send_signal(signal.SIGSTOP)  # between two beats, so that it holds no lock
        until(lambda: store.leases()[0].is_expired, "it does not")
        assert [lease.process for lease in store.leases()] == [process.pid]
        with store.claim(RECIPE) as mine:
            assert mine
            assert [held.process for held in store.leases()] == [os.getpid()]
            assert store.add(RECIPE, evaluator.score(RECIPE), is_whole=False) == 20
            process.send_signal(signal.SIGCONT)
            tell(process)
            assert line(process) == "0 True"
            assert process.wait(30) == 0
            assert [held.process for held in store.leases()] == [os.getpid()], "it gave up its own only"
    assert store.size().n_outcomes == 20
    assert store.size().n_evaluations == 1


def test_a_lease_of_another_machine_is_judged_by_its_beat(tmp_path: Path) -> None:
    store = opened(tmp_path, Keyed(TASKS))
    with store.claim(RECIPE) as mine:
        assert mine

        def change(**values: object) -> None:
            with closing(sqlite3.connect(tmp_path / "leases.db")) as changed, changed:
                for name, value in values.items():
                    changed.execute(f"UPDATE leases SET {name} = ?", (value,))

        change(machine="far away", process=2**22 + 1)
        with store.claim(RECIPE) as second:
            assert not second
        for beat in (time.time() - 61, time.time() + 61):  # also by a clock that was put back
            change(machine="far away", beat=beat, token="theirs")
            with store.claim(RECIPE) as second:
                assert second
            with store.claim(RECIPE) as third:
                assert third


STOPPED = """
import sys
from tests.store.keyed import Keyed, opened
from tests.store.test_faults import TASKS

store = opened(sys.argv[1], Keyed(TASKS))
with store._database.changing():
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_a_worker_that_is_stopped_while_it_writes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.3)
    with worker(STOPPED, tmp_path) as process:
        assert line(process) == "begun"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(StudyError) as caught:
            fill(tmp_path, Keyed(TASKS))
        message, hint = told(caught)
        assert "has kept the store to itself" in message
        if sys.platform.startswith("linux"):
            assert f"the process {process.pid} " in message
            assert f"`kill -CONT {process.pid}`" in hint
        process.send_signal(signal.SIGCONT)
        tell(process)
        assert process.wait(30) == 0
    assert fill(tmp_path, Keyed(TASKS)).size().n_outcomes == 20


# ---- killed at any moment


ADD = """
import sys
from soce.recipes.model import Recipe
from tests.store.keyed import Keyed, fill
from tests.store.test_faults import TASKS

for number in range(int(sys.argv[2]), 10**6):
    fill(sys.argv[1], Keyed(TASKS, says=True), Recipe.of({"a": number + 1, "b": 1000}))
    print(number, flush=True)
"""


def test_whatever_was_kept_is_there_after_kills_at_random(tmp_path: Path) -> None:
    """What a worker said it had kept is there, complete, and nothing that it had begun stands in the way."""
    luck = random.Random(14)
    evaluator = Keyed(TASKS, says=True)
    kept = 0
    for _ in range(20):
        with worker(ADD, tmp_path, kept) as process:
            assert process.stdout is not None
            first = line(process)
            assert first == str(kept)
            time.sleep(luck.uniform(0, 0.15))
            process.kill()
            last = [int(text) for text in process.stdout.read().split("\n")[:-1]]
            kept = (last[-1] if last else kept) + 1
        store = opened(tmp_path, evaluator)
        store.register(evaluator)
        assert store.size().n_outcomes >= 20 * kept
        with closing(sqlite3.connect(tmp_path / "store.db")) as looked:
            assert looked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for number in range(kept):
        recipe = Recipe.of({"a": number + 1, "b": 1000})
        assert store.find(recipe, evaluator.item_ids()) == evaluator.score(recipe)
    size = store.size()
    assert size.n_outcomes == size.n_answers == 20 * size.n_mixes == 20 * size.n_evaluations
