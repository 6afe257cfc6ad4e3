"""Methods whose coefficients no tensor has a say in."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.recipes.methods import Method


def task_arithmetic(weights: Sequence[Fraction], method: Method) -> tuple[Fraction, ...]:
    """Return λ times each weight, divided by their sum with `normalize`."""
    total = Fraction(1)
    if method.value("normalize"):
        total = sum(weights, Fraction(0))
        if not total:
            refuse("`normalize` divides by the sum of the weights, which is 0", "leave `normalize` out")
    return tuple(method.number("lambda") * weight / total for weight in weights)


def interpolate(_: Sequence[Fraction], method: Method) -> tuple[Fraction, ...]:
    """Return alpha for the one ingredient; the base has the rest."""
    return (method.number("alpha"),)
