"""The study: nothing is scored twice, another identity is refused, several processes share one folder."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.landscapes import Landscape, pool, read_log, search_with

from soce.exceptions import StudyError
from soce.search import claims
from soce.search.claims import claim
from soce.search.study import Study, check_folder
from soce.search.trials import read_trials
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile

IDENTITY = {"ingredients": {"a": {"shards": "A"}, "b": {"shards": "B"}}, "objective": {"name": "mean"}}


# ---- claims


def test_a_claim_is_held_by_one_and_leaves_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with claim(lock) as mine:
        assert mine
        with claim(lock) as second:
            assert not second
    assert list(tmp_path.iterdir()) == []
    with claim(lock) as mine:
        assert mine


def test_a_process_that_is_stopped_with_a_claim_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys, time; from soce.search.claims import claim\nwith claim(sys.argv[1]):\n print('held', flush=True); time.sleep(60)"
    monkeypatch.setattr(claims, "_WAIT_SECONDS", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        told = f"the process {process.pid} has kept" if sys.platform == "linux" else "has kept"
        with pytest.raises(StudyError, match=told), claim(tmp_path / "lock", wait=True):
            pass
        process.kill()
    with claim(tmp_path / "lock", wait=True) as mine:
        assert mine


def test_a_killed_process_gives_its_claim_up(tmp_path: Path) -> None:
    script = "import sys, time; from soce.search.claims import claim\nwith claim(sys.argv[1]):\n print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with claim(tmp_path / "lock") as mine:
        assert not mine
    process.kill()
    process.wait()
    process.stdout.close()
    with claim(tmp_path / "lock") as mine:
        assert mine


# ---- the folder


def test_a_study_is_found_again_with_its_trials(tmp_path: Path) -> None:
    with Study(tmp_path / "run", identity=IDENTITY) as study:
        assert study.record("r1", {"a": 5, "b": 5}, 70.0, attributes={"score math": 71.0})
        assert not study.record("r1", {"a": 5, "b": 5}, 70.0)
        assert study.record("r2", {"a": 1, "b": 9}, 60.0, rungs={10: 60.0}, is_complete=False)
        name = study.name
    with Study(tmp_path / "run", identity=IDENTITY) as study:
        assert study.name == name
        first, second = study.trials()
        assert not study.record("r1", {"a": 5, "b": 5}, 70.0)
    assert (first.params, first.value, first.state.name) == ({"a": 5, "b": 5}, 70.0, "COMPLETE")
    assert first.user_attrs == {"recipe": "r1", "score math": 71.0}
    assert (second.state.name, second.intermediate_values) == ("PRUNED", {10: 60.0})


def test_optuna_itself_opens_the_default_storage(tmp_path: Path) -> None:
    import optuna

    with Study(tmp_path / "run", identity=IDENTITY) as study:
        study.record("r1", {"a": 5, "b": 5}, 70.0)
        study.record("r2", {"a": 3, "b": 7}, 71.0)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "run" / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    (summary,) = optuna.get_all_study_summaries(storage)
    opened = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert opened.best_trial.params == {"a": 3, "b": 7}
    assert opened.user_attrs["objective"] == {"name": "mean"}


def database_of(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder / 'study.db'}"


def test_a_folder_with_a_database_of_old_goes_on_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    StoreFile(folder)
    with Study(folder, identity=IDENTITY, storage=database_of(folder)) as study:
        study.record("r1", {"a": 5, "b": 5}, 70.0, attributes={"stage": "grid", "weights": "0.5 a + 0.5 b"})
        study.record("r2", {"a": 1, "b": 9}, 80.0, rungs={10: 80.0}, is_complete=False)
    with Study(folder, identity=IDENTITY) as study:
        assert [trial.user_attrs["recipe"] for trial in study.trials()] == ["r1", "r2"]
        assert study.record("r3", {"a": 3, "b": 7}, 70.0, attributes={"stage": "grid"})
    assert not (folder / "study.journal").exists()
    found = read_trials(folder)
    assert found is not None
    assert (found.n_trials, found.best, found.best_weights) == (3, 70.0, "0.5 a + 0.5 b")
    assert (found.recipes, dict(found.stages)) == ({"r1", "r2", "r3"}, {"grid": 2})


@pytest.mark.parametrize("rest", [b"{", b'{"op_code":4,"worker_id"', b"\xc3"])
def test_half_a_line_of_a_killed_process_is_taken_off(tmp_path: Path, rest: bytes) -> None:
    journal = tmp_path / "run" / "study.journal"
    with Study(tmp_path / "run", identity=IDENTITY) as study:
        study.record("r1", {"a": 5, "b": 5}, 70.0)
        with journal.open("ab") as file:
            file.write(rest)
        assert len(study.trials()) == 1
        found = read_trials(tmp_path / "run")
        assert found is not None
        assert found.n_trials == 1
        study.record("r2", {"a": 1, "b": 9}, 60.0)
    whole = journal.read_bytes()
    journal.write_bytes(whole + rest)
    with Study(tmp_path / "run", identity=IDENTITY) as study:
        assert [trial.user_attrs["recipe"] for trial in study.trials()] == ["r1", "r2"]
    assert journal.read_bytes() == whole


def test_a_damaged_journal_is_one_line_and_costs_nothing_but_itself(tmp_path: Path) -> None:
    search_with(pool(tmp_path), Landscape(n_items=20), folder=tmp_path / "run", draws=100)
    journal = tmp_path / "run" / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    for damaged in (
        b"no journal\n" + b"".join(lines),
        lines[0] + b"{}\n" + lines[1],
        lines[0] + b"7\n" + lines[1],
    ):
        journal.write_bytes(damaged)
        assert read_trials(tmp_path / "run") is None
        with pytest.raises(StudyError, match="the `journal` storage cannot be opened") as caught:
            search_with(pool(tmp_path), Landscape(n_items=20), folder=tmp_path / "run", draws=100)
        assert f"remove `{journal}`" in str(caught.value)
    journal.unlink()
    landscape = Landscape(n_items=20)
    search_with(pool(tmp_path), landscape, folder=tmp_path / "run", draws=100)
    assert landscape.calls == []
    assert len(journal.read_bytes().splitlines()) == len(lines)


def test_a_full_disk_is_one_line_and_the_next_trial_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "run" / "study.journal"
    with Study(tmp_path / "run", identity=IDENTITY) as study:
        real = os.fsync

        def full(descriptor: int) -> None:
            os.ftruncate(descriptor, journal.stat().st_size - 7)
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StudyError, match="No space left on device\n"):
                study.record("r1", {"a": 5, "b": 5}, 70.0)
        assert os.fsync is real
        assert study.record("r1", {"a": 5, "b": 5}, 70.0)
        assert [trial.value for trial in study.trials()] == [70.0]


def test_another_identity_is_another_study_and_the_first_comes_back(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", {**IDENTITY, "objective": {"name": "bfcl-v3"}}
    with Study(folder, identity=IDENTITY) as study:
        first = study.name
        study.record("r1", {"a": 5, "b": 5}, 70.0)
    with Study(folder, identity=other) as study:
        assert study.name != first
        assert study.trials() == []
        study.record("r1", {"a": 5, "b": 5}, 60.0)
    with Study(folder, identity=IDENTITY) as study:
        assert study.name == first
        assert [trial.value for trial in study.trials()] == [70.0]
    assert [past.name for past in (folder / "history").iterdir()] == ["002"]


def test_while_somebody_searches_another_question_is_refused_with_what_differs(tmp_path: Path) -> None:
    of_tasks = {**IDENTITY, "evaluator": {"evaluator": "torch", "tasks": "0123", "stop": []}}
    command = {**IDENTITY, "evaluator": {"evaluator": "command", "command": ["python"]}}
    with Study(tmp_path / "run", identity=of_tasks), Study(tmp_path / "run", identity=of_tasks):
        for other, told in {
            'objective, name: "mean" before, "bfcl-v3" now\n': {**of_tasks, "objective": {"name": "bfcl-v3"}},
            'something else: evaluator: "torch" before, "command" now\n': command,
        }.items():
            with pytest.raises(StudyError, match=other):
                Study(tmp_path / "run", identity=told)
    with Study(tmp_path / "run", identity=command):
        pass


def test_a_study_without_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    with Study(tmp_path / "run", identity=IDENTITY):
        pass
    other = {**IDENTITY, "objective": {"name": "bfcl-v3"}}
    with Study(tmp_path / "run", identity=other):
        pass
    assert json.loads((tmp_path / "run" / "study.json").read_text())["identity"] == other
    assert not (tmp_path / "run" / "history").exists()


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StudyError, match=r"holds `thesis.txt` and no study"):
        Study(tmp_path, identity=IDENTITY)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_another_worker_is_just_writing_is_no_stranger(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".study.json.0a7755c7").write_text("{")
    check_folder(folder)
    (folder / ".study.journal.0a7755c7").touch()
    with pytest.raises(StudyError, match="and no study"):
        check_folder(folder)


def test_a_storage_that_cannot_be_opened_is_one_line_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the `redis` storage cannot be opened") as caught:
        Study(tmp_path / "run", identity=IDENTITY, storage="redis://me:secret@host/0")
    assert "secret" not in str(caught.value)


def test_a_storage_that_fails_later_is_one_line_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    StoreFile(folder)
    with Study(folder, identity=IDENTITY, storage=database_of(folder)) as study:
        with closing(sqlite3.connect(tmp_path / "run" / "study.db")) as database:
            database.execute("DROP TABLE trials")
        with pytest.raises(StudyError, match="no such table: trials\n"):
            study.record("r1", {"a": 5, "b": 5}, 70.0)


# ---- evaluations


def store(folder: Path, names: str, evaluator: Mapping[str, object]) -> EvaluationStore:
    return EvaluationStore(folder, ingredients={name: name for name in names}, evaluator=evaluator)


def test_more_items_cost_only_what_is_missing(tmp_path: Path) -> None:
    landscape = Landscape(n_items=10)
    soups = pool(tmp_path)
    known = store(tmp_path, "abc", landscape.identity)
    recipe = soups.recipe({"a": 5, "b": 2, "c": 3})
    first = {"math": landscape.items["math"][:4]}
    assert known.find(recipe, first) is None
    known.add(recipe, landscape.score(recipe, items=first), is_whole=False)
    missing = known.missing(recipe, landscape.items)
    assert {name: len(ids) for name, ids in missing.items()} == {"math": 6, "code": 10}
    assert known.find(recipe, landscape.items) is None
    known.add(recipe, landscape.score(recipe, items=missing), is_whole=False)
    # Another process reads the file; the union is what one call would have returned.
    again = store(tmp_path, "abc", landscape.identity)
    assert again.find(recipe, landscape.items) == landscape.score(recipe)
    assert again.find(soups.recipe({"c": 30, "b": 20, "a": 50}), first) is not None
    assert again.find(soups.recipe({"a": 5, "b": 3, "c": 2}), first) is None
    assert store(tmp_path, "abc", {"landscape": 2}).find(recipe, first) is None


# ---- killed, resumed, shared


SEARCH = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.landscapes import Landscape, pool, search_with

    folder, seconds, log = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    landscape = Landscape(n_items=20, log=log, seconds=seconds)
    found = search_with(pool(folder), landscape, folder=folder / "run", draws=100)
    print(found.n_evaluated, found.best.parts)
    """
)


def environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "python"), str(root)])}


def start(folder: Path, seconds: float, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SEARCH, str(folder), str(seconds), str(log)],
        stdout=subprocess.PIPE,
        env=environment(),
    )


def finish(process: subprocess.Popen[bytes]) -> bytes:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output


def test_a_killed_search_goes_on_without_repeating_an_evaluation(tmp_path: Path) -> None:
    pool(tmp_path)
    log = tmp_path / "log"
    process = start(tmp_path, 0.02, log)
    deadline = time.monotonic() + 60
    while not log.exists() or len(read_log(log)) < 21:
        assert process.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = [(recipe, count) for what, recipe, count, _ in read_log(log) if what == "done"]
    assert 5 < len(finished) < 40

    landscape = Landscape(n_items=20)
    found = search_with(pool(tmp_path), landscape, folder=tmp_path / "run", draws=100)
    # What the killed process had returned but not yet kept may be asked for again: at most the last one.
    assert len(set(landscape.calls) & set(finished)) <= 1
    assert not set(landscape.calls) & set(finished[:-1])
    whole = Landscape(n_items=20)
    assert (
        search_with(pool(tmp_path), whole, folder=tmp_path / "whole", draws=100).to_json() == found.to_json()
    )
    assert set(finished) | set(landscape.calls) == set(whole.calls)
    assert not StoreFile(tmp_path / "run").leases()

    last = Landscape(n_items=20)
    again = search_with(pool(tmp_path), last, folder=tmp_path / "run", draws=100)
    assert last.calls == []
    assert again.n_evaluated == 0
    assert again.to_json() == found.to_json()


