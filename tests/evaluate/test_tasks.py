"""Task files are read strictly, and every wrong line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.items import Tasks, read_tasks
from soce.exceptions import EvaluationError

GOOD = [
    {"category": "facts", "id": "sky", "kind": "multiple_choice", "prompt": "The sky is", "choices": [" blue", " red"], "answer": 1},
    {"category": "sums", "id": 7, "kind": "exact_match", "prompt": "1+1=", "answer": "2"},
    {"category": "sums", "kind": "teacher_forced", "prompt": "", "answer": " 3\n", "meta": {"from": ["me", None]}},
    {"category": "prose", "kind": "perplexity", "text": "Once upon a time"},
]  # fmt: skip


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_items_are_what_their_lines_say(tmp_path: Path) -> None:
    tasks = read_tasks(write(tmp_path / "t.jsonl", *GOOD))
    assert tasks.items[:2] == (
        Item("facts", "sky", "multiple_choice", "The sky is", " red", (" blue", " red")),
        Item("sums", "7", "exact_match", "1+1=", "2"),
    )
    assert tasks.items[2].answer == " 3\n"
    assert tasks.items[3].answer == "Once upon a time"
    assert tuple(tasks.item_ids()) == ("facts", "sums", "prose")
    assert {category: len(ids) for category, ids in tasks.item_ids().items()} == {"facts": 1, "sums": 2, "prose": 1}  # fmt: skip


def test_default_kind_last_line_and_several_files(tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_bytes(b'\xef\xbb\xbf{"category":"a","text":"x\xc3\xbc"}')
    two = write(tmp_path / "two.jsonl", {"category": "a", "text": "y"}, GOOD[0])
    tasks = read_tasks([one, two], kind="perplexity")
    assert [(item.kind, item.answer) for item in tasks.items] == [("perplexity", "xü"), ("perplexity", "y"), ("multiple_choice", " red")]  # fmt: skip


def test_the_digest_is_that_of_the_content_in_any_order(tmp_path: Path) -> None:
    tasks = read_tasks(write(tmp_path / "t.jsonl", *GOOD))
    assert read_tasks(write(tmp_path / "r.jsonl", *GOOD[::-1])).digest == tasks.digest
    without_meta = [{key: value for key, value in line.items() if key != "meta"} for line in GOOD]
    assert read_tasks(write(tmp_path / "m.jsonl", *without_meta)).digest == tasks.digest
    for place, key, value in [(0, "answer", 0), (1, "prompt", "1+1 ="), (1, "id", 8), (2, "kind", "exact_match"), (3, "category", "p")]:  # fmt: skip
        changed = [dict(line) for line in GOOD]
        changed[place][key] = value
        assert read_tasks(write(tmp_path / "c.jsonl", *changed)).digest != tasks.digest, key


def asked(line: dict[str, object]) -> str:
    """Return the digest of what one line asks."""
    given = {"category": "facts", "kind": "exact_match", "prompt": "The sky is", "answer": "blue", **line}
    fields = {key: value for key, value in given.items() if value is not None}
    return Item(**fields).asked if "id" in fields else Item(id="", **fields).asked  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({}, {"id": "7", "category": "nature", "answer": "grey", "kind": "teacher_forced"}, True),
        ({}, {"prompt": " The  sky is\n"}, True),
        ({}, {"prompt": "The sea is"}, False),
        ({}, {"choices": ("blue", "red")}, False),
        ({"choices": ("blue", "red")}, {"choices": ("red", "blue")}, True),
        ({"prompt": "", "choices": ("a", "b")}, {"prompt": "", "choices": ("a", "c")}, False),
        ({"prompt": "", "answer": "x"}, {"prompt": " ", "answer": "y"}, False),
        ({"kind": "perplexity", "prompt": "", "answer": "x"}, {"prompt": "x", "answer": "y"}, True),
    ],
)
def test_one_question_is_one_content(one: dict[str, object], other: dict[str, object], is_same: bool) -> None:
    assert (asked(one) == asked(other)) is is_same


def test_contents_are_by_category_and_id(tmp_path: Path) -> None:
    tasks = read_tasks(write(tmp_path / "t.jsonl", *GOOD))
    contents = tasks.item_contents()
    assert {name: tuple(told) for name, told in contents.items()} == tasks.item_ids()
    assert contents["facts"]["sky"] == tasks.items[0].asked


def test_ids_left_out_are_those_of_the_content(tmp_path: Path) -> None:
    line = {"category": "a", "kind": "perplexity", "text": "x"}
    first = read_tasks(write(tmp_path / "1.jsonl", line, {**line, "text": "y"}))
    second = read_tasks(write(tmp_path / "2.jsonl", {**line, "text": "y"}))
    assert first.items[1] == second.items[0]
    assert len({item.id for item in first.items}) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "is empty"),
        ("{", "is not JSON: Expecting property name"),
        ("[1]", r"is `\[1\]`, not an object"),
        ('{"category": "a", "category": "b"}', "duplicate key `category`"),
        ({**GOOD[1], "kind": None}, "has no `kind`"),
        ({**GOOD[1], "kind": "essay"}, '`kind` is `"essay"`; kinds: multiple_choice, exact_match'),
        ({"kind": "exact_match", "prompt": "x"}, "has no `category` and no `answer`"),
        ({**GOOD[1], "answer": None}, "has no `answer`"),
        ({**GOOD[1], "anwser": "2"}, "has a field `anwser`, which exact_match items do not have"),
        ({**GOOD[1], "category": " "}, "`category` is empty"),
        ({**GOOD[1], "answer": "\n"}, "`answer` is empty"),
        ({**GOOD[1], "answer": 2}, "`answer` is `2`, not a text"),
        ({**GOOD[1], "id": True}, "`id` is `true`, not a text"),
        ({**GOOD[1], "prompt": "\ud800"}, "`prompt` has half of a surrogate pair"),
        ({**GOOD[0], "choices": [" blue"]}, "not a list of at least two texts"),
        ({**GOOD[0], "choices": ["a", "a"]}, "has the same text twice"),
        ({**GOOD[0], "choices": ["a", ""]}, r"`choices\[1\]` is empty"),
        ({**GOOD[0], "choices": ["a", None]}, r"`choices\[1\]` is `null`"),
        ({**GOOD[0], "answer": 2}, r"`answer` is `2`, not the index of a choice \(0 to 1\)"),
        ({**GOOD[0], "answer": "blue"}, "not the index of a choice"),
        ({**GOOD[0], "answer": True}, "not the index of a choice"),
        ({**GOOD[3], "text": ""}, "`text` is empty"),
        (GOOD[1], "item `7` of category `sums` is also in line 1"),
        ('{"category": ' + "[" * 100_000, "nested too deeply|is not JSON"),
    ],
)  # fmt: skip
def test_wrong_lines(line: object, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", GOOD[1], line)
    with pytest.raises(EvaluationError, match=f"t.jsonl`: line 2: .*(?:{words})") as caught:
        read_tasks(path)
    assert len(caught.value.problems) == 1


def test_a_line_that_is_there_twice_is_told_how_to_stay(tmp_path: Path) -> None:
    item = {name: value for name, value in GOOD[1].items() if name != "id"}
    with pytest.raises(EvaluationError, match="is also in line 1") as caught:
        read_tasks(write(tmp_path / "t.jsonl", item, item))
    assert "give both an `id`" in str(caught.value.problems[0].hint)
    assert len(read_tasks(write(tmp_path / "t.jsonl", {**item, "id": "x"}, {**item, "id": "y"})).items) == 2


def test_all_wrong_lines_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", "", GOOD[0], "{}", *["[]"] * 30)
    with pytest.raises(EvaluationError) as caught:
        read_tasks(path)
    problems = caught.value.problems
    assert [str(problem).split(": ")[1] for problem in problems[:3]] == ["line 1", "line 3", "line 4"]
    assert len(problems) == 21
    assert problems[-1].message == "12 more lines are wrong"


def test_files_without_items(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="the file has no items"):
        read_tasks([write(tmp_path / "e.jsonl"), write(tmp_path / "t.jsonl", *GOOD)])
    (tmp_path / "latin.jsonl").write_bytes(b'{"category": "\xe4"}\n')
    with pytest.raises(EvaluationError, match="line 1: is not UTF-8"):
        read_tasks(tmp_path / "latin.jsonl")
    with pytest.raises(FileNotFoundError):
        read_tasks(tmp_path / "nowhere.jsonl")


def test_perplexity_stays_apart() -> None:
    items = (Item("a", "1", "perplexity", "", "x"), Item("a", "2", "exact_match", "x", "y"))
    with pytest.raises(EvaluationError, match="have no common mean"):
        Tasks(items)


def test_subsets(tmp_path: Path) -> None:
    tasks = read_tasks(write(tmp_path / "t.jsonl", *GOOD))
    assert tasks.only(None) is tasks
    assert [item.id for item in tasks.only({"sums": ["7"], "facts": ["sky"]}).items] == ["sky", "7"]
    for wrong, words in (({"x": ["1"]}, "no category `x`"), ({"sums": ["8"]}, "no item `8`"), ({"sums": []}, "leave the category out")):  # fmt: skip
        with pytest.raises(EvaluationError, match=words):
            tasks.only(wrong)
