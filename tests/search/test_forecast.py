"""What a dry run says is what the search then does, and it leaves everything as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.landscapes import Landscape, pool

from soce.cli.text.forecast import forecast_lines
from soce.search.forecast import Forecast, Forecaster
from soce.search.named_arms import parse_arm
from soce.search.options import SearchOptions
from soce.search.pace import Pace
from soce.search.pool import Pool
from soce.search.soups import search_soups
from soce.search.strategies.greedy import Greedy
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.race.race import Race
from soce.search.strategies.samplers import Bayesian, CmaEs
from soce.search.strategies.space import Strategy

pytest.importorskip("optuna")


def foresee(
    folder: Path,
    models: Pool,
    evaluator: Landscape,
    options: SearchOptions,
    held_out: Landscape | None = None,
) -> Forecast:
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    seen = Forecaster(models, evaluator, folder=folder, options=options, held_out_evaluator=held_out)
    n_calls = len(evaluator.calls)
    seen.search(models, None)
    assert len(evaluator.calls) == n_calls
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before
    return seen.forecast()


@pytest.fixture
def models(tmp_path: Path) -> Pool:
    return pool(tmp_path, "abc", "d")


@pytest.mark.parametrize("held_out", [False, True])
def test_a_grid_is_told_to_the_evaluation_and_to_the_item(
    tmp_path: Path, models: Pool, *, held_out: bool
) -> None:
    evaluator = Landscape(n_items=10)
    other = Landscape(n_items=6, tag="held-out-") if held_out else None
    options = SearchOptions()
    told = foresee(tmp_path / "run", models, evaluator, options, other)
    assert told.experts == ("a", "b", "c")
    assert told.n_soups == 37  # the uniform one, which is there already, among them
    assert [(one.stage, one.soups, one.missing) for one in told.stages] == [
        ("single models", 4, 4),
        ("uniform soups", 2, 2),
        ("grid", 37, 36),
        ("held-out items", 6, 6),
    ]
    assert told.stages[-1].more_soups == 1
    assert told.race_items == ((37 * 20, 37 * 20) if held_out else (37 * 10, 37 * 10))
    assert any(line.startswith("to compare  grid: ") for line in forecast_lines(told)[0])
    on_selection = 20 if held_out else 10
    assert [one.missing_items for one in told.stages[:3]] == [
        4 * on_selection,
        2 * on_selection,
        36 * on_selection,
    ]
    result = search_soups(
        models, evaluator, folder=tmp_path / "run", options=options, held_out_evaluator=other
    )
    is_new = result.best.parts != dict.fromkeys(
        "abc", 1
    )  # the soup is one arm more, unless it is the uniform one
    assert told.missing + is_new == result.n_evaluated
    n_scored = sum(count for one in (evaluator, other) if one is not None for _, count in one.calls)
    assert told.missing_items is not None
    assert told.missing_items + is_new * told.stages[-1].more_items == n_scored

    again = foresee(tmp_path / "run", models, evaluator, options, other)
    assert (again.missing, again.missing_items, again.more_soups) == (0, 0, 0)
    assert again.seconds == 0
    assert again.read_bytes == 0


@pytest.mark.parametrize(
    "strategy",
    [
        Greedy(),
        Greedy(over="candidates"),
        CmaEs(budget=15),
        Bayesian("tpe", budget=8),
        SuccessiveHalving(),
        Race(),
    ],
    ids=lambda strategy: strategy.name,
)
def test_a_strategy_that_looks_at_scores_stays_within_what_was_told(
    tmp_path: Path, models: Pool, strategy: Strategy
) -> None:
    evaluator = Landscape(n_items=40)
    options = SearchOptions(strategy=strategy)
    told = foresee(tmp_path / "run", models, evaluator, options)
    assert told.strategy == strategy.name
    result = search_soups(models, evaluator, folder=tmp_path / "run", options=options)
    assert told.missing <= result.n_evaluated <= told.missing + told.more_soups
    n_scored = sum(count for _, count in evaluator.calls)
    assert told.missing_items is not None
    assert told.missing_items <= n_scored <= told.missing_items + sum(one.more_items for one in told.stages)
    again = foresee(tmp_path / "run", models, evaluator, options)
    assert (again.missing, again.more_soups) == (0, 0)


def test_another_question_costs_what_is_missing(tmp_path: Path, models: Pool) -> None:
    evaluator = Landscape(n_items=10)
    search_soups(models, evaluator, folder=tmp_path / "run", options=SearchOptions(strategy="greedy"))
    told = foresee(tmp_path / "run", models, evaluator, SearchOptions())
    assert told.stages[0].missing == told.stages[1].missing == 0
    assert told.stages[2].missing == 36
    assert told.stages[2].missing_items == 36 * 10
    larger = Landscape(n_items=12)  # another identity: nothing of it is known
    assert foresee(tmp_path / "run", models, larger, SearchOptions()).stages[0].missing == 4


def test_an_evaluator_without_items_scores_every_soup_once(tmp_path: Path, models: Pool) -> None:
    evaluator = Landscape(has_items=False)
    told = foresee(tmp_path / "run", models, evaluator, SearchOptions())
    result = search_soups(models, evaluator, folder=tmp_path / "run")
    assert told.missing == result.n_evaluated
    assert told.missing_items is None
    assert told.seconds is None
    again = foresee(tmp_path / "run", models, evaluator, SearchOptions())
    assert (again.missing, again.missing_items, again.stages[0].items) == (0, 0, None)
    assert forecast_lines(again)[1][2].split() == ["single", "models", "4", "4", "0", "0"]


def test_items_that_only_an_evaluation_tells_are_taken_from_what_is_known(
    tmp_path: Path, models: Pool
) -> None:
    evaluator = Landscape(n_items=10, tells_items=False)
    assert foresee(tmp_path / "run", models, evaluator, SearchOptions()).missing_items is None
    halving = SearchOptions(strategy=SuccessiveHalving())
    assert foresee(tmp_path / "run", models, evaluator, halving).more_soups == 37
    search_soups(models, evaluator, folder=tmp_path / "run")
    told = foresee(tmp_path / "run", models, evaluator, SearchOptions())
    assert (told.missing, told.missing_items) == (0, 0)


def test_bytes_are_those_of_the_ingredients_that_have_a_part(tmp_path: Path, models: Pool) -> None:
    told = foresee(tmp_path / "run", models, Landscape(n_items=4), SearchOptions(share=None))
    size = (tmp_path / "a" / "model.safetensors").stat().st_size
    assert told.checkpoint_bytes == 4 * size
    assert told.read_bytes == size * (4 * 1 + 4 + 3 + 36 * 3)


def test_candidates_alone_are_told_first_and_make_a_table_once_they_are_known(
    tmp_path: Path, models: Pool
) -> None:
    evaluator = Landscape(n_items=10)
    options = SearchOptions()
    singles = [models.recipe({name: 1}) for name in models.paths]
    seen = Forecaster(models, evaluator, folder=tmp_path / "run", options=options)
    assert seen.measure(singles) is None
    assert seen.forecast().experts == ()
    assert seen.forecast().missing == 4
    search_soups(models, evaluator, folder=tmp_path / "run", options=options)
    seen = Forecaster(models, evaluator, folder=tmp_path / "run", options=options)
    table = seen.measure(singles)
    assert table is not None
    assert table.models == tuple(models.paths)


def test_time_is_that_of_the_evaluations_that_are_known(tmp_path: Path, models: Pool) -> None:
    evaluator = Landscape(n_items=10, seconds=0.02)
    greedy = SearchOptions(strategy="greedy")
    assert foresee(tmp_path / "run", models, evaluator, greedy).seconds is None
    search_soups(models, evaluator, folder=tmp_path / "run", options=greedy)
    told = foresee(tmp_path / "run", models, evaluator, SearchOptions())
    assert told.seconds is not None
    assert told.most_seconds is not None
    assert told.missing * 0.02 <= told.seconds <= told.most_seconds < told.missing * 0.2
    assert told.to_json()["pace"]["grid"].keys() == {"seconds_per_evaluation", "seconds_per_item"}
    other = foresee(tmp_path / "run", models, Landscape(n_items=20), SearchOptions())
    assert other.seconds is not None  # by what others took


def test_a_pace_is_a_line_of_what_an_evaluation_and_an_item_take() -> None:
    assert Pace.of([]) is None
    assert Pace.of([(0, 3.0), (0, 5.0)]) == Pace(4.0, 0.0)
    assert Pace.of([(10, 4.0), (20, 2.0)]) == Pace(3.0, 0.0)
    assert Pace.of([(10, 1.0), (20, 3.0)]) == Pace(0.0, 2 / 15)
    pace = Pace.of([(10, 2.0), (20, 3.0), (30, 4.0)])
    assert pace is not None
    assert pace.seconds(2, 20) == pytest.approx(4.0)
    assert pace.seconds(2, None) is None
    assert Pace(3.0, 0.0).seconds(2, None) == 6.0


def test_soups_that_are_to_be_fitted_are_at_most_so_many_more(tmp_path: Path, models: Pool) -> None:
    options = SearchOptions(arms=tuple(map(parse_arm, ("learned", "learned:by=model"))))
    told = foresee(tmp_path / "run", models, Landscape(n_items=10), options)
    by_name = {one.stage: one for one in told.stages}
    fitted, held_out = by_name["fitted"], by_name["held-out items"]
    assert (fitted.soups, fitted.more_soups, fitted.more_items) == (0, 2, 20)
    assert (held_out.more_soups, held_out.more_items) == (3, 30)
