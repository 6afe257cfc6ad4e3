"""Exact weights, sizes and dtypes, and what a recipe is."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import gcd
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from soce.exceptions import RecipeError
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.parts import (
    MAX_PARTS,
    exact_weight,
    parse_dtype,
    parse_size,
    parse_weight,
    rounded_parts,
    to_parts,
)
from soce.recipes.rows import Row


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any), st.integers(1, 1000))
def test_parts_ignore_the_unit_and_are_in_lowest_terms(weights: list[int], unit: int) -> None:
    parts = to_parts([Fraction(weight) for weight in weights])
    assert parts == to_parts([Fraction(weight, unit) for weight in weights])
    assert gcd(*parts) == 1
    assert [Fraction(part, sum(parts)) for part in parts] == [
        Fraction(weight, sum(weights)) for weight in weights
    ]


@pytest.mark.parametrize(("text", "hint"), [("0x10", "write an integer"), ("-1", "numerators")])
def test_weights_that_are_refused(text: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_weight(text)
    (problem,) = caught.value.problems
    assert f"`{text}`" in problem.message
    assert problem.hint is not None
    assert hint in problem.hint


def test_weights_from_python() -> None:
    assert [exact_weight(w) for w in ("0.1", 3, Fraction(1, 3), Decimal("0.1"))] == [
        Fraction(1, 10),
        Fraction(3),
        Fraction(1, 3),
        Fraction(1, 10),
    ]
    with pytest.raises(RecipeError, match=r"weight 0\.1 is a float, and floats are not exact"):
        Recipe.of({"A": 0.1, "B": "0.9"})  # type: ignore[dict-item]
    for bad in (True, None, [1], Decimal("NaN"), Decimal("1E+999999999"), Decimal("1E-999999")):
        with pytest.raises(RecipeError):
            exact_weight(bad)  # type: ignore[arg-type]


def test_recipes_that_are_refused() -> None:
    cases = [
        ({}, "a recipe needs at least one ingredient"),
        ({"A": 0, "B": "0.0"}, "the weights of all ingredients are zero"),
        ({"A": -1, "B": 3}, "weight -1 is negative"),
        ({"A": 1, "A/": -1, "B": 3}, "weight -1 is negative"),
        ({"A": 1, "A/.": 1, "B": -1}, "weight -1 is negative"),
        ({"A": 2, "B": None}, "some ingredients have weights, but not `B`"),
        ({"A": "1e-30", "B": "1e30"}, "a weight is too small a part of their sum: 1e-60"),
    ]  # fmt: skip
    for weights, message in cases:
        with pytest.raises(RecipeError) as caught:
            Recipe.of(weights)
        assert caught.value.problems[0].message == message


def test_the_same_path_twice_is_one_ingredient() -> None:
    recipe = Recipe.of({"A": "0.25", "B": "0.5", "./x/../A/": "0.25"})
    assert [(i.path, i.weight) for i in recipe.ingredients] == [("A", Fraction(1, 2)), ("B", Fraction(1, 2))]
    assert recipe.parts == (1, 1)
    assert Recipe.of(["A", "A", "B"]).parts == (2, 1)
    rows = Recipe(tuple(Ingredient(p, None) for p in ("A", "B", "A")), (Row("*", (1, -1, 3), 2),)).rows
    assert rows == (Row("*", (4, -1), 2),)


@given(st.lists(st.integers(1, 10**15), min_size=2, max_size=6), st.randoms())
def test_rounded_weights_keep_proportions_ties_and_no_order(weights: list[int], random: Random) -> None:
    assume(min(weights) * MAX_PARTS >= 2 * sum(weights))
    parts = rounded_parts(weights)
    assert sum(parts) <= MAX_PARTS
    for part, weight in zip(parts, weights, strict=True):
        off = abs(Fraction(part, sum(parts)) - Fraction(weight, sum(weights)))
        assert off < Fraction(len(weights), MAX_PARTS)
    assert len(set(zip(parts, weights, strict=True))) == len(set(weights))  # equals stay equal
    pairs = sorted(zip(weights, parts, strict=True))
    random.shuffle(pairs)
    assert rounded_parts([weight for weight, _ in pairs]) == tuple(part for _, part in pairs)


def test_weights_that_need_too_many_parts_are_rounded_by_the_largest_remainder() -> None:
    weights = {"A": "0.1234567", "B": "0.3456789", "C": "0.5308644"}
    shares = [Fraction(weight) * MAX_PARTS for weight in weights.values()]
    recipe = Recipe.of(weights)
    assert recipe.parts == (64727, 181235, 278326)  # 129454, 362470, 556652 of 2^20
    assert [abs(2 * part - share) < 1 for part, share in zip(recipe.parts, shares, strict=True)] == [True] * 3
    assert recipe.table[0].asked == tuple(map(Fraction, weights.values()))
    assert recipe.id == Recipe.of({"A": 129454, "B": 362470, "C": 556652}).id
    assert Recipe.of(["A", "B"]).remark is None
    rows = Recipe(
        tuple(Ingredient(p, None) for p in "AB"),
        (Row.of_weights("x", [Fraction(1, 3), Fraction("0.1234567")]),),
    )
    assert rows.remark is not None


def test_zero_for_one_ingredient_is_allowed() -> None:
    assert Recipe.of({"A": 0, "B": 3}).parts == (0, 1)


def test_id_ignores_order_and_unit_but_not_the_recipe() -> None:
    first = Recipe.of({"A": "0.5", "B": "0.2", "C": "0.3"})
    assert first.id == Recipe.of({"C": 3, "B": 2, "A": 5}).id
    assert len(first.id) == 16
    assert first.id != Recipe.of({"A": "0.5", "B": "0.3", "C": "0.2"}).id
    assert Recipe.of({"A": 1, "B": 1}).id == Recipe.of(["B", "A"]).id


def test_sizes_and_dtypes() -> None:
    assert [parse_size(t) for t in ("5GB", "500mb", "2GiB", "1.5 kB", "7", "7B")] == [
        5 * 10**9, 5 * 10**8, 2 << 30, 1500, 7, 7,
    ]  # fmt: skip
    for bad in ("", "5XB", "-1", "0", "0.5", "1e9", "5 0", "9999999TB", "5GBx"):
        with pytest.raises(RecipeError):
            parse_size(bad)
    assert [parse_dtype(t) for t in ("f64", "float32", "half", "BF16", "torch.bfloat16", "fp16", "FP32", "fp64")] == [
        "F64", "F32", "F16", "BF16", "BF16", "F16", "F32", "F64",
    ]  # fmt: skip
    with pytest.raises(RecipeError, match="`int8` is not a dtype soce writes"):
        parse_dtype("int8")
