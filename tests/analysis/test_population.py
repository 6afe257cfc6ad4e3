"""Populations of soups: which are in one, what a budget leaves out, and what their scores say."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report_runs import CATEGORIES, Kitchen, make_run

from soce.analysis.consistency import compare_correlations
from soce.analysis.games import plan_shapley, soup_game, soup_players
from soce.analysis.population import Population, PopulationOptions, choose_population
from soce.analysis.population_findings import PopulationFindings
from soce.analysis.population_scores import PopulationScores
from soce.analysis.selected import compare_selected
from soce.evidence.interval import paired_interval
from soce.exceptions import EvaluationError, StudyError
from soce.search.open import open_run
from soce.search.pool import Pool
from soce.search.strategies.space import same_soup

MODELS = ("ash", "birch", "cedar", "elm")


def pool_of(n: int, experts: int) -> Pool:
    names = [f"model {i:02}" for i in range(n)]
    return Pool({name: f"path/{name}" for name in names}, tuple(names[:experts]))


def labels(population: Population) -> set[str]:
    return {population.label(member.parts) for member in population.members}


@given(n=st.integers(2, 16), experts=st.integers(1, 4), room=st.integers(0, 150), seed=st.integers(0, 3))
def test_a_budget_is_kept_to_and_what_it_leaves_out_is_counted(
    n: int, experts: int, room: int, seed: int
) -> None:
    pool = pool_of(n, min(n, experts))
    population = choose_population(pool, PopulationOptions(budget=n + room, seed=seed))
    assert len(population.members) <= n + room
    assert len({same_soup(member.parts) for member in population.members}) == len(population.members)
    for kind in population.possible:
        taken = len(population.of_kinds(kind))
        assert taken + population.left_out.get(kind, 0) == population.possible[kind]
    if population.left_out:
        assert len(population.members) == n + room
    assert {member.models for member in population.of_kinds("single")} == {(name,) for name in pool.names}
    for member in population.members:
        assert sum(Fraction(part, sum(member.parts.values())) for part in member.parts.values()) == 1
        assert set(member.models) <= set(pool.names)
        assert min(member.parts.values()) >= 1


@given(n=st.integers(3, 14), room=st.integers(3, 60), more=st.integers(0, 60))
def test_a_larger_budget_keeps_the_soups_of_a_smaller_one(n: int, room: int, more: int) -> None:
    pool = pool_of(n, 2)
    small, large = (
        choose_population(pool, PopulationOptions(budget=n + budget)) for budget in (room, room + more)
    )
    assert labels(small) <= labels(large)


def test_all_sets_of_few_candidates_are_in() -> None:
    population = choose_population(pool_of(5, 2), PopulationOptions(points=3))
    sets = {frozenset(one.models) for one in population.members if one.kind != "random"}
    assert sets == {frozenset(one) for k in range(1, 6) for one in combinations(population.candidates, k)}
    assert len(population.of_kinds("random")) == 3
    assert not population.left_out
    assert population.unselected == population.candidates[2:]


def test_more_than_twelve_candidates_have_no_larger_sets_but_the_named_ones() -> None:
    population = choose_population(pool_of(13, 5), PopulationOptions(budget=1000, points=0))
    larger = {one.models for one in population.of_kinds("larger")}
    names = population.candidates
    assert larger == {names, names[:5], names[5:]}
    assert len(population.of_kinds("triplet")) == comb(13, 3)


def test_the_named_soups_come_before_pairs() -> None:
    population = choose_population(pool_of(8, 4), PopulationOptions(budget=11, points=5))
    names = population.candidates
    assert {one.models for one in population.of_kinds("larger")} == {names, names[:4], names[4:]}
    assert population.left_out == {"pair": 28, "triplet": 56, "larger": 160, "random": 5}


def test_a_budget_without_room_for_the_candidates_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a budget of 3 has no room for the 4 candidates"):
        choose_population(pool_of(4, 2), PopulationOptions(budget=3))


def test_seeds_draw_other_sets_and_points_of_the_simplex() -> None:
    pool = pool_of(12, 2)
    first, again, other = (
        choose_population(pool, PopulationOptions(budget=40, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert labels(first) != labels(other)
    points = [
        choose_population(pool_of(3, 2), PopulationOptions(seed=seed)).of_kinds("random") for seed in (0, 1)
    ]
    assert points[0] != points[1]
    assert {sum(one.parts.values()) for one in points[0]} == {1000}


def test_the_nested_reading_has_the_soups_that_its_shapley_values_take() -> None:
    """Four models: 51 soups of pairs as players, 15 of triplets, of which the uniform ones are there."""
    pool = pool_of(4, 4)
    union = choose_population(pool, PopulationOptions(points=0))
    nested = choose_population(pool, PopulationOptions(points=0, reading="nested"))
    assert len(union.members) == 15
    assert labels(union) < labels(nested)
    assert not nested.left_out
    more = {same_soup(member.parts) for member in nested.members}
    for size, count in ((2, 51), (3, 15)):
        game = soup_game(soup_players(pool.names, size), "nested", score=lambda _: 0.0, ingredients=pool)
        assert len(game.soups()) == count
        assert {*map(same_soup, game.soups())} <= more


def test_a_pair_is_not_called_like_a_model() -> None:
    paths = {name: f"path/{place}" for place, name in enumerate(("a", "b", "a + b"))}
    population = choose_population(Pool(paths, ("a",)), PopulationOptions(points=0))
    assert len(labels(population)) == len(population.members) == 7
    assert "a + b (soup)" in labels(population)


def test_a_population_is_read_again_from_its_file() -> None:
    population = choose_population(pool_of(5, 2), PopulationOptions(budget=20, seed=3))
    assert Population.from_json(json.loads(json.dumps(population.to_json()))) == population
    for damaged in (
        [],
        {},
        {"format": 2},
        {**population.to_json(), "members": [{"kind": "dish", "parts": {}}]},
    ):
        with pytest.raises(EvaluationError, match=r"population\.json"):
            Population.from_json(damaged)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of four candidates, two of them experts, whose population was scored."""
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("population") / "run"
    make_run(folder, MODELS, 2, publishes=False)
    run = open_run(folder)
    population = choose_population(run.pool, PopulationOptions(points=5))
    run.keep_population(population.to_json())
    run.evaluate([run.pool.recipe(one.parts) for one in population.members], Kitchen(MODELS, 2))
    return folder


