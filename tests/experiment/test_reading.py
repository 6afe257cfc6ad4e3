"""The file of an experiment: what it says, where, and all that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import ExperimentError
from soce.experiment.experiment import Experiment
from soce.experiment.keys import Key, Keys
from soce.experiment.reading import read_experiment


def _number(value: object) -> str | None:
    return None if str(value).replace(".", "").isdecimal() else "it is no number"


KEYS = Keys.of(
    [
        Key("scores", "tables", ("value", "list"), is_short=True, locate=lambda text, at: str(at / text)),
        Key("scores", "transpose", ("switch",)),
        Key("scores", "aggregates", ("value", "list", "pairs", "lists")),
        Key("select", "threshold", ("value",), refusal=_number),
        Key("select", "population", ("value", "list"), names="models"),
        Key("evaluate", "tasks", ("value",), either="what"),
        Key("evaluate", "function", ("value",), either="what"),
        Key("search", "arms", ("value", "list", "calls")),
        Key("", "models", ("value", "pairs"), names="models"),
        Key("", "output", ("value",)),
    ]
)
FILE = """\
scores: scores.csv
models: &all {math: path/math, code: path/code}
select:
  threshold: 0.20
  population: [math, code]
evaluate: {tasks: tasks.jsonl}
"""


def read(tmp_path: Path, text: str, *changes: str) -> Experiment:
    (tmp_path / "soce.yaml").write_text(text)
    return read_experiment(tmp_path / "soce.yaml", changes, KEYS)


def wrong(tmp_path: Path, text: str, *changes: str) -> list[str]:
    with pytest.raises(ExperimentError) as refused:
        read(tmp_path, text, *changes)
    return [problem.message for problem in refused.value.problems]


def test_values_are_texts_with_their_lines_and_columns(tmp_path: Path) -> None:
    found = read(tmp_path, FILE)
    assert {place: said.value for place, said in found.said.items()} == {
        "scores.tables": (str(tmp_path / "scores.csv"),),
        "models": {"math": "path/math", "code": "path/code"},
        "select.threshold": "0.20",
        "select.population": ("math", "code"),
        "evaluate.tasks": "tasks.jsonl",
    }
    spots = {place: (said.spot.line, said.spot.column) for place, said in found.said.items()}
    assert spots["select.threshold"] == (4, 14)
    assert spots["evaluate.tasks"] == (6, 19)
    assert [(text, spot.line, spot.column) for text, spot in found.said["select.population"].texts] == [
        ("math", 5, 16),
        ("code", 5, 22),
    ]


def test_a_section_of_comments_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "select:\n  # threshold: 0.2\noutput: run\n").said.keys() == {"output"}


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
selekt: {threshold: 1}
scores: {tables: [], transpose: maybe, shet: x}
select:
  threshold: [1]
  population: {a: b}
models: {math: [a], code: }
output: run
evaluate: {function: "m:f", tasks: t.jsonl}
"""
    told = wrong(tmp_path, text, "select.threshold=x", "output.more=1", "what=1")
    assert told == [
        "`--set output.more=1`: `output` must be a single value, not a mapping",
        "`--set select.threshold=x`: `select.threshold`: it is no number",
        "`--set what=1`: unknown key `what`",
        "line 1, column 1 `selekt: {threshold: 1}`: unknown key `selekt`",
        "line 2, column 33 `scores: {tables: [], transpose: maybe, shet: x}`: `scores.transpose` must be "
        "true or false, not `maybe`",
        "line 2, column 40 `scores: {tables: [], transpose: maybe, shet: x}`: unknown key `scores.shet`",
        "line 5, column 15 `population: {a: b}`: `select.population` must be a single value or a list, "
        "not a mapping",
        "line 6, column 16 `models: {math: [a], code: }`: `models.math` must be a single value, not a list",
        "line 6, column 26 `models: {math: [a], code: }`: `models.code` is empty",
        'line 8, column 36 `evaluate: {function: "m:f", tasks: t.jsonl}`: `evaluate.function` and '
        "`evaluate.tasks` exclude each other",
    ]


def test_the_nearest_known_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "soce.yaml").write_text("select: {treshold: 0.2}\n")
    with pytest.raises(ExperimentError, match=r"did you mean `threshold`\?"):
        read_experiment(tmp_path / "soce.yaml", (), KEYS)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (told,) = wrong(tmp_path, "output: a\nmodels: {}\noutput: b\n")
    assert told == "line 3 `output: b`: duplicate key `output`"


def test_an_alias_stands_for_what_is_marked(tmp_path: Path) -> None:
    text = "models: &all {math: a}\nselect: {population: &names [math]}\nscores: {aggregates: {x: *names}}\n"
    found = read(tmp_path, text)
    assert found.value("scores.aggregates") == {"x": ("math",)}
    assert wrong(tmp_path, "output: *nothing\n") == [
        "line 1 `output: *nothing`: no value above is marked `&nothing`"
    ]


def test_few_lines_cannot_stand_for_too_much(tmp_path: Path) -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdef", "bcdefg", strict=True)
    )
    (told,) = wrong(tmp_path, laughs)
    assert "more than 50000 values" in told
    (told,) = wrong(tmp_path, "output: &me [*me]\n")
    assert "no value above is marked `&me`" in told
    deep = "a: &a0 [x]\n" + "".join(f"k{n}: &a{n + 1} [*a{n}]\n" for n in range(40))
    (told,) = wrong(tmp_path, deep)
    assert "32 levels" in told


def test_the_command_line_comes_first(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        FILE,
        "select.threshold=0.5",
        "evaluate.function=m:f",
        "select.population=[code]",
        "models.org/a.b=path",
        "scores=other.csv",
        "output=",
    )
    assert found.value("select.threshold") == "0.5"
    assert found.value("evaluate.tasks") is None  # one of the two may be given
    assert found.value("evaluate.function") == "m:f"
    assert found.value("select.population") == ("code",)
    assert found.value("models") == {"math": "path/math", "code": "path/code", "org/a.b": "path"}
    assert found.value("scores.tables") == ("other.csv",)  # seen from the current folder
    assert found.value("output") is None
    assert found.said["select.threshold"].spot.text == "--set select.threshold=0.5"


@pytest.mark.parametrize("change", ["select.threshold", "select=1", "=1", "select={"])
def test_a_change_that_is_none_is_refused(change: str) -> None:
    with pytest.raises(ExperimentError):
        read_experiment(None, [change], KEYS)


def test_names_that_nobody_has_are_told_with_their_places(tmp_path: Path) -> None:
    found = read(tmp_path, FILE.replace("[math, code]", "[maths, '@names', code]"))
    with pytest.raises(ExperimentError, match=r"line 5, column 16 .*there is no model `maths`"):
        found.check_names(models=("math", "code"))


def test_a_file_of_models_is_no_name_of_one(tmp_path: Path) -> None:
    read(tmp_path, "models: models.yaml\n").check_names(models=("math", "code"))


def test_a_name_in_a_list_may_have_values_of_its_own(tmp_path: Path) -> None:
    given = "search: {arms: [stock, ties: {density: 0.3, lambda: 1}, slerp]}\n"
    found = read(tmp_path, given)
    assert found.said["search.arms"].value == ("stock", "ties:density=0.3,lambda=1", "slerp")
    for arm in ("{ties: 0.3}", "{ties: {density: [1]}}", "{ties: {}, slerp: {}}", "[ties]"):
        (message,) = wrong(tmp_path, f"search: {{arms: [{arm}]}}\n")
        assert "`search.arms[0]` must be a single value, not a " in message
