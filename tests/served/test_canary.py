"""A server lets its engine be checked, and tells what was found."""

from __future__ import annotations

import pytest

from soce.evaluate.served.model import ServedModel
from soce.exceptions import EvaluationError
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
    again = served.client.post("/canary", {"holder": served._hold.id})
    assert again["changes"] == served._changes
    assert again["id"] == served.recipe.id
    assert again["canary"] == {**told, "seconds": again["canary"]["seconds"]}
    assert served.client.post("/v1/completions", body)["choices"] == before


def test_nobody_checks_the_engine_in_the_middle_of_a_search(
    served: ServedModel, ingredients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.set(Recipe.of({ingredients[0]: 1}))
    monkeypatch.setattr(served._server.service.canary, "check", lambda: pytest.fail("it was checked"))
    for asked, message in (
        ({}, "gives this server recipes since"),
        ({"holder": "another"}, "gives this server recipes since"),
        ({"holders": served._hold.id}, "unknown key `holders`"),
    ):
        with pytest.raises(EvaluationError, match=message):
            served.client.post("/canary", asked)
    served.look()
