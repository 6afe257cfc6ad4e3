"""vLLM behind the server: recipes change under requests, and every answer is of the soup that it names."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.engines.served_models import save_family

from soce import Recipe
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.served.model import ServedModel

pytest.importorskip("torch")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine

PROMPTS = ("what is 2", "abc abc abc", "zz top: 7")


@pytest.fixture(scope="module")
def ingredients(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return save_family(tmp_path_factory.mktemp("served"), "llama", "float32", count=2)


@pytest.fixture(scope="module")
def served(ingredients: list[str], vllm_python: str) -> Iterator[ServedModel]:
    options = EngineOptions(vllm_python, ("--enforce-eager", "--dtype", "float32", "--max-model-len", "128"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        model = ServedModel.start(ingredients, "vllm", options)
    yield model
    model.close()


def body(served: ServedModel, prompt: str) -> dict[str, object]:
    return {"model": served.model, "prompt": prompt, "temperature": 0, "max_tokens": 24, "ignore_eos": True}


def ask(served: ServedModel, prompt: str, **more: object) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(served.base_url.removeprefix("http://").removesuffix("/v1"))
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/completions", json.dumps({**body(served, prompt), **more}), headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_every_answer_is_of_the_recipe_that_it_names(served: ServedModel, ingredients: list[str]) -> None:
    recipes = [Recipe.of({path: 1}) for path in ingredients]
    texts = {}
    for recipe in recipes:
        served.set(recipe)
        found = served.client.ask_all("/v1/completions", [body(served, prompt) for prompt in PROMPTS])
        texts |= {(recipe.id, p): one["choices"][0]["text"] for p, one in zip(PROMPTS, found, strict=True)}
    assert len(set(texts.values())) == len(texts), "one cannot be taken for another"
    done = threading.Event()
    seen: Counter[str] = Counter()

    def ask_on(prompt: str) -> None:
        while not done.is_set():
            response, content = ask(served, prompt)
            recipe = str(response.headers["X-Soce-Recipe"])
            assert (response.status, json.loads(content)["choices"][0]["text"]) == (
                200,
                texts[recipe, prompt],
            )
            seen[recipe] += 1

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask_on, prompt) for prompt in PROMPTS * 2]
        try:
            for i in range(10):
                served.set(recipes[i % 2])
                before = seen[recipes[i % 2].id]
                while seen[recipes[i % 2].id] < before + 6 and not any(one.done() for one in asking):
                    done.wait(0.01)
        finally:
            done.set()
        for one in asking:
            one.result()
    assert set(seen) == {recipe.id for recipe in recipes}


def test_streams_are_passed_on_as_they_come(served: ServedModel, ingredients: list[str]) -> None:
    recipe = Recipe.of(ingredients)
    served.set(recipe)
    whole = served.client.post("/v1/completions", body(served, PROMPTS[0]))["choices"][0]["text"]
    response, content = ask(served, PROMPTS[0], stream=True)
    events = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
    assert response.headers["X-Soce-Recipe"] == recipe.id
    assert events.pop() == "[DONE]"
    assert len(events) > 3
    assert "".join(json.loads(one)["choices"][0]["text"] for one in events) == whole
