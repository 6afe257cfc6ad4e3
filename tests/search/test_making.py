"""A search over a method's parameters and over groups of tensors, as over weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.landscapes import CATEGORIES, Landscape, pool, search_with

import soce
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import RecipeError, StudyError
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe
from soce.report.publish import publish_soup
from soce.search.making import Making
from soce.search.open import open_run
from soce.search.result import SearchResult
from soce.search.soup import MadeSoup, method_of, rows_of, soup_from_json, soup_to_json
from soce.search.status import read_status
from soce.search.strategies.grid import Grid
from soce.search.strategies.registry import strategy_of
from soce.search.strategies.samplers import CmaEs


class Hill(Landscape):
    """Best where the sum of coefficients is 1/2, and the first group is all a."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        wanted = self.asked(recipe, items)
        total = Fraction(1)
        if recipe.method is not None and recipe.method.name == "task_arithmetic":
            total = recipe.method.number("lambda") * sum(recipe.table[-1].weights)
        quality = 0.9 - abs(float(total) - 0.5)
        if recipe.rows:
            shares = dict(zip((one.name for one in recipe.ingredients), recipe.rows[0].weights, strict=True))
            quality -= 0.3 * (1 - float(shares["a"]))
        scores = dict.fromkeys(CATEGORIES, max(0.0, quality))
        return Evaluation.of_items(
            {name: dict.fromkeys(ids, scores[name]) for name, ids in wanted.items()}, scale="unit"
        )


def searched(tmp_path: Path, making: Making, strategy: Any, experts: str = "ab") -> SearchResult:
    models = pool(tmp_path / "models", experts, "d")
    base = {"base": "d"} if making.needs_base else {}
    return search_with(models, Hill(), folder=tmp_path / "run", making=making, strategy=strategy, **base)


@pytest.mark.parametrize("strategy", ["cmaes", "tpe"])
def test_a_sampler_finds_the_parameter_with_the_weights(tmp_path: Path, strategy: str) -> None:
    made = Making("task_arithmetic", {"lambda": ["0", "1.5"]})
    result = searched(tmp_path, made, strategy_of(strategy, budget=60))
    method = method_of(result.best.parts)
    assert method is not None
    total = method.number("lambda") * sum(result.best.recipe.table[-1].weights)
    assert abs(total - Fraction(1, 2)) < Fraction(1, 20)
    assert all(0 <= method_of(one.parts).number("lambda") <= Fraction(3, 2) for one in result.ranked)  # type: ignore[union-attr]
    assert result.n_candidates == 60
    assert result.strategy["making"] == "task_arithmetic, lambda 0 or 1.5"


def test_a_grid_takes_every_value_with_every_weight(tmp_path: Path) -> None:
    made = Making("task_arithmetic", {"lambda": ["0.1", "0.25", "1"], "normalize": ["false"]})
    result = searched(tmp_path, made, Grid())
    assert result.n_candidates == 3 * 9
    assert method_of(result.best.parts).value("lambda") == Fraction(1, 4)  # type: ignore[union-attr]
    assert result.best.parts["a"] == result.best.parts["b"]


def test_a_method_without_weights_has_a_soup_for_each_value(tmp_path: Path) -> None:
    made = Making("model_stock", {"average": ["cos", "angle"], "clamp": ["true", "false"]})
    assert searched(tmp_path, made, "grid").n_candidates == 4


def test_groups_of_tensors_have_weights_of_their_own(tmp_path: Path) -> None:
    result = searched(tmp_path, Making(groups=("layers.0.*",)), CmaEs(budget=80), "abc")
    ((pattern, parts),) = rows_of(result.best.parts)
    assert pattern == "layers.0.*"
    assert parts["a"] == max(one.parts.rows[0][1]["a"] for one in result.ranked)  # type: ignore[union-attr]
    assert soup_from_json(json.loads(json.dumps(soup_to_json(result.best.parts)))) == result.best.parts


