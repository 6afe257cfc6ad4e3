"""A search whose soups write: which texts ended by length goes from answers to what is said above the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.landscapes import Landscape, pool, search_with, shares

from soce.evaluate.answers import Answer
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.truncation import Truncation
from soce.recipes.model import Recipe
from soce.search.result import SearchResult


class Writers(Landscape):
    """Every third text of a model on its own is cut, and none of a soup's."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        found = super().score(recipe, items=items, on_progress=on_progress)
        is_single = max(shares(recipe).values()) == 1
        answers = {
            item: Answer("0", text="x", ending="length" if is_single and int(item[5:]) % 3 == 0 else "stop")
            for item in (found.items or {})["math"]
        }
        return replace(found, answers={"math": answers})


def test_arms_that_are_cut_differently_are_told_in_the_result(tmp_path: Path) -> None:
    result = search_with(pool(tmp_path), Writers(n_items=60), folder=tmp_path / "run", strategy="grid")
    for arm in result.arms:
        (category, told) = next(iter(arm.report.truncation.items()))
        assert (category, told.n_texts) == ("math", 30)
        assert (told.n_cut > 0) == (arm.kind == "single")
    assert result.best.report.truncation == {"math": Truncation(0, 30)}
    name = result.best_single_report
    told = result.arm(name).report.truncation["math"]
    assert str(result.caution).startswith(
        f"In `math` {told} texts of `{name}` ended by length, and 0 of 30 of `soce`"
    )
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["caution"] == result.caution
    assert SearchResult.from_json(kept).caution == result.caution
    again = search_with(pool(tmp_path), Writers(n_items=60), folder=tmp_path / "run", strategy="grid")
    assert again.n_evaluated == 0
    assert again.to_json() == result.to_json(), "endings are kept with the answers"


def test_texts_are_counted_in_no_result_where_none_is_written(tmp_path: Path) -> None:
    result = search_with(pool(tmp_path), Landscape(n_items=60), folder=tmp_path / "run", strategy="grid")
    assert result.caution is None
    assert "truncation" not in json.dumps(result.to_json())
