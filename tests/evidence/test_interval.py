"""Paired intervals of weighted differences: closed forms, few items, what is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import paired_interval
from soce.exceptions import EvaluationError

HALF = Fraction(1, 2)


def outcomes(rng: np.random.Generator, share: float, n: int) -> dict[str, float]:
    return {f"q{i}": float(value) for i, value in enumerate(rng.random(n) < share)}


def test_the_interval_has_the_width_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    first = {"a": outcomes(rng, 0.7, 400), "b": outcomes(rng, 0.6, 300)}
    second = {"a": outcomes(rng, 0.6, 400), "b": outcomes(rng, 0.5, 300)}
    weights = {"a": HALF, "b": HALF}
    found = paired_interval(Evaluation.of_items(first), Evaluation.of_items(second), weights=weights)
    difference, variance = 0.0, 0.0
    for name in "ab":
        delta = np.array([first[name][i] - second[name][i] for i in first[name]])
        difference += 0.5 * delta.mean()
        variance += 0.25 * delta.var() / len(delta)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.05)
    assert found.low < found.difference < found.high


def test_perplexities_are_geometric_means() -> None:
    first, second = (
        Evaluation.of_items({"p": dict(zip("xy", values, strict=True))}, scale=None, geometric={"p"})
        for values in ((2.0, 8.0), (1.0, 9.0))
    )
    found = paired_interval(first, second, weights={"p": Fraction(-1)})
    assert found.difference == pytest.approx(-4.0 + 3.0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": {"x": 1.0}}, "category `a`: 1 item(s) were scored for one model only, the first is `y`"),
        ({"b": {"x": 1.0}}, "category `a` has no items"),
    ],
)
def test_different_items_are_refused(second: dict[str, dict[str, float]], message: str) -> None:
    first = Evaluation.of_items({"a": {"x": 1.0, "y": 0.0}})
    with pytest.raises(EvaluationError) as caught:
        paired_interval(first, Evaluation.of_items(second), weights={"a": Fraction(1)})
    assert str(caught.value) == message
