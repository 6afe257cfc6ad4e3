"""Numbers read exactly from text."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.files.numbers import exact_number


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_fractions_are_read_exactly(numerator: int, denominator: int) -> None:
    assert exact_number(f"{numerator}/{denominator}") == Fraction(numerator, denominator)
    assert exact_number(f"-{numerator}/{denominator}", signed=True) == -Fraction(numerator, denominator)


@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=9))
def test_decimals_are_read_exactly(value: Decimal) -> None:
    assert exact_number(f"{value:f}") == Fraction(value)


@pytest.mark.parametrize("text", ["5", "5.", "5.0", " 5 ", "5e0", "0.5e1", "50E-1", "10/2", "10 / 2"])
def test_ways_to_write_five(text: str) -> None:
    assert exact_number(text) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("~", "is null, not a number"),
        (".nan", "is not a number"),
        (".inf", "is infinite"),
        ("-.Inf", "is infinite"),
        ("Infinity", "is infinite"),
        ("yes", "is a truth value, not a number"),
        ("true", "is a truth value, not a number"),
        ("-1", "is negative"),
        ("+1", "has a plus sign"),
        ("0x10", "is hexadecimal"),
        ("0o7", "is octal or binary"),
        ("0b1", "is octal or binary"),
        ("1_000", "has an underscore"),
        ("1:30", "is sexagesimal"),
        ("010", "starts with a zero, which some readers take for octal"),
        ("05e0", "starts with a zero, which some readers take for octal"),
        ("1/0", "divides by zero"),
        ("50%", "is a percentage"),
        ("0,5", "has a comma"),
        (".", "is not a number"),
        ("e5", "is not a number"),
        ("half", "is not a number"),
        ("1/3/5", "is not a number"),
        ("\u0665", "is not a number"),
        ("1e999", "is not a number"),
        ("1" * 65, "has 65 characters, at most 64 are read"),
    ],
)
def test_texts_that_are_no_numbers(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^{reason}$"):
        exact_number(text)


@pytest.mark.parametrize("text", ["--1", "- 1", "+1", "-", "-0x1", "-inf"])
def test_a_sign_is_a_minus_before_a_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is|has"):
        exact_number(text, signed=True)
