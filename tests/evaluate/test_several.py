"""Several evaluators as one: the categories of all, each scored as it is alone."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.landscapes import Landscape, pool
from tests.tiny_models import save_models

from soce.evaluate.kinds import Several, check_evaluator, kind_of, open_evaluator
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.options import EvaluatorOptions
from soce.evaluate.several import SeveralEvaluators
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe


def tasks(path: Path, category: str, n_items: int) -> str:
    items = [
        {"category": category, "id": f"{category}-{i}", "prompt": f"{i} ", "choices": ["a", "b"], "answer": 0}
        for i in range(n_items)
    ]
    path.write_text("".join(json.dumps({**item, "kind": "multiple_choice"}) + "\n" for item in items))
    return str(path)


def test_two_files_of_tasks_are_scored_as_each_is_alone_by_one_live_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    paths = save_models(tmp_path)
    names = (tasks(tmp_path / "a.jsonl", "math", 5), tasks(tmp_path / "b.jsonl", "code", 3))
    assert check_evaluator(Several(names)) == ["math", "code"]
    recipe = Recipe.of({paths[0]: "0.5", paths[1]: "0.5"})
    with closing(SoupModel(paths, device="cpu")) as soup:
        together = open_evaluator(Several(names), soup)
        alone = [open_evaluator(name, soup) for name in names]
        assert isinstance(together, SeveralEvaluators)
        assert together.soup is soup
        told: list[tuple[int, int]] = []
        found = together.score(recipe, on_progress=lambda done, total: told.append((done, total)))
        each = [one.score(recipe) for one in alone]
        assert {**found.items} == {**each[0].items, **each[1].items}
        assert [*found.categories] == ["math", "code"]
        assert found.answers == {**each[0].answers, **each[1].answers}
        assert (found.scale, found.categories["code"]) == (each[1].scale, each[1].categories["code"])
        assert told[-1] == (8, 8)
        assert told == sorted(told)
        keys = [one.item_keys() for one in alone]
        assert together.item_keys() == {**keys[0], **keys[1]}
        some = together.score(recipe, items={"code": ["code-1"]})
        assert some.item_ids() == {"code": ("code-1",)}


def test_it_looks_at_the_options_of_all() -> None:
    both = {*kind_of(Several(("tasks.jsonl", "lm-eval:gsm8k"))).options}
    assert both == {*kind_of("tasks.jsonl").options, *kind_of("lm-eval:gsm8k").options}


def test_its_identity_changes_with_each_of_them(tmp_path: Path) -> None:
    pool(tmp_path)
    first, other, changed = Landscape(tag="x"), Landscape(tag="y"), Landscape(tag="y", version=2)
    other.items = changed.items = {f"other-{name}": ids for name, ids in other.items.items()}
    assert SeveralEvaluators([first, other]).identity != SeveralEvaluators([first, changed]).identity
    assert SeveralEvaluators([first, other]).item_keys() is None
    assert [*SeveralEvaluators([first, other]).item_ids()] == ["math", "code", "other-math", "other-code"]


def test_a_category_of_two_and_one_without_items_are_refused(tmp_path: Path) -> None:
    same = tasks(tmp_path / "a.jsonl", "math", 2), tasks(tmp_path / "b.jsonl", "math", 3)
    with pytest.raises(EvaluationError, match="the category `math` is scored by two evaluators"):
        check_evaluator(Several(same), EvaluatorOptions())
    with pytest.raises(EvaluationError, match="cannot name its items"):
        SeveralEvaluators([Landscape(tag="x"), Landscape(tells_items=False)])
