"""Values of items whose mean is the score, exact where the score is a mean of outcomes."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import paired_interval
from soce.evidence.mcnemar import mcnemar
from soce.evidence.per_item import count_values, exact_score, paired_differences, weighted_difference
from soce.exceptions import EvaluationError

OUTCOMES = st.lists(st.sampled_from([0.0, 1.0, 0.1, 0.2, 1 / 3]) | st.floats(0, 1), min_size=1, max_size=30)


def scored(outcomes: list[float], **options: object) -> Evaluation:
    return Evaluation.of_items(
        {"a": {f"q{place}": outcome for place, outcome in enumerate(outcomes)}},
        **options,  # type: ignore[arg-type]
    )


@given(OUTCOMES, st.sampled_from(["unit", "percent"]))
def test_the_mean_of_the_values_is_the_exact_score(outcomes: list[float], scale: str) -> None:
    found = scored(outcomes, scale=scale)
    values = count_values(found, "a")
    assert sum(values.elements()) / values.total() == exact_score(found, "a")
    assert float(exact_score(found, "a")) == pytest.approx(found.categories["a"].score, abs=1e-11)
    assert exact_score(scored(outcomes[::-1], scale=scale), "a") == exact_score(found, "a")


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=30))
def test_the_values_of_a_geometric_mean_have_it_as_their_mean(outcomes: list[float]) -> None:
    found = scored(outcomes, scale=None, geometric={"a"})
    values = [float(value) for value in count_values(found, "a").elements()]
    assert math.fsum(values) / len(values) == pytest.approx(found.categories["a"].score, rel=1e-9)
    stderr = found.categories["a"].stderr
    if stderr is not None:
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        assert math.sqrt(squares / (len(values) - 1) / len(values)) == pytest.approx(
            stderr, rel=1e-6, abs=1e-9
        )


def test_of_a_corpus_the_values_are_linearised_and_their_mean_is_the_score() -> None:
    answers = {"q1": (1, 0, 0), "q2": (0, 1, 1), "q3": (1, 1, 0), "q4": (0, 0, 1)}
    found = Evaluation.of_items({"tags": Corpus(CorpusMetric("f1"), answers)}, scale=None)
    values = sorted(count_values(found, "tags").elements())
    assert [float(value) for value in values] == sorted(found.corpora["tags"].values().values())
    assert float(sum(values) / 4) == pytest.approx(found.categories["tags"].score)
    assert exact_score(found, "tags") == Fraction(1, 2)
    better = {**answers, "q4": (1, 0, 0)}
    other = Evaluation.of_items({"tags": Corpus(CorpusMetric("f1"), better)}, scale=None)
    interval = paired_interval(other, found, weights={"tags": Fraction(1)})
    assert interval.difference == pytest.approx(2 / 3 - 1 / 2)
    assert interval.low < interval.difference < interval.high
    assert (interval.n_items, interval.widened) == (4, ())
    assert mcnemar(other, found, weights={"tags": Fraction(1)}) is None


def test_three_tenths_are_three_tenths() -> None:
    first, second = scored([0.1, 0.2]), scored([0.3, 0.0])
    assert weighted_difference(first, second, {"a": Fraction(1)}) == 0
    assert paired_differences(first, second, "a") == {Fraction(-1, 5): 1, Fraction(1, 5): 1}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": {"x": 1.0}}, "category `a`: 1 item was scored for one model only, the first is `y`"),
        ({"b": {"x": 1.0}}, "category `a` has no items"),
    ],
)
def test_different_items_are_refused(second: dict[str, dict[str, float]], message: str) -> None:
    first = Evaluation.of_items({"a": {"x": 1.0, "y": 0.0}})
    with pytest.raises(EvaluationError) as caught:
        paired_differences(first, Evaluation.of_items(second), "a")
    assert str(caught.value) == message