def test_the_same_search_evaluates_nothing_and_is_read_again(tmp_path: Path) -> None:
    made = Making("task_arithmetic", {"lambda": ["0", "1.5"]}, ("*.weight",))
    first = searched(tmp_path, made, CmaEs(budget=30))
    again = searched(tmp_path, made, CmaEs(budget=30))
    assert again.n_evaluated == 0
    assert again.to_json() == first.to_json()
    run = open_run(tmp_path / "run")
    assert run.result is not None
    assert run.result.best.recipe.id == first.best.recipe.id
    assert SearchResult.from_json(first.to_json()).best.recipe.id == first.best.recipe.id
    assert read_status(tmp_path / "run").is_done


def test_the_winner_is_published_with_its_method(tmp_path: Path) -> None:
    result = searched(tmp_path, Making("task_arithmetic", {"lambda": ["0.1", "0.25"]}), "grid")
    found = publish_soup(result, tmp_path / "soup", run=tmp_path / "run")
    assert found.card is not None
    assert "task_arithmetic" in (tmp_path / "soup/README.md").read_text()
    (told,) = json.loads((tmp_path / "soup/soce.json").read_bytes())["run"]["methods"]
    assert (told["method"], told["parameters"]["lambda"]) == ("task_arithmetic", "0.25")
    soce.merge(result.best.recipe, output=tmp_path / "again", options=MergeOptions(sync=False))
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("soup", "again")]
    assert files[0] == files[1]


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.fractions(-10, 10), st.fractions(Fraction(1, 1000), 10))
def test_a_value_is_within_its_range(share: float, low: Fraction, width: Fraction) -> None:
    low, width = low.limit_denominator(100), width.limit_denominator(1000)
    made = Making("task_arithmetic", {"lambda": [low, low + width]})
    value = Fraction(made.between("lambda", share))
    assert low <= value <= low + width
    assert abs(value - (low + Fraction(share) * width)) <= width / 500


@pytest.mark.parametrize(
    ("asked", "strategy", "words"),
    [
        ({"method": "task_arithmetic", "parameters": {"lamda": ["1"]}}, "grid", "no parameter `lamda`"),
        ({"parameters": {"lambda": ["1"]}}, "grid", "a parameter of a method, and none is named"),
        ({"method": "task_arithmetic", "parameters": {"lambda": []}}, "grid", "has no value"),
        ({"method": "model_stock", "groups": ("*",)}, "cmaes", "takes no weights"),
        ({"method": "task_arithmetic", "parameters": {"lambda": ["0", "1", "2"]}}, "tpe", "takes two ends"),
        ({"method": "model_stock", "parameters": {"clamp": ["true", "false"]}}, "tpe", "takes two ends"),
        ({"method": "slerp"}, "grid", "`slerp` takes 2 experts, and there are 3"),
        ({"groups": ("*",)}, "grid", "has no weights for groups"),
        ({"method": "task_arithmetic"}, "greedy", "greedy goes through averages"),
        ({"method": "task_arithmetic"}, "race", "race goes through averages"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_scored(
    tmp_path: Path, asked: dict[str, Any], strategy: str, words: str
) -> None:
    models, evaluator = pool(tmp_path / "models", "abc", "d"), Hill()

    def search() -> None:
        chosen = {"making": Making(**asked), "strategy": strategy_of(strategy)}
        search_with(models, evaluator, folder=tmp_path / "run", base="d", **chosen)

    with pytest.raises((RecipeError, StudyError), match=words) as raised:
        search()
    assert len(raised.value.problems) == 1
    assert not evaluator.calls


def test_evolution_of_one_number_is_refused(tmp_path: Path) -> None:
    made = Making("task_arithmetic", {"lambda": ["0", "1"]})
    with pytest.raises(StudyError, match="evolution takes two things at least"):
        searched(tmp_path, made, CmaEs(budget=5), "a")


def test_equal_weights_are_those_of_a_method_without_any() -> None:
    made = Making("task_arithmetic", {"lambda": ["0.3"]}).soup({"a": 1, "b": 1}, base="d")
    assert isinstance(made, MadeSoup)
    assert [Fraction(part, made.divisor or 0) for part in made.parts.values()] == [1, 1]
