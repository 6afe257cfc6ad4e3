"""Shapley values against closed forms, axioms, another program, and the paper's numbers of evaluations."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.analysis.games import soup_game, soup_players
from soce.analysis.shapley import shapley_values
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe
from soce.search.pool import Pool

NAMES = "abcdefgh"


def table_game(values: dict[frozenset[str], float]):
    return lambda coalition: values[coalition]


@st.composite
def games(draw: st.DrawFn, most: int = 5) -> tuple[list[str], dict[frozenset[str], float], float]:
    """Return players, the value of every coalition, and that of none."""
    players = list(NAMES[: draw(st.integers(1, most))])
    number = st.floats(-100, 100)
    coalitions = [
        frozenset(one) for size in range(1, len(players) + 1) for one in itertools.combinations(players, size)
    ]
    return players, {coalition: draw(number) for coalition in coalitions}, draw(number)


def gloves(hands: frozenset[str]) -> float:
    return float("1" in hands and len(hands) > 1)


def test_the_glove_game() -> None:
    found = shapley_values(gloves, ["1", "2", "3"])
    assert found.value == {"1": 2 / 3, "2": 1 / 6, "3": 1 / 6}
    assert (found.method, found.stderr, found.n_coalitions, found.total) == ("exact", None, 7, 1.0)
    assert found.ranked() == ("1", "2", "3")


def test_the_value_of_nobody_shifts_all_alike() -> None:
    worth = {"a": 3.0, "b": 5.0, "c": 7.0}
    found = shapley_values(lambda coalition: sum(worth[name] for name in coalition), "abc", empty=10)
    assert found.value == {"a": -1 / 3, "b": 5 / 3, "c": 11 / 3}


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=8))
def test_an_additive_game_gives_each_what_it_adds(worth: list[int]) -> None:
    players = NAMES[: len(worth)]
    by_name = dict(zip(players, worth, strict=True))
    found = shapley_values(lambda coalition: sum(by_name[name] for name in coalition), players)
    assert found.value == {name: float(value) for name, value in by_name.items()}


@given(games())
def test_the_values_share_out_all_there_is(
    game: tuple[list[str], dict[frozenset[str], float], float],
) -> None:
    players, values, empty = game
    found = shapley_values(table_game(values), players, empty=empty)
    assert math.fsum(found.value.values()) == pytest.approx(values[frozenset(players)] - empty, abs=1e-12)


@given(games())
def test_the_mean_over_all_orders(game: tuple[list[str], dict[frozenset[str], float], float]) -> None:
    players, values, empty = game
    known = {frozenset[str](): Fraction(empty)} | {one: Fraction(value) for one, value in values.items()}
    expected = dict.fromkeys(players, Fraction(0))
    orders = list(itertools.permutations(players))
    for order in orders:
        for place, name in enumerate(order):
            expected[name] += known[frozenset(order[: place + 1])] - known[frozenset(order[:place])]
    found = shapley_values(table_game(values), players, empty=empty)
    assert found.value == {name: float(total / len(orders)) for name, total in expected.items()}


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.permutations("abcde"))
def test_equal_players_are_equal_and_names_and_order_mean_nothing(
    sizes: list[float], order: list[str]
) -> None:
    found = shapley_values(lambda coalition: sizes[len(coalition)], "abcde", empty=sizes[0])
    assert len(set(found.value.values())) == 1, "symmetry: only the number of players counts here"
    worth = dict(zip("abcde", sizes, strict=False))

    def game(coalition: frozenset[str]) -> float:
        return max(worth[name] for name in coalition)

    straight, mixed = shapley_values(game, "abcde"), shapley_values(game, order)
    assert mixed.value == straight.value
    assert mixed.players == tuple(order)
    renamed = shapley_values(
        lambda coalition: game(frozenset(name[-1] for name in coalition)), [f"x{n}" for n in "abcde"]
    )
    assert list(renamed.value.values()) == list(straight.value.values())


@given(games(most=4), st.floats(-10, 10))
def test_a_dummy_gets_what_it_brings(
    game: tuple[list[str], dict[frozenset[str], float], float], brings: float
) -> None:
    players, values, empty = game

    def with_dummy(coalition: frozenset[str]) -> Fraction | float:
        others = coalition - {"dummy"}
        return (values[others] if others else empty) + (brings if "dummy" in coalition else 0.0)

    found = shapley_values(with_dummy, [*players, "dummy"], empty=empty)
    assert found.value["dummy"] == pytest.approx(brings, abs=1e-12)


@pytest.mark.parametrize("n", [3, 6, 9])
def test_another_program_finds_the_same(n: int) -> None:
    shapiq = pytest.importorskip("shapiq", reason="shapiq is not installed: no oracle for Shapley values")
    values = np.random.default_rng(n).normal(size=1 << n)
    computer = shapiq.ExactComputer(lambda coalitions: values[coalitions @ (1 << np.arange(n))], n_players=n)
    expected = computer(index="SV", order=1).get_n_order_values(1)
    names = [str(place) for place in range(n)]
    found = shapley_values(
        lambda coalition: values[sum(1 << int(name) for name in coalition)], names, empty=values[0]
    )
    assert list(found.value.values()) == pytest.approx(list(expected), abs=1e-12)


def test_sampled_values_are_near_the_exact_ones_and_repeatable() -> None:
    worth = np.random.default_rng(1).normal(size=14)
    players = [f"p{place:02}" for place in range(14)]

    def game(coalition: frozenset[str]) -> float:
        return float(np.sqrt(np.square([worth[int(name[1:])] for name in coalition]).sum()))

    exact = shapley_values(game, players, exact_up_to=14)
    found = shapley_values(game, players, permutations=300, seed=4)
    assert (found.method, found.permutations, found.seed) == ("sampled", 300, 4)
    assert found.stderr is not None
    far = [abs(found.value[name] - exact.value[name]) / found.stderr[name] for name in players]
    assert max(far) < 4
    assert np.sqrt(np.mean(np.square(far))) == pytest.approx(1, abs=0.5), "the standard errors are honest"
    assert math.fsum(found.value.values()) == pytest.approx(found.total, abs=1e-12)
    assert shapley_values(game, players[::-1], permutations=300, seed=4).value == found.value
    assert shapley_values(game, players, permutations=300, seed=5).value != found.value


def test_twelve_players_are_exact_and_thirteen_sampled() -> None:
    def size(coalition: frozenset[str]) -> float:
        return float(len(coalition))

    assert shapley_values(size, [str(n) for n in range(12)]).method == "exact"
    found = shapley_values(size, [str(n) for n in range(13)], permutations=5)
    assert found.method == "sampled"
    assert found.stderr is not None
    assert set(found.stderr.values()) == {0.0}, "everyone always adds one"


@pytest.mark.parametrize(
    ("players", "options", "expected"),
    [
        ([], {}, "there are no players"),
        (["a", "b", "a"], {}, "`a` is named twice"),
        (["a"], {"exact_up_to": 21}, "exact_up_to is 21"),
        (["a"], {"empty": math.nan}, "the value of no player is nan"),
        (["a", "b"], {"exact_up_to": 1, "permutations": 1}, "the number of permutations is 1"),
    ],
)
def test_settings_out_of_range_are_refused(
    players: list[str], options: dict[str, float], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected) as caught:
        shapley_values(lambda coalition: 1.0, players, **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].hint


def test_a_coalition_without_a_value_is_named() -> None:
    with pytest.raises(EvaluationError, match="the value of `a`, `c` is nan"):
        shapley_values(lambda one: math.nan if one == {"a", "c"} else 1.0, "abc")


# ---- souping as a game

PATHS = {name: f"path/{name}" for name in "abcd"}


@pytest.mark.parametrize(
    ("size", "reading", "coalitions", "soups"),
    [
        (1, "union", 15, 15),
        (1, "nested", 15, 15),
        (2, "union", 63, 11),
        (2, "nested", 63, 51),
        (3, "union", 15, 5),
        (3, "nested", 15, 15),
    ],
)
def test_four_models_take_as_many_soups_as_the_paper_s_setting(
    size: int, reading: str, coalitions: int, soups: int
) -> None:
    scored: list[str] = []

    def score(recipe: Recipe) -> float:
        scored.append(recipe.id)
        return float(len(scored))

    game = soup_game(soup_players("abcd", size), reading, score=score, ingredients=PATHS)
    assert len({recipe.id for recipe in game.recipes()}) == len(game.recipes()) == soups
    found = shapley_values(game, game.players)
    assert (found.n_coalitions, found.reading) == (coalitions, reading)
    assert len(scored) == len(set(scored)) == soups, "every different soup once"


def test_the_soups_of_both_readings() -> None:
    players = [("a", "b"), ("b", "c")]
    union = soup_game(players, score=lambda recipe: 0.0, ingredients=PATHS)
    nested = soup_game(players, "nested", score=lambda recipe: 0.0, ingredients=PATHS)
    assert union.parts(union.players) == {"a": 1, "b": 1, "c": 1}
    assert nested.parts(nested.players) == {"a": 1, "b": 2, "c": 1}
    assert nested.parts(["a + b"]) == {"a": 1, "b": 1}
    uneven = soup_game([("a",), ("b", "c", "d")], "nested", score=lambda recipe: 0.0, ingredients=PATHS)
    assert uneven.parts(uneven.players) == {"a": 3, "b": 1, "c": 1, "d": 1}


def test_a_game_over_a_pool_makes_the_search_s_recipes() -> None:
    pool = Pool(PATHS, experts=("c", "a"))
    game = soup_game(soup_players("ac"), score=lambda recipe: 0.0, ingredients=pool)
    assert game.recipe(["a", "c"]) == pool.recipe({"a": 1, "c": 1})
    assert game.recipe(["a"]) == pool.recipe({"a": 1})
    mapped = soup_game(soup_players("ac"), score=lambda recipe: 0.0, ingredients=PATHS)
    assert mapped.recipe(["a", "c"]).id == game.recipe(["a", "c"]).id


@pytest.mark.parametrize(
    ("players", "options", "expected"),
    [
        ([], {}, "there are no players"),
        ([()], {}, "a player has no models"),
        ([("a", "a")], {}, "`a` is named twice"),
        ([("a", "b"), ("b", "a")], {}, "`b . a` is named twice"),
        ([("z",)], {}, "there is no path of `z`"),
        ([("a",)], {"reading": "mean"}, "the reading is `mean`"),
    ],
)
def test_players_that_make_no_game_are_refused(
    players: list[tuple[str, ...]], options: dict[str, str], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected) as caught:
        soup_game(players, score=lambda recipe: 0.0, ingredients=PATHS, **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].hint


def test_coalitions_that_make_no_soup_are_refused() -> None:
    game = soup_game(soup_players("ab"), score=lambda recipe: 0.0, ingredients=PATHS)
    with pytest.raises(EvaluationError, match="no model makes no soup"):
        game.parts([])
    with pytest.raises(EvaluationError, match="`c` is no player"):
        game.parts(["c"])
    with pytest.raises(EvaluationError, match="no sets of 3 among 2"):
        soup_players("ab", 3)
    with pytest.raises(EvaluationError, match="`a` is named twice"):
        soup_players("aba")
    many = soup_game(
        soup_players([f"m{n}" for n in range(13)]),
        score=lambda recipe: 0.0,
        ingredients={f"m{n}": f"path/{n}" for n in range(13)},
    )
    with pytest.raises(EvaluationError, match="13 players make too many soups"):
        many.recipes()
