"""Floats are the fractions that they were rounded from, so equal scores are equal whatever computed them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.scores.exact import exact_sum, meant_by
from soce.scores.objective import Mean, Weighted
from soce.scores.table import ScoreTable

floats = st.floats(-1000, 1000) | st.integers(-(10**6), 10**6).map(lambda thousandths: thousandths / 1000)


@pytest.mark.parametrize(
    ("number", "fraction"),
    [
        (0.0, 0),
        (-0.0, 0),
        (78.45, Fraction(7845, 100)),
        (0.1 + 0.2, Fraction(3, 10)),
        (2 / 3, Fraction(2, 3)),
        (100 * (1 / 3), Fraction(100, 3)),
        (-100 / 7, Fraction(-100, 7)),
        (1e300, Fraction(1e300)),
        (math.pi, Fraction(math.pi)),  # no fraction of a small denominator is as near
        (2.0**-40, Fraction(1, 2**40)),
    ],
)
def test_a_float_stands_for_a_fraction(number: float, fraction: Fraction) -> None:
    assert meant_by([number]) == [fraction]


@given(st.integers(1, 10**6), st.data())
def test_shares_are_known_from_their_floats_also_as_percent(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    exact = Fraction(right, n)
    assert meant_by([right / n, 100 * (right / n), 100 * right / n]) == [exact, 100 * exact, 100 * exact]


@given(st.lists(floats, min_size=2, max_size=20))
def test_fractions_are_in_the_order_of_their_floats_and_as_near(numbers: list[float]) -> None:
    numbers = sorted([*numbers, *(math.nextafter(number, math.inf) for number in numbers)])
    fractions = meant_by(numbers)
    assert fractions == sorted(fractions)
    for number, fraction in zip(numbers, fractions, strict=True):
        assert abs(fraction - Fraction(number)) <= 3 * Fraction(math.ulp(number))


@given(st.lists(floats, max_size=30), st.randoms())
def test_a_sum_is_that_of_the_fractions_in_any_order(numbers: list[float], random: object) -> None:
    total = exact_sum(numbers)
    assert total == sum(meant_by(numbers))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    assert exact_sum(numbers) == total


def test_sums_that_floats_tell_apart_are_equal() -> None:
    assert 0.1 + 0.2 != 0.3
    table = ScoreTable.of({"x": [0.1, 0.3, 0.3], "y": [0.2, 0.0, 5e-17]}, models=["a", "b", "c"])
    one, other, more = Weighted({"x": Fraction(1), "y": Fraction(1)}, source="w").values(table)
    assert one == other
    assert more > other
    thirds = ScoreTable.of({"x": [2 / 3, 1 / 3], "y": [1 / 6, 1 / 2], "z": [0, 0]}, models=["a", "b"])
    one, other = Mean().values(thirds)
    assert one == other == 5 / 18
