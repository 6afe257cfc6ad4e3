"""The grid of weights: counts in closed form, every point once and in order, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import islice, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import ScoreTableError
from soce.selection.weights import WeightGrid


def brute_force(n_experts: int, whole: int, minimum: int, maximum: int) -> list[tuple[int, ...]]:
    return [parts for parts in product(range(minimum, maximum + 1), repeat=n_experts) if sum(parts) == whole]


def refusal(n_experts: object, **options: object) -> str:
    with pytest.raises(ScoreTableError) as caught:
        WeightGrid.of(n_experts, **options)  # type: ignore[arg-type]
    return str(caught.value)


# ---- golden counts


def test_the_papers_grid_has_the_counts_that_arithmetic_gives_it() -> None:
    grids = [WeightGrid.of(n, step="0.1", minimum="0.1", maximum="0.9") for n in range(2, 11)]
    assert [grid.n_compositions for grid in grids] == [9, 36, 84, 126, 126, 84, 36, 9, 1]
    assert [grid.has_uniform_extra for grid in grids] == [n in {3, 4, 6, 7, 8, 9} for n in range(2, 11)]
    assert [grid.count for grid in grids] == [9, 37, 85, 126, 127, 85, 37, 10, 1]
    assert [len(list(grid)) for grid in grids] == [len(grid) for grid in grids]


def test_the_papers_optima_are_on_the_grid() -> None:
    assert {(5, 2, 3), (7, 2, 1)} < set(WeightGrid(3))


def test_a_grid_of_floats_loses_points() -> None:
    """Why weights are integers: the sum of 0.7, 0.2 and 0.1 is not 1.0."""
    shares = np.arange(0.1, 1, 0.1).tolist()
    found = {n: [p for p in product(shares, repeat=n) if sum(p) == 1.0] for n in (3, 4, 5)}
    assert [len(points) for points in found.values()] == [34, 74, 101]
    assert [WeightGrid(n).n_compositions for n in found] == [36, 84, 126]
    assert 0.7 + 0.2 + 0.1 != 1.0


def test_a_step_of_a_twentieth() -> None:
    assert [WeightGrid.of(n, step="1/20").n_compositions for n in range(2, 6)] == [19, 171, 969, 3876]
    assert (1, 1, 18) in set(WeightGrid.of(3, step="0.05"))
    assert all(max(parts) <= 8 for parts in WeightGrid(3))  # 18 of 20 is 9 of 10


def test_zero_parts_are_allowed_on_request() -> None:
    assert [WeightGrid.of(n, minimum=0).n_compositions for n in range(2, 6)] == [11, 66, 286, 1001]
    assert list(WeightGrid.of(2, step="1/2", minimum="0")) == [(0, 2), (1, 1), (2, 0)]


def test_largest_weight_leaves_the_least_to_all_others() -> None:
    assert [max(max(parts) for parts in WeightGrid(n)) for n in range(2, 11)] == list(range(9, 0, -1))


def test_one_expert_is_one_point() -> None:
    for grid in (WeightGrid(1), WeightGrid.of(1, minimum="0.1", maximum="0.9"), WeightGrid(1, whole=7)):
        assert (list(grid), grid.count, grid.has_uniform_extra) == ([(1,)], 1, False)


# ---- properties


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n_experts = draw(st.integers(2, 5))
    whole = draw(st.integers(n_experts, 12))
    minimum = draw(st.integers(0, whole // n_experts))
    maximum = draw(st.integers(-(-whole // n_experts), whole))
    return n_experts, whole, minimum, maximum


@given(limits())
def test_points_are_those_of_brute_force_in_order(given_limits: tuple[int, int, int, int]) -> None:
    n_experts, whole, minimum, maximum = given_limits
    expected = brute_force(n_experts, whole, minimum, maximum)
    grid = WeightGrid(n_experts, whole, minimum, maximum, uniform=False)
    assert list(grid) == expected
    assert grid.count == len(expected) == grid.n_compositions
    with_uniform = WeightGrid(n_experts, whole, minimum, maximum)
    on_grid = any(len(set(parts)) == 1 for parts in expected)
    assert list(with_uniform) == expected + [(1,) * n_experts] * (not on_grid)
    assert with_uniform.count == len(expected) + (not on_grid)


@given(st.integers(1, 12), st.integers(1, 60))
def test_weights_sum_to_exactly_one(n_experts: int, whole: int) -> None:
    if n_experts > whole:
        return
    points = list(islice(WeightGrid(n_experts, whole), 200))
    assert all(sum(Fraction(part, sum(parts)) for part in parts) == 1 for parts in points)
    assert all(sum(parts) in {whole, n_experts} for parts in points)
    assert all(first < second for first, second in pairwise(points[:-1]))


def test_huge_grids_are_counted_and_begun_without_being_made() -> None:
    grid = WeightGrid.of(40, step="1/1000")
    assert grid.n_compositions > 10**60
    assert next(iter(grid)) == (1,) * 39 + (961,)
    assert next(islice(grid, 1, None)) == (1,) * 38 + (2, 960)
    assert next(iter(WeightGrid(5000, 5000))) == (1,) * 5000
    assert WeightGrid.of(3, step="1/1048576").count == (2**20 - 1) * (2**20 - 2) // 2 + 1


def test_a_cap_moves_the_uniform_point_off_the_grid() -> None:
    grid = WeightGrid(4, whole=8, minimum=0, maximum=2)
    assert (grid.n_compositions, grid.has_uniform_extra) == (1, False)
    assert WeightGrid(2, whole=4, minimum=1, maximum=3).has_uniform_extra is False


# ---- exact reading


@pytest.mark.parametrize(
    "step",
    [
        "0.1",
        ".1",
        "0.10",
        "1/10",
        " 1 / 10 ",
        Fraction(1, 10),
        Decimal("0.1"),
        Decimal("1e-1"),
        "1e-1",
        "2/20",
    ],
)
def test_ways_to_write_a_tenth(step: object) -> None:
    assert WeightGrid.of(3, step=step) == WeightGrid(3)  # type: ignore[arg-type]
    assert list(WeightGrid.of(2, step=step)) == [(n, 10 - n) for n in range(1, 10)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["step", "minimum", "maximum"])
def test_floats_are_refused_with_the_reason(name: str) -> None:
    text = refusal(3, **{name: 0.1})
    assert "0.1 is a float, and floats are not exact: 0.7 + 0.2 + 0.1 is not 1.0" in text
    assert 'hint: pass the text "0.1" or a Fraction' in text
    assert 0.7 + 0.2 + 0.1 != 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": "0.3"}, "the step 0.3 does not divide 1 into equal parts"),
        ({"step": "0"}, "the step 0 does not divide 1"),
        ({"step": "2"}, "the step 2 does not divide 1"),
        ({"step": "-0.1"}, "the step `-0.1` is negative"),
        ({"step": "1/0"}, "the step `1/0` divides by zero"),
        ({"step": "nan"}, "the step `nan` is not a number"),
        ({"step": ""}, "the step `` is empty"),
        ({"step": "\x1b[2J"}, "the step `\\u{1b}[2J` is not"),
        ({"step": None}, "the step `None` is null"),
        ({"step": Fraction(-1, 10)}, "the step -1/10 does not divide 1"),
        ({"step": Decimal("NaN")}, "the step `NaN` is not a number"),
        ({"step": Decimal("1e-999999")}, "is not a number"),
        ({"minimum": Fraction(-1, 10)}, "minimum is -1, expected an integer of 0 or more"),
        ({"step": "1/2097152"}, "a grid of 2097152 parts is finer than a soup can be: at most 1048576"),
        ({"minimum": "0.25"}, "the smallest weight 0.25 is not a multiple of the step 1/10"),
        ({"maximum": "0.95"}, "the largest weight 0.95 is not a multiple of the step 1/10"),
        ({"maximum": "1.5"}, "the largest weight 1.5 is above 1"),
        ({"minimum": "0.3", "maximum": "0.2"}, "the largest weight 1/5 is below the smallest 3/10"),
        ({"maximum": "0.3"}, "3 weights of at most 3/10 cannot sum to 1\nhint: allow weights of 1/3 or more"),
        (
            {"minimum": "0.4"},
            "3 experts do not fit on the grid of weights: with at least 2/5 each there is room for 2",
        ),
    ],
)
def test_grids_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    assert words in refusal(3, **options)


def test_more_experts_than_the_grid_holds_name_the_ways_out() -> None:
    assert refusal(11) == (
        "11 experts do not fit on the grid of weights: with at least 1/10 each there is room for 10\n"
        'hint: take fewer experts (`max_experts=10`), a finer grid (`step="1/20"`), '
        "or a rule that chooses fewer categories (pairs, clusters)"
    )
    assert '`step="1/50"`' in refusal(21)
    assert '`step="1/200"`' in refusal(101)
    assert WeightGrid.of(11, step="1/20").n_compositions == 92378


@pytest.mark.parametrize("n_experts", [0, -1, True, 2.0, "3", None])
def test_numbers_of_experts_are_positive_integers(n_experts: object) -> None:
    assert refusal(n_experts).startswith(f"n_experts is {n_experts}, expected an integer")
