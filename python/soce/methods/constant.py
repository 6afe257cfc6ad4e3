"""Methods whose coefficients no tensor has a say in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.recipes.parts import over_their_sum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from soce.recipes.methods import Method


def task_arithmetic(weights: Sequence[Fraction], method: Method) -> tuple[Fraction, ...]:
    """Return λ times each weight, divided by their sum with `normalize`."""
    each = over_their_sum(weights) if method.value("normalize") else weights
    return tuple(method.number("lambda") * weight for weight in each)


def interpolate(_: Sequence[Fraction], method: Method) -> tuple[Fraction, ...]:
    """Return alpha for the one ingredient; the base has the rest."""
    return (method.number("alpha"),)
