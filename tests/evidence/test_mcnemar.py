"""McNemar's exact test: golden values, and where it is not given."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.evaluate.evaluation import Evaluation
from soce.evidence.mcnemar import McNemar, mcnemar, mcnemar_p

EQUAL = {"a": Fraction(1, 2), "b": Fraction(1, 2)}


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


def of(**outcomes: list[float]) -> Evaluation:
    return Evaluation.of_items(
        {name: {f"q{i}": value for i, value in enumerate(given)} for name, given in outcomes.items()}
    )


def test_it_counts_items_of_the_categories_with_weight() -> None:
    first, second = of(a=[1, 1, 0], b=[1, 0, 0], c=[0.5]), of(a=[0, 0, 1], b=[0, 0, 0], c=[1.0])
    assert mcnemar(first, second, weights={**EQUAL, "c": Fraction(0)}) == McNemar(3, 1, 0.625)


@pytest.mark.parametrize(
    ("first", "second", "weights"),
    [
        (of(a=[1, 1, 0], b=[1, 0]), of(a=[0, 0, 1], b=[0, 0]), EQUAL),
        (of(a=[1, 1], b=[1, 0]), of(a=[0, 0], b=[0, 0]), {"a": Fraction(1, 3), "b": Fraction(2, 3)}),
        (of(a=[0.5, 1]), of(a=[0, 0]), {"a": Fraction(1)}),
        (of(a=[1, 1]), of(a=[0, 0]), {"a": Fraction(-1)}),
    ],
    ids=["sizes differ", "weights differ", "graded", "lower is better"],
)
def test_where_it_would_test_something_else_it_is_not_given(
    first: Evaluation, second: Evaluation, weights: dict[str, Fraction]
) -> None:
    assert mcnemar(first, second, weights=weights) is None


def test_weights_in_proportion_to_items_make_every_item_count_the_same() -> None:
    found = mcnemar(
        of(a=[1, 1, 0, 1], b=[1, 0]),
        of(a=[0, 0, 1, 1], b=[0, 0]),
        weights={"a": Fraction(2, 3), "b": Fraction(1, 3)},
    )
    assert found == McNemar(3, 1, mcnemar_p(3, 1))
