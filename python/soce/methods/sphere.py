"""Methods that go along a sphere: slerp between two tensors, means of directions of several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from soce.methods.found import Coefficients
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from typing import NoReturn

    from soce.methods.geometry import Vectors
    from soce.recipes.methods import Method

PARALLEL: Final = "parallel: the linear mean"
OPPOSITE: Final = "opposite: the linear mean"
_NEARLY: Final = 1e-7
"""How near |cos θ| is to 1 where the way along the sphere is taken for the straight one: for parallel tensors
they differ by less than the parts can say, and opposite ones have no way between them."""
_BALANCED: Final = 1e-6
"""How short a mean of directions is where nothing is left of it but rounding."""
_NO_ANGLE: Final = 1e-8


def slerp(weights: Sequence[Fraction], vectors: Vectors, _: Method) -> Coefficients:
    """Return sin((1-t)θ)/sin θ and sin(tθ)/sin θ, θ the angle between two tensors; also of nuslerp."""
    if len(vectors) < 2 or not all(vectors.own):
        return Coefficients(tuple(weights), {}, PARALLEL if len(vectors) == 2 else "")
    cosine, theta = vectors.cosine(0, 1), vectors.angle(0, 1)
    told = {"cos": cosine}
    if 1 - abs(cosine) <= _NEARLY:
        return Coefficients(tuple(weights), told, PARALLEL if cosine > 0 else OPPOSITE)
    return Coefficients.of_floats([math.sin(float(one) * theta) / math.sin(theta) for one in weights], told)


def multislerp(weights: Sequence[Fraction], vectors: Vectors, _: Method) -> Coefficients:
    """Return the mean of the directions, brought to the mean of the lengths.

    The method is told as a step from that mean along the tangent space and back to the sphere, but tangent
    vectors at a mean sum to zero: there is nowhere to go.
    """
    directions = vectors.directions()
    each = [float(one) for one in weights]
    length = math.sqrt(directions.square_of(each))
    if not any(vectors.own):
        return Coefficients(tuple(weights))
    if length < _BALANCED:
        _refuse_balanced()
    return _of_lengths(each, length, weights, vectors)


def karcher(weights: Sequence[Fraction], vectors: Vectors, method: Method) -> Coefficients:
    """Return the mean of the directions on the sphere itself, brought to the mean of the lengths.

    Every iterate is a combination of the ingredients, so that the way there is gone in their coefficients.
    """
    if not any(vectors.own):
        return Coefficients(tuple(weights))
    directions = vectors.directions()
    shares = [float(weight) * unit for weight, unit in zip(weights, directions.own, strict=True)]
    whole = math.fsum(shares)
    length = math.sqrt(directions.square_of(shares))
    if length < _BALANCED * whole or not whole:
        _refuse_balanced()
    shares = [share / whole for share in shares]
    mean = [share * whole / length for share in shares]
    steps, tolerance = 0, float(method.number("tol"))
    while steps < method.number("max_iter"):
        tangent = _tangent(shares, mean, directions)
        size = math.sqrt(directions.square_of(tangent))
        if size < tolerance:
            break
        steps += 1
        mean = [
            math.cos(size) * one + math.sin(size) * toward / size
            for one, toward in zip(mean, tangent, strict=True)
        ]
        length = math.sqrt(directions.square_of(mean))
        mean = [one / length for one in mean]
    found = _of_lengths(mean, 1.0, weights, vectors)
    return Coefficients(found.values, {**found.told, "steps": steps})


def _tangent(shares: Sequence[float], mean: Sequence[float], directions: Vectors) -> list[float]:
    """Return the weighted mean of the ways from a direction to all others, in coefficients."""
    tangent = [0.0] * len(shares)
    back = []
    for i, share in enumerate(shares):
        if not share:
            continue
        cosine = min(1.0, max(-1.0, directions.with_combination(mean, i)))
        sine = math.sqrt(1 - cosine**2)
        factor = share * (math.atan2(sine, cosine) / sine if sine > _NO_ANGLE else 1.0)
        tangent[i] = factor
        back.append(factor * cosine)
    return [toward - math.fsum(back) * one for toward, one in zip(tangent, mean, strict=True)]


def _of_lengths(
    mean: Sequence[float], length: float, weights: Sequence[Fraction], vectors: Vectors
) -> Coefficients:
    """Return what gives a combination of directions the mean length of the tensors."""
    lengths = [vectors.length(i) for i in range(len(vectors))]
    wanted = math.fsum(float(weight) * one for weight, one in zip(weights, lengths, strict=True))
    told = {"length": wanted, "shrink": length}
    values = [
        0.0 if one == 0 else share * wanted / (length * one) for share, one in zip(mean, lengths, strict=True)
    ]
    return Coefficients.of_floats(values, told)


def _refuse_balanced() -> NoReturn:
    message = "the directions of the ingredients cancel out, so that none is between them"
    refuse(message, "give them other weights, or average them with `linear`")
