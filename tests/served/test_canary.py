"""A server lets its engine be checked, and tells what was found."""

from __future__ import annotations

from soce.evaluate.served.model import ServedModel
from soce.recipes.model import Recipe


def test_a_server_checks_its_engine_and_keeps_its_soup(served: ServedModel, ingredients: list[str]) -> None:
    told = served.client.get("/recipe")["canary"]
    assert (told["ingredient"], told["judge"], told["is_conclusive"]) == (
        ingredients[1],
        "transformers",
        True,
    )
    served.set(Recipe.of({ingredients[0]: "1/3", ingredients[2]: "2/3"}))
    body = {"model": served.model, "prompt": "abc", "max_tokens": 4, "temperature": 0, "logprobs": 1}
    before = served.client.post("/v1/completions", body)["choices"]
    again = served.client.post("/canary", {})
    assert again["id"] == served.recipe.id
    assert again["canary"] == {**told, "seconds": again["canary"]["seconds"]}
    assert served.client.post("/v1/completions", body)["choices"] == before
