"""`soce run` on a serving engine, from a score table to a soup, and what is left of the engine: nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.engines.tasks import write_every_kind

from soce.cli.report import report
from soce.cli.run import run
from soce.evaluate.served.model import ServedModel
from soce.recipes.model import Recipe

SCORES = "model,choice,exact,stops\na,9,4,2\nb,2,8,3\nx,4,4,5\n"
EXPERIMENT = """\
scores: scores.csv
models: {a: %s, b: %s}
select: {rule: explicit, categories: [choice, exact], step: 1/2}
evaluate: {tasks: tasks.jsonl, max-length: 100, max-new-tokens: 8, %s}
report_on: {tasks: other.jsonl}
output: run
"""


@pytest.fixture
def write(tmp_path: Path, ingredients: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Work in a folder with an experiment, whose engine is still to be said."""
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text(SCORES)
    for name, offset in (("tasks.jsonl", 0), ("other.jsonl", 1)):
        every = write_every_kind(Path("every.jsonl"), chat=False).read_text().splitlines()
        kept = [line for line in map(json.loads, every) if line["category"] in {"choice", "exact", "stops"}]
        lines = [{**line, "prompt": line["prompt"].replace("0", "abc"[offset])} for line in kept]
        Path(name).write_text(
            "".join(json.dumps({**line, "id": f"{offset}{i}"}) + "\n" for i, line in enumerate(lines))
        )

    def write(engine: str) -> None:
        Path("soce.yaml").write_text(EXPERIMENT % (*ingredients[:2], engine))

    return write


def soce_run(*arguments: str) -> Any:
    return CliRunner().invoke(run, arguments, prog_name="soce run")


def children() -> set[str]:
    """Return the processes that this one started and that are still there."""
    return {
        child for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()
    }


ENGINE = "engine: transformers, engine-arguments: --device cpu"


def test_a_run_asks_one_engine_for_both_its_tasks_and_ends_it(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ENGINE)
    started: list[ServedModel] = []
    start = ServedModel.start
    monkeypatch.setattr(ServedModel, "start", lambda *given: started.append(start(*given)) or started[-1])
    before = children()
    planned = json.loads(soce_run("--dry-run", "--json").stdout)
    assert planned["engine"].startswith("transformers ")
    assert planned["missing"] > 0
    assert started == []
    found = soce_run()
    assert found.exit_code == 0, found.stderr
    assert "starting transformers on" in found.stderr
    assert len(started) == 1
    assert children() == before
    assert not Path(str(started[0].socket)).exists()
    identity = json.dumps(json.loads(Path("run", "search", "study.json").read_text())["identity"])
    assert identity.count('"engine": "transformers"') == 2
    assert started[0].token not in identity
    told = soce_run("--dry-run")
    assert "engine      transformers" in told.stdout
    assert ": all is known" in told.stdout
    page = CliRunner().invoke(report, ["run"])
    assert page.exit_code == 0, page.stderr


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_engine_and_goes_on_where_it_was(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ENGINE)
    before, soups = children(), []
    become = ServedModel.set

    def interrupted(model: ServedModel, recipe: Any, **given: Any) -> None:
        become(model, recipe, **given)
        soups.append(recipe.id)
        if len(soups) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ServedModel, "set", interrupted)
    assert soce_run().exit_code == 130
    assert children() == before
    monkeypatch.setattr(ServedModel, "set", become)
    found = soce_run()
    assert found.exit_code == 0, found.stderr
    assert children() == before


def test_a_server_that_another_search_uses_and_one_that_nobody_is_at(
    write: Callable[[str], None], served: ServedModel, ingredients: list[str]
) -> None:
    Path("token").write_text(served.token + "\n")
    served.set(Recipe.of(ingredients))
    for engine, message in (
        (f"engine: '{served.base_url}', engine-token: token", "each search needs one for itself"),
        (f"engine: '{served.base_url}', engine-token: scores.csv", "there is no token in this file"),
        (f"engine: '{served.base_url}'", "the server at a URL wants a token"),
        ("engine: 'http://127.0.0.1:9', engine-token: token", "did not answer"),
    ):
        write(engine)
        found = soce_run()
        assert found.exit_code == 1
        assert message in " ".join(found.stderr.split())
        assert "Traceback" not in found.stderr
        assert served.token not in found.stderr
