"""Model Stock: how far to go from the base to the mean, from how much the deltas agree (Jang et al. 2024)."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, Final

from soce.methods.found import Coefficients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.methods.geometry import Vectors
    from soce.recipes.methods import Method

CLAMPED: Final = "opposed deltas: the base"
POLE: Final = "no finite ratio: the base"
_NEAR_POLE: Final = 1e-6


def model_stock(weights: Sequence[Fraction], deltas: Vectors, method: Method) -> Coefficients:
    """Return t/N for each ingredient, t = N cos / (1 + (N - 1) cos) of the mean cosine of pairs of deltas.

    A pair with a delta of zero has no angle and is left out; without any pair t is 0, or 1 if all are zero.
    """
    count = len(weights)
    pairs = [(i, j) for i, j in combinations(range(count), 2) if deltas.own[i] and deltas.own[j]]
    if not pairs:
        only = 0 if any(deltas.own) else 1
        return Coefficients((Fraction(only, count),) * count, {"t": only})
    if method.value("average") == "angle":
        cosine = math.cos(math.fsum(deltas.angle(*pair) for pair in pairs) / len(pairs))
    else:
        cosine = math.fsum(deltas.cosine(*pair) for pair in pairs) / len(pairs)
    below, remark = 1 + (count - 1) * cosine, ""
    if method.value("clamp") and cosine <= 0:
        t, remark = 0.0, CLAMPED if cosine < 0 else ""
    elif abs(below) < _NEAR_POLE:
        t, remark = 0.0, POLE
    else:
        t = count * cosine / below
    return Coefficients((Fraction(t) / count,) * count, {"t": t, "cos": cosine}, remark)


def mean_ratio(found: Sequence[Coefficients], sizes: Sequence[int]) -> float:
    """Return the mean t of all tensors, by their sizes."""
    total = math.fsum(one.told["t"] * size for one, size in zip(found, sizes, strict=True))
    return total / max(1, sum(sizes))
