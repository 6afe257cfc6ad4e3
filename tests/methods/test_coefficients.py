"""What methods find in squares, against hand-made and published numbers and against the vectors themselves."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import RecipeError
from soce.methods.constant import task_arithmetic
from soce.methods.geometry import Vectors
from soce.methods.model_stock import CLAMPED, POLE, model_stock
from soce.methods.sphere import OPPOSITE, PARALLEL, karcher, multislerp, slerp
from soce.recipes.methods import Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.methods.found import Coefficients

STOCK = Method("model_stock", "base")
HALF = (Fraction(1, 2), Fraction(1, 2))
FINE = {"max_iter": 1000, "tol": "1e-12"}


def vectors(*rows: Sequence[float]) -> Vectors:
    """Return what is known of these vectors: exact squares, each rounded once."""
    exact = [[Fraction(x) for x in row] for row in rows]
    pairs = combinations_with_replacement(range(len(rows)), 2)
    differences = (
        exact[i] if i == j else [a - b for a, b in zip(exact[i], exact[j], strict=True)] for i, j in pairs
    )
    return Vectors.of([float(sum(x * x for x in row)) for row in differences], len(rows))


def equal(count: int) -> tuple[Fraction, ...]:
    return (Fraction(1, count),) * count


def combined(found: Coefficients, rows: Sequence[Sequence[float]]) -> np.ndarray:
    return np.array([float(one) for one in found.values]) @ np.array(rows)


def stocked(*rows: Sequence[float], **parameters: object) -> Coefficients:
    return model_stock(equal(len(rows)), vectors(*rows), Method("model_stock", "base", parameters))


# ---- Model Stock


def test_model_stock_of_the_three_hand_made_deltas() -> None:
    rows = (1, 0, 0), (1, 1, 0), (0, 0, 1)
    by_cosine, by_angle = stocked(*rows), stocked(*rows, average="angle")
    assert by_cosine.told["cos"] == pytest.approx(0.235702260, abs=5e-10)
    assert by_cosine.told["t"] == pytest.approx(0.480565862, abs=5e-10)
    assert by_angle.told["cos"] == pytest.approx(0.258819045, abs=5e-10)
    assert by_angle.told["t"] == pytest.approx(0.511622066, abs=5e-10)
    assert by_cosine.values == (Fraction(by_cosine.told["t"]) / 3,) * 3


@pytest.mark.parametrize(
    ("second", "t", "free"),
    [((1, 0), 1, 1), ((1, math.sqrt(3)), 2 / 3, 2 / 3), ((0, 1), 0, 0), ((-1, math.sqrt(3)), 0, -2)],
)
def test_model_stock_of_two(second: tuple[float, float], t: float, free: float) -> None:
    assert stocked((1, 0), second).told["t"] == pytest.approx(t, abs=1e-12)
    assert stocked((1, 0), second, clamp=False).told["t"] == pytest.approx(free, abs=1e-12)


def test_model_stock_says_what_it_did_otherwise() -> None:
    assert stocked((1, 0), (-1, 1)).remark == CLAMPED
    assert stocked((1, 0), (-1, 0), clamp=False).remark == POLE
    assert stocked((1, 0), (1, 0)).remark == ""


def test_deltas_of_zero_have_no_angle() -> None:
    assert stocked((0, 0), (0, 0)).values == HALF
    assert stocked((0, 0), (1, 0)).values == (0, 0)
    both, one_more = stocked((1, 0), (1, 1)), stocked((1, 0), (1, 1), (0, 0))
    assert both.told["cos"] == one_more.told["cos"]


def test_tiny_deltas_are_no_other_than_large_ones() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(3, 50))
    large = stocked(*rows)
    for power in (-80, -7, 60):
        assert stocked(*np.ldexp(rows, power)).values == large.values
    assert stocked([1e-5] * 4096, [1e-5] * 4096).values == HALF  # where an epsilon in the norm gives t = 0.58


# ---- along a sphere


def test_slerp_is_its_formula() -> None:
    weights = (Fraction("0.7"), Fraction("0.3"))
    found = slerp(weights, vectors((3, 0), (0, 2)), STOCK)
    assert [float(one) for one in found.values] == pytest.approx(
        [math.sin(0.7 * math.pi / 2), math.sin(0.3 * math.pi / 2)], rel=1e-15
    )
    assert slerp((Fraction(0), Fraction(1)), vectors((3, 0), (1, 2)), STOCK).values == (0, 1)


def test_parallel_and_opposite_vectors_have_the_linear_mean() -> None:
    weights = (Fraction(1, 3), Fraction(2, 3))
    for second, remark in (
        ((2, 4), PARALLEL),
        ((1, 2 + 1e-9), PARALLEL),
        ((-3, -6), OPPOSITE),
        ((0, 0), PARALLEL),
    ):
        found = slerp(weights, vectors((1, 2), second), STOCK)
        assert (found.values, found.remark) == (weights, remark)


@given(st.lists(st.lists(st.floats(-4, 4), min_size=4, max_size=4), min_size=2, max_size=4), st.randoms())
def test_means_of_directions_have_the_mean_length_and_no_order(rows: list[list[float]], random) -> None:
    rows = [[x + (i == j) * 6 for j, x in enumerate(row)] for i, row in enumerate(rows)]  # away from zero
    parts = [Fraction(random.randint(1, 9)) for _ in rows]
    weights = [one / sum(parts) for one in parts]
    lengths = np.linalg.norm(rows, axis=1)
    wanted = float(sum(float(w) * length for w, length in zip(weights, lengths, strict=True)))
    order = random.sample(range(len(rows)), len(rows))
    for method in (multislerp, karcher):
        try:
            found = method(weights, vectors(*rows), Method("karcher", parameters=FINE))
        except RecipeError:
            continue  # opposite ones
        assert np.linalg.norm(combined(found, rows)) == pytest.approx(wanted, rel=1e-6)
        other = method(
            [weights[i] for i in order],
            vectors(*(rows[i] for i in order)),
            Method("karcher", parameters=FINE),
        )
        assert other.values == tuple(found.values[i] for i in order)


def test_multislerp_is_the_mean_direction() -> None:
    rows = np.random.default_rng(2).normal(size=(3, 40))
    weights = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    each = np.array([float(one) for one in weights])
    mean = each @ units
    expected = mean / np.linalg.norm(mean) * (each @ np.linalg.norm(rows, axis=1))
    assert combined(multislerp(weights, vectors(*rows), STOCK), rows) == pytest.approx(expected, rel=1e-13)


def test_the_karcher_mean_is_where_the_ways_to_all_others_cancel() -> None:
    rows = np.random.default_rng(3).normal(size=(4, 30)) + 1
    found = karcher(equal(4), vectors(*rows), Method("karcher", parameters=FINE))
    mean = combined(found, rows)
    mean /= np.linalg.norm(mean)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    angles = np.arccos(units @ mean)
    ways = (angles / np.sin(angles))[:, None] * (units - (units @ mean)[:, None] * mean)
    assert np.linalg.norm(ways.mean(axis=0)) < 1e-9
    assert multislerp(equal(4), vectors(*rows), STOCK).values != found.values


def test_two_means_of_two_are_slerp() -> None:
    """Between two of equal length, halfway is the same point by every one of them."""
    rows = [(1.0, 0.0), (0.6, 0.8)]
    expected = combined(slerp(HALF, vectors(*rows), STOCK), rows)
    for method in (multislerp, karcher):
        assert combined(method(HALF, vectors(*rows), Method("karcher")), rows) == pytest.approx(
            expected, rel=1e-9
        )


@pytest.mark.parametrize("method", [multislerp, karcher])
def test_directions_that_cancel_are_refused_and_zeros_are_zero(method) -> None:
    with pytest.raises(RecipeError, match="cancel out"):
        method(HALF, vectors((1, 2), (-1, -2)), Method("karcher"))
    assert method(HALF, vectors((0, 0), (0, 0)), Method("karcher")).values == HALF
    assert method(HALF, vectors((0, 0), (3, 4)), Method("karcher")).values == (0, Fraction(1, 2))


@pytest.mark.parametrize("method", [slerp, multislerp, karcher])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_copies_of_one_model_are_that_model(method, scale: float) -> None:
    row = np.random.default_rng(4).normal(size=100) * scale
    weights = (Fraction(2, 7), Fraction(5, 7))
    found = method(weights, vectors(row, row), Method("karcher"))
    assert float(sum(found.values)) == pytest.approx(1, rel=1e-15)


# ---- constant ones


def test_task_arithmetic_scales_and_normalises_exactly() -> None:
    weights = (Fraction(3, 10), Fraction(-1, 10))
    third = {"lambda": "1/3"}
    assert task_arithmetic(weights, Method("task_arithmetic", "b")) == weights
    assert task_arithmetic(weights, Method("task_arithmetic", "b", third)) == (
        Fraction(1, 10),
        Fraction(-1, 30),
    )
    normalised = Method("task_arithmetic", "b", {"normalize": True})
    assert task_arithmetic(weights, normalised) == (Fraction(3, 2), Fraction(-1, 2))
    with pytest.raises(RecipeError, match="sum of the weights, which is 0"):
        task_arithmetic((Fraction(1), Fraction(-1)), normalised)


def test_squares_are_taken_apart_in_the_cores_order() -> None:
    found = vectors((1, 0), (0, 2), (3, 3))
    assert found.own == (1, 4, 18)
    assert found.apart == ((0, 5, 13), (5, 0, 10), (13, 10, 0))
    assert found.seen_from(0) == Vectors((5, 13), ((0, 10), (10, 0)))
    assert found.chosen([2, 0]) == Vectors((18, 1), ((0, 13), (13, 0)))
    assert found.square_of([1, -1, 0]) == 5
    assert found.with_combination([1, 1, 0], 2) == 9
