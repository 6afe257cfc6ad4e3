"""A tasks file with another scorer, and which answers serve other items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soce.evaluate.answers import Answer
from soce.evaluate.tasks.items import read_tasks
from soce.evaluate.tasks.keys import answer_keys, item_keys
from soce.evaluate.tasks.other_scorer import with_scorer
from soce.evaluate.tasks.scoring import score_answers
from soce.exceptions import EvaluationError

IDENTITY = {"evaluator": "torch", "stop": ["\n"], "max_new_tokens": 32}
LINES = [
    {"category": "sums", "kind": "exact_match", "prompt": "1 + 1 =", "answer": "2"},
    {"category": "sums", "id": 7, "scorer": "exact", "prompt": "2 + 2 =", "answer": "4", "max_new_tokens": 9},
    {
        "category": "sums",
        "scorer": "choice",
        "messages": [{"role": "user", "content": "3 + 3?"}],
        "choices": ["5", "6"],
        "answer": 1,
    },
    {"category": "picks", "kind": "multiple_choice", "prompt": "4 + 4 =", "choices": ["8", "9"], "answer": 0},
    {"category": "texts", "kind": "perplexity", "text": "one two"},
]


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_ids_and_questions_stay_and_texts_get_the_scorer(tmp_path: Path) -> None:
    path = write(tmp_path / "tasks.jsonl", LINES)
    old = read_tasks(path)
    new, text = with_scorer(path, {"name": "number", "tolerance": 0.5}, stop=["\n"])
    (tmp_path / "new.jsonl").write_text(text)
    assert read_tasks(tmp_path / "new.jsonl").items == new.items
    assert [one.key for one in new.items] == [one.key for one in old.items]
    assert [one.question for one in new.items] == [one.question for one in old.items]
    assert answer_keys(new, IDENTITY) == answer_keys(old, IDENTITY)
    before, after = item_keys(old, IDENTITY), item_keys(new, IDENTITY)
    assert {name for name in before if before[name] == after[name]} == {"picks", "texts"}
    assert not {*before["sums"].values()} & {*after["sums"].values()}
    three = new.items[:3]
    said = {one.id: Answer("", text="It is 2.25, I think.") for one in three}
    found = score_answers(three, {one.category: said for one in three})
    assert [found[one.category][one.id] for one in three] == [1, 0, 0]  # type: ignore[index]
    third = new.items[2]
    right = score_answers([third], {third.category: {third.id: Answer("", text="6")}})
    assert right == {third.category: {third.id: 1}}  # the right choice, written out


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"answer": "3"}, True),
        ({"id": "other"}, True),
        ({"category": "other"}, True),
        ({"kind": "generation", "scorer": "contains", "stop": ["\n"]}, True),
        ({"kind": "generation", "scorer": "contains"}, False),
        ({"kind": "generation", "scorer": "contains", "stop": []}, False),
        ({"max_new_tokens": 32}, True),
        ({"max_new_tokens": 33}, False),
        ({"stop": "."}, False),
        ({"prompt": "1 + 2 ="}, False),
    ],
)
def test_an_answer_serves_items_that_ask_the_same_in_the_same_way(
    tmp_path: Path, change: dict[str, object], is_same: bool
) -> None:
    tasks = read_tasks(write(tmp_path / "tasks.jsonl", LINES[:1]))
    other = read_tasks(write(tmp_path / "other.jsonl", [{**LINES[0], **change}]))
    (one,), (two,) = (answer_keys(held, IDENTITY).values() for held in (tasks, other))
    assert (one == two) == is_same


def test_the_default_kind_is_written_out(tmp_path: Path) -> None:
    line = {name: value for name, value in LINES[0].items() if name != "kind"}
    path = write(tmp_path / "tasks.jsonl", [line])
    new, _ = with_scorer(path, "contains", stop=["\n"], kind="exact_match")
    old = read_tasks(path, kind="exact_match")
    assert answer_keys(new, IDENTITY) == answer_keys(old, IDENTITY)


@pytest.mark.parametrize(
    ("lines", "scorer", "message"),
    [
        (LINES, "numbers", "did you mean `number`"),
        (LINES, "choice", "line 1: has no `choices`"),
        (LINES[3:], "number", "no item's text is written by the model"),
    ],
)
def test_what_cannot_be_scored_so_is_refused(
    tmp_path: Path, lines: list[dict[str, object]], scorer: str, message: str
) -> None:
    path = write(tmp_path / "tasks.jsonl", lines)
    with pytest.raises(EvaluationError, match=message):
        with_scorer(path, scorer, stop=["\n"])
