"""The race: bets that are fair, the grid's winner for less, and a certificate that is kept to."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.landscapes import CATEGORIES, Landscape, pool, search_with

from soce.cli.text.search import result_lines
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import StudyError
from soce.recipes.model import Recipe
from soce.report import sentences
from soce.scores.objective import Mean
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.scoring import exact_objective
from soce.search.soup import Parts
from soce.search.strategies.grid import Grid
from soce.search.strategies.race.certificate import Certificate
from soce.search.strategies.race.elimination import Elimination, rung_sizes
from soce.search.strategies.race.race import Race
from soce.search.strategies.race.wealth import Wealth
from soce.search.strategies.registry import strategy_of
from soce.search.strategies.space import Items, same_soup
from soce.selection.weights import WeightGrid

pytest.importorskip("optuna")
SURE = Fraction(1) - Fraction(1, 10**12)
"""Of so few orders only what is known without a doubt is dropped."""


def drawn(members: Any, *, bound: float = 1.0, pieces: int = 1) -> Wealth:
    """Return the wealth that is bet on each row."""
    members = np.asarray(members, dtype=float)
    wealth = Wealth(len(members), members.shape[1], bound)
    sums = np.zeros(len(members))
    for piece in np.array_split(members, min(pieces, members.shape[1]), axis=1):
        wealth.draw(piece[None], sums[None])
        sums = sums + piece.sum(axis=1)
    return wealth


# ---- the bets


@pytest.mark.parametrize(
    "members",
    [
        (1, -1, 0, 0, 0),
        (1, 1, -1, -1, 0, 0),
        (1, -0.25, -0.25, -0.25, -0.25),
        (0.5, 0.5, 0.5, -1, -0.5),
        (-1, 1, -1, 1, 0.3, -0.3, 0),
        (1, -1, -1),
        (0, 0, 0, 0),
    ],
)
def test_no_order_is_favoured_if_the_mean_is_0_or_less(members: tuple[float, ...]) -> None:
    orders = np.array(list(itertools.permutations(members)), dtype=float)
    wealth = Wealth(len(orders), len(members), 1.0)
    sums = np.zeros(len(orders))
    for place in range(len(members)):
        wealth.draw(orders[:, place : place + 1][None], sums[None])
        sums += orders[:, place]
        # The wealth now, not the largest so far: on average over all orders it is never above 1.
        now = np.exp(wealth.logs).mean(axis=0)
        assert now.min() >= 0
        assert now.mean() <= 1 + 1e-9
    assert sum(math.exp(most) >= 20 for most in wealth.most) <= len(orders) / 20


def test_whoever_leads_by_what_came_before_is_no_reason_to_win() -> None:
    """A bet on the one of two that leads so far is as fair as one on either."""
    first, second = (1, -1, 1, -1, 0), (-1, 0, 0, 1, 0)
    orders = list(itertools.permutations(range(5)))
    final = []
    for order in orders:
        wealth, sums = Wealth(1, 5, 1.0), np.zeros(2)
        for item in order:
            x = np.array([first[item], second[item]], dtype=float)
            best = int(sums.argmax())
            wealth.draw(x[best].reshape(1, 1, 1), sums[best].reshape(1, 1))
            sums += x
        final.append(np.exp(wealth.logs).mean())
    assert np.mean(final) <= 1 + 1e-9


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=40),
    st.integers(1, 40),
    st.floats(0.01, 100),
)
def test_pieces_and_units_change_no_wealth(members: list[int], pieces: int, unit: float) -> None:
    whole = drawn([members], bound=8.0).logs
    assert np.allclose(drawn([members], bound=8.0, pieces=pieces).logs, whole)
    assert np.allclose(drawn([[unit * one for one in members]], bound=8.0 * unit).logs, whole)


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(5)
    members = np.repeat([1.0, -1.0, 0.0], [60, 60, 180])
    orders = rng.permuted(np.tile(members, (1000, 1)), axis=1)
    n_false = int((drawn(orders).most >= math.log(20)).sum())
    assert 0 < n_false <= 1000 / 20


def test_a_lead_that_nothing_left_can_make_up_for_is_sure() -> None:
    assert drawn([[1, 1, 1, -1, -1]]).most[0] == math.inf
    assert drawn([[1, 1, 1, -1, -1, -1]]).most[0] < math.inf


# ---- the contest


def contest(values: Any, **options: Any) -> Elimination:
    n, n_items = values.shape
    settings = {"n_items": n_items, "bound": 1.0, "epsilon": 0.0, "delta": 0.05, **options}
    return Elimination(np.eye(n), **settings)


def test_the_best_is_dropped_in_fewer_orders_than_promised() -> None:
    rng = np.random.default_rng(11)
    base = rng.random(120)
    values = (base > np.linspace(0.5, 0.52, 6)[:, None]).astype(float)
    values = np.array([rng.permutation(row) for row in values])
    values[1:] = np.array([rng.permutation(values[0]) for _ in range(5)])  # six equals: the hardest case
    n_lost = 0
    for _ in range(100):
        order = rng.permutation(120)
        race = contest(values, delta=0.2)
        for start in range(0, 110, 10):
            race.hear(values[race.alive][:, order[start : start + 10]])
        n_lost += 0 not in race.alive
    assert n_lost <= 20


def test_one_is_always_left() -> None:
    values = np.zeros((3, 40))
    values[0, :20] = values[1, 20:] = 1.0
    race = contest(values, delta=0.9)
    for start in range(0, 40, 20):
        race.hear(values[race.alive][:, start : start + 20])
    assert race.alive


def test_rungs_grow_to_all_items() -> None:
    assert rung_sizes(40, 50) == [40]
    assert rung_sizes(1, 1) == [1]
    for n in range(1, 300, 7):
        sizes = rung_sizes(n, 3)
        assert sizes == sorted(set(sizes))
        assert sizes[-1] == n


# ---- the strategy


class World:
    """A space whose outcomes are given: soup → category → outcomes of its items, in their order."""

    def __init__(
        self, outcomes: Any, sizes: Mapping[str, int], *, names: str = "abc", whole: int = 10
    ) -> None:
        self.pool = Pool({name: name for name in names}, tuple(names), WeightGrid(len(names), whole=whole))
        self.items: Items | None = {name: tuple(f"{name}{i}" for i in range(n)) for name, n in sizes.items()}
        self.objective = Mean()
        self.outcomes = outcomes
        self.asked: set[tuple[Any, str, str]] = set()
        self.left_out: list[Any] = []

    def evaluations(self, soups: Sequence[Parts], *, items: Items) -> list[Evaluation]:
        self.asked |= {
            (same_soup(soup), name, item) for soup in soups for name, ids in items.items() for item in ids
        }
        return [self.evaluation(soup, items) for soup in soups]

    def evaluation(self, soup: Parts, items: Items) -> Evaluation:
        found = self.outcomes(soup)
        return Evaluation.of_items(
            {name: {item: found[name][int(item[len(name) :])] for item in ids} for name, ids in items.items()}
        )

    def values(self, soups: Sequence[Parts], *, items: Any = None, rungs: Any = None) -> list[Fraction]:
        found = self.evaluations(soups, items=items or self.items)
        return [exact_objective(self.objective, one) for one in found]

    def first(self) -> Evaluation:
        assert self.items is not None
        return self.evaluation({"a": 1}, self.items)

    def leave_out(self, soup: Parts, rungs: Any) -> None:
        self.left_out.append(same_soup(soup))


def random_world(
    seed: int, sizes: Mapping[str, int], *, graded: bool, spread: float, whole: int = 6
) -> World:
    @cache
    def found_of(soup: tuple[tuple[str, int], ...]) -> dict[str, list[float]]:
        return outcomes_of(dict(soup))

    def outcomes_of(soup: Parts) -> dict[str, list[float]]:
        total = sum(soup.values())
        shares = [soup.get(name, 0) / total for name in "abc"]
        found = {}
        for place, (name, n) in enumerate(sizes.items()):
            rng = np.random.default_rng([seed, place])  # the same for every soup
            strength = rng.normal(0, spread, 3) + rng.normal(0, 1, (n, 3))
            value = strength @ shares - rng.normal(0, 1, n)
            found[name] = [*np.clip(np.round(0.5 + value / 4, 2), 0, 1)] if graded else [*(value > 0) * 1.0]
        return found

    return World(lambda soup: found_of(tuple(sorted(soup.items()))), sizes, whole=whole)


@settings(deadline=None, max_examples=8)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 80), st.integers(1, 30)),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.integers(0, 3),
)
def test_a_race_without_epsilon_finds_the_grid_s_winner_and_asks_for_no_more(
    seed: int, n: tuple[int, int], graded: bool, spread: float, order: int
) -> None:
    world = random_world(seed, dict(zip(CATEGORIES, n, strict=True)), graded=graded, spread=spread)
    wanted = Grid().run(world)
    n_grid = len(world.asked)
    world.asked.clear()
    found = Race(confidence=SURE, fewest=5, seed=order).run(world)
    assert (found.best, found.tied) == (wanted.best, wanted.tied)
    assert found.n_candidates == wanted.n_candidates
    certificate = Certificate.of_trace(found.trace)
    assert certificate is not None
    assert len(world.asked) == certificate.n_outcomes <= n_grid
    assert len(world.left_out) == found.n_candidates - len(found.tried)


def test_a_clear_winner_is_found_for_a_part_of_the_outcomes() -> None:
    world = random_world(3, {"math": 900, "code": 300}, graded=False, spread=3.0)
    found = Race().run(world)
    assert found.best.parts == Grid().run(world).best.parts
    certificate = Certificate.of_trace(json.loads(json.dumps(found.trace)))
    assert certificate is not None
    assert certificate.share < 0.6
    assert certificate.n_used < certificate.n_items == 1200
    assert certificate.text.startswith(
        "confidence 95 % that none of 10 soups of the grid scores higher on the 1,200"
    )
    other = Race(seed=1).run(world)
    assert other.best.parts == found.best.parts
    assert other.trace != found.trace


def test_within_epsilon_the_preferred_one_wins_and_the_others_are_named() -> None:
    world = random_world(4, {"math": 800, "code": 800}, graded=True, spread=0.05)
    found = Race(epsilon=Fraction(5, 100)).run(world)
    certificate = Certificate.of_trace(found.trace)
    assert certificate is not None
    assert certificate.survivors
    assert certificate.n_used < certificate.n_items
    best = Grid().run(world).best
    assert best.value - found.best.value <= Fraction(5, 100)  # type: ignore[operator]
    assert "5 pp" in certificate.text
    assert "not told apart" in certificate.text


def test_one_point_is_no_race() -> None:
    world = World(lambda soup: {"math": [1.0, 0.0]}, {"math": 2}, names="a")
    found = Race().run(world)
    certificate = Certificate.of_trace(found.trace)
    assert certificate is not None
    assert (certificate.n_soups, certificate.n_outcomes, certificate.survivors) == (1, 2, ())


# ---- searches


def searched(folder: Path, landscape: Landscape, **options: Any) -> Any:
    return search_with(pool(folder, "ab"), landscape, folder=folder / "run", **options)


def test_a_race_runs_again_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", Landscape(), strategy="race")

    class Stopped(Landscape):
        def score(self, recipe: Recipe, **options: Any) -> Evaluation:
            if len(self.calls) == 25:
                raise KeyboardInterrupt
            return super().score(recipe, **options)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, Stopped(), strategy="race")
    rest = Landscape()
    found = searched(tmp_path, rest, strategy="race")
    assert found.to_json() == whole.to_json()
    assert 0 < len(rest.calls) < whole.n_evaluated
    again = Landscape()
    assert searched(tmp_path, again, strategy="race").to_json() == found.to_json()
    assert again.calls == []
    assert found.best.parts == searched(tmp_path, Landscape(), strategy="grid").best.parts


def test_a_race_costs_no_item_twice_and_never_more_than_the_grid(tmp_path: Path) -> None:
    races, grid = Landscape(n_items=200), Landscape(n_items=200)
    found = searched(tmp_path / "race", races, strategy=strategy_of("race"))
    assert found.certificate is not None
    assert SearchResult.from_json(json.loads(json.dumps(found.to_json()))).certificate == found.certificate
    assert any(line.startswith("race       confidence 95 %") for line in result_lines(found))
    assert sentences.of_the_race(found) == f"The race: {found.certificate.text}."
    searched(tmp_path / "grid", grid)
    assert sum(count for _, count in races.calls) <= sum(count for _, count in grid.calls)


class Curved:
    """An objective that is no sum of categories."""

    name = "curved"

    def needs(self, table: Any) -> tuple[str, ...]:
        return tuple(table.categories)

    def values(self, table: Any) -> Any:
        return table.values.min(axis=1)


class Perplexed(Landscape):
    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        found = super().score(recipe, **options)
        items = {
            name: {item: 1.0 + one for item, one in ids.items()} for name, ids in (found.items or {}).items()
        }
        return Evaluation.of_items(items, scale=None, geometric=items)


class Unbounded(Landscape):
    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        return Evaluation.of_items(super().score(recipe, **options).items or {}, scale=None)


@pytest.mark.parametrize(
    ("landscape", "options", "message", "n_calls"),
    [
        (Landscape(), {"objective": Curved()}, "a sum of categories, which `curved` is not", 0),
        (Landscape(has_items=False), {}, "can score a part of its items", 1),
        (Perplexed(), {}, "geometric means: `code`, `math`", 1),
        (Unbounded(), {}, "on no scale", 1),
    ],
)
def test_what_no_bet_is_fair_on_is_refused_by_the_first_model(
    tmp_path: Path, landscape: Landscape, options: dict[str, Any], message: str, n_calls: int
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        searched(tmp_path, landscape, strategy="race", **options)
    assert "grid" in str(caught.value.problems[0].hint)
    assert len(landscape.calls) == n_calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": Fraction(-1, 100)}, "`epsilon=` is -1 percentage points"),
        ({"epsilon": Fraction(1)}, "`epsilon=` is 100 percentage points"),
        ({"confidence": Fraction(1)}, "`confidence=` is 1, which is not between 0 and 1"),
        ({"confidence": Fraction(0)}, "`confidence=` is 0"),
        ({"fewest": 0}, "the first rung has 0 items"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Race(**options)
