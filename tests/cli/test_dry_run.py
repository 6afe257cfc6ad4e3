"""`soce run --dry-run` as a user meets it: on models that are there, without and with known scores."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.tiny_models import SCORES, save_models, write_scores_and_choices

from soce.cli.run import run
from soce.evaluate.live import outline

pytest.importorskip("torch")
pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return save_models(tmp_path_factory.mktemp("models"), 3)


@pytest.fixture
def here(tmp_path: Path, models: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_scores_and_choices(tmp_path)
    paths = {f"m{place}": path for place, path in enumerate(models)}
    (tmp_path / "soce.yaml").write_text(
        f"scores: scores.csv\nmodels: {json.dumps(paths)}\nselect: {{threshold: 0.9, step: '1/4'}}\n"
        "evaluate: {tasks: tasks.jsonl}\noutput: run\n"
    )
    return tmp_path


def soce_run(*arguments: str) -> str:
    result = CliRunner().invoke(run, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_it_tells_what_the_run_then_does_and_writes_nothing(here: Path) -> None:
    there = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    told = json.loads(soce_run("--dry-run", "--json"))
    text = soce_run("--dry-run")
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == there
    assert sorted(told["candidates"]) == ["m0", "m1", "m2"]
    assert told["device"] in {"cpu", "cuda"}
    assert told["device_bytes"] > told["model_bytes"] > 40_000
    assert told["seconds"] is None
    assert "time        not known: nothing was scored yet" in text
    assert max(map(len, text.splitlines())) <= 80

    soce_run("--quiet")
    again = json.loads(soce_run("--dry-run", "--json"))
    assert (again["missing"], again["missing_items"], again["more_soups"], again["read_bytes"]) == (
        0,
        0,
        0,
        0,
    )
    assert ": all is known" in soce_run("--dry-run")


def test_without_a_table_experts_are_told_once_the_candidates_are_scored(here: Path) -> None:
    told = json.loads(soce_run("--dry-run", "--json", "--set", "scores.tables="))
    assert told["experts"] == []
    assert [one["stage"] for one in told["stages"]] == ["single models"]
    assert told["missing"] == 3
    assert "experts     known when the candidates are scored" in soce_run(
        "--dry-run", "--set", "scores.tables="
    )


def test_memory_is_told_of_all_that_are_on_this_machine_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu, three = ("--set", "evaluate.device=cpu"), ("--set", "search.executor=processes:3")
    inline = json.loads(soce_run("--dry-run", "--json", *on_cpu))
    told = json.loads(soce_run("--dry-run", "--json", *on_cpu, *three))
    assert inline["machine_bytes"] == inline["model_bytes"] == told["model_bytes"]
    assert told["machine_bytes"] == 3 * told["model_bytes"]
    words = " ".join(soce_run("--dry-run", *on_cpu, *three).split())
    assert re.search(
        r"for the model of each replica, on cpu, .*: .* on this machine for 3 of them; batches", words
    )
    elsewhere = ("--set", "search.executor=ray:3")
    assert json.loads(soce_run("--dry-run", "--json", *on_cpu, *elsewhere))["machine_bytes"] is None

    for n_models, what in (
        (2, "3 models do not fit into the memory of this machine"),
        (0.5, "the model does not"),
    ):
        monkeypatch.setattr(outline, "_memory_of", lambda _, size=int(n_models * told["model_bytes"]): size)
        assert what in CliRunner().invoke(run, ["--dry-run", *on_cpu, *three]).stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("models.m0=nowhere", "nowhere"),
        ("models=.", "`models` is a directory: its checkpoints have no names yet"),
        ("evaluate.tasks=nowhere.jsonl", "nowhere.jsonl"),
        ("select.threshold=0.0001", "the smallest value is"),
        ("evaluate.device=gpu", "`gpu` is no device"),
        ("output=scores.csv", "it is no directory"),
        ("output=.", "this table was not written by soce"),
        ("select.candidates=nobody", "there are: `m0`, `m1`, `m2`, `x`"),
    ],
)
def test_what_the_run_would_refuse_is_refused(here: Path, change: str, told: str) -> None:
    result = CliRunner().invoke(run, ["--dry-run", "--set", change])
    assert result.exit_code != 0
    assert told in result.stderr
    assert not (here / "run").exists()
    assert (here / "scores.csv").read_text() == SCORES