def test_a_trial_missing_after_a_kill_is_added_from_the_kept_scores(tmp_path: Path) -> None:
    search_with(pool(tmp_path), Landscape(n_items=20), folder=tmp_path / "run", draws=100)
    (tmp_path / "run" / "study.journal").unlink()
    landscape = Landscape(n_items=20)
    found = search_with(pool(tmp_path), landscape, folder=tmp_path / "run", draws=100)
    assert landscape.calls == []
    identity = json.loads((tmp_path / "run" / "study.json").read_text())["identity"]
    with Study(tmp_path / "run", identity=identity) as study:
        values = {trial.user_attrs["recipe"]: trial.value for trial in study.trials()}
    assert len(values) == 40  # 37 of the grid, with both uniform soups, and 3 single models
    assert values[found.best.recipe.id] == found.best.selection.value == max(values.values())


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    pool(tmp_path)
    log = tmp_path / "log"
    outputs = [finish(process) for process in [start(tmp_path, 0.05, log) for _ in range(2)]]
    started = [(recipe, count) for what, recipe, count, _ in read_log(log) if what == "start"]
    assert max(Counter(started).values()) == 1, "a recipe was scored twice"
    workers = Counter(process for what, _, _, process in read_log(log) if what == "start")
    assert len(workers) == 2
    assert min(workers.values()) > 5
    counts = [int(output.split()[0]) for output in outputs]
    assert sum(counts) == len(started)
    assert outputs[0].split(maxsplit=1)[1] == outputs[1].split(maxsplit=1)[1]
    identity = json.loads((tmp_path / "run" / "study.json").read_text())["identity"]
    with Study(tmp_path / "run", identity=identity) as study:
        recipes = [trial.user_attrs["recipe"] for trial in study.trials()]
    assert len(recipes) == len(set(recipes)) == 40
