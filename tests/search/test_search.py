"""Strategies, arms and honesty of the search, on landscapes whose best soup is known."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.landscapes import CATEGORIES, Landscape, Smooth, difficulty, pool, search_with, shares

from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError, ScoreTableError, StudyError
from soce.recipes.model import Recipe
from soce.search.open import open_run
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.soup import Parts
from soce.search.strategies.greedy import Greedy
from soce.search.strategies.grid import Grid
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.proposals import round_to_parts
from soce.search.strategies.registry import STRATEGIES, strategy_of
from soce.search.strategies.samplers import Bayesian, CmaEs
from soce.search.strategies.space import Items, best_of, preference, same_soup
from soce.search.strategies.space import ScoredSoup as One
from soce.selection.weights import WeightGrid
from soce.store.file import StoreFile


class Space:
    """Soups scored by a function, every call noted."""

    def __init__(
        self, function: Any, names: str = "abc", *, whole: int = 10, items: int | None = None
    ) -> None:
        self.pool = Pool({name: name for name in names}, tuple(names), WeightGrid(len(names), whole=whole))
        self.items: Items | None = (
            None if items is None else {name: [f"{name}{i}" for i in range(items)] for name in CATEGORIES}
        )
        self.function = function
        self.seen: list[tuple[Any, int | None]] = []
        self.left_out: dict[Any, Mapping[int, float]] = {}

    def values(
        self, soups: Sequence[Parts], *, items: Items | None = None, rungs: object = None
    ) -> list[float]:
        count = None if items is None else sum(map(len, items.values()))
        self.seen += [(same_soup(soup), count) for soup in soups]
        return [self.function({n: p / sum(soup.values()) for n, p in soup.items() if p}) for soup in soups]

    def leave_out(self, soup: Parts, rungs: Mapping[int, float]) -> None:
        self.left_out[same_soup(soup)] = rungs


def near(**optimum: float) -> Any:
    return lambda weights: (
        1 - sum((weights.get(name, 0) - optimum.get(name, 0)) ** 2 for name in {*optimum, *weights})
    )


# ---- grid and ties


def test_the_grid_finds_the_paper_s_recipe_in_37_soups() -> None:
    space = Space(near(a=0.5, b=0.2, c=0.3))
    found = Grid().run(space)
    assert found.best.parts == {"a": 5, "b": 2, "c": 3}
    assert found.n_candidates == len(space.seen) == 37


def test_a_grid_beyond_the_budget_is_refused_not_sampled() -> None:
    with pytest.raises(StudyError, match="the grid has 37 points, the budget is 10"):
        Grid(10).run(Space(near(a=1)))


def test_ties_go_to_the_most_uniform_then_to_the_smallest_parts_by_name() -> None:
    soups = [{"a": 5, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 3, "c": 4}]
    best, tied = best_of([One(soup, 1.0) for soup in soups], ("c", "a", "b"))
    assert best.parts == {"a": 1, "b": 1, "c": 1}
    assert [one.parts for one in tied] == [{"a": 3, "b": 3, "c": 4}, {"a": 5, "b": 2, "c": 3}]
    best, _ = best_of([One({"a": 4, "b": 6}, 1.0), One({"a": 6, "b": 4}, 1.0)], ("b", "a"))
    assert best.parts == {"a": 4, "b": 6}
    assert preference({"a": 1}, "ab") == (Fraction(2), (Fraction(1), Fraction(0)))


def test_a_constant_landscape_gives_the_uniform_soup() -> None:
    found = Grid().run(Space(lambda weights: 0.5))
    assert found.best.parts == {"a": 1, "b": 1, "c": 1}
    assert len(found.tied) == 36


# ---- greedy


def test_greedy_makes_one_soup_fewer_than_there_are_models() -> None:
    space = Space(near(a=0.5, b=0.5), "abcd")
    found = Greedy().run(space)
    assert found.best.parts == {"a": 1, "b": 1}
    soups = [soup for soup, _ in space.seen if len(soup) > 1]
    assert len(soups) == len(space.pool.experts) - 1
    assert found.trace["members"] == ["a", "b"]
    assert [step["kept"] for step in found.trace["steps"]] == [True, False, False]


def test_greedy_keeps_one_of_equal_models_or_all_of_them() -> None:
    def constant(weights: object) -> float:
        return 0.5

    assert Greedy().run(Space(constant)).trace["members"] == ["a"]
    found = Greedy("ge").run(Space(constant))
    assert found.trace["members"] == ["a", "b", "c"]
    assert found.trace["tied"] == [["a", "b", "c"]]


@settings(max_examples=30, deadline=None)
@given(st.permutations("abcd"), st.integers(0, 10**6))
def test_greedy_is_never_worse_than_the_best_model_and_knows_no_order(order: list[str], seed: int) -> None:
    def noisy(weights: Mapping[str, float]) -> float:
        return difficulty(f"{seed}{sorted(weights.items())}")

    straight, mixed = Greedy().run(Space(noisy, "abcd")), Greedy().run(Space(noisy, "".join(order)))
    assert straight.trace == mixed.trace
    assert straight.best == mixed.best
    assert straight.best.value >= max(one["value"] for one in straight.trace["order"])


# ---- samplers


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6),
    st.integers(6, 40),
    st.integers(0, 1),
    st.one_of(st.none(), st.integers(1, 40)),
)
def test_rounded_shares_are_on_the_grid(
    given_shares: list[float], whole: int, minimum: int, maximum: int | None
) -> None:
    n = len(given_shares)
    if maximum is not None and maximum * n < whole:
        maximum = None
    parts = round_to_parts(given_shares, WeightGrid(n, whole=whole, minimum=minimum, maximum=maximum))
    assert sum(parts) == whole
    assert min(parts) >= minimum
    assert maximum is None or max(parts) <= maximum


@given(st.integers(2, 6), st.data())
def test_a_point_of_the_grid_rounds_to_itself(n: int, data: st.DataObject) -> None:
    grid = WeightGrid(n)
    points = list(grid)[: grid.n_compositions]
    parts = data.draw(st.sampled_from(points))
    assert round_to_parts(parts, grid) == parts


@pytest.mark.parametrize("strategy", [CmaEs(60, seed=1), Bayesian("tpe", 60, seed=1)])
def test_samplers_come_close_within_their_budget(strategy: Any) -> None:
    space = Space(near(a=0.5, b=0.1, c=0.2, d=0.05, e=0.15), "abcde", whole=20)
    found = strategy.run(space)
    assert len({soup for soup, _ in space.seen}) == len(space.seen) == found.n_candidates <= 60
    assert found.best.value > near(a=0.5, b=0.1, c=0.2, d=0.05, e=0.15)(dict.fromkeys("abcde", 0.2)) + 0.05
    again = strategy.run(Space(space.function, "edcba", whole=20))
    assert again.best == found.best
    assert [one.parts for one in again.tried] == [one.parts for one in found.tried]


@pytest.mark.slow
def test_a_gaussian_process_proposes_too() -> None:
    pytest.importorskip("torch")
    space = Space(near(a=0.7, b=0.2, c=0.1), whole=20)
    found = Bayesian("gp", 15, seed=0).run(space)
    assert found.best.value > 0.98
    again = Bayesian("gp", 15, seed=0).run(Space(space.function, "cba", whole=20))
    assert [one.parts for one in again.tried] == [one.parts for one in found.tried]


def test_a_batch_of_no_proposals_is_refused() -> None:
    with pytest.raises(StudyError, match="the batch is 0"):
        Bayesian("tpe", 10, batch=0).run(Space(near(a=1)))


def test_samplers_stop_on_a_grid_that_is_used_up() -> None:
    for strategy in (CmaEs(100), Bayesian("tpe", 100)):
        found = strategy.run(Space(near(a=0.5), "ab", whole=4))
        assert found.n_candidates <= 3


def test_unknown_strategies_name_the_known_ones() -> None:
    with pytest.raises(StudyError) as caught:
        strategy_of("hillclimb")
    assert all(name in str(caught.value) for name in STRATEGIES)
    for name in STRATEGIES:
        assert strategy_of(name).name == strategy_of(name).to_json()["name"] == name


@pytest.mark.parametrize(
    ("strategy", "package", "extras"), [("cmaes", "cmaes", "search"), ("gp", "torch", "search,torch")]
)
def test_a_strategy_without_its_package_is_refused_before_anything_is_scored(
    strategy: str, package: str, extras: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StudyError) as caught:
        strategy_of(strategy)
    (problem,) = caught.value.problems
    assert problem.message == f"the strategy {strategy} needs `{package}`, not installed here"
    assert problem.hint == f"pip install 'soce[{extras}]'"


# ---- halving


def test_halving_scores_most_soups_on_few_items() -> None:
    space = Space(near(a=0.5, b=0.2, c=0.3), items=90)
    found = SuccessiveHalving(factor=3, fewest=10).run(space)
    assert found.best.parts == {"a": 5, "b": 2, "c": 3}
    assert [(rung["items"], rung["soups"]) for rung in found.trace["rungs"]] == [
        (20, 37),
        (60, 13),
        (180, 5),
    ]
    assert len(space.left_out) == 32
    assert {tuple(rungs) for rungs in space.left_out.values()} == {(20,), (20, 60)}
    assert found.n_candidates == 37
    assert len(found.tried) == 5


def test_the_items_of_a_rung_are_in_the_next_and_change_with_the_seed_only() -> None:
    items = {"math": [f"q{i}" for i in range(100)], "code": ["p1", "p2"]}
    rungs = SuccessiveHalving(fewest=5).rungs(items, 37)
    for fewer, more in itertools.pairwise(rungs):
        for category in items:
            assert set(fewer[category]) <= set(more[category])
    assert rungs[-1] == items
    turned = {name: ids[::-1] for name, ids in items.items()}
    assert SuccessiveHalving(fewest=5).rungs(turned, 37)[0] == rungs[0]
    assert SuccessiveHalving(fewest=5, seed=1).rungs(items, 37)[0] != rungs[0]


def test_halving_needs_items() -> None:
    with pytest.raises(StudyError, match="needs an evaluator that can score a part"):
        SuccessiveHalving().run(Space(near(a=1)))


# ---- the whole search


def searched(folder: Path, landscape: Landscape, names: str = "abc", **options: Any) -> SearchResult:
    options.setdefault("draws", 200)
    others = options.pop("others", "")
    return search_with(pool(folder, names, others), landscape, folder=folder / "run", **options)


def test_every_arm_is_there_in_the_order_of_the_paper(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(), others="d")
    assert [(arm.kind, arm.label) for arm in found.arms] == [
        *(("single", name) for name in "abcd"),
        ("uniform-all", "uniform-all"),
        ("uniform-selected", "uniform-selected"),
        ("soce", "soce"),
    ]
    assert found.arm("uniform-all").parts == dict.fromkeys("abcd", 1)
    assert found.best.parts == {"a": 5, "b": 2, "c": 3}
    assert found.best.report.value == pytest.approx(85.0)
    assert found.beats_best_single
    assert found.verdict.startswith("The soup beats the best single model: 85.00 against 66.00 (a)")


def test_differences_are_in_points_and_in_relative_percent(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(), others="d")
    by_pair = {(one.first, one.second): one for one in found.comparisons}
    one = by_pair["soce", "a"]
    assert one.percentage_points == pytest.approx(85 - 66)
    assert one.relative_percent == pytest.approx(100 * 19 / 66)
    assert one.interval is not None
    assert 17 < one.interval.low < 19 < one.interval.high < 21, "every item differs by 19"
    assert one.interval.widened == tuple(sorted(CATEGORIES))
    assert one.mcnemar is None  # graded outcomes
    assert list(by_pair)[:5] == [
        ("uniform-all", "a"),
        ("uniform-selected", "uniform-all"),
        ("soce", "uniform-selected"),
        ("soce", "uniform-all"),
        ("soce", "a"),
    ]
    assert set(list(by_pair)[5:8]) == {("soce", "b"), ("soce", "c"), ("soce", "d")}
    assert set(list(by_pair)[8:]) == {("b", "a"), ("c", "a"), ("d", "a"), ("uniform-selected", "a")}


def test_scores_of_0_and_1_tell_the_items_that_only_one_solves(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape())
    tests = {one.second: one.mcnemar for one in found.comparisons if one.mcnemar and one.first == "soce"}
    assert set(tests) == {*"abc", "uniform-all", "uniform-selected"}
    landscape = Landscape()
    selection = chosen(landscape)
    held_out = {
        name: [item for item in ids if item not in selection[name]] for name, ids in landscape.items.items()
    }
    weights = shares(found.best.recipe)
    only = sum(
        landscape.quality(weights, name) > difficulty(item) >= landscape.quality({"a": 1}, name)
        for name, ids in held_out.items()
        for item in ids
    )
    assert tests["a"] is not None
    assert tests["a"].only_first == only
    against = {one.second: one.test for one in found.comparisons if one.test and one.first == "soce"}
    assert {name: test.p for name, test in against.items()} == pytest.approx(
        {name: test.p for name, test in tests.items()}
    ), "where every item counts the same, the sign-flip test is McNemar's"
    assert "7 sign-flip tests were made: p is not corrected" in found.notes, "two are of uniform soups"


def chosen(landscape: Landscape) -> Mapping[str, Sequence[str]]:
    from soce.search.items import split_items

    return split_items(landscape.items).selection


def test_the_search_sees_no_held_out_item(tmp_path: Path) -> None:
    asked: list[tuple[str, set[str]]] = []

    class Watched(Landscape):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            items = options["items"] or self.items
            asked.append((recipe.id, {item for ids in items.values() for item in ids}))
            return super().score(recipe, **options)

    found = searched(tmp_path, Watched())
    selection = {item for ids in chosen(Landscape()).values() for item in ids}
    arms = {arm.recipe.id for arm in found.arms}
    assert {recipe for recipe, items in asked if items - selection} == arms
    assert all(items <= selection or not items & selection for _, items in asked)
    # 37 soups of the grid, uniform-all and -selected among them, and 3 models; then the arms but one twice.
    assert len(asked) == 40 + len(arms)


def test_a_soup_that_does_not_beat_its_best_ingredient_says_so_last(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(optimum={"b": 1.0}))
    assert not found.beats_best_single
    assert found.best_single_report == found.best_single_selection == "b"
    assert found.verdict.startswith("The soup does not beat the best single model: ")
    assert found.to_json()["beats_best_single"] is False


def test_equal_is_not_better(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(optimum={"a": 0.5, "b": 0.5}), "ab", others="")
    assert found.beats_best_single

    class Flat(Smooth):
        def quality(self, weights: Mapping[str, float], category: str) -> float:
            return 0.5

    flat = search_with(pool(tmp_path), Flat(), folder=tmp_path / "flat", draws=50)
    assert not flat.beats_best_single


def test_the_best_single_model_is_the_harder_of_two(tmp_path: Path) -> None:
    class Turned(Smooth):
        """Model a is the best on the items to choose on, b on those to report on."""

        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            items = options["items"]
            weights = shares(recipe)
            sets = chosen(self)
            return Evaluation.of_items(
                {
                    name: {
                        item: 0.2 + 0.5 * weights.get("a" if item in sets[name] else "b", 0) for item in ids
                    }
                    for name, ids in items.items()
                }
            )

    found = searched(tmp_path, Turned(n_items=20), "ab")
    assert (found.best_single_selection, found.best_single_report) == ("a", "b")
    assert found.against_best.second == "b"
    assert not found.beats_best_single
    assert found.best.drop > 0.3


def test_without_a_split_every_result_is_called_optimistic(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape(), share=None)
    assert found.is_optimistic
    assert "selected and reported on the same items: optimistic" in found.notes
    assert "on the items it was chosen on" in found.verdict
    assert found.best.selection == found.best.report


def test_an_evaluator_without_items_has_no_intervals_and_is_optimistic(tmp_path: Path) -> None:
    landscape = Landscape(has_items=False)
    found = searched(tmp_path, landscape)
    assert found.is_optimistic
    assert all(one.interval is None and one.mcnemar is None for one in found.comparisons)
    assert any("no intervals" in note for note in found.notes)
    assert len(landscape.calls) == 40
    again = Landscape(has_items=False)
    assert searched(tmp_path, again).to_json() == found.to_json()
    assert again.calls == []


def test_an_evaluator_that_cannot_name_its_items_scores_all_once(tmp_path: Path) -> None:
    landscape = Landscape(tells_items=False)
    found = searched(tmp_path, landscape)
    assert not found.is_optimistic
    assert len(landscape.calls) == 40
    assert {count for _, count in landscape.calls} == {400}
    whole = search_with(pool(tmp_path), Landscape(), folder=tmp_path / "told", draws=200)
    assert found.to_json() == whole.to_json()


def test_a_second_task_set_reports_and_nothing_is_split(tmp_path: Path) -> None:
    first, second = Landscape(tag="dev-"), Landscape(tag="test-")
    found = searched(tmp_path, first, held_out_evaluator=second)
    assert not found.is_optimistic
    assert found.split is None
    assert found.best.selection.n_items == found.best.report.n_items == 400
    assert len({recipe for recipe, _ in second.calls}) == len(second.calls) == 5


@pytest.mark.parametrize(("tells_items", "calls"), [(True, 0), (False, 1)])
def test_task_sets_that_do_not_go_together_are_found_before_the_search(
    tmp_path: Path, tells_items: bool, calls: int
) -> None:
    first, other = Landscape(tells_items=tells_items), Landscape(tag="test-", tells_items=tells_items)
    other.items = {"math": other.items["math"]}
    with pytest.raises(EvaluationError, match="only the tasks to choose on have the category `code`"):
        search_with(pool(tmp_path), first, folder=tmp_path / "other", held_out_evaluator=other)
    assert (len(first.calls), len(other.calls)) == (calls, calls)
    same = Landscape()
    with pytest.raises(EvaluationError, match="the held-out tasks are the tasks to choose on"):
        search_with(pool(tmp_path), Landscape(), folder=tmp_path / "same", held_out_evaluator=same)
    assert not (tmp_path / "same").exists()


class Told(Landscape):
    """The same, and equal remainders of the items' numbers ask the same."""

    def __init__(self, *, modulus: int, **options: Any) -> None:
        super().__init__(**options)
        self.modulus = modulus

    def item_contents(self) -> dict[str, dict[str, str]]:
        contents = (
            (name, item, int(item.rpartition("-")[2])) for name in self.items for item in self.items[name]
        )
        found: dict[str, dict[str, str]] = {}
        for name, item, number in contents:
            found.setdefault(name, {})[item] = f"{name} {number % self.modulus}"
        return found


