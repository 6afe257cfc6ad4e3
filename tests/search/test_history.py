"""Several questions of one folder: each costs what is missing, and asked again it gives the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.landscapes import Landscape, pool, search_with

from soce.exceptions import StudyError
from soce.search import archive
from soce.search.archive import put_away, read_study, tidy
from soce.search.folder import LOCK
from soce.search.history import Past, read_history, read_present
from soce.search.keeping import check_experiment, note_experiment

pytest.importorskip("optuna")


def ask(folder: Path, **options: Any) -> tuple[dict[str, Any], int]:
    """Ask a question in ``run/``; return its result, and how many evaluations it took."""
    landscape = Landscape(n_items=20)
    found = search_with(pool(folder, "ab"), landscape, folder=folder / "run", draws=50, **options)
    assert found.n_evaluated == len(landscape.calls)
    return found.to_json(), len(landscape.calls)


def told_of(past: Past | None) -> tuple[int, dict[str, Any]]:
    """Return number and result of a question that has both."""
    assert past is not None
    assert past.result is not None
    return past.number, past.result.to_json()


FIRST: dict[str, Any] = {"strategy": "grid"}
OTHERS: dict[str, dict[str, Any]] = {
    "strategy": {"strategy": "greedy"},
    "split": {"split_seed": 1},
    "share": {"share": Fraction(1, 4)},
    "objective": {"objective": "column:math"},
}


@pytest.mark.parametrize("which", OTHERS)
def test_an_earlier_question_costs_nothing_and_gives_the_same_bytes(tmp_path: Path, which: str) -> None:
    first, n_first = ask(tmp_path, **FIRST)
    assert n_first > 0
    told = (tmp_path / "run" / "result.json").read_bytes()
    other, _ = ask(tmp_path, **OTHERS[which])
    assert (tmp_path / "run" / "result.json").read_bytes() != told
    (past,) = read_history(tmp_path / "run")
    assert told_of(past) == (1, first)
    assert told_of(read_present(tmp_path / "run")) == (2, other)
    again, n_again = ask(tmp_path, **FIRST)
    assert (again, n_again) == (first, 0)
    assert (tmp_path / "run" / "result.json").read_bytes() == told
    (past,) = read_history(tmp_path / "run")
    assert told_of(past) == (2, other), "a question is there once"


def test_what_is_common_is_not_scored_again(tmp_path: Path) -> None:
    ask(tmp_path, **FIRST)
    assert ask(tmp_path, objective="column:math")[1] <= 1, "its best soup on the held-out items"


def test_the_history_is_dated_by_when_a_question_was_asked_first(tmp_path: Path) -> None:
    ask(tmp_path, **FIRST)
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    (tmp_path / "run" / "study.json").write_text(json.dumps({**study, "asked": "2020-02-02T02:02:02+00:00"}))
    ask(tmp_path, strategy="greedy")
    ask(tmp_path, **FIRST)
    present = read_present(tmp_path / "run")
    assert present is not None
    assert present.when is not None
    assert (present.number, present.when.year) == (3, 2020)


@pytest.mark.parametrize("change", ["moved", "copied", "touched", "with a README"])
def test_the_same_models_are_the_same_question(tmp_path: Path, change: str) -> None:
    first, _ = ask(tmp_path, **FIRST)
    for name in "ab":
        if change == "copied":
            shutil.copytree(tmp_path / name, tmp_path / f"{name}-copy")
            shutil.rmtree(tmp_path / name)
            (tmp_path / f"{name}-copy").rename(tmp_path / name)
        elif change == "touched":
            for file in (tmp_path / name).iterdir():
                os.utime(file, (1, 1))
        elif change == "with a README":
            (tmp_path / name / "README.md").write_text("# words")
    if change == "moved":
        (tmp_path / "elsewhere").mkdir()
        for name in ("a", "b", "run"):
            (tmp_path / name).rename(tmp_path / "elsewhere" / name)
        tmp_path = tmp_path / "elsewhere"
    assert ask(tmp_path, **FIRST) == (first, 0)
    assert read_history(tmp_path / "run") == ()


def test_a_changed_model_is_another_and_loses_its_own_scores_only(tmp_path: Path) -> None:
    _, n_first = ask(tmp_path, **FIRST)
    (shard,) = (tmp_path / "b").glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    n_second = ask(tmp_path, **FIRST)[1]
    assert 0 < n_second < n_first, "`a` alone is known"
    assert len(read_history(tmp_path / "run")) == 1


# ---- killed, full disks, strangers


class Killed(BaseException):
    """What a process does not live to see."""


@pytest.mark.parametrize("at", [0, 3, 5, 6, 8, 9, 11, 13, 20])
def test_killed_at_any_step_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    first, _ = ask(tmp_path, **FIRST)
    told = (tmp_path / "run" / "result.json").read_bytes()
    count = 0

    def counted(owner: Any, name: str) -> None:
        before = getattr(owner, name)

        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if isinstance(arguments[0], Path) and arguments[0].name == LOCK:
                return before(*arguments, **options)  # which a killed process gives up
            count += 1
            if count > at:
                raise Killed
            return before(*arguments, **options)

        patch.setattr(owner, name, step)

    with monkeypatch.context() as patch:
        counted(archive, "_copy")
        counted(archive, "_sync")
        counted(archive.Path, "rename")
        counted(archive.Path, "unlink")
        counted(archive.shutil, "rmtree")
        try:
            for options in (OTHERS["strategy"], FIRST):
                ask(tmp_path, **options)
        except Killed:
            pass
        else:
            assert at >= 20, "there are at least so many steps"
    second = ask(tmp_path, **OTHERS["strategy"])[0]
    again, n_again = ask(tmp_path, **FIRST)
    assert (again, n_again) == (first, 0)
    assert (tmp_path / "run" / "result.json").read_bytes() == told
    assert [told_of(past)[1] for past in read_history(tmp_path / "run")] == [second]
    assert not list((tmp_path / "run" / "history").glob(".*"))


def test_on_a_full_disk_the_question_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = ask(tmp_path, **FIRST)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_copy", full)
        with pytest.raises(OSError, match="No space left"):
            ask(tmp_path, strategy="greedy")
    assert read_history(tmp_path / "run") == ()
    assert ask(tmp_path, **FIRST) == (first, 0)


def test_a_database_with_a_journal_of_a_killed_process_is_kept_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    ask(tmp_path, **FIRST, storage=f"sqlite:///{folder / 'study.db'}")
    trials = "SELECT count(*) FROM trials"
    with closing(sqlite3.connect(folder / "study.db")) as database:
        (before,) = database.execute(trials).fetchone()
        database.execute("PRAGMA cache_size = 1")  # so that the change reaches the file
        database.execute("BEGIN")
        database.execute("DELETE FROM trial_user_attributes")
        database.execute("DELETE FROM trials")
        copies = {name: (folder / name).read_bytes() for name in ("study.db", "study.db-journal")}
    for name, content in copies.items():
        (folder / name).write_bytes(content)
    put_away(folder)
    assert not (folder / "study.db-journal").exists()
    with closing(sqlite3.connect(folder / "history" / "001" / "study.db")) as database:
        assert database.execute(trials).fetchone() == (before,)


def test_of_an_earlier_version_the_question_is_put_away(tmp_path: Path) -> None:
    ask(tmp_path, **FIRST)
    path = tmp_path / "run" / "study.json"
    study = json.loads(path.read_text())
    old = {"format": 1, "name": study["name"], "identity": {**study["identity"], "ingredients": {}}}
    path.write_text(json.dumps(old))
    assert ask(tmp_path, **FIRST)[1] == 0
    (past,) = read_history(tmp_path / "run")
    assert past.when is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    with pytest.raises(StudyError, match="not of a study that this version reads"):
        ask(tmp_path, **FIRST)


def test_what_is_damaged_in_the_history_is_none(tmp_path: Path) -> None:
    ask(tmp_path, **FIRST)
    ask(tmp_path, strategy="greedy")
    (tmp_path / "run" / "history" / "001" / "result.json").write_text("{")
    (tmp_path / "run" / "history" / "notes.txt").write_text("by hand")
    (past,) = read_history(tmp_path / "run")
    assert (past.result, past.identity is None) == (None, False)
    (tmp_path / "run" / "history" / "001" / "study.json").write_text("[")
    (past,) = read_history(tmp_path / "run")
    assert (past.identity, past.when, past.number) == (None, None, 1)
    ask(tmp_path, **FIRST)
    assert [one.number for one in read_history(tmp_path / "run")] == [1, 2]


def test_a_damaged_study_is_not_put_away(tmp_path: Path) -> None:
    ask(tmp_path, **FIRST)
    (tmp_path / "run" / "study.json").write_text("{")
    with pytest.raises(StudyError):
        ask(tmp_path, strategy="greedy")
    assert read_study(tmp_path / "run") is None
    tidy(tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()


# ---- experiments


def test_one_output_is_of_one_experiment(tmp_path: Path) -> None:
    search, one, other = tmp_path / "here" / "run", tmp_path / "here" / "soce.yaml", tmp_path / "other.yaml"
    search.mkdir(parents=True)
    one.touch()
    other.touch()
    check_experiment(search, one)
    note_experiment(search, one)
    check_experiment(search, one)
    check_experiment(search, None)
    with pytest.raises(StudyError, match=r"it is the output of another experiment, `.*soce\.yaml`"):
        check_experiment(search, other)
    (tmp_path / "here").rename(tmp_path / "moved")
    check_experiment(tmp_path / "moved" / "run", tmp_path / "moved" / "soce.yaml")
    (tmp_path / "moved" / "soce.yaml").rename(tmp_path / "moved" / "renamed.yaml")
    check_experiment(tmp_path / "moved" / "run", tmp_path / "moved" / "renamed.yaml")


# ---- what lies beside the shards


def test_only_who_gives_the_config_counts_beside_its_shards(tmp_path: Path) -> None:
    _, n_first = ask(tmp_path, **FIRST)
    (tmp_path / "b" / "generation_config.json").write_text("{}")
    assert ask(tmp_path, **FIRST)[1] == 2, "`b` alone, on both parts of the items: no soup has its config"
    (tmp_path / "a" / "generation_config.json").write_text("{}")
    assert ask(tmp_path, **FIRST)[1] == n_first - 2, "all but `b` alone: who gives the config is another"
