"""Tasks asked of vLLM in float32: item by item what the model in process says, and a whole run on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.runs import expect_run, write_experiment
from tests.engines.served_models import save_family
from tests.engines.tasks import expect_agreement, write_every_kind

from soce import Recipe, SoupModel, TaskEvaluator, read_tasks
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.served.model import ServedModel

pytest.importorskip("torch")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine
ARGUMENTS = ("--enforce-eager", "--dtype", "float32", "--kv-cache-memory-bytes", "200000000")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return save_family(tmp_path_factory.mktemp("models"), "llama", "float32", count=2)


@pytest.fixture(scope="module")
def served(vllm_python: str, paths: list[str]) -> Iterator[ServedModel]:
    model = ServedModel.start(paths, "vllm", EngineOptions(python=vllm_python, arguments=ARGUMENTS))
    yield model
    model.close()


def test_vllm_answers_every_kind_of_item_as_the_model_in_this_process(
    served: ServedModel, paths: list[str], tmp_path: Path
) -> None:
    a, b = paths
    soup = SoupModel(paths, device="cpu")
    recipes = [Recipe.of({a: 1, b: 0}), Recipe.of({a: "1/2", b: "1/2"}), Recipe.of({a: 0, b: 1})]
    expect_agreement(served, soup, recipes, write_every_kind(tmp_path / "tasks.jsonl", chat=False))
    soup.close()


def test_vllm_takes_texts_as_long_as_its_window(
    served: ServedModel, paths: list[str], tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(
        '{"category": "text", "kind": "perplexity", "text": "%s"}\n' % ("abc def " * 60)
        + '{"category": "said", "kind": "generation", "prompt": "%s", "answer": "a", "scorer": "exact"}\n'
        % ("cab " * 80)
    )
    evaluator = TaskEvaluator(served, read_tasks(tasks))
    assert evaluator.identity["max_length"] == 254
    assert evaluator.score(Recipe.of(paths)).categories.keys() == {"text", "said"}


def test_a_run_on_vllm(
    vllm_python: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = " ".join(ARGUMENTS)
    write_experiment(paths, f"engine: vllm, engine-python: {vllm_python}, engine-arguments: {arguments}")
    expect_run("vllm", monkeypatch)