def test_held_out_items_that_were_chosen_on_are_left_out(tmp_path: Path) -> None:
    first, second = Told(modulus=50, tag="dev-", n_items=50), Told(modulus=200, tag="test-", n_items=60)
    found = searched(tmp_path, first, held_out_evaluator=second)
    assert "100 of the 120 held-out items ask what is also chosen on, and are left out" in found.notes
    assert {arm.report.n_items for arm in found.arms} == {20}
    reported = open_run(tmp_path / "run").items()
    assert reported is not None
    numbers = [int(item.rpartition("-")[2]) for ids in reported.values() for item in ids]
    assert sorted(numbers) == sorted([*range(50, 60), *range(50, 60)])


def test_held_out_tasks_that_only_repeat_are_refused(tmp_path: Path) -> None:
    first, second = Told(modulus=50, tag="dev-", n_items=50), Told(modulus=200, tag="test-", n_items=50)
    with pytest.raises(EvaluationError, match="every held-out item of category"):
        searched(tmp_path, first, held_out_evaluator=second)


def test_equal_items_are_on_one_side_here_and_when_the_run_is_opened_again(tmp_path: Path) -> None:
    evaluator = Told(modulus=150)
    found = searched(tmp_path, evaluator)
    assert "100 items repeat the content of another, and are kept on its side of the split" in found.notes
    run = open_run(tmp_path / "run")
    contents = evaluator.item_contents()
    sides = [
        {contents[name][item] for name, ids in run.items(on).items() for item in ids}  # type: ignore[union-attr]
        for on in ("report", "selection")
    ]
    assert sides[0]
    assert not sides[0] & sides[1]
    assert {arm.report.n_items for arm in found.arms} == {200}


