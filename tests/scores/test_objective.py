"""Objectives: exact weights, one rounding, no order that counts, and everything that is refused."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from soce.exceptions import ScoreTableError
from soce.scores.bfcl import BOARDS
from soce.scores.objective import (
    Formula,
    Mean,
    NamedColumn,
    Weighted,
    objective_stderr,
    parse_objective,
    read_weights,
)
from soce.scores.table import Column, ScoreTable

TABLE = ScoreTable.of(
    {"math": [50, 60, 70], "code": [70, None, 10], "chat": [30, 20, 40]}, models=["a", "b", "c"]
)


def with_loss() -> ScoreTable:
    """Return a table whose last category is better when smaller, and one aggregate."""
    *rest, last = TABLE.columns
    return TABLE.with_columns([*rest, replace(last, higher_is_better=False)])


def refusal(function: object, *args: object) -> str:
    with pytest.raises(ScoreTableError) as caught:
        function(*args)  # type: ignore[operator]
    return str(caught.value)


def weights_file(folder: Path, text: str, name: str = "weights.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_mean_is_that_of_the_categories_and_missing_where_one_is() -> None:
    assert Mean().values(TABLE).tolist()[::2] == [50.0, 40.0]
    assert np.isnan(Mean().values(TABLE)[1])
    assert Mean().needs(TABLE) == ("math", "code", "chat")
    assert Mean().name == "mean"


def test_aggregates_are_not_part_of_the_mean() -> None:
    columns = [replace(TABLE.columns[0], role="aggregate"), *TABLE.columns[1:]]
    assert Mean().values(TABLE.with_columns(columns)).tolist()[::2] == [50.0, 25.0]
    nothing = TABLE.with_columns(replace(column, role="aggregate") for column in TABLE.columns)
    assert "no categories" in refusal(Mean().values, nothing)


def test_columns_where_lower_is_better_are_negated() -> None:
    table = with_loss()
    assert Mean().values(table)[0] == (50 + 70 - 30) / 3
    assert NamedColumn("chat").values(table).tolist() == [-30.0, -20.0, -40.0]
    halves = Weighted({"chat": Fraction(1), "math": Fraction(1)}, source="here")
    assert halves.values(table).tolist() == [10.0, 20.0, 15.0]


def test_a_named_column_is_taken_as_it_is_also_if_it_is_an_aggregate() -> None:
    columns = [replace(TABLE.columns[0], role="aggregate"), *TABLE.columns[1:]]
    objective = NamedColumn("math")
    assert objective.values(TABLE.with_columns(columns)).tolist() == [50.0, 60.0, 70.0]
    assert objective.needs(TABLE) == ("math",)
    assert objective.name == "column:math"
    assert "did you mean `math`?" in refusal(NamedColumn("maths").values, TABLE)


def test_weights_are_proportions_and_zero_leaves_a_column_out() -> None:
    objective = Weighted({"math": Fraction(3), "chat": Fraction(1), "code": Fraction(0)}, source="w.yaml")
    assert objective.values(TABLE).tolist() == [45.0, 50.0, 62.5]
    assert objective.needs(TABLE) == ("chat", "math")
    assert objective.name == "weights:w.yaml"
    assert "weights `maths`, which the table lacks" in refusal(
        Weighted({"maths": Fraction(0), "math": Fraction(1)}, source="w").needs, TABLE
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "`w`: no category has a weight greater than zero"),
        ({"a": Fraction(0)}, "`w`: no category has a weight greater than zero"),
        ({"a": Fraction(-1, 2)}, "`w`: the weight -1/2 of `a` is negative"),
    ],
)
def test_weights_without_sense_are_refused(weights: dict[str, Fraction], message: str) -> None:
    with pytest.raises(ScoreTableError) as caught:
        Weighted(weights, source="w")
    assert str(caught.value).split("\n")[0] == message


def test_shares_are_not_added_to_percent() -> None:
    columns = (Column("a", scale="percent"), Column("b", scale="unit"), Column("c"))
    table = ScoreTable(("m",), columns, np.array([[50.0, 0.5, 3.0]]))
    assert refusal(Mean().values, table).startswith(
        "`table`: `b` is a share of 1 and `a` a percentage, so the objective cannot add them"
    )
    assert NamedColumn("b").values(table).tolist() == [0.5]


def test_formulas_say_which_leaves_are_missing() -> None:
    table = ScoreTable.of({leaf: [50.0] for leaf in BOARDS["v3"].items if leaf != "java"}, models=["m"])
    assert refusal(Formula("bfcl-v3").needs, table).split("\n") == [
        "`table`: the objective `bfcl-v3` needs `java`, which the table lacks",
        "hint: it needs every leaf that counts: read the whole board, or choose another objective",
    ]
    assert "these are scores of BFCL v3: use `bfcl-v3`" in refusal(Formula("bfcl-v4").values, table)
    assert "there is no formula `bfcl-v5`" in refusal(Formula, "bfcl-v5")


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_equal_leaves_give_that_value_and_unused_ones_do_not_count(version: str) -> None:
    items = BOARDS[version].items  # type: ignore[index]
    objective = Formula(f"bfcl-{version}")  # type: ignore[arg-type]
    table = ScoreTable.of({leaf: [50.0] for leaf in items}, models=["m"])
    assert objective.values(table).tolist() == [50.0]
    unused = set(items) - set(objective.needs(table))
    assert unused == ({"live_relevance"} if version == "v4" else set())


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("mean", Mean()),
        (" mean ", Mean()),
        ("column:Overall Acc", NamedColumn("Overall Acc")),
        ("column: a: b ", NamedColumn("a: b")),
        ("bfcl-v3", Formula("bfcl-v3")),
        ("bfcl-v4", Formula("bfcl-v4")),
    ],
)
def test_objectives_are_read_from_a_word(text: str, objective: object) -> None:
    assert parse_objective(text) == objective


ALL = "objectives: `mean`, `column:NAME`, `weights:FILE`, `bfcl-v3`, `bfcl-v4`"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("means", ALL),
        ("bfcl-v5", ALL),
        ("", ALL),
        ("Mean", ALL),
        ("mean:x", ALL),
        ("column:", "write `column:NAME`"),
        ("weights: ", "write `weights:FILE`"),
    ],
)
def test_other_words_are_refused_with_what_there_is(text: str, hint: str) -> None:
    assert refusal(parse_objective, text).split("\n") == [f"`{text}` is not an objective", f"hint: {hint}"]


def test_a_weights_file_is_an_objective(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "math: 0.1\ncode: 0.2\nchat: 1/3\n")
    objective = parse_objective(f"weights:{path}")
    weights = {"math": Fraction(1, 10), "code": Fraction(1, 5), "chat": Fraction(1, 3)}
    assert objective == Weighted(weights, source=str(path))
    with pytest.raises(FileNotFoundError):
        parse_objective("weights:absent.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.yaml", "# comment\na: 0.1\n'b c': 5e-1\n"),
        ("w.yml", "\ufeff{a: .1, b c: 0.5}"),
        ("w.json", '{"a": 0.1, "b c": 5e-1}'),
        ("w.json", '{"a": "1/10", "b c": "1/2"}'),
        ("w.csv", "category,weight\na,0.1\nb c,1 / 2"),
        ("w.CSV", 'category, weight\r\n"a",0.10\r\n\r\n" b c ",0.5\r\n'),
    ],
)
def test_weights_are_read_exactly_from_three_formats(tmp_path: Path, name: str, text: str) -> None:
    assert read_weights(weights_file(tmp_path, text, name)) == {"a": Fraction(1, 10), "b c": Fraction(1, 2)}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.yaml", "", "the file is empty"),
        ("w.yaml", "{}", "the file gives no weights"),
        ("w.yaml", "5", "must be a mapping"),
        ("w.yaml", "a: 1\nb: [1]", "line 2 `b: [1]`: `b` must be a number, not a list"),
        ("w.yaml", "a: 1\nb:\n  c: 1", "line 2 "),
        ("w.yaml", "a: &x 1\nb: *x", "line 1 "),
        ("w.yaml", "a: !!int 1", "line 1 "),
        ("w.yaml", "a: 1\n---\nb: 1", "line 2 "),
        ("w.yaml", "a: 1\na: 2", "line 2 `a: 2`: duplicate key `a`"),
        ("w.yaml", "a: 1\n' a': 2", "line 2 `' a': 2`: `a` is given twice"),
        ("w.yaml", "a: 1\n\tb: 2", "line 2 "),
        ("w.yaml", "a:", "line 1 "),
        ("w.yaml", "a: 010", "line 1 `a: 010`: the weight `010` starts with a zero"),
        ("w.yaml", "a: .nan", "the weight `.nan` is not a number"),
        ("w.yaml", "a: 1/0", "the weight `1/0` divides by zero"),
        ("w.yaml", "a: 1e999", "the weight `1e999` is not a number"),
        ("w.json", "[1]", "must be a mapping"),
        ("w.json", '{"a": 1, "a": 1}', "duplicate key `a`"),
        ("w.json", '{"a": null}', "`a` is empty"),
        ("w.json", '{"a": true}', "`a`: the weight `true` is a truth value"),
        ("w.json", '{"a": {"b": 1}}', "`a` must be a number, not a mapping"),
        ("w.json", '{"a": NaN}', "`NaN` is not a JSON value"),
        ("w.json", "{", "line 1 `{`: not valid JSON"),
        ("w.json", "[" * 100_000, "nested more than"),
        ("w.csv", "a,b\nx,1", "the first line is `a,b`, expected `category,weight`"),
        ("w.csv", "category,weight\nx", "line 2: 1 cell, the header has 2"),
        ("w.csv", "category,weight\n,1", "a weight has no category"),
        ("w.csv", "category,weight\nx,1\nx,2", "`x` is given twice"),
        ("w.csv", "category,weight\n", "the file has a header and no rows"),
        ("w.csv", "category,weight\nx," + "1" * 65, "has 65 characters"),
    ],
)
def test_other_weights_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = weights_file(tmp_path, text, name)
    told = refusal(read_weights, path).split("\n")[0]
    assert told.startswith(f"`{path}`: ")
    assert message in told


def test_weights_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(b"a: \xff")
    assert "not UTF-8: byte 3" in refusal(read_weights, path)
    path.write_bytes(b"a" * (1 << 20) + b"a")
    assert "larger than 1048576 bytes" in refusal(read_weights, path)
    assert "regular file" in refusal(read_weights, tmp_path)


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1).map(
    str.strip
)
numbers = st.fractions(min_value=0, max_value=10**6, max_denominator=10**6)
leaf_weights = st.one_of(
    st.dictionaries(st.sampled_from(sorted(BOARDS["v3"].items)), numbers, min_size=1),
    st.dictionaries(names.filter(bool), numbers, min_size=1, max_size=5),
)


@given(leaf_weights)
@example({"no": Fraction(1), "null": Fraction(1), "1": Fraction(1), "#": Fraction(1, 3), "<<": Fraction(0)})
def test_any_weights_survive_a_file(weights: dict[str, Fraction]) -> None:
    written = {name: str(weight) for name, weight in weights.items()}
    quoted = "\n".join(f'"{name.replace(chr(34), chr(34) * 2)}",{number}' for name, number in written.items())
    with tempfile.TemporaryDirectory() as folder:
        for file, text in (
            ("w.yaml", yaml.safe_dump(written, allow_unicode=True)),
            ("w.json", json.dumps(written)),
            ("w.csv", f"category,weight\n{quoted}\n"),
        ):
            assert read_weights(weights_file(Path(folder), text, file)) == weights


scores = st.one_of(
    st.none(), st.floats(0, 100), st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)
)


@given(st.data())
def test_no_order_of_rows_or_columns_changes_a_bit(data: st.DataObject) -> None:
    leaves = list(BOARDS["v3"].items)
    models = ["a", "b", "c"]
    columns = {leaf: data.draw(st.lists(scores, min_size=3, max_size=3)) for leaf in leaves}
    weights = data.draw(st.dictionaries(st.sampled_from(leaves), numbers.filter(bool), min_size=1))
    table = replace(
        ScoreTable.of(columns, models=models, scale="percent"), counts=np.full((3, len(leaves)), 50.0)
    )
    shuffled = random.Random(data.draw(st.integers(0, 10**6)))
    other = table.take(
        models=shuffled.sample(models, len(models)), columns=shuffled.sample(leaves, len(leaves))
    )
    back = [other.row(model) for model in models]
    for objective in (Mean(), Weighted(weights, source="w"), Formula("bfcl-v3"), NamedColumn(leaves[0])):
        assert objective.values(table).tobytes() == objective.values(other)[back].tobytes()
        assert (
            objective_stderr(table, objective).tobytes() == objective_stderr(other, objective)[back].tobytes()
        )
        exact = [
            sum(
                share * Fraction(table.score(model, name))
                for name, share in objective.coefficients(table).items()
            )
            if not np.isnan([table.score(model, name) for name in objective.needs(table)]).any()
            else None
            for model in models
        ]
        for value, truth in zip(objective.values(table).tolist(), exact, strict=True):
            assert np.isnan(value) if truth is None else abs(Fraction(value) - truth) <= Fraction(1, 10**12)


def test_standard_errors_add_in_squares() -> None:
    table = replace(TABLE, stderrs=np.array([[3.0, 4.0, 0.0], [1.0, 1.0, 1.0], [1.0, 2.0, np.nan]]))
    assert objective_stderr(table, Mean()).tolist()[:2] == [5 / 3, np.sqrt(3) / 3]
    assert np.isnan(objective_stderr(table, Mean())[2])
    assert objective_stderr(table, NamedColumn("code")).tolist() == [4.0, 1.0, 2.0]
    assert np.isnan(objective_stderr(TABLE, Mean())).all()


def test_standard_errors_of_what_is_not_linear_are_unknown() -> None:
    class Worst:
        name = "worst"

        def needs(self, table: ScoreTable) -> tuple[str, ...]:
            return table.categories

        def values(self, table: ScoreTable) -> np.ndarray:
            return table.oriented().min(axis=1)

    assert np.isnan(objective_stderr(TABLE, Worst())).all()
