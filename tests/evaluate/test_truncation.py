"""Texts that ended by length are counted, and told where arms differ in them."""

from __future__ import annotations

from soce.evaluate.answers import Answer
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.truncation import Truncation, truncation_caution, truncation_of


def test_only_texts_whose_end_is_known_count() -> None:
    endings = ("stop", "length", None, "length", "stop")
    answers = {
        "math": {str(i): Answer("0", text="x", ending=ending) for i, ending in enumerate(endings)},  # type: ignore[arg-type]
        "facts": {"0": Answer("0", choice=1, log_likelihoods=(-1, -2))},
    }
    items = {name: dict.fromkeys(found, 1.0) for name, found in answers.items()}
    evaluation = Evaluation.of_items(items, answers=answers)
    assert truncation_of(evaluation) == {"math": Truncation(2, 4)}
    assert truncation_of(evaluation.restricted({"math": ["0", "1"], "facts": ["0"]})) == {
        "math": Truncation(1, 2)
    }


def test_the_first_that_differs_is_named_in_the_category_where_it_differs_most() -> None:
    soup = {"math": Truncation(2, 40), "code": Truncation(0, 10), "chat": Truncation(5, 10)}
    near = {"math": Truncation(2, 40), "code": Truncation(0, 10)}
    far = {"math": Truncation(4, 40), "code": Truncation(9, 10), "chat": Truncation(5, 10)}
    assert truncation_caution("soup", {"soup": soup, "near": near}) is None
    assert truncation_caution("soup", {"soup": {}, "near": near}) is None
    told = truncation_caution("soup", {"soup": soup, "near": near, "far": far})
    assert told is not None
    assert told.startswith(
        "In `code` 9 of 10 texts of `far` ended by length, and 0 of 10 of `soup` (and other numbers in 1 more)"
    )
