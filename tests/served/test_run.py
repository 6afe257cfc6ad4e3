"""`soce run` on a serving engine, from a score table to a soup, and what is left of the engine: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.engines.runs import children, expect_run, soce_run, write_experiment

from soce.cli.report import report
from soce.cli.rescore import rescore
from soce.evaluate.served.model import ServedModel
from soce.recipes.model import Recipe


@pytest.fixture
def write(tmp_path: Path, ingredients: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Work in a folder with an experiment, whose engine is still to be said."""
    monkeypatch.chdir(tmp_path)
    return lambda engine: write_experiment(ingredients[:2], engine)


ENGINE = "engine: transformers, engine-arguments: --device cpu"


def test_a_run_asks_one_engine_for_both_its_tasks_and_ends_it(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ENGINE)
    expect_run("transformers", monkeypatch)
    page = CliRunner().invoke(report, ["run"])
    assert page.exit_code == 0, page.stderr
    again = CliRunner().invoke(rescore, ["run", "--scorer", "contains", "--json"])
    assert again.exit_code == 0, again.stderr


def test_what_the_model_cannot_see_is_told_before_an_engine_is_started(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ENGINE)
    experiment = Path("soce.yaml")
    experiment.write_text(experiment.read_text().replace("max-new-tokens: 8", "max-new-tokens: 4000"))
    monkeypatch.setattr(ServedModel, "start", lambda *_: pytest.fail("an engine was started"))
    found = soce_run()
    assert found.exit_code == 1
    assert "4000 new tokens leave no room for a prompt" in " ".join(found.stderr.split())


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
        (f"engine: '{served.base_url}'", "name its file as `engine-token`"),
        ("engine: 'http://127.0.0.1:9', engine-token: token", "did not answer"),
    ):
        write(engine)
        found = soce_run()
        assert found.exit_code == 1
        assert message in " ".join(found.stderr.split())
        assert "Traceback" not in found.stderr
        assert served.token not in found.stderr
