"""Processes that evaluate: the same bits as without, whoever dies, and nothing that is left running."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.checkpoints import directory
from tests.landscapes import Landscape, pool, read_log, search_with

from soce.evaluate.engines.watchdog import descendants
from soce.evaluate.evaluation import Evaluation, Evaluator, OnProgress
from soce.exceptions import EvaluationError, StudyError
from soce.recipes.model import Recipe
from soce.search.executors import processes
from soce.search.executors.executor import EvaluationJob, Executor
from soce.search.executors.open import open_executor
from soce.search.executors.processes import ProcessExecutor
from soce.search.executors.replica import EvaluationFailed, Orders, Replica
from soce.search.identity import ingredient_identities
from soce.search.scoring import Scorer
from soce.search.strategies.race.race import Race
from soce.search.study import Study
from soce.store.file import StoreFile

ROOT = Path(__file__).parents[3]
SHARD = "model.safetensors"


class Deadly(Landscape):
    """A landscape whose process is killed in the middle of some of the soups."""

    def __init__(self, folder: Path, *, times: int, after: int = 3, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.folder, self.times, self.after = folder, times, after

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        if len(self.calls) >= self.after:
            for number in range(self.times):
                try:
                    (self.folder / f"died-{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                print("out of luck", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().score(recipe, items=items, on_progress=on_progress)


class Hanging(Landscape):
    """A landscape that hangs in the first calls of all processes together, and else tells its items slowly."""

    def __init__(self, folder: Path, *, times: int, is_stopped: bool = False, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.folder, self.times, self.is_stopped = folder, times, is_stopped

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        for number in range(self.times):
            try:
                (self.folder / f"hung-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            if self.is_stopped:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(3600)
        assert on_progress is not None
        for done in range(3):
            time.sleep(0.4)
            on_progress(done, 20)
        return super().score(recipe, items=items)


class Failing(Landscape):
    """A landscape that raises."""

    def score(self, recipe: Recipe, **_: object) -> Evaluation:  # type: ignore[override]
        message = "no score for " + recipe.ingredients[0].name
        raise EvaluationError(message)


class Broken(Landscape):
    """A landscape with a bug, whose exception cannot be pickled."""

    def score(self, recipe: Recipe, **_: object) -> Evaluation:  # type: ignore[override]
        class Own(Exception):
            pass

        message = "a bug"
        raise Own(message)


class Another(Landscape):
    """A landscape that is another one in every process."""

    @property
    def identity(self) -> Mapping[str, object]:  # type: ignore[override]
        return {"process": os.getpid()}

    @identity.setter
    def identity(self, _: object) -> None:
        pass


GRID = [{"a": a, "b": 6 - a} for a in range(7)]
GRID.insert(4, {"a": 1, "b": 1})  # once more, while it is scored


def scored(folder: Path, evaluator: Evaluator, executor: Executor | None = None) -> list[dict[str, object]]:
    """Score seven soups, one of them twice, into a store of their own, and return what came of them."""
    models = pool(folder.parent, names="ab")
    scorer = Scorer.of(evaluator, folder, ingredients=ingredient_identities(models.paths), executor=executor)
    order: list[int] = []
    found = scorer.score(
        [models.recipe(parts) for parts in GRID],
        evaluator.item_ids(),
        on_scored=lambda place, _: order.append(place),
    )
    assert order == [*range(8)]
    assert StoreFile(folder).leases() == ()
    return [one.to_json() for one in found]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See to it that no process is left after a test, and nothing in the folder for temporary files."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = descendants(os.getpid())
    yield
    assert descendants(os.getpid()) <= before
    assert [*scratch.iterdir()] == []


def test_scores_and_their_order_are_the_same_however_many_evaluate(tmp_path: Path) -> None:
    log = tmp_path / "log"
    inline = scored(tmp_path / "inline", Landscape(n_items=20))
    with ProcessExecutor(2) as executor:
        landscape = Landscape(n_items=20, log=log, seconds=0.05)
        assert scored(tmp_path / "two", landscape, executor) == inline
        done = [(recipe, process) for what, recipe, _, process in read_log(log) if what == "done"]
        assert len({recipe for recipe, _ in done}) == len(done) == 7
        assert len({process for _, process in done} - {os.getpid()}) == 2
        assert landscape.calls == []
        # It stays open for the next search, which asks for nothing that is known.
        assert scored(tmp_path / "two", landscape, executor) == inline
        assert len(read_log(log)) == 14


def test_what_has_come_is_told_before_more_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = pool(tmp_path, names="ab")
    jobs = [EvaluationJob(n, Landscape(), models.recipe({"a": n, "b": 1}), None) for n in (1, 2)]

    def wait_for_both(connections: Sequence[Connection], timeout: float | None = None) -> list[object]:
        assert not executor._landed
        ready = wait(connections, timeout)
        while all(worker.order for worker in executor._workers.values()) and len(ready) < 2:
            ready = wait(connections, timeout)
        return ready

    monkeypatch.setattr(processes, "wait", wait_for_both)
    with ProcessExecutor(2) as executor:
        for job in jobs:
            executor.submit(job)
        found = {done.ticket for done in (executor.next(), executor.next()) if done is not None}
    assert found == {1, 2}


def test_a_search_by_processes_gives_the_same_files(tmp_path: Path) -> None:
    results, trials = [], []
    for name in ("inline", "processes:1", "processes:2"):
        folder = tmp_path / name.replace(":", "")
        found = search_with(
            pool(tmp_path, names="ab"),
            Landscape(n_items=20),
            folder=folder,
            draws=100,
            strategy="greedy",
            executor=name,
        )
        assert found.n_evaluated == 6
        results.append((folder / "result.json").read_bytes())
        identity = json.loads((folder / "study.json").read_text())["identity"]
        with Study(folder, identity=identity) as study:
            trials.append([(trial.params, trial.value, trial.user_attrs) for trial in study.trials()])
    assert results[0] == results[1] == results[2]
    assert trials[0] == trials[1] == trials[2]


@pytest.mark.parametrize("is_one_killed", [False, True])
def test_a_race_by_processes_gives_the_same_files(tmp_path: Path, is_one_killed: bool) -> None:
    """Soups leave a race by what is known of them, whichever process is done first."""
    results = []
    for name in ("inline", "processes:2"):
        folder = tmp_path / name.replace(":", "")
        landscape = Landscape(n_items=400)
        if is_one_killed and name != "inline":
            landscape = Deadly(tmp_path, times=1, n_items=400)
        found = search_with(
            pool(tmp_path, names="abc"),
            landscape,
            folder=folder,
            draws=100,
            strategy=Race(epsilon=Fraction(1, 20)),
            executor=name,
        )
        assert found.certificate is not None
        assert found.certificate.share < 0.7
        results.append((folder / "result.json").read_bytes())
    assert results[0] == results[1]
    assert [*tmp_path.glob("died-*")] == [tmp_path / "died-0"] * is_one_killed


def test_a_killed_process_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    with ProcessExecutor(2) as executor:
        deadly = Deadly(tmp_path, times=2, after=1, n_items=20, log=log, seconds=0.05)
        found = scored(tmp_path / "run", deadly, executor)
    assert found == scored(tmp_path / "inline", Landscape(n_items=20))
    assert (tmp_path / "died-1").exists()
    done = [recipe for what, recipe, _, _ in read_log(log) if what == "done"]
    assert len(set(done)) == len(done) == 7
    assert StoreFile(tmp_path / "run").size().n_evaluations == 7
    told = [one.getMessage() for one in caplog.records if "replica" in one.getMessage()]
    assert len(told) == 2
    assert "was ended by SIGKILL: its last words: out of luck; another does its soup again" in told[0]


def test_a_soup_that_kills_whoever_scores_it_ends_the_search(tmp_path: Path) -> None:
    with ProcessExecutor(1) as executor, pytest.raises(EvaluationError) as caught:
        scored(tmp_path / "run", Deadly(tmp_path, times=9, after=0, n_items=20), executor)
    assert str(caught.value) == (
        "3 replicas died of one soup, one after the other; replica 1 of processes:1 was ended by SIGKILL: "
        "its last words: out of luck\nhint: what was scored is kept; too little memory is a usual reason"
    )
    assert len([*tmp_path.glob("died-*")]) == 3


@pytest.mark.parametrize("is_stopped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_process_that_hangs_is_ended_and_another_does_its_soup(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_stopped: bool
) -> None:
    hanging = Hanging(tmp_path, times=1, is_stopped=is_stopped, n_items=20)
    with ProcessExecutor(2, timeout_seconds=5) as executor:
        found = scored(tmp_path / "run", hanging, executor)
    assert found == scored(tmp_path / "inline", Landscape(n_items=20))
    assert (tmp_path / "hung-0").exists()
    assert StoreFile(tmp_path / "run").size().n_evaluations == 7
    [told] = [one.getMessage() for one in caplog.records if "replica" in one.getMessage()]
    why = "gave no word of its soup for 5 seconds and was ended; another does its soup again"
    assert re.fullmatch(f"replica [12] of processes:2 {why}", told)


@pytest.mark.slow
def test_a_soup_that_hangs_wherever_it_is_scored_ends_the_search(tmp_path: Path) -> None:
    one = open_executor("processes:1", timeout_seconds=7.5)
    with one as executor, pytest.raises(EvaluationError) as no:
        scored(tmp_path / "run", Hanging(tmp_path, times=9, n_items=20), executor)
    assert str(no.value).splitlines()[0] == (
        "3 replicas died of one soup, one after the other; replica 1 of processes:1 gave no word of its soup "
        "for 7.5 seconds and was ended"
    )
    assert len([*tmp_path.glob("hung-*")]) == 3


def test_an_error_of_the_evaluator_is_raised_once_with_its_text(tmp_path: Path) -> None:
    with ProcessExecutor(2) as executor:
        with pytest.raises(EvaluationError, match=r"^no score for [ab]$"):
            scored(tmp_path / "run", Failing(n_items=20), executor)
        # What is left of it concerns nobody.
        assert len(scored(tmp_path / "run", Landscape(n_items=20), executor)) == 8
        with pytest.raises(EvaluationError, match=r"^Own: a bug$") as caught:
            scored(tmp_path / "run", Broken(n_items=20, version=2), executor)
    assert not isinstance(caught.value, StudyError)


def test_what_cannot_go_to_another_process_is_refused_before_one_is_started(tmp_path: Path) -> None:
    landscape = Landscape(n_items=20)
    landscape.note = lambda: None  # type: ignore[attr-defined]
    before = descendants(os.getpid())
    with ProcessExecutor(2) as executor:
        with pytest.raises(EvaluationError, match="the `Landscape` cannot go to another process: ") as caught:
            scored(tmp_path / "run", landscape, executor)
        assert len(str(caught.value).splitlines()) == 2
        landscape.soup = object()  # type: ignore[attr-defined]
        with pytest.raises(EvaluationError, match="the `Landscape` has its model in this process"):
            scored(tmp_path / "run", landscape, executor)
    assert descendants(os.getpid()) <= before  # other tests may have some


def test_a_replica_checks_what_it_scores(tmp_path: Path) -> None:
    """Ingredients are those of the search by content, and the evaluator says that it is the same."""
    with ProcessExecutor(1) as executor:
        with pytest.raises(
            EvaluationError, match="replica 1 of processes:1 has another evaluator than"
        ) as caught:
            scored(tmp_path / "run", Another(n_items=20), executor)
        assert "process: " in str(caught.value)
        models = pool(tmp_path, names="ab")
        job = EvaluationJob(10**9, Landscape(n_items=20), models.recipe({"a": 1, "b": 1}), None)
        order = Orders().of(job)
        directory(tmp_path / "other", 7.0, 2.0)
        shutil.copyfile(tmp_path / "other" / SHARD, tmp_path / "b" / SHARD)
        answer = Replica("replica 7").answer(order)
        assert isinstance(answer, EvaluationFailed)
        assert str(answer.error).startswith(
            f"`{tmp_path / 'b'}`: replica 7 has another version of the ingredient: {SHARD} differ"
        )
        shutil.rmtree(tmp_path / "b")
        answer = Replica("replica 7").answer(order)
        assert isinstance(answer, EvaluationFailed)
        assert str(answer.error).startswith(f"`{tmp_path / 'b'}`: replica 7 does not see the ingredient: ")


def test_a_process_that_never_comes_up_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PROGRAM", "import sys; sys.exit('no room here')")
    with ProcessExecutor(2) as executor, pytest.raises(EvaluationError) as caught:
        scored(tmp_path / "run", Landscape(n_items=20), executor)
    words = "does not come up: it ended with exit status 1: its last words: no room here"
    assert re.fullmatch(f"replica [12] of processes:2 {words}", str(caught.value))
    monkeypatch.setattr(processes, "PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(processes, "_START_SECONDS", 0.1)
    with (
        ProcessExecutor(1) as executor,
        pytest.raises(EvaluationError, match=r"does not come up: it says nothing for 0\.1 seconds: it wrote"),
    ):
        scored(tmp_path / "run", Landscape(n_items=20), executor)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_a_search_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    pool(tmp_path, names="ab")
    script = (
        # Who was started in the background ignores Ctrl-C otherwise.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path; from tests.landscapes import Landscape\n"
        "from tests.search.executors.test_processes import scored, ProcessExecutor\n"
        "folder = Path(sys.argv[1])\n"
        "with ProcessExecutor(2) as executor:\n"
        "    scored(folder / 'run', Landscape(n_items=20, log=folder / 'log', seconds=60), executor)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "scratch")},
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 120
    while not (tmp_path / "log").exists() or len(read_log(tmp_path / "log")) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    started = descendants(driver.pid)
    assert len(started) == 4  # with the watchdogs
    driver.send_signal(number)
    driver.communicate(timeout=60)
    while any(Path(f"/proc/{one}").exists() for one in started) or [*(tmp_path / "scratch").iterdir()]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_accelerators_and_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = Landscape()
    monkeypatch.setattr(processes, "visible_devices", lambda: ("4", "5", "6", "7"))
    assert processes._environments(landscape, 2) == [
        {"CUDA_VISIBLE_DEVICES": "4,5"},
        {"CUDA_VISIBLE_DEVICES": "6,7"},
    ]
    with pytest.raises(StudyError, match="`processes:5` wants 5 accelerators, and 4 can be seen"):
        processes._environments(landscape, 5)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processes, "_n_cores", lambda: 8)
    landscape.soup = SimpleNamespace(devices=(SimpleNamespace(type="cpu"),))  # type: ignore[attr-defined]
    assert processes._environments(landscape, 3) == 3 * [{"OMP_NUM_THREADS": "2"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads", "`threads` is no executor"),
        ("", "`` is no executor"),
        ("inline:2", "`inline:2` is no executor"),
        ("processes", "`processes` does not say how many"),
        ("processes:", "`` in `processes:` is no number of replicas"),
        ("processes:0", "`0` in `processes:0` is no number of replicas"),
        ("processes:-1", "`-1` in `processes:-1` is no number"),
        ("processes:٣", "is no number of replicas"),
        ("processes:1000000", "`1000000` in `processes:1000000` is no number"),
        (
            "processes:2?timeout-seconds=9",
            "`2?timeout-seconds=9` in `processes:2?timeout-seconds=9` is no number",
        ),
    ],
)
def test_an_executor_that_is_none_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        open_executor(text)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "seconds", "message"),
    [
        ("inline", 9, "the executor `inline` has no limit of time"),
        ("processes:2", 0, "0 seconds are no limit"),
        ("processes:2", float("nan"), "nan seconds are no limit"),
    ],
)
def test_a_limit_of_time_is_of_replicas(text: str, seconds: float, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        open_executor(text, timeout_seconds=seconds)
    assert caught.value.problems[0].hint is not None