@pytest.mark.parametrize("strategy", ["greedy", "cmaes", "tpe", "successive-halving"])
def test_every_strategy_runs_again_without_an_evaluation(tmp_path: Path, strategy: str) -> None:
    options: dict[str, Any] = {"strategy": strategy_of(strategy, budget=None if strategy != "tpe" else 15)}
    found = searched(tmp_path, Landscape(), **options)
    again = Landscape()
    repeated = searched(tmp_path, again, **options)
    assert again.calls == []
    assert repeated.n_evaluated == 0
    assert found.n_evaluated > 0
    assert repeated.to_json() == found.to_json()
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == json.loads(
        json.dumps(found.to_json())
    )
    assert found.best.kind == ("greedy" if strategy == "greedy" else "soce")


def test_strategies_in_one_folder_share_what_was_scored(tmp_path: Path) -> None:
    searched(tmp_path, Landscape())
    landscape = Landscape()
    searched(tmp_path, landscape, strategy="tpe")
    # Every proposal is on the grid; only the arms' held-out items may be new, if the soup is another one.
    assert len(landscape.calls) <= 1


def test_halving_evaluates_no_item_twice_and_records_its_rungs(tmp_path: Path) -> None:
    seen: set[tuple[str, str]] = set()

    class Counting(Landscape):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            for ids in options["items"].values():
                for item in ids:
                    assert (recipe.id, item) not in seen
                    seen.add((recipe.id, item))
            return super().score(recipe, **options)

    searched(tmp_path, Counting(), strategy="successive-halving")
    from soce.search.study import Study

    identity = json.loads((tmp_path / "run" / "study.json").read_text())["identity"]
    with Study(tmp_path / "run", identity=identity) as study:
        pruned = [trial for trial in study.trials() if trial.state.name == "PRUNED"]
        complete = [trial for trial in study.trials() if trial.state.name == "COMPLETE"]
    assert len(pruned) >= 34  # of 37 soups two are left; the uniform one is complete, as an arm
    assert {len(trial.intermediate_values) for trial in pruned} == {1, 2, 3}
    assert all(trial.intermediate_values for trial in pruned)
    assert any(trial.intermediate_values for trial in complete)


