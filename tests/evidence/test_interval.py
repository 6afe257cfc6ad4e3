"""Paired intervals of weighted differences: closed forms, invariances, few items and no spread."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import ttest_ind

from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import paired_interval, score_interval
from soce.exceptions import EvaluationError

HALF = {"a": Fraction(1, 2), "b": Fraction(1, 2)}
ONE = {"a": Fraction(1)}
PAIRS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 1.0])] * 2), min_size=1, max_size=12)


def of(scale: str | None = "unit", **outcomes: list[float]) -> Evaluation:
    items = {name: {f"q{i}": value for i, value in enumerate(given)} for name, given in outcomes.items()}
    return Evaluation.of_items(items, scale=scale)  # type: ignore[arg-type]


def bits(rng: np.random.Generator, share: float, n: int) -> list[float]:
    return [float(value) for value in rng.random(n) < share]


def test_many_items_give_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    first = {"a": bits(rng, 0.7, 4000), "b": bits(rng, 0.6, 3000)}
    second = {"a": bits(rng, 0.6, 4000), "b": bits(rng, 0.5, 3000)}
    found = paired_interval(of(**first), of(**second), weights=HALF)
    differences = [np.subtract(first[name], second[name]) for name in "ab"]
    variance = sum(0.25 * one.var() / len(one) for one in differences)
    assert found.difference == pytest.approx(sum(0.5 * one.mean() for one in differences), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.005)
    assert (found.n_items, found.fewest, found.widened) == (7000, 3000, ())


def test_the_formula_by_hand() -> None:
    """Differences 1, 1, 0, -1 and 0, 0, 1: S is 11/4 and 2/3, the largest deviation 5/4."""
    first, second = of(a=[1, 1, 0, 0], b=[0, 1, 1]), of(a=[0, 0, 0, 1], b=[0, 1, 0])
    found = paired_interval(first, second, weights=HALF)
    shares = [(1 / 4) / (1 / 4 + 1 / 3), (1 / 3) / (1 / 4 + 1 / 3)]
    parts = [
        0.25 * (squares + 2 * share * 1.25**2) / (n * (n - 1))
        for squares, share, n in zip((11 / 4, 2 / 3), shares, (4, 3), strict=True)
    ]
    assert found.degrees == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2))
    assert found.difference == pytest.approx(0.5 * 0.25 + 0.5 / 3)
    assert found.level == 0.95
    t = (found.difference - found.low) / math.sqrt(sum(parts))
    assert found.high == 1, "no two models differ by more"
    assert 2.57 < t < 2.78, "between the quantiles of 4 and 5 degrees of freedom"


@given(PAIRS, PAIRS)
def test_who_is_first_and_the_scale_change_sign_and_unit_only(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    def scored(place: int, scale: str, step: int = 1) -> Evaluation:
        items = {name: [pair[place] for pair in pairs][::step] for name, pairs in (("a", a), ("b", b))}
        return of(scale, **items)

    found = paired_interval(scored(0, "unit"), scored(1, "unit"), weights=HALF)
    assert found.low <= found.difference <= found.high
    assert found.low < found.high, "no number of items makes sure"
    turned = paired_interval(scored(1, "unit"), scored(0, "unit"), weights=HALF)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    percent = paired_interval(scored(0, "percent"), scored(1, "percent"), weights=HALF)
    assert (percent.low, percent.high) == pytest.approx((100 * found.low, 100 * found.high))
    assert paired_interval(scored(0, "unit", -1), scored(1, "unit", -1), weights=HALF) == found


def test_a_category_without_weight_plays_no_part() -> None:
    first, second = of(a=[1, 1, 0], b=[1, 1]), of(a=[0, 1, 0], b=[0, 0])
    alone = paired_interval(of(a=[1, 1, 0]), of(a=[0, 1, 0]), weights=ONE)
    assert paired_interval(first, second, weights={**ONE, "b": Fraction(0)}) == alone


def test_equal_differences_are_no_certainty() -> None:
    first, second = of(a=[1] * 20, b=[1, 0] * 10), of(a=[1] * 20, b=[0, 1] * 10)
    found = paired_interval(first, first, weights=HALF)
    assert found.widened == ("a", "b")
    assert found.low < 0 == found.difference < found.high
    assert paired_interval(first, second, weights=HALF).widened == ("a",)
    # Twenty items of twenty for the first, which is no proof of more than four in five.
    every = paired_interval(of(a=[1] * 20), of(a=[0] * 20), weights=ONE)
    assert (every.difference, every.high, every.widened) == (1.0, 1.0, ("a",))
    assert 0.8 < every.low < 0.9


def test_one_item_shows_nothing() -> None:
    """It was [+10.00, +10.00]."""
    weights = {name: Fraction(1, 10) for name in "abcdefghij"}
    first = of("percent", **{name: [float(name == "a")] for name in weights})
    second = of("percent", **{name: [0.0] for name in weights})
    found = paired_interval(first, second, weights=weights)
    assert (found.difference, found.fewest, found.widened) == (10.0, 1, tuple(weights))
    assert found.low < -10
    alone = paired_interval(of("percent", a=[1]), of("percent", a=[0]), weights=ONE)
    assert (alone.low, alone.high) == (-100.0, 100.0), "all that two models can differ by"


def test_small_categories_are_not_drowned_by_large_ones() -> None:
    """The mean of the categories is higher, most items are not."""
    first = of(large=[1.0] * 1000 + [0.0] * 1000, small=[1.0] * 36 + [0.0] * 4)
    second = of(large=[1.0] * 1100 + [0.0] * 900, small=[1.0] * 16 + [0.0] * 24)
    found = paired_interval(first, second, weights={"large": Fraction(1, 2), "small": Fraction(1, 2)})
    assert found.difference == pytest.approx((0.5 - 0.05) / 2)
    assert found.low > 0


def test_perplexities_are_geometric_means() -> None:
    first, second = (
        Evaluation.of_items({"a": dict(zip("xy", values, strict=True))}, scale=None, geometric={"a"})
        for values in ((2.0, 8.0), (1.0, 9.0))
    )
    found = paired_interval(first, second, weights={"a": Fraction(-1)})
    assert found.difference == pytest.approx(-4.0 + 3.0)
    same = paired_interval(first, first, weights={"a": Fraction(-1)})
    assert same.low < 0 == same.difference < same.high
    assert same.widened == ("a",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"a": Fraction(0)}}, "no category has a weight"),
        ({"weights": ONE, "level": 95}, "the level of an interval is 95"),
    ],
)
def test_what_makes_no_interval_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        paired_interval(of(a=[1]), of(a=[0]), **options)  # type: ignore[arg-type]


def test_a_difference_of_independent_differences_is_welchs() -> None:
    rng = np.random.default_rng(5)
    found, samples = [], []
    for n in (12, 30):
        outcomes = rng.random((2, n))
        delta = outcomes[0] - outcomes[1]
        one = paired_interval(*(of(None, a=list(row)) for row in outcomes), weights=ONE)
        half = stdtrit(n - 1, 0.975) * delta.std(ddof=1) / math.sqrt(n)  # without the items that are added
        low, high = one.difference - half, one.difference + half
        found.append(replace(one, low=low, high=high, degrees=n - 1, half_width=half))
        samples.append(delta)
    interval = found[0].minus(found[1])
    welch = ttest_ind(*samples, equal_var=False).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((welch.low, welch.high))
    assert (interval.n_items, interval.fewest) == (42, 12)
    equal = replace(found[0], difference=0.0, low=0.0, high=0.0, half_width=0.0)
    assert (equal.minus(equal).low, equal.minus(equal).high) == (0.0, 0.0)


def test_ends_that_are_cut_make_no_later_difference_surer() -> None:
    """It was ± 0.48: one item makes an interval so wide that both of its ends are cut."""
    one = paired_interval(of(a=[1]), of(a=[1]), weights=ONE)
    assert (one.low, one.high) == (-1, 1)
    assert one.half_width > 10
    twice = one.minus(one)
    assert (twice.low, twice.high) == (-2, 2), "all that two differences can differ by"


# ---- one score


@given(PAIRS, PAIRS)
def test_the_interval_of_a_score_has_a_width_and_stays_among_scores(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    outcomes = {"a": [one for one, _ in a], "b": [one for one, _ in b]}
    found = score_interval(of(**outcomes), weights=HALF)
    assert found.score == pytest.approx(np.mean([np.mean(one) for one in outcomes.values()]))
    assert 0 <= found.low <= found.score <= found.high <= 1
    assert found.low < found.high
    percent = score_interval(of("percent", **outcomes), weights=HALF)
    assert (percent.low, percent.high) == pytest.approx((100 * found.low, 100 * found.high))
    lower = score_interval(of(**outcomes), weights={name: -weight for name, weight in HALF.items()})
    assert (lower.low, lower.score, lower.high) == pytest.approx((-found.high, -found.score, -found.low))


def test_the_interval_of_a_score_is_that_of_the_difference_to_a_model_that_solves_nothing() -> None:
    outcomes = {"a": [1, 1, 0, 0.5], "b": [0, 1, 0, 1, 1]}
    nothing = of(**{name: [0] * len(values) for name, values in outcomes.items()})
    weights = {"a": Fraction(1, 3), "b": Fraction(2, 3)}
    found, paired = (
        score_interval(of(**outcomes), weights=weights),
        paired_interval(of(**outcomes), nothing, weights=weights),
    )
    assert (found.low, found.fewest) == (paired.low, 4)
    assert found.high == min(paired.high, 1)


def test_all_or_none_solved_is_no_certainty() -> None:
    """It was ± 0. The ends are near those of Clopper and Pearson, 0.832 and 0.168."""
    every, none = (score_interval(of(a=[value] * 20), weights=ONE) for value in (1, 0))
    assert every.high == 1
    assert none.low == 0
    assert every.low == pytest.approx(0.83, abs=0.02)
    assert none.high == pytest.approx(0.17, abs=0.02)


def test_a_perplexity_is_positive_and_other_scores_have_no_ends() -> None:
    values = {"a": {"x": 1.0, "y": 30.0}}
    found = score_interval(Evaluation.of_items(values, scale=None, geometric={"a"}), weights=ONE)
    assert (found.score, found.low) == (pytest.approx(math.sqrt(30)), 0)
    assert found.high > 10
    free = score_interval(Evaluation.of_items(values, scale=None), weights=ONE)
    assert free.low < 0
