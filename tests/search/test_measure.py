"""Candidates are scored on the items that soups are chosen on, once, and the search finds these scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.landscapes import Landscape, pool, search_with

from soce.exceptions import EvaluationError, StudyError
from soce.files.digests import digest_of
from soce.scores.table import ScoreTable
from soce.search.items import split_items
from soce.search.measure import measure_scores
from soce.search.options import SearchOptions
from soce.search.pool import Pool
from soce.selection.experts import select_experts
from soce.selection.options import SelectionOptions
from soce.selection.rules import Explicit


def measured(folder: Path, landscape: Landscape, **options: Any) -> ScoreTable:
    return measure_scores(pool(folder).paths, landscape, folder=folder / "run", **options)


def select(table: ScoreTable, folder: Path) -> Pool:
    chosen = select_experts(table, Explicit(("math", "code")), SelectionOptions(step="1/4"))
    return Pool(pool(folder).paths, chosen.models, chosen.grid, origin=chosen.origin, config_from="a")


def test_the_table_stands_on_the_selection_part(tmp_path: Path) -> None:
    landscape = Landscape()
    table = measured(tmp_path, landscape)
    selection = split_items(landscape.items).selection
    assert table.models == ("a", "b", "c")
    assert table.origin.items == selection
    assert table.origin.evaluator == digest_of(landscape.identity)
    assert table.most_items() == {"math": 100, "code": 100}
    assert table.standard_errors().min() > 0
    expected = landscape.score(pool(tmp_path).recipe({"b": 1}), items=selection)
    assert table.score("b", "math") == expected.categories["math"].score


@pytest.mark.parametrize("options", [{"share": None}, {"split_seed": 3}])
def test_it_is_the_split_of_the_search(tmp_path: Path, options: Mapping[str, Any]) -> None:
    landscape = Landscape()
    table = measured(tmp_path, landscape, options=SearchOptions(**options))
    part = landscape.items if "share" in options else split_items(landscape.items, seed=3).selection
    assert table.origin.items == part


class Whole(Landscape):
    """One that knows its items only after it scored them, and scores all of them in any case."""

    scores_whole = True

    def item_ids(self) -> Mapping[str, tuple[str, ...]] | None:
        return self.items if self.calls else None


@pytest.mark.parametrize("make", [Landscape, Whole, lambda: Landscape(tells_items=False)])
def test_the_search_evaluates_nothing_twice(tmp_path: Path, make: Callable[[], Landscape]) -> None:
    landscape = make()
    table = measured(tmp_path, landscape)
    found = search_with(select(table, tmp_path), landscape, folder=tmp_path / "run")
    assert len(set(landscape.calls)) == len(landscape.calls)
    assert found.arm("a").selection.categories["math"] == table.score("a", "math")
    n_singles = sum(call.split(":")[0] == found.arm("b").recipe.id for call, _ in landscape.calls)
    assert n_singles == (1 if isinstance(landscape, Whole) or not landscape.tells_items else 2)


def test_a_measuring_that_was_stopped_goes_on(tmp_path: Path) -> None:
    class Stopped(Landscape):
        def score(self, *arguments: Any, **options: Any) -> Any:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().score(*arguments, **options)

    first, second = Stopped(), Landscape()
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, first)
    table = measured(tmp_path, second)
    assert (len(first.calls), len(second.calls)) == (2, 1)
    assert table.digest == measure_scores(pool(tmp_path).paths, Landscape(), folder=tmp_path / "other").digest


def test_other_tasks_to_report_on_leave_all_items_to_choose_on(tmp_path: Path) -> None:
    first, second = Landscape(tag="dev-"), Landscape(tag="test-")
    table = measured(tmp_path, first, held_out_evaluator=second)
    assert table.origin.items == first.items
    assert len(second.calls) == 1, "one model, to see that the tasks go together"


def test_without_items_the_experts_are_chosen_on_what_is_reported(tmp_path: Path) -> None:
    landscape = Landscape(has_items=False)
    table = measured(tmp_path, landscape)
    assert table.origin.items is None
    assert table.origin.kind == "measured"
    assert len(landscape.calls) == 3


def test_tasks_that_do_not_go_together_are_found_at_the_first_model(tmp_path: Path) -> None:
    first, other = Landscape(tells_items=False), Landscape(tag="test-", tells_items=False)
    other.items = {"math": other.items["math"]}
    with pytest.raises(EvaluationError, match="only the tasks to choose on have the category `code`"):
        measured(tmp_path, first, held_out_evaluator=other)
    assert (len(first.calls), len(other.calls)) == (1, 1)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    landscape = Landscape()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(StudyError, match=r"holds `thesis.tex` and no study"):
        measured(tmp_path, landscape)
    assert not landscape.calls


def test_the_same_tasks_on_both_sides_are_refused_before_anything_is_scored(tmp_path: Path) -> None:
    landscape = Landscape()
    with pytest.raises(EvaluationError, match="the held-out tasks are the tasks to choose on"):
        measured(tmp_path, landscape, held_out_evaluator=Landscape())
    assert not landscape.calls
    assert not (tmp_path / "run").exists()
