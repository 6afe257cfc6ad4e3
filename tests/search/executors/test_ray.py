"""A search whose soups are scored on two Ray nodes, and what happens to both."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checkpoints import directory
from tests.landscapes import Landscape, pool, read_log, search_with
from tests.ray_nodes import RayNode, processes_of

import soce
from soce.evaluate.described import DescribedEvaluator, EvaluatorDescription
from soce.evaluate.evaluation import refuse
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError, StudyError
from soce.search.executors.executor import EvaluationJob
from soce.search.executors.ray import RayExecutor
from soce.search.executors.ray_cluster import gpus_of_one

HERE = str(Path(__file__).parents[3])
needs_ray = pytest.mark.usefixtures("ray_is_installed")


@pytest.fixture(scope="module")
def ray_is_installed() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'soce[ray]'")


@pytest.fixture(scope="module")
def head(ray_is_installed: None) -> Iterator[RayNode]:
    node = RayNode("127.0.0.2", cpus=2, python_path=HERE)
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture
def other(head: RayNode) -> Iterator[RayNode]:
    """A second node of the cluster, which a test may kill."""
    node = RayNode("127.0.0.3", address=head.address, cpus=2, python_path=HERE)
    try:
        yield node.start()
    finally:
        node.close()


def actors() -> list[int]:
    return [pid for pid, command in processes_of("SOCE_TEST_NODE").items() if "ray::RayReplica" in command]


def nothing_runs() -> bool:
    until = time.monotonic() + 20
    while actors() and time.monotonic() < until:
        time.sleep(0.1)
    return not actors()


def inline(folder: Path) -> bytes:
    search_with(pool(folder), Landscape(), folder=folder / "inline")
    return (folder / "inline" / "result.json").read_bytes()


class Together(Landscape):
    """Begins to score when three processes do."""

    def score(self, recipe, *, items=None, on_progress=None):
        self.log.with_suffix(f".{os.getpid()}").touch()
        until = time.monotonic() + 120
        while len([*self.log.parent.glob(f"{self.log.stem}.*")]) < 3:
            assert time.monotonic() < until
            time.sleep(0.05)
        return super().score(recipe, items=items)


class Slow(Landscape):
    """One that tells its progress, and takes long."""

    def score(self, recipe, *, items=None, on_progress=None):
        for done in range(100):
            time.sleep(0.1)
            on_progress(done, 100)
        return super().score(recipe, items=items)


class Hanging(Landscape):
    """Hangs in the first calls of all processes together; the actor goes on answering beside it."""

    def __init__(self, folder: Path, *, times: int, **options: object) -> None:
        super().__init__(**options)
        self.folder, self.times = folder, times

    def score(self, recipe, *, items=None, on_progress=None):
        for number in range(self.times):
            try:
                (self.folder / f"hung-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            time.sleep(3600)
        for done in range(4):
            time.sleep(1)
            on_progress(done, 4)
        return super().score(recipe, items=items)


class Broken(Landscape):
    def score(self, recipe, *, items=None, on_progress=None):
        with self.log.open("a") as file:
            file.write("begun\n")
        refuse("the judge has no more credit", "pay it")


class Deadly(Landscape):
    """Kills every process that scores anything."""

    def score(self, recipe, *, items=None, on_progress=None):
        os.kill(os.getpid(), signal.SIGKILL)


def job(folder: Path, evaluator: Landscape, ticket: int = 1) -> EvaluationJob:
    return EvaluationJob(ticket, evaluator, pool(folder).recipe({"a": 1, "b": ticket}), None)


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["nobody", "an actor", "a node"])
def test_whoever_dies_the_result_is_the_same(
    tmp_path: Path, head: RayNode, other: RayNode, victim: str
) -> None:
    log, killed = tmp_path / "log", []

    def kill(progress: object) -> None:
        if killed or victim == "nobody":
            return
        there = {pid for pid, command in other.processes().items() if "ray::RayReplica" in command}
        raylet = other.raylet()
        lines = read_log(log) if log.exists() else []
        done = {(recipe, pid) for what, recipe, _, pid in lines if what == "done"}
        at_work = {pid for _, recipe, _, pid in lines if (recipe, pid) not in done} & there
        if at_work:
            killed.append(raylet if victim == "a node" else at_work.pop())
            os.kill(killed[0], signal.SIGKILL)

    with RayExecutor(3, address=head.address) as executor:
        found = search_with(
            pool(tmp_path),
            Together(log=log, seconds=0.5),
            folder=tmp_path / "ray",
            executor=executor,
            on_progress=kill,
        )
    assert nothing_runs()
    assert (tmp_path / "ray" / "result.json").read_bytes() == inline(tmp_path)
    lines = read_log(log)
    begun, done = (
        Counter(recipe for what, recipe, _, _ in lines if what == kind) for kind in ("start", "done")
    )
    assert found.n_evaluated == len(done) == done.total()  # none is lost, none counted twice
    assert len({process for *_, process in lines}) >= 3
    assert (begun.total() > done.total()) == bool(killed) == (victim != "nobody")


@needs_ray
@pytest.mark.slow
def test_an_error_of_the_evaluator_ends_the_search_once(
    tmp_path: Path, head: RayNode, other: RayNode
) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(EvaluationError, match=r"^the judge has no more credit\nhint: pay it$"),
        RayExecutor(2, address=head.address) as executor,
    ):
        search_with(pool(tmp_path), Broken(log=log), folder=tmp_path / "ray", executor=executor)
    assert nothing_runs()
    assert len(log.read_text().splitlines()) <= 2


@needs_ray
@pytest.mark.slow
def test_a_soup_that_kills_whoever_scores_it_is_given_up(tmp_path: Path, head: RayNode) -> None:
    with RayExecutor(2, address=head.address) as executor:
        executor.submit(job(tmp_path, Deadly()))
        with pytest.raises(EvaluationError, match=r"^3 replicas died of one soup, .*; replica . of 2 died"):
            executor.next()
    assert nothing_runs()


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 9])
def test_an_actor_that_hangs_is_ended(
    tmp_path: Path, head: RayNode, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """One that is slow, and tells its items, is not."""
    with RayExecutor(2, address=head.address, timeout_seconds=8) as executor:
        executor.submit(job(tmp_path, Hanging(tmp_path, times=times)))
        if times == 1:
            assert executor.next().ticket == 1
            [told] = [one.getMessage() for one in caplog.records if one.name.startswith("soce")]
            line = r"replica [12] of 2 died: gave no word of its soup for 8 seconds and was ended; another does it"
            assert re.match(line.replace("does it", "does its soup again"), told)
        else:
            line = r"^3 replicas died of one soup, .*; replica [12] of 2 died last: gave no word of its soup for 8 "
            with pytest.raises(EvaluationError, match=line):
                executor.next()
    assert nothing_runs()


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("change", ["gone", "other bytes"])
def test_an_ingredient_that_is_another_on_a_node(tmp_path: Path, head: RayNode, change: str) -> None:
    executor = RayExecutor(1, address=head.address)
    with executor:
        executor.submit(job(tmp_path, Landscape()))
        shard = next((tmp_path / "b").glob("*.safetensors"))
        if change == "gone":
            (tmp_path / "b").rename(tmp_path / "elsewhere")
        else:
            directory(tmp_path / "c", 7.0, 2.0)
            shard.write_bytes(next((tmp_path / "c").glob("*.safetensors")).read_bytes())
        with pytest.raises(EvaluationError) as raised:
            executor.next()
    message = str(raised.value).splitlines()[0]
    assert f"`{tmp_path / 'b'}`: replica 1 of 1 on node {socket.gethostname()} (127.0.0.2) " in message
    assert (
        "does not see" if change == "gone" else f"another version of the ingredient: {shard.name}"
    ) in message


@needs_ray
@pytest.mark.slow
def test_what_is_forgotten_ends_with_its_next_item_and_items_are_told(tmp_path: Path, head: RayNode) -> None:
    with RayExecutor(1, address=head.address) as executor:
        told = []
        executor.submit(job(tmp_path, Slow()))
        while not told or not told[-1][1]:
            assert executor.next(1, on_items=lambda *words: told.append(words)) is None
        assert {(ticket, total) for ticket, _, total in told} <= {(1, 0), (1, 100)}
        executor.cancel()
        assert executor.next() is None
        executor.submit(job(tmp_path, Landscape(), 2))
        began = time.monotonic()
        done = executor.next()
        assert done.ticket == 2
        assert time.monotonic() - began < 5
        executor.submit(job(tmp_path, Slow(), 3))
        executor.next(1)
    assert nothing_runs()


@needs_ray
@pytest.mark.slow
def test_what_a_cluster_lacks(tmp_path: Path, head: RayNode, monkeypatch: pytest.MonkeyPatch) -> None:
    few = r"^Ray has room for 2 replicas with 1 CPU each, not 3: there are 2 CPUs on 1 node\nhint: ask for `ray:2`"
    with pytest.raises(StudyError, match=few), RayExecutor(3, address=head.address) as executor:
        executor.submit(job(tmp_path, Landscape()))
    with RayExecutor(2, address=head.address) as executor:
        executor.submit(job(tmp_path, Landscape()))
        assert executor.next().ticket == 1
        late = RayExecutor(1, address=head.address, start_seconds=1)
        never = (
            r"^1 of 1 replica did not come up within 1 seconds: 0 of 2 CPUs of the cluster are free\nhint: "
        )
        late.submit(job(tmp_path, Landscape()))
        with pytest.raises(StudyError, match=never):
            late.next()
        late.close()
    with monkeypatch.context() as patch, RayExecutor(1, address=head.address) as executor:
        patch.setattr(soce, "__version__", "0.0.1", raising=False)
        executor.submit(job(tmp_path, Landscape()))
        with pytest.raises(
            StudyError, match=r"^replica 1 of 1 on node .* has soce .*, the search soce 0.0.1\n"
        ):
            executor.next()
    import ray

    with monkeypatch.context() as patch, RayExecutor(1, address=head.address) as executor:
        patch.setattr(ray, "__version__", "2.9.0")
        with pytest.raises(
            StudyError, match=r"of another version: Ray .* there, Ray 2\.9\.0 and .* here\nhint"
        ):
            executor.submit(job(tmp_path, Landscape()))
    assert nothing_runs()


@needs_ray
@pytest.mark.slow
def test_a_node_without_soce_is_named(tmp_path: Path) -> None:
    (tmp_path / "path" / "soce").mkdir(parents=True)
    (tmp_path / "path" / "soce" / "__init__.py").write_text("raise ImportError('no soce here')")
    node = RayNode("127.0.0.4", python_path=str(tmp_path / "path"))
    try:
        with RayExecutor(address=node.start().address) as executor:
            executor.submit(job(tmp_path, Landscape()))
            assert executor.capacity == 1
            line = r"^replica 1 of 1 on node .* \(127\.0\.0\.4\) cannot import soce: ImportError: no soce here\nhint: "
            with pytest.raises(StudyError, match=line):
                executor.next()
    finally:
        node.close()


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_this_machine_ends_with_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCE_TEST_NODE", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray puts a token into the user's home
    with RayExecutor(1, address="local") as executor:
        executor.submit(job(tmp_path, Landscape()))
        assert executor.next().ticket == 1
        assert processes_of(str(tmp_path))
    until = time.monotonic() + 30
    while found := processes_of(str(tmp_path)):
        assert time.monotonic() < until, found
        time.sleep(0.1)


@needs_ray
@pytest.mark.slow
def test_who_answers_and_is_no_ray_is_left_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.5", 0)) as silent:
        address = "127.0.0.5:{1}".format(*silent.getsockname())
        with RayExecutor(1, address=address) as executor, pytest.raises(StudyError) as raised:
            executor.submit(job(tmp_path, Landscape()))
    assert str(raised.value).startswith(f"the Ray cluster at `{address}` cannot be reached: ")


@needs_ray
@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:1", "nobody answers at the address of Ray, `127.0.0.1:1`: ConnectionRefusedError"),
        ("nowhere.invalid:6379", "nobody answers at the address of Ray, `nowhere.invalid:6379`"),
        ("127.0.0.1:99999", "`127.0.0.1:99999` is no address of a Ray cluster"),
        ("127.0.0.1", "`127.0.0.1` is no address of a Ray cluster"),
        ("ray://127.0.0.1:10001", "`ray://127.0.0.1:10001` is no address of a Ray cluster"),
    ],
)
def test_an_address_that_nobody_answers(tmp_path: Path, address: str, line: str) -> None:
    with RayExecutor(2, address=address) as executor, pytest.raises(StudyError) as raised:
        executor.submit(job(tmp_path, Landscape()))
    assert str(raised.value).startswith(line)
    assert "\nhint: give HOST:PORT, as `ray start --head` tells it" in str(raised.value)


@needs_ray
def test_a_cluster_that_was_begun_here_and_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would try for a quarter of an hour, deaf to Ctrl-C, the address that one which was killed has left."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.7:1")
    with RayExecutor(2) as executor, pytest.raises(StudyError) as raised:
        executor.submit(job(tmp_path, Landscape()))
    line, hint = str(raised.value).splitlines()
    assert line.startswith("nobody answers at the address of Ray, `127.0.0.7:1`: ConnectionRefusedError")
    assert hint.startswith("hint: `ray start` noted it on this machine, and `ray stop` forgets it")


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        RayExecutor() as executor,
        pytest.raises(StudyError, match=r"needs Ray.*\nhint: pip install 'soce\[ray\]'"),
    ):
        executor.submit(job(tmp_path, Landscape()))


def test_an_evaluator_that_cannot_be_sent_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # it is not asked
    landscape = Landscape()
    landscape.judge = lambda: None
    with (
        RayExecutor(2) as executor,
        pytest.raises(EvaluationError, match="`Landscape` cannot go to another process"),
    ):
        executor.submit(job(tmp_path, landscape))


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        ({}, 1),
        ({"device": "cpu"}, 0),
        ({"device_map": "auto"}, 8),
        ({"engine": "vllm"}, 1),
        ({"engine": "vllm", "engine_arguments": ("-tp", "4")}, 4),
        (
            {
                "engine": "vllm",
                "engine_arguments": ("--tensor_parallel_size=2", "--pipeline-parallel-size", "2"),
            },
            4,
        ),
        ({"engine": "transformers", "engine_arguments": ("--device", "cpu")}, 0),
        ({"engine": "transformers", "engine_arguments": ("--device-map", "auto")}, 8),
    ],
)
def test_a_replica_gets_the_gpus_of_its_model(options: dict[str, object], gpus: int) -> None:
    evaluator = DescribedEvaluator(
        Landscape(), EvaluatorDescription("x.jsonl", (), EvaluatorOptions(**options))
    )
    assert gpus_of_one(evaluator, 8) == gpus
    assert gpus_of_one(evaluator, 0) == 0
