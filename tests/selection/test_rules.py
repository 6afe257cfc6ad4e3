"""Rules: which categories are chosen, in which order, and what is refused."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.boards import board, complete, flores, tables

from soce.exceptions import ScoreTableError
from soce.scores.table import ScoreTable
from soce.selection.correlation import correlate_categories
from soce.selection.rules import RULES, Clusters, Explicit, Group, Pairs, Rule, Threshold, without


def chosen(groups: tuple[Group, ...]) -> list[str]:
    return [name for group in groups for name in group.categories]


@pytest.mark.parametrize(
    ("tau", "count", "left_out"),
    [
        (0.05, 31, {"eng_ben", "eng_fra", "eng_jpn", "eng_rus", "hin_eng"}),
        (0.1, 36, set()),
        (0.5, 36, set()),
        (1.0, 36, set()),
    ],
)
def test_the_papers_table_5_by_threshold(tau: float, count: int, left_out: set[str]) -> None:
    groups = Threshold(tau).choose(correlate_categories(flores()))
    assert len(groups) == count
    assert set(flores().categories) - set(chosen(groups)) == left_out


def test_a_threshold_is_strict() -> None:
    correlation = correlate_categories(flores())
    weakest = correlation.weakest()[7]
    before = chosen(Threshold(weakest.value).choose(correlation))
    after = chosen(Threshold(math.nextafter(weakest.value, 1)).choose(correlation))
    assert weakest.category not in before
    assert weakest.category in after


def test_first_pairs_of_the_leaderboard() -> None:
    table = board()
    correlation = correlate_categories(table, population=complete(table))
    pairs = correlation.pairs(limit=4)
    assert [(pair.first, pair.second, round(abs(pair.rho), 4)) for pair in pairs] == [
        ("live_irrelevance", "live_parallel", 0.0005),
        ("irrelevance", "javascript", 0.0022),
        ("live_irrelevance", "parallel", 0.0104),
        ("live_irrelevance", "multiple", 0.0105),
    ]
    groups = Pairs(3).choose(correlation)
    assert chosen(groups) == ["live_irrelevance", "live_parallel", "irrelevance", "javascript", "parallel"]
    assert groups[4].partner == "live_irrelevance"
    assert groups == Threshold(0.01045).choose(correlation)


def test_clusters_of_the_leaderboard() -> None:
    table = board()
    correlation = correlate_categories(table, population=complete(table))
    others, turns, irrelevance = Clusters(n_clusters=3).choose(correlation)
    assert len(others.categories) == 11
    assert turns.categories == (
        "multi_turn_base",
        "multi_turn_long_context",
        "multi_turn_miss_func",
        "multi_turn_miss_param",
    )
    assert irrelevance.categories == ("irrelevance", "live_irrelevance")
    parallel = Clusters(n_clusters=4).choose(correlation)[1]
    assert parallel.categories == ("live_parallel", "live_parallel_multiple", "parallel", "parallel_multiple")
    assert [group.value for group in (others, turns, irrelevance)] == [None] * 3
    assert len(Clusters(min_correlation=-1.0).choose(correlation)) == 1


def test_signed_thresholds_on_the_leaderboard() -> None:
    table = board()
    correlation = correlate_categories(table, population=complete(table))
    low = Threshold(-0.3, signed=True).choose(correlation)
    assert set(chosen(low)) == {"irrelevance", "live_irrelevance", "live_relevance"}
    assert len(Threshold(0.0, signed=True).choose(correlation)) == 8
    assert len(Threshold(0.05, signed=False).choose(correlation)) == 10


def test_listed_categories_walk_as_a_threshold_would_and_keep_constants() -> None:
    columns = {"a": [1, 2, 3, 4], "b": [1, 3, 2, 4], "c": [4, 1, 2, 3], "same": [5, 5, 5, 5]}
    correlation = correlate_categories(ScoreTable.of(columns, models=["m", "n", "o", "p"]))
    walk = chosen(Threshold(1.0).choose(correlation))
    assert chosen(Explicit(("same", "c", "a", "b")).choose(correlation)) == [*walk, "same"]
    assert Explicit(("b", "a")) == Explicit(("a", "b"))
    assert Explicit(("same",)).choose(correlation) == (Group(("same",)),)


@given(tables(), st.data())
def test_a_larger_threshold_only_adds_categories(table: ScoreTable, data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1))))
    correlation = correlate_categories(table)
    few, many = (chosen(Threshold(tau).choose(correlation)) for tau in (low, high))
    assert many[: len(few)] == few


@given(tables(), st.integers(1, 20))
def test_m_pairs_give_at_most_two_categories_each(table: ScoreTable, m: int) -> None:
    groups = Pairs(m).choose(correlate_categories(table))
    names = chosen(groups)
    assert len(names) == len(set(names)) <= 2 * m


def test_what_is_left_out_leaves_no_empty_group() -> None:
    groups = (Group(("a", "b")), Group(("c",), 0.1, "a"))
    assert without(groups, {"a", "c"}) == (Group(("b",)),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Threshold(0.0), "threshold 0.0 is not in (0, 1]"),
        (lambda: Threshold(1.5), "threshold 1.5 is not in (0, 1]"),
        (lambda: Threshold(-0.3), "threshold -0.3 is not in (0, 1]"),
        (lambda: Threshold(math.nan), "threshold nan is not in (0, 1]"),
        (lambda: Threshold(-1.1, signed=True), "threshold -1.1 is not in [-1, 1]"),
        (lambda: Pairs(0), "the rule takes 0 pairs"),
        (lambda: Clusters(), "clusters need either a number of clusters or a smallest correlation"),
        (lambda: Clusters(2, 0.5), "clusters need either a number of clusters or a smallest correlation"),
        (lambda: Clusters(0), "0 clusters were asked for"),
        (lambda: Clusters(min_correlation=2.0), "smallest correlation 2.0 is not in [-1, 1]"),
        (lambda: Clusters(min_correlation=math.nan), "smallest correlation nan is not in [-1, 1]"),
        (lambda: Explicit(()), "the list of categories is empty"),
        (lambda: Explicit("math"), "the categories must be a list of names"),
        (lambda: Explicit(("a", "b", "a")), "category `a` is listed twice"),
    ],
)
def test_refusals(make: type, message: str) -> None:
    with pytest.raises(ScoreTableError) as caught:
        make()
    assert caught.value.problems[0].message == message


def test_an_unknown_category_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScoreTableError, match="there is no category `eng_deo`") as caught:
        Explicit(("eng_deo",)).choose(correlate_categories(flores()))
    assert "`eng_deu`" in (caught.value.problems[0].hint or "")


def test_more_clusters_than_categories_are_refused() -> None:
    with pytest.raises(ScoreTableError, match="37 clusters"):
        Clusters(n_clusters=37).choose(correlate_categories(flores()))


@pytest.mark.parametrize(
    "rule",
    [Threshold(0.1), Pairs(2), Clusters(n_clusters=2), Clusters(min_correlation=0.5), Explicit(("a",))],
)
def test_every_rule_is_registered_and_says_what_it_does(rule: Rule) -> None:
    assert type(rule) in RULES.values()
    assert next(iter(asdict(rule).items())) == ("name", rule.name)
    assert str(rule)
    assert rule.help
