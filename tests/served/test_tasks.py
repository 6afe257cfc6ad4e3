"""Tasks, functions and programs ask a served model, and get what the same soup says in this process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.tasks import SETTINGS, expect_agreement, write_every_kind

from soce import Recipe, SoupModel, TaskEvaluator, read_tasks
from soce.evaluate.command.options import CommandOptions
from soce.evaluate.command.served import ServedCommandEvaluator
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.function import FunctionEvaluator
from soce.evaluate.served.model import ServedModel
from soce.evaluate.served.outline import ServedOutline
from soce.exceptions import EvaluationError
from soce.recipes.wire import recipe_to_json

PROGRAM = """
import json, os, sys, urllib.request
url, model, output = sys.argv[1:]
assert url == os.environ["OPENAI_BASE_URL"]
body = json.dumps({"model": model, "prompt": "1+1=", "max_tokens": 3, "temperature": 0}).encode()
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
with urllib.request.urlopen(urllib.request.Request(url + "/completions", body, headers)) as answer:
    text = json.load(answer)["choices"][0]["text"]
print("it said", json.dumps(text))
open(output + "/scores.csv", "w").write("model,letters\\nsoup,%d\\n" % sum(map(ord, text)))
"""


@pytest.fixture
def recipes(ingredients: list[str]) -> list[Recipe]:
    a, b, _ = ingredients
    return [Recipe.of({a: "1/2", b: "1/2"}), Recipe.of({a: 0, b: 1})]


@pytest.fixture(scope="module")
def soup(ingredients: list[str]) -> Iterator[SoupModel]:
    model = SoupModel(ingredients, device="cpu")
    yield model
    model.close()


def test_every_kind_of_item_is_answered_as_in_this_process(
    served: ServedModel, soup: SoupModel, recipes: list[Recipe], tmp_path: Path
) -> None:
    expect_agreement(served, soup, recipes, write_every_kind(tmp_path / "tasks.jsonl"))


def test_the_engine_is_part_of_what_answers_are_filed_under(
    served: ServedModel, soup: SoupModel, ingredients: list[str], tmp_path: Path
) -> None:
    tasks = read_tasks(write_every_kind(tmp_path / "tasks.jsonl"))
    options = EngineOptions(arguments=("--device", "cpu", "--batch-size", "1"))
    outline = ServedOutline(ingredients, "transformers", options)
    asked, planned, here = (TaskEvaluator(model, tasks, **SETTINGS) for model in (served, outline, soup))
    assert planned.identity == asked.identity
    assert planned.item_keys() == asked.item_keys()
    assert asked.identity["engine"] == "transformers"
    assert asked.identity["max_length"] == SETTINGS["max_length"]
    ours, theirs = (
        {key for held in one.item_keys().values() for key in held.values()} for one in (here, asked)
    )
    assert not ours & theirs
    with pytest.raises(EvaluationError, match="the model is not served yet, and cannot be scored"):
        planned.score(Recipe.of(ingredients))


def test_the_window_leaves_the_engine_its_room_and_what_does_not_fit_is_told(
    served: ServedModel, soup: SoupModel, recipes: list[Recipe], tmp_path: Path
) -> None:
    tasks = write_every_kind(tmp_path / "tasks.jsonl")
    usual = TaskEvaluator(served, read_tasks(tasks))
    assert (usual.identity["max_length"], TaskEvaluator(soup, read_tasks(tasks)).identity["max_length"]) == (
        126,
        128,
    )
    assert usual.score(recipes[0], items={"text": usual.item_ids()["text"][-1:]}).categories["text"].n == 1
    with pytest.raises(EvaluationError) as caught:
        TaskEvaluator(served, read_tasks(tasks), max_length=128)
    (problem,) = caught.value.problems
    assert "category `text`" in problem.message
    assert "it needs 130 tokens, and the engine takes 128" in problem.message
    assert problem.hint is not None
    assert problem.hint.startswith("give `max_length` 126")


def test_a_function_that_takes_a_base_url_is_called_with_it(
    served: ServedModel, recipes: list[Recipe]
) -> None:
    import urllib.request

    before = dict(os.environ)

    def evaluate(*, model: str, base_url: str) -> dict[str, float]:
        assert os.environ["OPENAI_BASE_URL"] == base_url
        body = json.dumps({"model": model, "prompt": "1+1=", "max_tokens": 3, "temperature": 0}).encode()
        headers = {
            "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
            "Content-Type": "application/json",
        }
        with urllib.request.urlopen(
            urllib.request.Request(f"{base_url}/completions", body, headers)
        ) as answer:
            return {"letters": float(sum(map(ord, json.load(answer)["choices"][0]["text"])))}

    evaluator = FunctionEvaluator(evaluate, served)
    scores = [evaluator.score(recipe).categories["letters"].score for recipe in recipes]
    assert len(set(scores)) > 1
    assert dict(os.environ) == before
    assert evaluator.identity["engine"] == "transformers"
    with pytest.raises(EvaluationError, match="takes the `base_url` of a server, and there is none"):
        FunctionEvaluator(evaluate, ["nowhere"])
    with pytest.raises(
        EvaluationError, match="takes a model in this process, and the engine has it in its own"
    ):
        FunctionEvaluator(lambda model, tokenizer: {}, served)


def test_what_another_soup_may_have_answered_is_no_score(served: ServedModel, recipes: list[Recipe]) -> None:
    def evaluate(*, model: str, base_url: str) -> dict[str, float]:
        body = {"recipe": recipe_to_json(recipes[1]), "holder": served._hold.id}
        served.client.post("/recipe", body)
        return {"letters": 1.0}

    with pytest.raises(
        EvaluationError, match=r"does not hold recipe `.*` any more\nhint: somebody else gave"
    ):
        FunctionEvaluator(evaluate, served).score(recipes[0])


def test_a_program_with_a_base_url_asks_the_server_and_nothing_is_written(
    served: ServedModel, soup: SoupModel, recipes: list[Recipe], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), "{base_url}", "{model}", "{output}"]
    started: list[tuple[str, ...]] = []
    folder = tmp_path / "runs"
    evaluator = ServedCommandEvaluator(
        served, command, CommandOptions(scores="{output}/scores.csv"), folder=folder, on_start=started.append
    )
    scores = [evaluator.score(recipe).categories["letters"].score for recipe in recipes]
    assert len(set(scores)) > 1
    assert started[0][2:4] == (served.base_url, served.model)
    runs = sorted(folder.iterdir())
    assert len(runs) == len(recipes)
    assert {path.name for path in runs[0].rglob("*")} == {"log.txt", "output", "scores.csv"}
    told = json.dumps([evaluator.identity, started]) + "".join(
        path.joinpath("log.txt").read_text() for path in runs
    )
    assert served.token not in told
    assert evaluator.identity["command"] == command
    with pytest.raises(EvaluationError, match="the command asks a server, and the model is in this process"):
        ServedCommandEvaluator(soup, command)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{base_url}", "{checkpoint}"], "has both `{checkpoint}` and `{base_url}`"),
        (["{output}"], "no argument of the command has `{base_url}`"),
    ],
)
def test_words_of_a_command_that_do_not_go_together(
    served: ServedModel, words: list[str], message: str
) -> None:
    with pytest.raises(EvaluationError) as caught:
        ServedCommandEvaluator(served, [sys.executable, *words])
    assert message in str(caught.value)
