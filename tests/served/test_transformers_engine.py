"""The transformers engine says what the same soup says in this process, and refuses what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from soce import Recipe, SoupModel
from soce.evaluate.served.model import ServedModel
from soce.evaluate.tasks.encoding import Prompt
from soce.evaluate.tasks.forward import Batches
from soce.evaluate.tasks.writing import Writer
from soce.exceptions import EvaluationError, RecipeError


@pytest.fixture(scope="module")
def soup(ingredients: list[str]) -> Iterator[SoupModel]:
    model = SoupModel(ingredients, device="cpu")
    yield model
    model.close()


@pytest.fixture
def recipe(ingredients: list[str], served: ServedModel, soup: SoupModel) -> Recipe:
    """A soup that both models are."""
    recipe = Recipe.of(dict(zip(ingredients, ["1/2", "1/4", "1/4"], strict=True)))
    served.set(recipe)
    soup.set(recipe)
    return recipe


def ask(served: ServedModel, **body: Any) -> dict[str, Any]:
    return served.client.post("/v1/completions", {"model": served.model, "temperature": 0, **body})


def logs(soup: SoupModel, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        scores = soup.model(torch.tensor([tokens])).logits[0].float()
    return scores - scores.logsumexp(-1, keepdim=True)


def test_log_probabilities_of_a_prompt_are_the_models_own_to_the_bit(
    served: ServedModel, soup: SoupModel, recipe: Recipe
) -> None:
    tokens = soup.tokenizer("what is 2+2?")["input_ids"]
    answer = ask(served, prompt=tokens, max_tokens=1, prompt_logprobs=3)["choices"][0]["prompt_logprobs"]
    expected = logs(soup, tokens)
    assert answer[0] is None
    for place, token in enumerate(tokens[1:]):
        found, row = answer[place + 1], expected[place]
        assert found[str(token)]["logprob"] == row[token].item()
        assert found[str(token)]["rank"] == int((row >= row[token]).sum())
        assert found[str(token)]["decoded_token"] == soup.tokenizer.decode([token])
        best = row.topk(3)
        assert {int(k): one["logprob"] for k, one in found.items()} == {
            token: row[token].item(),
            **dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
        }


def test_echo_and_logprobs_tell_the_same(served: ServedModel, soup: SoupModel, recipe: Recipe) -> None:
    text = "abc = 12"
    tokens = soup.tokenizer(text)["input_ids"]
    (choice,) = ask(served, prompt=text, max_tokens=0, echo=True, logprobs=1)["choices"]
    expected = logs(soup, tokens)
    found = choice["logprobs"]
    assert choice["text"] == text
    assert found["tokens"] == [soup.tokenizer.decode([token]) for token in tokens]
    own = [expected[place, token].item() for place, token in enumerate(tokens[1:])]
    assert found["token_logprobs"] == [None, *own]
    assert found["text_offset"][:2] == [0, len("<s>")]
    assert all(1 <= len(best) <= 2 for best in found["top_logprobs"][1:])


def test_texts_are_those_that_tasks_are_scored_by(
    served: ServedModel, soup: SoupModel, recipe: Recipe
) -> None:
    prompts = ["abc", "what is 7", "x", "zz top"]
    encoded = [tuple(soup.tokenizer(text)["input_ids"]) for text in prompts]
    for stop in ((), ("o",), ("e", "x ")):
        writer = Writer(soup, Batches(1), window=128)
        expected = writer.texts([Prompt(one, 12, stop) for one in encoded], lambda n: None)
        answer = ask(served, prompt=prompts, max_tokens=12, stop=list(stop))
        found = [(one["text"], one["finish_reason"]) for one in answer["choices"]]
        assert found == [(one.text, one.ending) for one in expected]
        assert [one["index"] for one in answer["choices"]] == [0, 1, 2, 3]


def test_a_text_ends_with_the_token_that_completes_a_stop(served: ServedModel, recipe: Recipe) -> None:
    (whole,) = ask(served, prompt="abc", max_tokens=8, return_token_ids=True, logprobs=0)["choices"]
    assert len(whole["token_ids"]) == len(whole["logprobs"]["tokens"]) == 8
    assert (whole["finish_reason"], whole["stop_reason"]) == ("length", None)
    third = whole["token_ids"][2]
    count = whole["token_ids"].index(third) + 1
    (cut,) = ask(served, prompt="abc", max_tokens=8, return_token_ids=True, stop_token_ids=[third])["choices"]
    assert cut["token_ids"] == whole["token_ids"][:count]
    assert (cut["finish_reason"], cut["stop_reason"]) == ("stop", third)
    word = whole["text"][0]
    (cut,) = ask(served, prompt="abc", max_tokens=8, return_token_ids=True, stop=word)["choices"]
    assert (cut["text"], cut["stop_reason"]) == ("", word)
    assert whole["token_ids"][: len(cut["token_ids"])] == cut["token_ids"]


def test_likelihood_and_text_come_together(served: ServedModel, soup: SoupModel, recipe: Recipe) -> None:
    one = ask(served, prompt="abc", max_tokens=1, prompt_logprobs=0, logprobs=2)["choices"][0]
    more = ask(served, prompt="abc", max_tokens=6, prompt_logprobs=0, logprobs=2)["choices"][0]
    alone = ask(served, prompt="abc", max_tokens=6, logprobs=2)["choices"][0]
    assert more["text"] == alone["text"]
    assert more["logprobs"] == alone["logprobs"]
    assert one["logprobs"]["tokens"] == alone["logprobs"]["tokens"][:1]
    assert one["prompt_logprobs"] == more["prompt_logprobs"] is not alone["prompt_logprobs"] is None


def test_a_chat_goes_through_the_template(served: ServedModel, soup: SoupModel, recipe: Recipe) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    parts = [{"type": "text", "text": "hi"}]
    body = {
        "messages": [{"role": "user", "content": parts}],
        "tools": [tool],
        "tool_choice": "none",
        "temperature": 0,
        "max_tokens": 5,
        "logprobs": True,
        "top_logprobs": 2,
        "return_token_ids": True,
    }
    answer = served.client.post("/v1/chat/completions", body)
    assert (
        answer["prompt_token_ids"] == soup.tokenizer("u:hi.t:add.a:", add_special_tokens=False)["input_ids"]
    )
    (alone,) = ask(served, prompt=answer["prompt_token_ids"], max_tokens=5, logprobs=2)["choices"]
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": alone["text"], "refusal": None}
    told = choice["logprobs"]["content"]
    assert [one["logprob"] for one in told] == alone["logprobs"]["token_logprobs"]
    assert all(len(one["top_logprobs"]) == 2 for one in told)


def test_a_stream_says_the_same(served: ServedModel, recipe: Recipe) -> None:
    import http.client

    whole = ask(served, prompt="abc", max_tokens=5)["choices"][0]["text"]
    host = served.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host)
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps({"prompt": "abc", "temperature": 0, "max_tokens": 5, **usage})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {served.token}"})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Soce-Recipe"] == recipe.id
    events = [line.removeprefix("data: ") for line in response.read().decode().split("\n\n") if line]
    connection.close()
    assert events.pop() == "[DONE]"
    *texts, last = map(json.loads, events)
    assert "".join(one["choices"][0]["text"] for one in texts) == whole
    assert last["usage"]["completion_tokens"] == 5


CANNOT = {
    "temperature": 0.7,
    "n": 2,
    "max_tokens": 4096,
    "presence_penalty": 0.5,
    "logit_bias": {"3": 1},
    "response_format": {"type": "json_object"},
    "logprobs": 99,
    "prompt_logprobs": -1,
    "guided_json": {},
    "model": "other",
    "stop": [""],
    "prompt": [[1, 2], "a", 3.5],
    "stream_options": {"include_usage": True},
    "ignore_eos": "yes",
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_it_cannot_do_is_refused_by_name(served: ServedModel, recipe: Recipe, name: str) -> None:
    with pytest.raises(EvaluationError, match=name if name != "temperature" else "likeliest"):
        ask(served, **{"prompt": "abc", "max_tokens": 2, name: CANNOT[name]})


def test_no_temperature_is_not_taken_for_zero(served: ServedModel, recipe: Recipe) -> None:
    with pytest.raises(EvaluationError, match="temperature"):
        served.client.post("/v1/completions", {"prompt": "abc"})


def test_the_same_soup_has_the_same_identity_as_its_outline(
    served: ServedModel, ingredients: list[str]
) -> None:
    from soce.evaluate.engines.engine import EngineOptions
    from soce.evaluate.served.outline import ServedOutline

    options = EngineOptions(arguments=("--device", "cpu", "--batch-size", "1"))
    outline = ServedOutline(ingredients, "transformers", options)
    assert outline.identity == served.identity
    assert outline.nbytes == served.nbytes
    outline.close()
    assert served.max_length == 128


def test_a_recipe_that_fails_leaves_no_soup(served: ServedModel, ingredients: list[str]) -> None:
    good = Recipe.of(ingredients[:2])
    served.set(good)
    with pytest.raises(RecipeError, match="not an ingredient"):
        served.set(Recipe.of(["elsewhere"]))
    assert served.client.get("/recipe")["id"] == good.id, "nothing was changed"
