"""Numbers read exactly from text: no float ever holds a weight."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

HOW_TO_WRITE: Final = "write an integer (5), a decimal (0.5) or a fraction (1/3)"
"""Hint beside a number that is refused."""
MAX_DIGITS: Final = 64
"""Most characters of a number."""

_DECIMAL = re.compile(r"(?=\.?[0-9])(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_FRACTION = re.compile(r"(0|[1-9][0-9]*) ?/ ?([1-9][0-9]*)", re.ASCII)
# What people or other readers might take for a number, in the order tried.
_NOT_NUMBERS: Final = (
    (r"", "is empty"),
    (r"(?i:~|null|none)", "is null, not a number"),
    (r"(?i:[-+]?\.?nan)", "is not a number"),
    (r"(?i:[-+]?\.?inf(inity)?)", "is infinite"),
    (r"(?i:yes|no|on|off|true|false|y|n)", "is a truth value, not a number"),
    (r"-.*", "is negative"),
    (r"\+.*", "has a plus sign"),
    (r"0[xX].*", "is hexadecimal"),
    (r"0[oObB].*", "is octal or binary"),
    (r"[0-9.]*_[0-9._]*", "has an underscore"),
    (r"[0-9]+(:[0-9.]+)+", "is sexagesimal"),
    (r"0[0-9]+.*", "starts with a zero, which some readers take for octal"),
    (r"[0-9]+ ?/ ?0+", "divides by zero"),
    (r"[0-9.]+%", "is a percentage"),
    (r"[0-9]+,[0-9]+", "has a comma"),
)


def exact_number(text: str, *, signed: bool = False) -> Fraction:
    """Return the exact value of an integer (``5``), a decimal (``0.5``, ``5e-1``) or a fraction (``1/3``).

    Anything else is a ValueError that says what it is, to stand behind the number: ``is hexadecimal``. So is
    a minus sign, unless `signed`.

    Examples
    --------
    >>> exact_number("0.1"), exact_number("1/3"), exact_number("-2", signed=True)
    (Fraction(1, 10), Fraction(1, 3), Fraction(-2, 1))
    """
    text = text.strip(" ")
    if len(text) > MAX_DIGITS:
        message = f"has {len(text)} characters, at most {MAX_DIGITS} are read"
        raise ValueError(message)
    digits, sign = (text[1:], -1) if signed and text.startswith("-") else (text, 1)
    if match := _FRACTION.fullmatch(digits):
        return sign * Fraction(int(match[1]), int(match[2]))
    if _DECIMAL.fullmatch(digits):
        return sign * Fraction(digits)
    reason = next((reason for form, reason in _NOT_NUMBERS if re.fullmatch(form, digits)), "is not a number")
    raise ValueError(reason)
