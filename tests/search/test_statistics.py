"""Intervals and tests of differences, against closed forms and golden values; splits of items."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import EvaluationError
from soce.search.items import split_items
from soce.search.statistics import mcnemar, mcnemar_p, paired_bootstrap


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(10, 2, 0.0385742188), (32, 12, 0.0036577668), (8, 1, 0.0390625), (5, 5, 1.0), (0, 0, 1.0)],
)
def test_golden_p_values(b: int, c: int, p: float) -> None:
    assert round(mcnemar_p(b, c), 10) == p
    assert mcnemar_p(c, b) == mcnemar_p(b, c)


@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_the_binomial_tail(b: int, c: int) -> None:
    n = b + c
    tail = Fraction(2 * sum(math.comb(n, i) for i in range(min(b, c) + 1)), 2**n)
    assert mcnemar_p(b, c) == pytest.approx(float(min(Fraction(1), tail)), rel=1e-11)


def test_thousands_of_discordant_items_are_no_trouble() -> None:
    assert 0 < mcnemar_p(5000, 5200) < 0.05
    assert mcnemar_p(10_000, 0) == 0.0 or mcnemar_p(10_000, 0) < 1e-300


def test_graded_outcomes_have_no_mcnemar_test() -> None:
    assert mcnemar({"a": {"x": 0.5}}, {"a": {"x": 1.0}}) is None


def outcomes(rng: np.random.Generator, share: float, n: int) -> dict[str, float]:
    return {f"q{i}": float(value) for i, value in enumerate(rng.random(n) < share)}


def test_the_interval_has_the_width_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    first = {"a": outcomes(rng, 0.7, 400), "b": outcomes(rng, 0.6, 300)}
    second = {"a": outcomes(rng, 0.6, 400), "b": outcomes(rng, 0.5, 300)}
    found = paired_bootstrap(first, second, weights={"a": 0.5, "b": 0.5})
    difference, variance = 0.0, 0.0
    for name in "ab":
        delta = np.array([first[name][i] - second[name][i] for i in first[name]])
        difference += 0.5 * delta.mean()
        variance += 0.25 * delta.var() / len(delta)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.05)
    assert found.low < found.difference < found.high
    assert found == paired_bootstrap(first, second, weights={"b": 0.5, "a": 0.5}), "order of categories"


def test_a_model_against_itself_differs_by_exactly_nothing() -> None:
    first = {"a": outcomes(np.random.default_rng(0), 0.5, 50)}
    found = paired_bootstrap(first, first, weights={"a": 1.0})
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_perplexities_are_geometric_means() -> None:
    first, second = {"p": {"x": 2.0, "y": 8.0}}, {"p": {"x": 1.0, "y": 9.0}}
    found = paired_bootstrap(first, second, weights={"p": -1.0}, geometric={"p"})
    assert found.difference == pytest.approx(-4.0 + 3.0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": {"x": 1.0}}, "category `a`: 1 item(s) were scored for one model only, the first is `y`"),
        ({}, "category `a`: 2 item(s) were scored for one model only, the first is `x`"),
    ],
)
def test_different_items_are_refused(second: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        paired_bootstrap({"a": {"x": 1.0, "y": 0.0}}, second, weights={"a": 1.0})
    assert str(caught.value) == message


ITEMS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.lists(st.text(max_size=4), min_size=2, max_size=30, unique=True),
    max_size=4,
)


@given(ITEMS, st.integers(0, 9), st.sampled_from([Fraction(1, 2), Fraction(1, 5), Fraction(9, 10)]))
def test_a_split_is_a_partition_that_ignores_order(
    items: dict[str, list[str]], seed: int, share: Fraction
) -> None:
    split = split_items(items, share=share, seed=seed)
    turned = split_items({c: ids[::-1] for c, ids in reversed(items.items())}, share=share, seed=seed)
    for category, ids in items.items():
        one, other = split.selection[category], split.held_out[category]
        assert one
        assert other
        assert sorted(one + other) == sorted(ids)
        assert not set(one) & set(other)
        assert abs(len(other) - len(ids) * share) <= 1
        assert set(turned.held_out[category]) == set(other)
        assert list(one) == [item for item in ids if item in set(one)], "the order given is kept"


def test_another_seed_is_another_split() -> None:
    items = {"a": [str(i) for i in range(100)]}
    assert split_items(items, seed=0).held_out != split_items(items, seed=1).held_out
    assert split_items(items, seed=0) == split_items(items, seed=0)


@pytest.mark.parametrize("items", [{"a": ["x"]}, {"a": []}, {"a": ["x", "x"]}])
def test_what_cannot_be_split_is_refused(items: dict[str, list[str]]) -> None:
    with pytest.raises(EvaluationError, match="cannot be split in two"):
        split_items(items)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1), Fraction(-1, 2)])
def test_a_share_must_leave_both_parts(share: Fraction) -> None:
    with pytest.raises(EvaluationError, match="held-out share"):
        split_items({"a": ["x", "y"]}, share=share)