def test_input_order_changes_nothing(tmp_path: Path) -> None:
    found = search_with(pool(tmp_path, "abc", "d"), Landscape(), folder=tmp_path / "one", draws=50)
    other = search_with(pool(tmp_path, "cab", "d"), Landscape(), folder=tmp_path / "two", draws=50)
    assert found.best.recipe.id == other.best.recipe.id
    assert {arm.label: arm.report for arm in found.arms} == {arm.label: arm.report for arm in other.arms}
    assert found.comparisons == other.comparisons


def test_one_expert_is_no_soup(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape(), "a", others="b")
    assert found.best.parts == {"a": 1}
    assert found.n_candidates == 1
    assert "one expert, no soup" in found.notes
    assert not found.beats_best_single


def test_an_evaluator_that_leaves_out_items_or_categories_is_refused(tmp_path: Path) -> None:
    class Holes(Landscape):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            found = super().score(recipe, **options)
            assert found.items is not None
            items = {name: dict(list(held.items())[1:]) for name, held in found.items.items()}
            return Evaluation.of_items(items)

    with pytest.raises(EvaluationError, match="gave no outcome for 1 of 100 items"):
        searched(tmp_path, Holes())

    class Forgets(Landscape):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            found = super().score(recipe, **options)
            names = CATEGORIES[: 1 if len(self.calls) > 3 else 2]
            return Evaluation({name: found.categories[name] for name in names})

    with pytest.raises(EvaluationError, match="no score for the category `code`"):
        search_with(pool(tmp_path), Forgets(has_items=False), folder=tmp_path / "forgets", strategy="greedy")


