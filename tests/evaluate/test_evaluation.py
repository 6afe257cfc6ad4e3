"""What an evaluation may hold, and what is left of it when some items are chosen."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from soce.evaluate.answers import Answer
from soce.evaluate.evaluation import CategoryScore, Evaluation, chosen_items
from soce.exceptions import EvaluationError

ITEMS = {"math": {"q1": 1.0, "q2": 0.0, "q3": 1.0}, "loss": {"t1": 2.0, "t2": 8.0}}


def evaluation() -> Evaluation:
    return Evaluation.of_items(
        ITEMS, scale="percent", higher_is_better={"loss": False}, geometric=["loss"], notes=["slow"]
    )


def test_scores_are_means_of_items_and_geometric_ones_keep_their_unit() -> None:
    found = evaluation()
    assert found.categories["math"].score == pytest.approx(200 / 3)
    assert found.categories["math"].n == 3
    assert found.categories["loss"].score == pytest.approx(4)
    assert found.higher_is_better == {"math": True, "loss": False}


def test_json_and_back_is_the_same_and_the_table_has_a_row_a_category() -> None:
    found = evaluation()
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
    frame = found.to_frame()
    assert list(frame.index) == ["math", "loss"]
    assert list(frame.columns) == ["score", "n", "stderr"]
    assert frame.loc["loss", "n"] == 2


@pytest.mark.parametrize(
    "data", [{}, {"categories": 3}, {"categories": {"a": {}}}, {**evaluation().to_json(), "x": 1}]
)
def test_other_data_are_no_evaluation(data: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError, match="not a recorded evaluation"):
        Evaluation.from_json(data)


@pytest.mark.parametrize(
    "given",
    [
        {"categories": {}},
        {"categories": {"a": CategoryScore(1)}, "scale": "mille"},
        {"categories": {"a": CategoryScore(1)}, "higher_is_better": {"b": True}},
        {"categories": {"a": CategoryScore(1)}, "items": {"b": {"q": 1}}},
        {"categories": {"a": CategoryScore(1)}, "items": {"a": {"q": math.nan}}},
        {"categories": {"a": CategoryScore(1)}, "items": {"a": {"q": 0}}, "geometric": ["a"]},
        {"categories": {"a": CategoryScore(37)}, "items": {"a": {"q": 37}}, "scale": "percent"},
        {"categories": {"a": CategoryScore(-1)}, "items": {"a": {"q": -1}}, "scale": "unit"},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError):
        Evaluation(**given)


@pytest.mark.parametrize("given", [(math.inf,), (1.0, 0), (1.0, 2, -0.1), (1.0, 2, math.nan)])
def test_what_is_no_score_is_refused(given: tuple[Any, ...]) -> None:
    with pytest.raises(EvaluationError):
        CategoryScore(*given)


def test_items_are_chosen_in_the_order_in_which_they_are_known() -> None:
    known = {name: tuple(found) for name, found in ITEMS.items()}
    assert chosen_items(known, {"loss": ["t1"], "math": ["q3", "q1"]}) == {
        "math": ("q1", "q3"),
        "loss": ("t1",),
    }
    restricted = evaluation().restricted({"math": ["q2"]})
    assert restricted.items == {"math": {"q2": 0.0}}
    assert (restricted.scale, restricted.geometric, restricted.notes) == ("percent", frozenset(), ("slow",))


@pytest.mark.parametrize(
    ("wanted", "named"),
    [({"maths": ["q1"]}, "`maths`"), ({"math": ["q1", "q8", "q9"]}, "`q8`"), ({"math": []}, "`math`")],
)
def test_items_that_are_not_known_are_named(wanted: dict[str, list[str]], named: str) -> None:
    with pytest.raises(EvaluationError, match=named):
        chosen_items(ITEMS, wanted)


def test_answers_are_kept_beside_their_outcomes() -> None:
    answers = {"math": {"q1": Answer("6f", text="42", ending="length"), "q2": Answer("a0", choice=1)}}
    evaluation = Evaluation.of_items({"math": {"q1": 1, "q2": 0, "q3": 0}}, answers=answers)
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert evaluation.restricted({"math": ["q2", "q3"]}).answers == {"math": {"q2": Answer("a0", choice=1)}}
    assert evaluation.answers["math"]["q1"].is_cut


def test_a_log_likelihood_that_is_no_number_comes_back_from_json() -> None:
    (back,) = Answer(
        **json.loads(json.dumps(Answer("6f", log_likelihoods=(math.nan,)).to_json()))
    ).log_likelihoods
    assert math.isnan(back)