def test_the_figures_are_about_different_sets_of_the_candidates(studied: Path) -> None:
    scores = PopulationScores.of(open_run(studied))
    assert not scores.missing()
    assert scores.is_held_out
    found = scores.consistency(draws=50)
    assert found.before.population == MODELS
    sets = [" + ".join(one) for size in (2, 3) for one in combinations(MODELS, size)]
    assert sorted(found.after.population) == sorted(sets)
    weightings = scores.consistency("random", draws=0)
    assert len(weightings.after.population) == 5
    parents = scores.parents()
    assert [one.family.soup for one in parents.families] == sets
    for one in parents.families:
        rows = {name: scores.evaluations[name].categories for name in (*one.family.parents, one.family.soup)}
        better = [
            [rows[one.family.soup][c].score > rows[name][c].score for name in one.family.parents]
            for c in CATEGORIES
        ]
        assert one.better_than_one == sum(map(any, better))
        assert one.better_than_all == sum(map(all, better))


def test_a_candidate_is_left_out_with_all_its_soups(studied: Path) -> None:
    scores = PopulationScores.of(open_run(studied))
    found = scores.without_each()
    assert found.keys() == set(MODELS)
    others = [name for name in MODELS if name != "elm"]
    sets = [" + ".join(one) for size in (2, 3) for one in combinations(others, size)]
    before, after = (
        scores.table("single").take(models=others),
        scores.table("pair", "triplet").take(models=sets),
    )
    assert found["elm"] == compare_correlations(before, after, draws=0).difference.mean


def test_shapley_values_are_of_all_candidates_and_sum_to_the_whole(studied: Path) -> None:
    run = open_run(studied)
    scores = PopulationScores.of(run)
    for size, n_players in ((1, 4), (2, 6), (3, 4)):
        found = scores.shapley(size)
        assert len(found.players) == n_players
        whole = run.value(run.pool.recipe(dict.fromkeys(MODELS, 1)))
        assert sum(found.value.values()) == pytest.approx(whole, abs=1e-12)
        assert found.reading == "union"


def test_the_selected_are_compared_with_the_others(studied: Path) -> None:
    run = open_run(studied)
    found = PopulationScores.of(run).selected()
    assert (found.selected, found.others) == (MODELS[:2], MODELS[2:])
    one, other = (
        run.evaluation(run.pool.recipe(dict.fromkeys(names, 1))) for names in (MODELS[:2], MODELS[2:])
    )
    assert one is not None
    assert other is not None
    weights = dict.fromkeys(CATEGORIES, Fraction(1, len(CATEGORIES)))
    assert found.interval == paired_interval(one, other, weights=weights)
    assert run.result is not None
    assert found.experts_saw == run.result.experts_saw == "unknown"
    elsewhere = replace(run, result=replace(run.result, experts_saw="other items"))
    assert compare_selected(elsewhere).experts_saw == "other items"
    assert found.difference == pytest.approx(found.value - found.value_of_others, abs=1e-12)


def test_what_was_not_scored_is_named_and_the_rest_is_found(studied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_run(folder, MODELS, 2, publishes=False)
    run = open_run(folder)
    with pytest.raises(EvaluationError, match="no population was studied"):
        PopulationScores.of(run)
    population = choose_population(run.pool, PopulationOptions(points=2))
    kept = [
        one for one in population.members if one.models != ("ash", "birch", "elm") and one.kind != "random"
    ]
    run.evaluate([run.pool.recipe(one.parts) for one in kept], Kitchen(MODELS, 2))
    found = PopulationFindings.of(PopulationScores.of(run, population), draws=20)
    assert found.missing.keys() == {"weightings", "shapley singles", "shapley pairs", "shapley triplets"}
    assert "1 of 15 soups" in found.missing["shapley singles"]
    assert "ash + birch + elm" in found.missing["shapley singles"]
    assert found.consistency is not None
    assert len(found.consistency.after.population) == 9
    assert found.parents is not None
    assert found.selected is not None
    assert json.loads(json.dumps(found.to_json()))["population"]["left_out"] == {}


def test_items_are_put_into_categories_by_who_solves_them(studied: Path) -> None:
    scores = PopulationScores.of(open_run(studied))
    found = scores.item_categories(2)
    assert set(found.table.models) == set(scores.evaluations)
    assert len(found.labels) + len(found.alike) == 30 * len(CATEGORIES)  # the held-out half


def test_shapley_plans_and_populations_take_the_same_soups(studied: Path) -> None:
    run = open_run(studied)
    population = Population.from_json(run.population)
    members = {run.pool.recipe(one.parts).id for one in population.members}
    for size in (1, 2, 3):
        plan = plan_shapley(run, size=size, models=population.candidates)
        assert {one.id for one in plan.soups} <= members


def test_a_study_of_another_evaluator_is_refused(studied: Path) -> None:
    run = open_run(studied)
    missing = [run.pool.recipe({"ash": 7, "elm": 3})]
    with pytest.raises(StudyError, match="another evaluator"):
        run.evaluate(missing, Kitchen(MODELS, 2, tag="other"))
