"""The sign-flip test of weighted differences, against all signs counted by hand."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.evaluate.evaluation import Evaluation
from soce.evidence import sign_flip as module
from soce.evidence.interval import paired_interval
from soce.evidence.mcnemar import mcnemar, mcnemar_p
from soce.evidence.sign_flip import sign_flip
from soce.exceptions import EvaluationError

PAIRS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 1.0])] * 2), min_size=1, max_size=5)
WEIGHTS = {"a": Fraction(1, 3), "b": Fraction(2, 3)}


def of(**outcomes: list[float]) -> Evaluation:
    return Evaluation.of_items(
        {name: {f"q{i}": value for i, value in enumerate(given)} for name, given in outcomes.items()}
    )


@given(PAIRS, PAIRS)
def test_p_is_the_share_of_signs_that_do_as_well(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    exact = {0.0: Fraction(0), 0.3: Fraction(3, 10), 1.0: Fraction(1)}
    steps = [
        WEIGHTS[name] * (exact[one] - exact[other]) / len(pairs)
        for name, pairs in (("a", a), ("b", b))
        for one, other in pairs
    ]
    sums = [
        sum(sign * step for sign, step in zip(signs, steps, strict=True))
        for signs in itertools.product((1, -1), repeat=len(steps))
    ]
    p = Fraction(sum(abs(one) >= abs(sum(steps)) for one in sums), len(sums))
    first, second = (of(a=[pair[k] for pair in a], b=[pair[k] for pair in b]) for k in (0, 1))
    found = sign_flip(first, second, weights=WEIGHTS)
    assert found.is_exact
    assert found.p == pytest.approx(float(p), rel=1e-12)
    assert sign_flip(second, first, weights=WEIGHTS) == found
    turned = [of(a=[pair[k] for pair in a][::-1], b=[pair[k] for pair in b][::-1]) for k in (0, 1)]
    assert sign_flip(*turned, weights=WEIGHTS) == found


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_of_items_that_count_the_same_it_is_mcnemar_s_test(b: int, c: int, equal: int) -> None:
    outcomes = [1.0] * b + [0.0] * c + [1.0] * (equal + 1)
    others = [0.0] * b + [1.0] * c + [1.0] * (equal + 1)
    found = sign_flip(of(a=outcomes), of(a=others), weights={"a": Fraction(1)})
    assert found.p == pytest.approx(mcnemar_p(b, c), rel=1e-11)


def test_the_test_and_the_interval_are_of_the_same_difference() -> None:
    """Most items are solved by the second model, and yet the mean of the categories is higher."""
    first = of(large=[1.0] * 1000 + [0.0] * 1000, small=[1.0] * 36 + [0.0] * 4)
    second = of(large=[1.0] * 1100 + [0.0] * 900, small=[1.0] * 16 + [0.0] * 24)
    weights = {"large": Fraction(1, 2), "small": Fraction(1, 2)}
    assert paired_interval(first, second, weights=weights).low > 0
    assert sign_flip(first, second, weights=weights).p < 1e-4
    assert mcnemar(first, second, weights=weights) is None
    small = {"large": Fraction(0), "small": Fraction(1)}
    assert paired_interval(first, second, weights=small).difference == 0.5
    assert sign_flip(first, second, weights=small).p == mcnemar_p(20, 0)
    large = {"large": Fraction(1), "small": Fraction(0)}
    assert paired_interval(first, second, weights=large).high < 0
    assert sign_flip(first, second, weights=large).p == mcnemar_p(100, 0)


def test_sums_that_only_rounding_tells_apart_are_equal() -> None:
    """Both signs of a sum are as far from 0, in whatever order logarithms were added."""
    rng = np.random.default_rng(0)
    outcomes = rng.uniform(0.1, 9, (2, 9)).tolist()
    first, second = (
        Evaluation.of_items(
            {"a": {f"q{i}": value for i, value in enumerate(given)}}, scale=None, geometric={"a"}
        )
        for given in (np.maximum(*outcomes).tolist(), np.minimum(*outcomes).tolist())
    )
    steps = module._steps(first, second, {"a": Fraction(1)})
    assert steps[1] == 11, "these have no common unit that fits"
    # Linearised values need not have one sign; all signs at once and none are always as far.
    found = sign_flip(first, second, weights={"a": Fraction(1)})
    assert found.is_exact
    assert found.p >= 2 / 2**9
    assert (found.p * 2**9) == round(found.p * 2**9)
    assert round(found.p * 2**9) % 2 == 0, "sums come in pairs"


def drawn(monkeypatch: pytest.MonkeyPatch, draws: int, seed: int) -> module.SignFlip:
    rng = np.random.default_rng(1)
    first, second = (of(a=(rng.random(60) < share).astype(float).tolist()) for share in (0.6, 0.45))
    monkeypatch.setattr(module, "_MAX_SUMS", 1)
    found = sign_flip(first, second, weights={"a": Fraction(1)}, draws=draws, seed=seed)
    monkeypatch.undo()
    exact = sign_flip(first, second, weights={"a": Fraction(1)})
    assert exact.is_exact
    assert not found.is_exact
    error = math.sqrt(exact.p * (1 - exact.p) / draws)
    assert abs(found.p - exact.p) < 5 * error + 1 / draws
    return found


def test_drawn_signs_come_close_and_are_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn(monkeypatch, 20_000, seed=4)
    assert found == drawn(monkeypatch, 20_000, seed=4)
    assert found.p != drawn(monkeypatch, 20_000, seed=5).p
    assert (found.p * 20_001) == pytest.approx(round(found.p * 20_001)), "(1 + count) / (1 + draws)"
    monkeypatch.setattr(module, "_CELLS", 1000)
    assert abs(drawn(monkeypatch, 20_000, seed=4).p - found.p) < 0.02, "in blocks too"


def test_drawn_p_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SUMS", 1)
    found = sign_flip(of(a=[1.0] * 200), of(a=[0.0] * 200), weights={"a": Fraction(1)}, draws=99)
    assert found.p == 1 / 100


def test_many_sizes_are_drawn_by_themselves() -> None:
    rng = np.random.default_rng(2)
    sizes = {name: 41 + 2 * place for place, name in enumerate("abcdefgh")}
    first, second = (
        of(**{name: (rng.random(n) < 0.5).astype(float).tolist() for name, n in sizes.items()})
        for _ in range(2)
    )
    found = sign_flip(first, second, weights={name: Fraction(1, 8) for name in sizes}, draws=500)
    assert (found.is_exact, found.draws) == (False, 500)


def test_some_signs_must_be_drawn() -> None:
    with pytest.raises(EvaluationError, match="the number of draws is 0"):
        sign_flip(of(a=[1]), of(a=[0]), weights={"a": Fraction(1)}, draws=0)


def test_no_difference_anywhere_is_no_evidence() -> None:
    found = sign_flip(of(a=[1, 0]), of(a=[1, 0]), weights={"a": Fraction(1)})
    assert (found.p, found.is_exact) == (1.0, True)
