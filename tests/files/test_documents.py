"""Files that people write: what is read, what is refused, and where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, Tag

from soce.exceptions import Problem, RecipeError, ScoreTableError
from soce.files.documents import ParsedFile, as_json, dotted, parse_document, read_document
from soce.files.emit import n_values, to_json, to_yaml
from soce.files.parsing import MAX_VALUES, Bare
from soce.files.validation import BY_KIND, LIST, MAPPING, Strict, validate

YAML = """# comment
models:
  - name: A
    weight: 0.10
  - {name: 'B', weight: ~}
words: ["1", 1, true, x]
"""


def refusal(text: str, name: str = "r.yaml") -> Problem:
    with pytest.raises(RecipeError) as caught:
        parse_document(name, text)
    (problem,) = caught.value.problems
    assert problem.path == name
    return problem


def test_single_values_stay_text_and_every_place_has_a_line() -> None:
    document = parse_document("r.yaml", YAML)
    tree = {
        "models": [{"name": "A", "weight": "0.10"}, {"name": "B", "weight": None}],
        "words": ["1", "1", "true", "x"],
    }
    assert document.tree == tree
    assert as_json(document.tree)["words"] == ["1", 1, True, "x"]
    lines = {
        ("models",): 2, ("models", 0): 3, ("models", 0, "weight"): 4, ("models", 1, "name"): 5, ("words", 3): 6, (): 0,
    }  # fmt: skip
    assert {place: document.find(place)[1] for place in lines} == lines
    # What leads nowhere is left out.
    assert document.find(("models", "a list", 0, "nmae")) == (("models", 0), 3, tree["models"][0])
    assert document.find((0, "words", 7))[0] == ("words",)


def test_json_is_the_same_without_lines() -> None:
    text = json.dumps({"models": [{"name": "A", "weight": 0.5}], "words": ["1", True, None]})
    document = parse_document("r.JSON", text)
    assert document.tree == {"models": [{"name": "A", "weight": "0.5"}], "words": ["1", "true", None]}
    problem = document.problem(("models", 0, "weight"), "is heavy")
    assert problem == Problem("recipe", "r.JSON", None, "`models[0].weight`: is heavy", None)
    assert document.problem(("words",), "`words` is long").message == "`words` is long"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: &x 1\nb: *x", 1, "anchors"),
        ("a: *x", 1, "aliases"),
        ("a: !!float 1", 1, "tags"),
        ("a: !!python/object:os.system x", 1, "tags"),
        ("%YAML 1.1\n---\na: 1", 1, "directives"),
        ("a: 1\n---\nb: 1", 2, "second document"),
        ("a: 1\na: 2", 2, "duplicate key `a`"),
        ("{a: 1, a: 2}", 1, "duplicate key `a`"),
        ("[a]: 1", 1, "a list cannot be a key"),
        ("? {a: 1}\n: 1", 1, "a mapping cannot be a key"),
        ("a: [", 1, "not valid YAML"),
        ("a: \x01", 1, "U+0001"),
        ("a: " + "[" * 40, 1, "32 levels"),
        ('a: "\\ud800"', 1, "surrogate"),
        ("", 0, "empty"),
        ("# nothing", 0, "empty"),
        ("[" + "a," * 60_000 + "]", 1, f"more than {MAX_VALUES} values"),
    ],
)
def test_what_is_refused_in_yaml(text: str, line: int, told: str) -> None:
    message = refusal(text).message
    assert told in message
    assert message.startswith(f"line {line} `") == bool(line)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "a": 2}', "duplicate key `a`"),
        ("[NaN]", "`NaN`"),
        ("[" * 100_000, "32 levels"),
        ("[" * 40 + "]" * 40, "32 levels"),
        ('["\\ud800"]', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ("{", "line 1 `{`: not valid JSON"),
        (json.dumps([1] * 60_000), f"more than {MAX_VALUES} values"),
    ],
)
def test_what_is_refused_in_json(text: str, told: str) -> None:
    assert told in refusal(text, "r.json").message


def test_files_that_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    os.mkfifo(tmp_path / "fifo.yaml")
    for name, told in (("big", "1048576 bytes"), ("latin", "not UTF-8: byte 3"), ("fifo", "regular file")):
        with pytest.raises(ScoreTableError, match=told) as caught:
            read_document(tmp_path / f"{name}.yaml", error=ScoreTableError)
        assert caught.value.problems[0].kind == "scores"
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "none.yaml")
    (tmp_path / "mark.yaml").write_text("\ufeffa: 1", encoding="utf-8")
    assert read_document(tmp_path / "mark.yaml").tree == {"a": "1"}


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
trees = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab: #-", max_size=4), inner, max_size=4)),
    max_size=4,
)  # fmt: skip


@settings(deadline=None)  # the first example imports the YAML reader
@given(trees)
def test_what_is_written_is_read_back(tree: dict[str, object]) -> None:
    for name, text in (("r.yaml", to_yaml(tree)), ("r.json", to_json(tree))):  # type: ignore[arg-type]
        if tree:
            assert as_json(parse_document(name, text).tree) == tree
    assert n_values(tree) >= 1  # type: ignore[arg-type]


def heavy(text: object) -> int:
    if text == "heavy":
        raise RecipeError.of([Problem("recipe", None, None, "too heavy", "eat less")])
    if text == "odd":
        message = "odd things are not counted"
        raise ValueError(message)
    return len(str(text))


class Model(Strict):
    name: str
    weight: Annotated[int, BeforeValidator(heavy)] = Field(default=0)
    normal: bool = Field(default=True)


class File(Strict):
    models: Annotated[Annotated[list[Model], Tag(LIST)] | Annotated[dict[str, Model], Tag(MAPPING)], BY_KIND]
    kind: Literal["one", "many"] = "one"
    share: float = 0.5


def test_a_document_becomes_typed() -> None:
    found = validate(
        parse_document("r.yaml", "models: [{name: A, weight: abc, normal: false}]\nshare: 0.25"), File
    )
    assert found == File(models=[Model(name="A", weight="abc", normal=False)], share=0.25)
    assert found.models[0].weight == 3
    assert validate(parse_document("r.yaml", "a: [1, 2]"), list[float], at=("a",)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "line", "told", "hint"),
    [
        ("kind: one", 0, "`models` is missing", None),
        ("- 1", 0, "the file must be a mapping, not a list", None),
        ("models: A", 1, "`models` must be a list or a mapping, not `A`", None),
        ("models:", 1, "`models` is empty", None),
        ("models: [{name: A}]\n\nknid: one", 3, "unknown key `knid`", "did you mean `kind`?"),
        (
            "models:\n  a: {nome: A, name: B}",
            2,
            "unknown key `nome` in `models.a`",
            "did you mean `name` or `normal`?",
        ),
        ("models:\n- {weight: 1}", 2, "`models[0].name` is missing", None),
        ("models:\n- {name: [A]}", 2, "`models[0].name` must be a single value, not a list", None),
        (
            "models:\n- name: A\n  normal: maybe",
            3,
            "`models[0].normal` must be true or false, not `maybe`",
            None,
        ),
        ("models:\n- name: A\n  weight: heavy", 3, "too heavy", "eat less"),
        (
            "models:\n- name: A\n  weight: odd",
            3,
            "`models[0].weight` is `odd`: odd things are not counted",
            None,
        ),
        ("models: []\nkind: two", 2, "`kind` must be `one` or `many`, not `two`", None),
        ("models: []\nshare: much", 2, "`share` must be a number, not `much`", None),
    ],
)
def test_problems_name_line_key_and_mend(text: str, line: int, told: str, hint: str | None) -> None:
    with pytest.raises(RecipeError) as caught:
        validate(parse_document("r.yaml", text), File)
    (problem,) = caught.value.problems
    where = f"line {line} `{text.splitlines()[line - 1].strip()}`: " if line else ""
    assert problem == Problem("recipe", "r.yaml", None, where + told, hint)


def test_all_problems_come_at_once_also_of_json() -> None:
    text = '{"models": [{"name": "A", "weight": "heavy", "wait": 1}], "share": "x"}'
    with pytest.raises(RecipeError) as caught:
        validate(parse_document("r.json", text), File)
    assert [problem.message for problem in caught.value.problems] == [
        "`models[0].weight`: too heavy",
        "`models[0].wait`: unknown key `wait` in `models[0]`",
        "`share` must be a number, not `x`",
    ]


def test_places_in_words() -> None:
    assert dotted(("a", 0, "b\x1b", "c")) == "a[0].b\\u{1b}.c"
    assert isinstance(ParsedFile("x", "", Bare("1"), RecipeError).find(())[2], Bare)
