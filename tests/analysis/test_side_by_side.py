"""Items side by side, and the sample of what a soup wins and loses."""

from __future__ import annotations

import random

import pytest

from soce.analysis.item_texts import excerpt
from soce.analysis.side_by_side import side_by_side, wins_and_losses
from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError

N = 40
CATEGORIES = ("math", "code", "chat")


def evaluation(name: str, *, speaks: bool = True, seed: int = 0, order: int = 0) -> Evaluation:
    """Return outcomes and answers of a model, the items in some order."""
    draw = random.Random(f"{name}{seed}")
    outcomes = {
        category: {f"{category}-{i}": float(draw.random() < 0.5) for i in range(N)} for category in CATEGORIES
    }
    if order:
        shuffled = random.Random(order)
        outcomes = {
            category: dict(shuffled.sample(sorted(found.items()), N))
            for category, found in shuffled.sample(sorted(outcomes.items()), len(CATEGORIES))
        }
    answers = {
        category: {item: Answer("00", text=f"{name}: {item}") for item in found}
        for category, found in outcomes.items()
    }
    return Evaluation.of_items(outcomes, answers=answers if speaks else None)


def test_the_sample_is_won_from_all_first_and_from_each_category_in_turn() -> None:
    found = {name: evaluation(name) for name in ("soup", "a", "b")}
    sample = wins_and_losses(found, "soup", ["a", "b"], best="a", limit=6)
    solved = {
        name: {(c, i) for c, items in (e.items or {}).items() for i in items if items[i]}
        for name, e in found.items()
    }
    won, lost = solved["soup"] - solved["a"], solved["a"] - solved["soup"]
    assert (sample.n_won, sample.n_lost) == (len(won), len(lost))
    assert sample.n_won_from_all == len(won - solved["b"])
    assert sample.n_lost_to_all == len(lost & solved["b"])
    for items, of in ((sample.won, won - solved["b"]), (sample.lost, lost & solved["b"])):
        assert {(one.category, one.item) for one in items} <= of
        assert sorted(one.category for one in items) == sorted(CATEGORIES * 2)
        assert [one.model for one in items[0].said] == ["soup", "a", "b"]


def test_the_sample_does_not_depend_on_any_order() -> None:
    first = wins_and_losses(
        {name: evaluation(name) for name in ("soup", "a", "b")}, "soup", ["a", "b"], best="a"
    )
    other = wins_and_losses(
        {name: evaluation(name, order=5) for name in ("b", "soup", "a")}, "soup", ["a", "b"], best="a"
    )
    assert first == other


def test_wins_from_the_best_alone_fill_the_sample_up() -> None:
    def one(*outcomes: float) -> Evaluation:
        items = {f"q{i}": outcome for i, outcome in enumerate(outcomes)}
        return Evaluation.of_items(
            {"math": items}, answers={"math": {name: Answer("00", text="") for name in items}}
        )

    found = {"soup": one(1, 1, 1), "a": one(0, 0, 0), "b": one(1, 0, 1)}
    sample = wins_and_losses(found, "soup", ["a", "b"], best="a", limit=2)
    assert (sample.n_won, sample.n_won_from_all, sample.won[0].item, len(sample.won)) == (3, 1, "q1", 2)


def test_items_without_an_answer_are_counted_and_not_sampled() -> None:
    found = {name: evaluation(name, speaks=False) for name in ("soup", "a")}
    sample = wins_and_losses(found, "soup", ["a"], best="a")
    assert sample.n_won > 0
    assert (sample.won, sample.lost) == ((), ())


def test_where_lower_is_better_less_wins_and_nothing_is_failed() -> None:
    def surprised(*values: float) -> Evaluation:
        items = {f"q{i}": value for i, value in enumerate(values)}
        return Evaluation.of_items(
            {"text": items}, scale=None, higher_is_better={"text": False}, geometric=["text"]
        )

    items = side_by_side({"soup": surprised(2.0, 3.0, 1.0), "a": surprised(2.5, 2.0, 1.0)})
    assert [one.item for one in items if one.matches("won")] == ["q0"]
    assert [one.item for one in items if one.matches("lost")] == ["q1"]
    assert not any(one.matches("failed") for one in items)
    assert items[2].said[0].is_right is None


def test_under_a_corpus_metric_items_are_read_but_neither_won_nor_failed() -> None:
    corpus = Corpus(CorpusMetric("ratio"), {"q0": (1, 1)})
    found = Evaluation.of_items(
        {"flores": corpus}, scale=None, answers={"flores": {"q0": Answer("00", text="Bonjour")}}
    )
    (one,) = side_by_side({"soup": found, "a": found})
    assert (one.said[0].outcome, one.has_answers) == (None, True)
    assert not any(one.matches(which) for which in ("failed", "won", "lost"))


def test_different_items_are_refused() -> None:
    other = evaluation("a").restricted({"math": ["math-1"], "code": ["code-2"]})
    with pytest.raises(EvaluationError, match="were asked different items"):
        side_by_side({"soup": evaluation("soup"), "a": other})


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 500, "word " * 100, "one line\n" * 60, "x" * 90 + " y" * 90]
)
def test_excerpts_keep_both_ends(text: str) -> None:
    found = excerpt(text, 100)
    assert len(text) > 100 or found == text
    if len(text) > 100:
        assert len(found) <= 100 + len(" ... (999 more characters) ... ")
        assert text.startswith(found.split(" ... (")[0])
        assert text.endswith(found.split(") ... ")[-1])
