"""Story 1: an experiment is grown and asked again, and each answer costs exactly what was missing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.stories.experiment import Experiment, answered, items_told, mix_of, read_record, recorded

pytest.importorskip("optuna")
pytest.importorskip("transformers")


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    made = Experiment(tmp_path / "experiment").make()
    monkeypatch.chdir(made.home)
    return made


def ask(experiment: Experiment) -> tuple[dict[str, Any], int]:
    """Ask the question as it is now; return the result, and how many items were evaluated for it.

    What was evaluated is, to the item, what the result rests on and what was never evaluated before.
    """
    from soce.cli.run import run

    experiment.write()
    before = answered(read_record(experiment.log))
    with recorded(experiment.log):
        done = CliRunner().invoke(run, ["--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    now = answered(read_record(experiment.log))
    made = now - before
    assert set(now.values()) == {1}, "an item was asked twice"
    assert set(made) == experiment.needed(result) - set(before), "other items than those that were missing"
    assert items_told(done.stderr) == len(made), done.stderr
    return result, len(made)


def test_what_init_begins_is_an_experiment_that_grows(experiment: Experiment) -> None:
    from soce.cli.init import init
    from soce.cli.run import run

    Path("soce.yaml").unlink()
    begun = CliRunner().invoke(
        init, ["--scores", "scores.csv", "--models", ".", "--tasks", "tasks.jsonl"], catch_exceptions=False
    )
    assert begun.exit_code == 0, begun.output
    written = Path("soce.yaml").read_text()
    assert all(f"  {name}: {name}" in written for name in experiment.models)
    with recorded(experiment.log):  # the one edit, of the threshold and its step
        done = CliRunner().invoke(
            run, ["--set", "select.threshold=0.3", "--set", "select.step=1/4", "--json"]
        )
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout)
    assert set(answered(read_record(experiment.log))) == experiment.needed(first)
    assert ask(experiment) == (first, 0), "a file by hand asks the same question"

    experiment.models.append("fir")
    _, cost = ask(experiment)
    assert cost > 0


def test_each_question_costs_what_is_missing(experiment: Experiment) -> None:
    first, cost = ask(experiment)
    assert cost == len(experiment.needed(first))
    again, cost = ask(experiment)
    assert (again, cost) == (first, 0)

    experiment.models.append("fir")
    grown, cost = ask(experiment)
    assert cost > 0
    assert mix_of({"fir": 1}) in {mix_of(arm["parts"]) for arm in grown["arms"]}

    experiment.categories.append("verse")
    wider, cost = ask(experiment)
    assert cost > 0
    assert "verse" in wider["arms"][0]["report"]["categories"]

    experiment.threshold = 0.05
    other, cost = ask(experiment)
    assert cost > 0

    experiment.seed = 7
    reseeded, cost = ask(experiment)
    assert cost > 0
    assert any("chosen on" in note or "chose" in note for note in reseeded["notes"]), reseeded["notes"]

    experiment.seed = 0
    assert ask(experiment) == (other, 0), "an earlier question is known"
    experiment.threshold = 0.3
    assert ask(experiment) == (wider, 0)
    experiment.categories.remove("verse")
    assert ask(experiment) == (grown, 0)
    experiment.models.remove("fir")
    assert ask(experiment) == (first, 0)


def test_a_score_stays_where_its_content_goes(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = ask(experiment)

    moved = experiment.home.with_name("elsewhere")
    shutil.move(experiment.home, moved)
    experiment.home = moved
    monkeypatch.chdir(moved)
    found, cost = ask(experiment)
    assert cost == 0
    assert values(found) == values(first)

    for file in sorted((moved / "elm").iterdir()):
        os.utime(file, (1e9, 1e9))
    shutil.copytree(moved / "ash", moved / "copied")
    shutil.rmtree(moved / "ash")
    (moved / "copied").rename(moved / "ash")
    assert ask(experiment)[1] == 0


def values(result: dict[str, Any]) -> list[Any]:
    return [(arm["parts"], arm["selection"], arm["report"]) for arm in result["arms"]]


def test_a_changed_ingredient_costs_what_it_is_in(experiment: Experiment) -> None:
    ask(experiment)
    shutil.rmtree(experiment.home / "elm")
    (experiment.home / "fir").rename(experiment.home / "elm")
    log = experiment.log.rename(experiment.log.with_name("before.jsonl"))
    from soce.cli.run import run

    with recorded(experiment.log):
        done = CliRunner().invoke(run, ["--json"])
    assert done.exit_code == 0, done.output
    made, before = (answered(read_record(one)) for one in (experiment.log, log))
    needed = experiment.needed(json.loads(done.stdout))
    with_elm = {one for one in needed if "elm" in dict(one[0])}
    assert set(made) == with_elm | needed - set(before)
    assert items_told(done.stderr) == len(made)
    assert with_elm
