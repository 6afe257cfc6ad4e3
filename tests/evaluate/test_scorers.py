"""Every scorer gives the outcome that a person would, from an answer and an item alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.items import Tasks, read_tasks
from soce.evaluate.tasks.keys import item_keys
from soce.evaluate.tasks.lines import read_line
from soce.evaluate.tasks.scorers.registry import SCORERS, read_scorer
from soce.evaluate.tasks.scoring import score_answers, scorer_of
from soce.exceptions import EvaluationError


def item_of(scorer: object, **fields: Any) -> Item:
    """Return the item of a line with this scorer."""
    line = {"category": "a", "id": "1", "prompt": "?", "scorer": scorer, **fields}
    return Item(**read_line(json.dumps(line).encode(), None))


def score_answer(item: Item, answer: Answer) -> float:
    return scorer_of(item).score(item, answer)


def outcome(scorer: object, right: object, said: str, **fields: Any) -> float:
    given = fields if right is None else {"answer": right, **fields}
    return score_answer(item_of(scorer, **given), Answer("0", text=said, ending="stop"))


@pytest.mark.parametrize(
    ("scorer", "right", "said", "expected"),
    [
        ("exact", "4", " 4\n", 1),
        ("exact", "4", "4.", 0),
        ("exact", ["four", "4"], "4", 1),
        ("exact", "Paris", "paris", 0),
        ({"name": "exact", "ignore_case": True}, "STRASSE", "straße", 1),
        ({"name": "exact", "ignore_punctuation": True}, "4", "4.", 1),
        ({"name": "exact", "after": "</think>"}, "4", "<think>5</think> 6</think>\n4", 1),
        ({"name": "exact", "after": "</think>"}, "4", "4", 1),
        ("contains", "blue", "It is blue.", 1),
        ("contains", ["red", "blue"], "It is Blue.", 0),
        ({"name": "contains", "ignore_case": True}, ["red", "blue"], "It is Blue.", 1),
        ({"name": "regex", "pattern": r"answer is (\w+)"}, "B", "The answer is A. No, the answer is B", 1),
        ({"name": "regex", "pattern": r"answer is (\w+)", "take": "first"}, "A", "The answer is A. No, the answer is B", 1),
        ({"name": "regex", "pattern": r"(?P<x>\d+)-(?P<y>\d+)", "group": "y"}, "7", "3-7", 1),
        ({"name": "regex", "pattern": r"(\d+)-(\d+)", "group": 2}, "3", "3-7", 0),
        ({"name": "regex", "pattern": r"\d+"}, "7", "of 7 days", 1),
        ({"name": "regex", "pattern": r"^\{.*\}$"}, None, "{}", 1),
        ({"name": "regex", "pattern": r"^\{.*\}$"}, None, "[]", 0),
        ("number", 42, "So 6 * 7 = 42.", 1),
        ("number", "1,234.50", "that is $1234.5", 1),
        ("number", -3, "10 - 13 = -3", 1),
        ("number", 3, "10-7, which is 10-3", 1),
        ("number", 0.3, "0.1 + 0.2 = 0.3", 1),
        ("number", 0.3, "0.30000000000000004", 0),
        ({"name": "number", "tolerance": 0.01}, 3.14, "about 3.15", 1),
        ({"name": "number", "tolerance": 0.01}, 3.14, "about 3.1501", 0),
        ({"name": "number", "tolerance": 1}, 5, "4", 1),
        ("number", 1000000, "1e6", 1),
        ("number", 5, "none", 0),
        ("number", "1e999999999", "1", 0),
        ({"name": "number", "after": "####"}, 5, "6 #### 5", 1),
        ("json", {"a": [1, 2.0], "b": None}, '{"b": null,\n "a": [1.0, 2]}', 1),
        ("json", {"a": 1}, '{"a": true}', 0),
        ("json", [1, 2], "[2, 1]", 0),
        ("json", '{"a": 1}', 'Here:\n```json\n{"a": 2}\n```\nno,\n```\n{"a": 1}\n```', 1),
        ("json", {"a": 1}, 'It is ```{"a": 1}```.', 1),
        ("json", {"a": 1}, '{"a": 1, "a": 1}', 0),
        ("json", {"a": 1}, '{"a": NaN}', 0),
        ("json", {"a": 1}, "[" * 100_000, 0),
        ("json", 5, "5.0", 1),
    ],
)  # fmt: skip
def test_outcomes(scorer: object, right: object, said: str, expected: float) -> None:
    assert outcome(scorer, right, said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [("The answer is (B).", 1), ("A or B? **B**", 1), ("B? No: C", 0), ("b", 0), ("ABBA", 0), ("", 0), ("AB", 0)],
)  # fmt: skip
def test_the_last_choice_that_is_named_counts(said: str, expected: float) -> None:
    assert outcome("choice", 1, said, choices=["A", "B", "C", "AB"]) == expected


def test_a_choice_by_likelihood_is_scored_without_a_text() -> None:
    item = Item("a", "1", "multiple_choice", "?", " no", (" yes", " no"))
    assert score_answer(item, Answer("0", choice=1, log_likelihoods=(-2, -1))) == 1
    assert score_answer(item, Answer("0", choice=0, log_likelihoods=(-1, -2))) == 0
    assert score_answer(item, Answer("0", log_likelihoods=(float("nan"), -2))) == 0
    with pytest.raises(EvaluationError, match="category `a`, item `1`: its answer has no text"):
        score_answer(replace(item, scorer=read_scorer("exact")), Answer("0", choice=1, log_likelihoods=(-1, -2)))  # fmt: skip
    with pytest.raises(EvaluationError, match="a `teacher_forced` item is worth does not follow"):
        score_answer(Item("a", "1", "teacher_forced", "?", "no"), Answer("0", log_likelihoods=(-2,)))


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_translations_are_scored_as_a_corpus(name: str) -> None:
    pytest.importorskip("sacrebleu")
    said = {
        "1": "the cat sat on the mat",
        "2": "a dog ran over the hill",
        "3": "<think>x</think>it rains today",
    }
    right: dict[str, Any] = {"1": ["the cat sat on a mat", "a cat sat"], "2": "the dog ran over a hill", "3": ["it rains", "rain now"]}  # fmt: skip
    right["2"] = [right["2"], "a dog ran up the hill"]
    scorer = {"name": name, "after": "</think>", **({"tokenize": "intl"} if name == "bleu" else {})}
    items = [replace(item_of(scorer, answer=right[i]), id=i) for i in said]
    found = score_answers(items, {"a": {i: Answer("0", text=text) for i, text in said.items()}})["a"]
    assert isinstance(found, Corpus)
    settings = {"tokenize": "intl"} if name == "bleu" else {}
    texts = {i: (said[i].rpartition("</think>")[2], tuple(right[i])) for i in said}
    expected = Corpus.of(name, texts, **settings)
    assert found == expected
    assert Evaluation.of_items({"a": found}, scale=None).categories["a"].score == expected.score()
    assert items[0].scorer is not None
    assert items[0].scorer.identity["sacrebleu"]


def test_a_function_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "graders_of_tests.py"
    module.write_text(
        "def near(answer, item):\n    return abs(len(answer.text) - item.meta['length']) <= 1\n"
        "def wrong(answer, item):\n    return 'no'\n"
        "def large(answer, item):\n    return 2\n"
        "def broken(answer, item):\n    return answer.nothing\n"
        "def alone(answer):\n    return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    item = item_of("graders_of_tests:near", meta={"length": 3})
    assert [score_answer(item, Answer("0", text="x" * n)) for n in (1, 2, 4, 5)] == [0, 1, 1, 0]
    assert item.scorer is not None
    assert len(str(item.scorer.identity["file"])) == 64
    assert item.content[-1]["meta"] == {"length": 3}  # type: ignore[index]
    for name, words in (("wrong", "value of type str"), ("large", "returned 2.0"), ("broken", "raised AttributeError")):  # fmt: skip
        with pytest.raises(EvaluationError, match=words):
            outcome(f"graders_of_tests:{name}", None, "x")
    for name, words in (("graders_of_tests:alone", "cannot be called as"), ("graders_of_tests:nobody", "has no `nobody`"), ("no_such_module:f", "no module")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            read_scorer(name)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (7, "`scorer` is `7`, not a name"),
        ({"tolerance": 1}, "not a name, nor an object with a `name`"),
        ("exakt", "did you mean `exact`"),
        ({"name": "exact", "ignore_cases": True}, "`exact` has no setting `ignore_cases`; did you mean"),
        ({"name": "exact", "ignore_case": 1}, "`exact` cannot have a `ignore_case` of `1`"),
        ({"name": "number", "tolerance": True}, "cannot have a `tolerance` of `true`"),
        ({"name": "number", "tolerance": -1}, "cannot have a `tolerance` of -1"),
        ({"name": "regex"}, "lacks its `pattern`"),
        ({"name": "regex", "pattern": "("}, "is not one of Python's"),
        ({"name": "regex", "pattern": "a", "group": 1}, "has no group 1"),
        ({"name": "regex", "pattern": "a", "take": "all"}, "`first` or `last`"),
        ({"name": "bleu", "tokenise": "13a"}, "sacrebleu does not take these settings"),
        ({"name": "function"}, "lacks its `function`"),
    ],
)
def test_wrong_scorers(given: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_scorer(given)


BASE = {"category": "a", "prompt": "?", "scorer": "exact", "answer": "4"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"scorer": "exakt"}, "did you mean `exact`"),
        ({"answer": 4}, "`answer` is `4`, not a text or a list of texts, which `exact` needs"),
        ({"answer": []}, "not a text or a list"),
        ({"answer": None}, "has no `answer`"),
        ({"prompt": None}, "has no `prompt`"),
        ({"choices": ["a", "b"]}, "has a field `choices`, which generation items do not have"),
        ({"scorer": "choice", "answer": 0}, "has no `choices`"),
        ({"scorer": "choice", "answer": "a", "choices": ["a", "b"]}, "not the index of a choice"),
        ({"scorer": "number", "answer": "a lot"}, "not a number, which `number` needs"),
        ({"scorer": "number", "answer": "3 or 4"}, "not a number"),
        ({"scorer": "json", "answer": "{"}, "which is no JSON"),
        ({"kind": "generation", "scorer": None}, "has no `scorer`"),
        ({"kind": "exact_match"}, "has a field `scorer`, which exact_match items do not have"),
        ({"max_new_tokens": 0}, "`max_new_tokens` is `0`, not a number of tokens"),
        ({"max_new_tokens": True}, "`max_new_tokens` is `true`"),
        ({"stop": [""]}, "`stop` is empty"),
        ({"stop": 3}, "`stop` is `3`, not a text or a list"),
        ({"messages": [{"role": "user", "content": "?"}]}, "has a `prompt` and `messages`"),
        ({"tools": [{"name": "f"}]}, "has `tools`, which need `messages`"),
        ({"prompt": None, "messages": []}, "`messages` is not a list of objects"),
        ({"prompt": None, "messages": [{"content": "?"}]}, r"`messages\[0\].role` is `null`"),
        ({"prompt": None, "messages": [{"role": "user"}]}, r"`messages\[0\]` has no `content`"),
        ({"prompt": None, "messages": [{"role": "user", "content": "\ud800"}]}, "half of a surrogate pair"),
        ({"kind": "perplexity", "text": "x", "max_new_tokens": 3, "prompt": None, "scorer": None, "answer": None}, "a field `(answer|max_new_tokens)`"),
    ],
)  # fmt: skip
def test_wrong_lines(line: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(BASE) + "\n" + json.dumps({**BASE, "id": "2", **line}) + "\n")
    with pytest.raises(EvaluationError, match=f"t.jsonl`: line 2: .*{words}") as caught:
        read_tasks(path)
    assert len(caught.value.problems) == 1


def test_all_texts_of_a_category_are_one_corpus() -> None:
    pytest.importorskip("sacrebleu")
    items = [replace(item_of(name, answer="4"), id=str(i)) for i, name in enumerate(("bleu", "exact"))]
    for order in (items, items[::-1]):
        with pytest.raises(EvaluationError, match="category `a` is scored by `bleu` and in other ways"):
            Tasks(tuple(order))


def test_keys_follow_scorer_answers_and_an_item_s_own_length() -> None:
    base = item_of("exact", answer="4")
    identity = {"evaluator": "torch", "max_new_tokens": 9, "stop": ["\n"], "normalise": "none", "tasks": "7"}

    def key(item: Item, **settings: object) -> str:
        return item_keys(Tasks((item,)), {**identity, **settings})[item.category][item.id]

    others = [
        item_of("contains", answer="4"),
        item_of({"name": "exact", "ignore_case": True}, answer="4"),
        item_of("exact", answer=["4", "four"]),
        item_of("exact", answer="4", max_new_tokens=5),
        item_of("exact", answer="4", stop=[]),
        item_of("exact", prompt=None, messages=[{"role": "user", "content": "?"}], answer="4"),
    ]
    keys = [key(item) for item in (base, *others)]
    assert len(set(keys)) == len(keys)
    assert key(base, max_new_tokens=5) != key(base)
    assert key(others[3], max_new_tokens=5) == key(others[3])
    assert key(base, normalise="byte", tasks="8", stop=["."]) == key(base)
    same = Item(**read_line(json.dumps({"category": "b", "id": "2", "scorer": {"name": "exact"}, "prompt": "?", "answer": "4"}).encode(), None))  # fmt: skip
    assert key(same) == key(base)


def test_another_scorer_length_or_stop_makes_no_other_item(tmp_path: Path) -> None:
    def read(line: dict[str, object]) -> Item:
        path = tmp_path / "t.jsonl"
        path.write_text(json.dumps({**BASE, **line}) + "\n")
        (item,) = read_tasks(path).items
        return item

    base = read({})
    for same in ({"scorer": "number"}, {"max_new_tokens": 3}, {"stop": []}):
        other = read(same)
        assert other.id == base.id, same
        assert other.content != base.content, same
    for change in ({"prompt": "??"}, {"answer": "5"}, {"answer": ["4", "5"]}, {"category": "b"}):
        assert read(change).id != base.id, change


def test_every_scorer_has_its_name() -> None:
    assert [*SCORERS] == [
        "exact",
        "contains",
        "regex",
        "number",
        "choice",
        "json",
        "bleu",
        "chrf",
        "ter",
        "function",
    ]


def test_messages_and_a_prompt_that_say_the_same_are_one_question() -> None:
    chat = item_of("exact", prompt=None, messages=[{"role": "user", "content": "2 +  2?"}], answer="4")
    assert chat.asked == item_of("number", prompt="2 + 2?", answer=4).asked
    assert chat.question == "2 +  2?"