def test_an_objective_that_needs_another_category_is_refused_early(tmp_path: Path) -> None:
    landscape = Landscape()
    with pytest.raises(ScoreTableError, match="there is no column `chat`"):
        searched(tmp_path, landscape, objective="column:chat")
    assert len(landscape.calls) == 1


def test_lower_is_better_and_geometric_categories_count_as_they_should(tmp_path: Path) -> None:
    class Perplexity(Smooth):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            weights = shares(recipe)
            items = options["items"]
            return Evaluation.of_items(
                {
                    name: {item: 2.0 + difficulty(item) - self.quality(weights, name) for item in ids}
                    for name, ids in items.items()
                },
                scale=None,
                higher_is_better=dict.fromkeys(items, False),
                geometric=CATEGORIES,
            )

    found = searched(tmp_path, Perplexity(n_items=40))
    assert found.best.parts == {"a": 5, "b": 2, "c": 3}
    assert found.best.report.value < 0  # negated, so that larger is better
    assert found.lower_is_better == tuple(CATEGORIES)
    assert SearchResult.from_json(found.to_json()).lower_is_better == found.lower_is_better
    for name in CATEGORIES:
        scores = [arm.report.categories[name] for arm in found.singles]
        assert found.best_score(name, found.singles) == min(scores) < max(scores)
    one = found.against_best
    assert one.percentage_points is None
    assert one.difference > 0
    assert one.relative_percent is not None
    assert one.relative_percent > 0
    assert one.interval is not None
    assert np.isclose(one.interval.difference, one.difference)


