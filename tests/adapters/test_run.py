"""`soce run` over bases with adapters on top: the same commands, files and soups as over checkpoints."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests import lora
from tests.checkpoints import shards
from tests.tiny_models import write_scores_and_choices

import soce
from soce.cli.card import card
from soce.cli.report import report
from soce.cli.run import run
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.served.model import ServedModel
from soce.evaluate.tasks.evaluator import TaskEvaluator
from soce.evaluate.tasks.items import read_tasks
from soce.merging.merge import merge
from soce.recipes.model import Recipe
from soce.search.open import open_run

pytest.importorskip("optuna")

NAMES = {"m0": "base+lora/a", "m1": "base+lora/b", "m2": "base"}
FILE = f"""\
scores: scores.csv
models: {json.dumps(NAMES)}
select: {{threshold: 0.9, step: '1/4'}}
evaluate: {{tasks: tasks.jsonl}}
output: run
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path(lora.base_model(tmp_path)).rename("base")
    for seed, name in enumerate("ab"):
        lora.save_adapter("base", tmp_path / "lora" / name, seed)
    write_scores_and_choices(tmp_path)
    Path("soce.yaml").write_text(FILE)
    return tmp_path


def soce_run(*arguments: str) -> str:
    result = CliRunner().invoke(run, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_run_mixes_them_and_its_soup_is_a_merge_of_them(here: Path) -> None:
    told = json.loads(soce_run("--dry-run", "--json"))
    sizes = [sum(len(one) for one in shards(here / name).values()) for name in ("base", "lora/a", "lora/b")]
    assert told["checkpoint_bytes"] == 3 * sizes[0] + sizes[1] + sizes[2]
    soce_run("--quiet")
    found = open_run("run")
    assert found.result is not None
    parts = found.result.best.parts
    weights = {NAMES[name]: part for name, part in parts.items() if part}
    soup = next(path.parent for path in here.glob("run/**/soce.json"))
    merge(weights, output="expected")
    assert shards(soup) == shards(Path("expected"))
    assert soce.verify(soup, recompute=True).ok
    assert {path.partition("+")[2] for path in found.pool.paths.values()} == {
        "",
        f"{here}/lora/a",
        f"{here}/lora/b",
    }

    page = CliRunner().invoke(report, ["run", "--output", "page.md"])
    assert page.exit_code == 0, page.stderr
    assert "base+" in Path("page.md").read_text()
    made = CliRunner().invoke(card, [str(soup), "--overwrite"])
    assert made.exit_code == 0, made.stderr
    assert re.search(r"\bm[0-2]\b", (soup / "README.md").read_text())

    assert json.loads(soce_run("--dry-run", "--json"))["missing"] == 0
    lora.change_config("lora/a", lora_alpha=9)
    assert json.loads(soce_run("--dry-run", "--json"))["missing"] > 0


def test_what_is_missing_is_told_at_its_line(here: Path) -> None:
    Path("soce.yaml").write_text(FILE.replace("lora/b", "lora/none"))
    result = CliRunner().invoke(run, [])
    assert result.exit_code == 1
    assert "line 2" in result.stderr
    assert "there is no `lora/none`" in result.stderr


def test_an_engine_is_served_with_the_adapter_of_the_first_ingredient(here: Path) -> None:
    """It starts on the base, which would answer otherwise, and the canary sees it become both ingredients."""
    names = ["base+lora/a", "base+lora/b"]
    tasks, recipes = read_tasks("tasks.jsonl"), [Recipe.of({names[0]: 1}), Recipe.of(names)]
    with closing(TaskEvaluator(SoupModel([*names, "base"], device="cpu"), tasks, batch_size=1)) as live:
        expected = [live.score(recipe) for recipe in (*recipes, Recipe.of(["base"]))]
    assert expected[0] != expected[2]
    options = EngineOptions(arguments=("--device", "cpu", "--batch-size", "1"), start_seconds=200)
    served = ServedModel.start(names, "transformers", options)
    with closing(TaskEvaluator(served, tasks)) as engine:
        assert served.client.get("/recipe")["canary"]["is_conclusive"]
        assert [engine.score(recipe).items for recipe in recipes] == [one.items for one in expected[:2]]
