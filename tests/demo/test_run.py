"""`soce demo` from end to end: with a little training in the normal tests, with all of it in the slow ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import read_directory

import soce
from soce.cli.demo import DemoRun, run_demo
from soce.cli.text.demo import demo_lines
from soce.demo import data, models
from soce.demo.models import Steps, make_plans
from soce.exceptions import OutputError, StudyError

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("optuna")

FEW = Steps(base=55, expert=8, hot=3, narrow=4)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[DemoRun]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "N_ITEMS", {"dev": 20, "test": 38})
        yield run_demo(home / "run", steps=FEW, step="1/5", cache=home / "cache")


def test_the_soup_is_the_best_recipe_published(run: DemoRun, tmp_path: Path) -> None:
    again = tmp_path / "again"
    soce.merge(run.result.best.recipe, output=again)
    assert read_directory(run.soup) == read_directory(again)
    manifest = json.loads((run.soup / "soce.json").read_text())
    assert manifest["run"]["notes"]["verdict"] == run.result.verdict
    assert "**held out** (380 items)" in (run.soup / "README.md").read_text()


def test_every_ingredient_and_both_uniform_soups_are_compared(run: DemoRun) -> None:
    names = set(run.models.candidates)
    assert {arm.label for arm in run.result.singles} == names
    assert [arm.kind for arm in run.result.arms[len(names) :]] == ["uniform-all", "uniform-selected", "soce"]
    best = run.result.best
    assert best.selection.n_items == 200
    assert best.report.n_items == 380
    assert best.selection.value == max(tried.value for tried in run.result.ranked)
    assert set(best.parts) <= set(run.selection.models)


def test_the_scores_are_a_table_like_any_other(run: DemoRun) -> None:
    table = soce.read_scores(run.folder / "scores.csv")
    assert table.digest == run.scores.digest == run.selection.digest
    assert run.scores.origin.kind == "measured"
    assert run.result.experts_saw == "other items", "none of those that are reported"
    assert len(table.categories) == 10
    singles = {arm.label: arm.selection.categories for arm in run.result.singles}
    for model in table.models:
        assert singles[model] == {name: table.score(model, name) for name in table.categories}


def test_the_result_says_where_it_was_trained_and_goes_on_saying_it(
    run: DemoRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    assert torch.__version__ in run.machine
    settings = json.loads((run.folder / "demo.json").read_text())
    assert settings["machine"] == run.machine
    monkeypatch.setattr("soce.demo.prepare.this_machine", lambda: "another one")
    again = run_demo(run.folder, steps=FEW, step="1/5", cache=home / "cache")
    assert again.machine == run.machine  # the models are those of the first
    text = demo_lines(run.result, run.machine)
    assert " ".join(" ".join(text).split()).count(f"trained on {run.machine}:") == 1
    assert max(map(len, text)) <= 80


def test_a_model_of_another_processor_is_not_taken_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = make_plans(0, FEW)
    here = models._cache_keys(plans)
    monkeypatch.setattr("soce.demo.models.this_machine", lambda: "another one")
    there = models._cache_keys(plans)
    assert not set(here.values()) & set(there.values())


def test_the_soup_loads_as_what_it_says(run: DemoRun) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, info = AutoModelForCausalLM.from_pretrained(run.soup, output_loading_info=True)
    assert not any(info.values())
    tokens = AutoTokenizer.from_pretrained(run.soup)("rev abcd=")["input_ids"]
    assert len(tokens) == 10


def test_a_second_run_evaluates_nothing_and_says_the_same(run: DemoRun, home: Path) -> None:
    again = run_demo(run.folder, steps=FEW, step="1/5", cache=home / "cache")
    assert again.result.to_json() == run.result.to_json()
    assert again.result.n_evaluated == 0


def test_a_folder_of_another_demo_is_refused(run: DemoRun, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it holds another demo: seed: 0 before, 1 now"):
        run_demo(run.folder, seed=1, steps=FEW, step="1/5")
    (tmp_path / "mine").write_text("")
    with pytest.raises(OutputError, match="it exists and holds no demo"):
        run_demo(tmp_path, steps=FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_optuna_nothing_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StudyError, match=r"needs Optuna.*\nhint: pip install 'soce\[search\]'"):
        run_demo(tmp_path / "run", steps=FEW)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_soup_of_the_full_demo_beats_its_ingredients(tmp_path: Path) -> None:
    from soce.cli.demo import demo

    found = CliRunner().invoke(demo, ["--output", str(tmp_path / "run"), "--json"])
    assert found.exit_code == 0, found.stderr
    result = json.loads(found.stdout)["result"]
    assert result["beats_best_single"]
    held_out = {(one["first"], one["second"]): one for one in result["comparisons"]}
    best = result["best_single"]["on_report"]
    assert held_out["soce", best]["interval"]["low"] > 0
    assert held_out["soce", best]["percentage_points"] > 5
    assert held_out["soce", "uniform-all"]["percentage_points"] >= 8