def test_the_interval_is_of_the_difference_that_is_shown(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape(), draws=2000)
    for one in found.comparisons:
        if one.interval is not None:
            assert np.isclose(one.interval.difference, one.difference)
            assert one.interval.low <= one.difference <= one.interval.high


def test_progress_can_stop_a_search_and_nothing_is_lost(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.stage == "grid" and progress.done == 10:
            raise Enough

    landscape = Landscape()
    with pytest.raises(Enough):
        searched(tmp_path, landscape, on_progress=stop)
    rest = Landscape()
    searched(tmp_path, rest)
    assert not set(rest.calls) & set(landscape.calls)
    assert not StoreFile(tmp_path / "run").leases()


def test_pools_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no path is known for the expert `b`"):
        Pool({"a": "A"}, ("a", "b"))
    with pytest.raises(StudyError, match="have the same path"):
        Pool({"a": "A", "b": "./A"}, ("a", "b"))
    with pytest.raises(StudyError, match="no expert"):
        Pool({"a": "A"}, ())
    with pytest.raises(StudyError, match="no path is known for the model `c`"):
        Pool({"a": "A"}, ("a",), config_from="c")


def test_who_gives_the_config_stands_first_in_every_soup() -> None:
    paths = {name: name for name in "dcba"}
    names = {first: Pool(paths, ("c", "a"), config_from=first).names for first in (None, "c", "a", "d")}
    assert names == {
        None: ("c", "a", "b", "d"),
        "c": ("c", "a", "b", "d"),
        "a": ("a", "c", "b", "d"),
        "d": ("d", "c", "a", "b"),
    }
    pool = Pool(paths, ("c", "a"), config_from="d")
    soup = pool.recipe({"a": 1, "c": 2})
    assert [(one.name, one.weight) for one in soup.ingredients] == [("d", 0), ("c", 2), ("a", 1)]
    assert soup.id == Pool(paths, ("c", "a")).recipe({"a": 1, "c": 2}).id
    assert [one.name for one in pool.recipe({"b": 1}).ingredients] == ["b"], "a single model stands alone"


def test_the_notebook_view_escapes_names(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(optimum={"a": 1}), "ab")
    assert "<td" in found._repr_html_()
    interval = found.comparison("b", "a").interval  # type: ignore[union-attr]
    assert interval is not None
    assert f"[{interval.low:+.2f}, {interval.high:+.2f}]" in found._repr_html_()
    assert "<th>95 % interval</th>" in found._repr_html_()
    assert "does not beat" in found._repr_html_()
