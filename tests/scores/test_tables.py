"""Plain score tables: every form that is read, the exact words of every refusal, and the lossless round trip."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soce.exceptions import ScoreTableError
from soce.scores.cells.column import NotANumberError, is_missing, parse_column, parse_score
from soce.scores.formats.options import ReadOptions
from soce.scores.formats.registry import FORMATS
from soce.scores.grids import text as files
from soce.scores.read import read_scores
from soce.scores.table import Column, ScoreTable
from soce.scores.tables.long import write_scores

ROOT = Path(__file__).parents[2]
WIDE = "model,math,code\na,50.5,7\nb,60,8.25\n"


def write(folder: Path, text: str | bytes, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes, name: str = "scores.csv", **options: object) -> ScoreTable:
    return read_scores(write(folder, text, name), options=ReadOptions(**options))


def refusals(folder: Path, text: str | bytes, name: str = "scores.csv", **options: object) -> list[str]:
    """Return the messages of everything that is refused; each names the file."""
    path = write(folder, text, name)
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path, options=ReadOptions(**options))
    assert {problem.path for problem in caught.value.problems} == {str(path)}
    assert "\n" not in "".join(problem.message for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


def refusal(folder: Path, text: str | bytes, name: str = "scores.csv", **options: object) -> str:
    (message,) = refusals(folder, text, name, **options)
    return message


def same(one: ScoreTable, other: ScoreTable) -> None:
    assert (one.models, one.columns, one.digest) == (other.models, other.columns, other.digest)
    np.testing.assert_array_equal(one.values, other.values)


# ---- numbers


@pytest.mark.parametrize(
    ("text", "value", "percent", "decimals"),
    [
        ("78.50", 78.5, False, 2),
        ("78.5 %", 78.5, True, 1),
        ("5.", 5.0, False, 0),
        (".25", 0.25, False, 2),
        ("-1.5", -1.5, False, 1),
        ("+1", 1.0, False, 0),
        ("2.5e-3", 0.0025, False, 4),
        ("1.5E2", 150.0, False, 0),
        ("0e5", 0.0, False, 0),
        (" 007 ", 7.0, False, 0),
    ],
)
def test_numbers(text: str, value: float, percent: bool, decimals: int) -> None:
    number = parse_score(text)
    assert (number.value, number.percent, number.decimals) == (value, percent, decimals)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back_from_its_own_text(value: float) -> None:
    read_back = parse_score(repr(value)).value
    assert read_back.hex() == value.hex()


@given(st.text(max_size=12) | st.from_regex(r"[-+0-9.eE_x%n, ]{1,12}", fullmatch=True))
def test_no_text_becomes_a_number_that_it_does_not_say(text: str) -> None:
    try:
        number = parse_score(text)
    except NotANumberError:
        return
    if is_missing(text):
        assert np.isnan(number.value)
    else:
        assert number.value == float(text.strip().removesuffix("%"))
        assert "_" not in text
        assert np.isfinite(number.value)


@pytest.mark.parametrize(
    "text", ["", " ", "N/A", "n/a", "NA", "NaN", "nan", "null", "None", "none", "-", "NULL"]
)
def test_words_for_a_missing_score(text: str) -> None:
    assert np.isnan(parse_score(text).value)
    assert np.isnan(parse_column(["1", text]).values).tolist() == [False, True]


NOT_NUMBERS = {
    "inf": "is infinite",
    "-Infinity": "is infinite",
    "0x10": "is hexadecimal",
    "1_000": "has an underscore",
    "12,5": "has a comma",
    "1e400": "is out of range",
    "1e-400": "is out of range",
    "1e99999": "is out of range",
    "1" * 65: "has more than 64 characters",
    "seven": "is not a number",
    "1.2.3": "is not a number",
    "٣": "is not a number",
    "1 000": "is not a number",
    "%": "is not a number",
    "5%%": "is not a number",
    "nan%": "is not a number",
    "true": "is not a number",
}


@pytest.mark.parametrize(("text", "reason"), NOT_NUMBERS.items())
def test_what_is_no_number_is_named(tmp_path: Path, text: str, reason: str) -> None:
    message = refusal(tmp_path, f'model,math\na,50\nb,"{text}"\n')
    assert message == f"line 3, column `math`: `{text}` {reason}"


@given(
    st.lists(
        st.sampled_from(["", "N/A", "-", "none ", "NA"])
        | st.decimals(-999, 999, places=3).map(str)
        | st.floats(allow_nan=False, allow_infinity=False).map(repr)
        | st.sampled_from(
            ["5", "0", "1", "0.5", "45%", "0%", "1_0", "x", "1.2.3", "+", "12345678901234567.5"]
        ),
        max_size=8,
    )
)
def test_the_fast_path_says_what_the_slow_one_says(cells: list[str]) -> None:
    fast = parse_column(cells)
    # A space before a percent sign or around a number keeps a column from the fast path.
    slow = parse_column([f" {cell} " for cell in cells])
    np.testing.assert_array_equal(fast.values, slow.values)
    assert (fast.signed, fast.scale, fast.decimals, fast.is_text) == (
        slow.signed,
        slow.scale,
        slow.decimals,
        slow.is_text,
    )
    assert [bad.row for bad in fast.bad] == [bad.row for bad in slow.bad]


@pytest.mark.parametrize(
    ("cells", "scale", "decimals"),
    [
        (["50", "0.5"], "percent", 1),
        (["0.5", "1"], "unit", 1),
        (["0", "1"], None, 0),
        (["0.5%", "0.25%"], "percent", 2),
        (["50%", "0"], "percent", 0),
        (["45%", "7.25"], "percent", 2),
        (["0.3333333333333333", "0.5"], "unit", None),
        (["", "-"], None, None),
    ],
)
def test_scale_and_decimals(cells: list[str], scale: str | None, decimals: int | None) -> None:
    parsed = parse_column(cells)
    assert (parsed.bad, parsed.scale, parsed.decimals) == ((), scale, decimals)


def test_a_share_among_percentages_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, "model,math\na,45%\nb,0.45\n")
    assert message == "line 3, column `math`: `0.45` has no percent sign, others in its column do"


# ---- wide tables


def test_a_wide_table(tmp_path: Path) -> None:
    table = read(tmp_path, WIDE)
    assert (table.models, table.categories, table.kind, table.ignored) == (
        ("a", "b"),
        ("math", "code"),
        "wide",
        (),
    )
    assert table.values.tolist() == [[50.5, 7.0], [60.0, 8.25]]
    assert table.columns == (
        Column("math", scale="percent", decimals=1),
        Column("code", scale="percent", decimals=2),
    )
    assert table.source == str(tmp_path / "scores.csv")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + WIDE,
        WIDE.replace("\n", "\r\n"),
        WIDE.replace("\n", "\r"),
        WIDE + "\n\n",
        WIDE.rstrip("\n"),
        '"model","math","code"\n"a","50.5","7"\n"b","60","8.25"\n',
        "model , math, code\n a ,50.5 , 7\nb, 60,8.25\n",
    ],
    ids=["mark", "crlf", "cr", "blank lines", "no newline", "quoted", "padded"],
)
def test_ways_to_write_the_same_csv(tmp_path: Path, text: str) -> None:
    same(read(tmp_path, text), read(tmp_path, WIDE))


def test_other_containers_hold_the_same_table(tmp_path: Path) -> None:
    expected = read(tmp_path, WIDE)
    mapping = '{"a": {"math": 50.5, "code": 7}, "b": {"code": 8.25, "math": 60}}'
    entries = '[{"model": "a", "math": 50.5, "code": "7"}, {"model": "b", "math": "60", "code": 8.25}]'
    same(read(tmp_path, WIDE.replace(",", "\t"), "scores.tsv"), expected)
    same(read(tmp_path, mapping, "mapping.json"), expected)
    same(read(tmp_path, entries, "entries.json"), expected)
    frame = pd.read_csv(tmp_path / "scores.csv")
    frame.to_parquet(tmp_path / "scores.parquet")
    frame.set_index("model").to_parquet(tmp_path / "indexed.parquet")
    same(read_scores(tmp_path / "indexed.parquet"), read_scores(tmp_path / "scores.parquet"))
    same(
        read_scores(tmp_path / "scores.parquet"),
        expected.with_columns([expected.columns[0], Column("code", scale="percent", decimals=2)]),
    )


def test_json_keys_that_are_not_everywhere_are_missing_scores(tmp_path: Path) -> None:
    table = read(tmp_path, '{"a": {"math": 1.5}, "b": {"code": null, "math": 2}, "c": {"code": 3}}', "t.json")
    assert table.categories == ("math", "code")
    np.testing.assert_array_equal(table.values, [[1.5, np.nan], [2, np.nan], [np.nan, 3]])


def test_the_digits_of_json_numbers_are_those_written(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": {"math": 78.50}}', "t.json").columns[0].decimals == 2


def test_missing_scores_are_never_zero(tmp_path: Path) -> None:
    table = read(tmp_path, "model,math,code\na,,1.5\nb,N/A,-\nc,3,0\n")
    np.testing.assert_array_equal(table.values, [[np.nan, 1.5], [np.nan, np.nan], [3, 0]])


def test_a_quoted_name_may_hold_anything(tmp_path: Path) -> None:
    table = read(tmp_path, 'model,"math, hard"\n"a ""7B""\nnew",50\n')
    assert (table.models, table.categories) == (('a "7B"\nnew',), ("math, hard",))


def test_the_model_column_can_be_named(tmp_path: Path) -> None:
    text = "Rank,Model,math\n1,a,50\n2,b,40\n"
    table = read(tmp_path, text, model_column="Model")
    assert (table.models, table.categories) == (("a", "b"), ("math",))
    assert table.ignored == (("Rank", "its name has `rank`"),)
    assert refusal(tmp_path, text, model_column="model") == "there is no column `model` for the models"


def test_columns_that_are_not_scores_are_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = "".join(
        f"m{i},{place},{place},{50 + i},https://x/{i},2025-04-{i + 10},{i}.5,MIT,\n"
        for i, place in enumerate((3, 1, 2, 5, 4))
    )
    table = read(tmp_path, "model,Rank,#,math,Link,date,Latency Mean (s),License,code\n" + rows)
    assert table.categories == ("math",)
    assert table.ignored == (
        ("Rank", "its name has `rank`"),
        ("#", "its values are the ranks 1 to 5"),
        ("Link", "its name has `link`"),
        ("date", "its name has `date`"),
        ("Latency Mean (s)", "its name has `latency`"),
        ("License", "its name has `license`"),
        ("code", "it is empty"),
    )
    assert read(tmp_path, "model,math,size\na,1.5,7B\n").ignored == (("size", "its name has `size`"),)


def test_a_named_column_is_one_of_scores_whatever_it_looks_like(tmp_path: Path) -> None:
    text = "model,rank,math\na,1.5,50\nb,2.5,40\n"
    assert read(tmp_path, text, columns=("rank",)).categories == ("rank",)
    assert read(tmp_path, text, lower_is_better=("rank",)).categories == ("rank", "math")


def test_aggregates_are_known_by_name_or_declared(tmp_path: Path) -> None:
    text = "model,avg_bleu,Overall Acc,math_score,meaning,code\na,1.5,2,3,4,5\n"
    table = read(tmp_path, text)
    assert table.categories == ("math_score", "meaning", "code")
    table = read(tmp_path, text, aggregates={"meaning": ("code", "math_score"), "avg_bleu": ()})
    assert table.categories == ("math_score", "code")
    assert table.columns[table.place("meaning")].parts == ("code", "math_score")
    table = read(tmp_path, text, columns=("avg_bleu", "code"))
    assert table.categories == ("avg_bleu", "code")
    assert [c.name for c in table.columns if c.role == "aggregate"] == [
        "Overall Acc",
        "math_score",
        "meaning",
    ]


def test_a_table_of_aggregates_only_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, "model,score,Average\na,1,2\n")
    assert message == "no column is a category, all are aggregates: `score`, `Average`"


def test_drop_rename_and_direction(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "model,math,notes,loss\na,50,1,2.5\nb,60,what?,1.5\n",
        drop=("notes",),
        rename={"a": "models/a"},
        lower_is_better=("loss",),
    )
    assert table.models == ("models/a", "b")
    assert table.ignored == (("notes", "dropped as asked"),)
    assert [column.higher_is_better for column in table.columns] == [True, False]
    assert table.oriented().tolist() == [[50, -2.5], [60, -1.5]]
    assert table.score("b", "loss") == 1.5


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"columns": ("maths",)}, "there is no column `maths`", "did you mean `math`?"),
        ({"columns": ()}, "no column is named as a category", "name at least one, or leave the option out"),
        ({"drop": ("codes",)}, "there is no column `codes` to drop", "did you mean `code`?"),
        ({"drop": ("math", "code")}, "no column holds scores", None),
        ({"lower_is_better": ("cod",)}, "there is no column `cod`", "did you mean `code`?"),
        ({"aggregates": {"mat": ()}}, "there is no column `mat`", "did you mean `math`?"),
        ({"aggregates": {"math": ("cde",)}}, "there is no column `cde`", "did you mean `code`?"),
        ({"rename": {"c": "d"}}, "there is no model `c`", "models: `a`, `b`"),
        ({"rename": {"a": "b"}}, "the model `b` is there twice", None),
        ({"drop": ("math",), "columns": ("math",)}, "column `math` is not a score: dropped as asked", None),
        (
            {"columns": ("math",), "aggregates": {"math": ()}},
            "column `math` is named both as a category and as an aggregate",
            None,
        ),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, options: dict[str, object], message: str, hint: str | None
) -> None:
    path = write(tmp_path, WIDE)
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path, options=ReadOptions(**options))
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (str(path), message)
    assert hint is None or problem.hint == hint


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "model,math\na,1,2\nb\n",
            ["not valid CSV: Expected 2 fields in line 2, saw 3"],
        ),
        ("model,math,math\na,1,2\n", ["column `math` is there twice: columns 2 and 3"]),
        ("model,math, math \na,1,2\n", ["column `math` is there twice: columns 2 and 3"]),
        ("model,math,Math\na,1,2\n", ["the column `Math` is there also as `math`"]),
        ("model,,math\na,1,2\n", ["column 2 has no name in the header"]),
        ("model,math\na,1\nb,2\na,3\n", ["line 4: the model `a` is also in line 2"]),
        ("model,math\na,1\n A,2\n", ["line 3: the model `A` is also in line 2 as `a`"]),
        ("model,math\n,1\n", ["line 2: the model has no name"]),
        ("model,math\n", ["the file has a header and no rows"]),
        ("model\na\n", ["line 1: the header has one column; columns are separated by commas"]),
        ("model;math\na;1;2\n", ["line 1: the header has one column; columns are separated by commas"]),
        ("model,math\na,one\n", ["no column holds scores"]),
        (
            "model,math\na\nb,2\n\nc\n",
            ["line 2: 1 cell, the header has 2", "line 5: 1 cell, the header has 2"],
        ),
        ('model,math\na,"1\n', ["not valid CSV: unexpected end of data"]),
        ('model,math\n"a"x,1\n', ["not valid CSV: ',' expected after '\"'"]),
        (
            "model,math,code\na,one,1\nb,2,two\nc,3,inf\n",
            [
                "line 2, column `math`: `one` is not a number",
                "line 3, column `code`: `two` is not a number",
                "line 4, column `code`: `inf` is infinite",
            ],
        ),
    ],
)
def test_malformed_csv(tmp_path: Path, text: str, messages: list[str]) -> None:
    assert refusals(tmp_path, text) == messages


def test_a_line_number_is_where_a_row_begins(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path, '\nmodel,math\n"a\n1",1\n\nb,x\n') == "line 6, column `math`: `x` is not a number"
    )


def test_of_many_bad_cells_twenty_are_listed(tmp_path: Path) -> None:
    found = refusals(tmp_path, "model,math\nz,1\n" + "".join(f"m{i},x\n" for i in range(45)))
    assert len(found) == 21
    assert found[19:] == ["line 22, column `math`: `x` is not a number", "and 25 more problems like these"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf \n\n", "the file is empty"),
        (b"\x93NUMPY\x01\x00\xff", "the file is not UTF-8 text: byte 0x93 at 0, line 1"),
        (b"model,math\n\xc3\xa4,\xff\n", "the file is not UTF-8 text: byte 0xff at 14, line 2"),
        (b"model,math\n\xd6\xd0\xce\xc4,1\n", "the file is not UTF-8 text: byte 0xd6 at 11, line 2"),
        (b"\xff\xfem", "the file is not UTF-16 text: byte 0x6d at 2, line 1"),
        (b"\xd0\xcf\x11\xe0rest", "the file is an office document of before 2007"),
        (b"model,math\na,1\x00\n", "the file is not text: it has NUL bytes"),
        (b"PK\x03\x04rest", "the file is a zip archive or an office document"),
        (b"\x1f\x8brest", "the file is compressed with gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "the file is a Git LFS pointer, not the file"),
        (b"\n<!DOCTYPE html>\n<html>", "the file is a web page"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, content) == message


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_line_each(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    for name in ("x.csv", "x.tsv", "x.json", "x.jsonl", "x.md", "x.parquet", "x.xlsx", "x.txt", "x"):
        problems = ()
        try:
            read(folder, content, name)
        except ScoreTableError as error:
            problems = error.problems
        assert all("\n" not in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"math": 1}, "a": {"math": 2}}', "duplicate key `a`"),
        ('{"a": {"math": NaN}}', "`NaN` is not a JSON value"),
        ('{"a": {"math": -Infinity}}', "`-Infinity` is not a JSON value"),
        ('{"a": {"math": 1e400}}', "`1e400` is out of range"),
        ('{"a": {"math": 1e-400}}', "`1e-400` is out of range"),
        ('{"a": {"math": 1' + "0" * 99 + "}}", "a number has 100 digits, at most 64 are read"),
        ('{"a": {"math": 1}', "line 1, column 18: not JSON: expecting ',' delimiter"),
        ("[" * 100 + "]" * 100, "the JSON is nested deeper than 64 levels"),
        ("[" * 100_000, "the JSON is nested deeper than 64 levels"),
        ('{"a": {"math": [1]}}', "model `a`, column `math`: a score cannot be nested"),
        ('[{"model": "a", "math": {"x": 1}}]', "entry 1, column `math`: a score cannot be nested"),
        ('{"a": 1}', "the JSON is not a score table: its values are not objects"),
        ("{}", "the JSON is not a score table: its values are not objects"),
        ("[1]", "the JSON is not a score table: its entries are not objects"),
        ("7", "the JSON is not a score table: it is neither an object nor a list"),
        ('{"a": {}}', "the JSON is not a score table: it has no scores"),
        ('{"a": {"math": "1_000"}}', "model `a`, column `math`: `1_000` has an underscore"),
    ],
)
def test_malformed_json(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text, "scores.json") == message


def test_names_are_made_safe_for_the_terminal(tmp_path: Path) -> None:
    message = refusal(tmp_path, "model,ma\x1b[2Jth\na,1\nb,\u202ex\n")
    assert message == "line 3, column `ma\\u{1b}[2Jth`: `\\u{202e}x` is not a number"


def test_damaged_parquet(tmp_path: Path) -> None:
    message = refusal(tmp_path, b"PAR1" + b"\x00" * 20 + b"PAR1", "t.parquet")
    assert message.startswith("the file is not Parquet that can be read: ")
    frame = pd.DataFrame({"model": ["a", "b"], "math": [1.5, float("inf")]})
    frame.to_parquet(tmp_path / "inf.parquet")
    with pytest.raises(ScoreTableError, match="row 2, column `math`: `inf` is infinite"):
        read_scores(tmp_path / "inf.parquet")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_of_parquet_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("changed") / "t.parquet"
    frame = pd.DataFrame({"model": ["a", "b"], "math": [1.5, 2.5], "code": [7, None]})
    frame.set_index("model").to_parquet(path)
    content = bytearray(path.read_bytes())
    for where, byte in changes:
        content[int(where * len(content))] = byte
    path.write_bytes(content)
    with contextlib.suppress(ScoreTableError):  # nothing else may be raised
        read_scores(path)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path, b"PAR1", "t.parquet")
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path)
    (problem,) = caught.value.problems
    assert (problem.message, problem.hint) == (
        "reading Parquet needs pyarrow",
        "pip install 'soce[excel]'",
    )


def test_parquet_holes_and_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"model": ["a", "b"], "math": [50.25, None], "code": [7, 8], "ok": [True, False], "note": ["x", None]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_scores(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.values, [[50.25, 7], [np.nan, 8]])
    assert table.ignored == (("ok", "no cell is a number"), ("note", "no cell is a number"))


# ---- files and places


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # sparse
    with pytest.raises(ScoreTableError, match=f"has {64 * 2**20 + 1} bytes, at most {64 * 2**20} are read"):
        read_scores(path)


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.csv"
    os.mkfifo(fifo)
    with pytest.raises(ScoreTableError, match="is not a regular file"):
        read_scores(fifo)
    with pytest.raises(ScoreTableError, match="the directory holds no score files of a known format"):
        read_scores(tmp_path)
    with pytest.raises(ScoreTableError, match="is a directory, and a wide table is a file"):
        read_scores(tmp_path, options=ReadOptions(format="wide"))


def test_system_failures_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_scores(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError):
        read_scores(f"a={tmp_path}/absent.csv")
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        read_scores(loop)


def test_unknown_files_name_the_formats(tmp_path: Path) -> None:
    path = write(tmp_path, "one,two\nthree\n", "scores.txt")
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path)
    (problem,) = caught.value.problems
    assert problem.message == "the file is of no known format and has the suffix `.txt`"
    assert problem.hint is not None
    assert all(name in problem.hint for name in FORMATS if name != "paper")
    assert refusal(tmp_path, "one,two\nthree\n", "x.txt", format="wide") == "line 2: 1 cell, the header has 2"


def test_unknown_format_names() -> None:
    with pytest.raises(ScoreTableError) as caught:
        read_scores("x.csv", options=ReadOptions(format="lmeval"))
    assert str(caught.value) == "there is no format `lmeval`\nhint: did you mean `lm-eval` or `lighteval`?"


def test_the_format_overrides_what_the_header_says(tmp_path: Path) -> None:
    text = "model,category,score\na,1.5,2.5\nb,2,3\n"
    assert read(tmp_path, text).kind == "long"
    table = read(tmp_path, text, format="wide")
    assert (table.kind, table.categories) == ("wide", ("category",))
    assert refusals(tmp_path, WIDE, format="long") == [
        "a long table has the columns model, category, score: there is no `category`",
        "a long table has the columns model, category, score: there is no `score`",
    ]


# ---- several sources


def test_tables_are_joined_by_model_and_category(tmp_path: Path) -> None:
    one = write(tmp_path, "model,math,code\na,50.5,70\n", "one.csv")
    two = write(tmp_path, '{"b": {"code": 71.25, "chat": 80}}', "two.json")
    table = read_scores([one, str(two)], options=ReadOptions(lower_is_better=("chat",), rename={"a": "x"}))
    assert (table.models, table.categories) == (("x", "b"), ("math", "code", "chat"))
    np.testing.assert_array_equal(table.values, [[50.5, 70, np.nan], [np.nan, 71.25, 80]])
    assert [column.decimals for column in table.columns] == [1, 2, 0]
    assert [column.higher_is_better for column in table.columns] == [True, True, False]
    assert (table.source, table.kind) == (f"{one}, {two}", "wide")
    mirrored = read_scores([str(two), one], options=ReadOptions(lower_is_better=("chat",), rename={"a": "x"}))
    assert mirrored.digest == table.digest


def test_item_counts_are_kept_for_each_cell(tmp_path: Path) -> None:
    one = write(tmp_path, "model,category,score,n\na,math,0.5,10\n", "one.csv")
    two = write(tmp_path, "model,category,score,n\nb,math,0.25,8\n", "two.csv")
    three = write(tmp_path, "model,math\nc,0.75\n", "three.csv")
    table = read_scores([one, two, three])
    assert table.counts is not None
    np.testing.assert_array_equal(table.counts, [[10], [8], [np.nan]])
    assert table.kind == "long + wide"


def test_one_model_may_stand_in_several_files_with_different_scores(tmp_path: Path) -> None:
    one = write(tmp_path, "model,math\na,50.5\n", "one.csv")
    two = write(tmp_path, "model,code\na,70\n", "two.csv")
    assert read_scores([one, two]).values.tolist() == [[50.5, 70]]
    with pytest.raises(
        ScoreTableError, match=r"model `a` has a score in `math` twice: in `\S+` and in `\S+`"
    ):
        read_scores([one, one])


def test_tables_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path, "model,math\na,50.5\n", "one.csv")
    two = write(tmp_path, "model,math\nb,0.7\n", "two.csv")
    with pytest.raises(
        ScoreTableError, match=r"column `math`: the scale is percent in .*one.csv.* and unit in "
    ):
        read_scores([one, two])
    long = "model,category,score,higher_is_better\nb,math,70,false\n"
    three = write(tmp_path, long, "three.csv")
    with pytest.raises(ScoreTableError, match=r"column `math`: higher_is_better is True in .* and False in "):
        read_scores([one, three])
    certain = write(tmp_path, "model,math\na,1\n", "certain.csv")
    assert read_scores([certain, two]).columns[0].scale == "unit"


def test_name_equals_path(tmp_path: Path) -> None:
    one = write(tmp_path, "model,math\nraw,50\n", "one.csv")
    assert read_scores(f"soup={one}").models == ("soup",)
    assert read_scores([f"x={one}", f"y={one}"]).models == ("x", "y")
    assert read_scores(f"x={one}", options=ReadOptions(rename={"x": "z"})).models == ("z",)
    two = write(tmp_path, WIDE, "two.csv")
    with pytest.raises(ScoreTableError, match="holds 2 models, so it cannot be read as the model `x`"):
        read_scores(f"x={two}")
    for odd in (f"={one}", "x="):
        with pytest.raises(ScoreTableError, match="is neither a path nor NAME=PATH"):
            read_scores(odd)


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "model,math\nraw,50\n", "lr=0.1.csv")
    write(tmp_path, "model,math\nother,50\n", "0.1.csv")
    assert read_scores("lr=0.1.csv").models == ("raw",)
    assert read_scores("soup=lr=0.1.csv").models == ("soup",)
    assert read_scores("a=0.1.csv").models == ("a",)


def test_no_source_is_refused() -> None:
    with pytest.raises(ScoreTableError, match="has a NUL"):
        read_scores("a\0b")
    with pytest.raises(ScoreTableError, match="there is nothing to read"):
        read_scores([])


def test_tables_of_the_paper_join_like_any_other() -> None:
    with pytest.raises(ScoreTableError, match="model `Uniform Souping` has a score in `bfcl_accuracy` twice"):
        read_scores(["paper:table1-70b", "paper:table1-8b"])
    assert len(read_scores(["paper:table1-70b", "paper:table3"]).models) == 12
    with pytest.raises(ScoreTableError, match="the paper has no table `nothing`"):
        read_scores("paper:nothing")


# ---- long tables

LONG = "model,category,score,n,stderr,split\na,math,0.5,20,0.1,dev\na,code,0.75,,,dev\nb,math,,20,,dev\n"


def test_a_long_table(tmp_path: Path) -> None:
    table = read(tmp_path, LONG)
    assert (table.models, table.categories, table.kind) == (("a", "b"), ("math", "code"), "long")
    np.testing.assert_array_equal(table.values, [[0.5, 0.75], [np.nan, np.nan]])
    assert table.counts is not None
    assert table.stderrs is not None
    np.testing.assert_array_equal(table.counts, [[20, np.nan], [20, np.nan]])
    np.testing.assert_array_equal(table.stderrs, [[0.1, np.nan], [np.nan, np.nan]])
    assert table.columns == (
        Column("math", scale="unit", decimals=1),
        Column("code", scale="unit", decimals=2),
    )


def test_long_json(tmp_path: Path) -> None:
    rows = [
        {"model": "a", "category": "math", "score": 0.5, "n": 20},
        {"model": "b", "category": "math", "score": 0.75},
    ]
    table = read(tmp_path, json.dumps(rows), "long.json")
    assert (table.kind, table.values.tolist()) == ("long", [[0.5], [0.75]])


def test_splits_are_chosen_by_the_user(tmp_path: Path) -> None:
    text = "model,category,score,split\na,math,1.5,dev\na,math,2.5,test\nb,math,3.5,test\n"
    path = write(tmp_path, text)
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path)
    assert str(caught.value) == (
        f"`{path}`: the table has 2 splits: `dev`, `test`\nhint: say which one, with `split=`"
    )
    table = read(tmp_path, text, split="test")
    assert (table.models, table.values.tolist()) == (("a", "b"), [[2.5], [3.5]])
    assert refusal(tmp_path, text, split="tset") == "there is no split `tset`"
    assert refusal(tmp_path, "model,category,score\na,math,1\n", split="dev") == (
        "there is no split `dev`: the table has no column `split`"
    )


@pytest.mark.parametrize(
    ("rows", "messages"),
    [
        (["a,math,1,,", "a,math,2,,"], ["line 3: model `a`, category `math` is also in line 2"]),
        ([",math,1,,", "a,,2,,"], ["line 2: the model has no name", "line 3: the category has no name"]),
        (
            ["a,math,x,,", "a,code,2,1.5,-1"],
            [
                "line 2, category `math`, column `score`: `x` is not a number",
                "line 3, category `code`, column `n`: `1.5` is not a number of items",
                "line 3, category `code`, column `stderr`: `-1` is negative",
            ],
        ),
        (["a,math,1,-5,"], ["line 2, category `math`, column `n`: `-5` is not a number of items"]),
        (["a,math,0.5,,1%"], [
            "line 2, category `math`, column `stderr`: there are percent signs, but the scores are no percentages"
        ]),
        (["a,math,1,,", "A,math,2,,"], ["the model `A` is there also as `a`"]),
    ],
)  # fmt: skip
def test_malformed_long_tables(tmp_path: Path, rows: list[str], messages: list[str]) -> None:
    text = "\n".join(["model,category,score,n,stderr", *rows])
    assert refusals(tmp_path, text) == messages


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        (
            "scale",
            ("percents", ""),
            "line 2, category `math`, column `scale`: `percents` is not percent, unit or unknown",
        ),
        (
            "scale",
            ("percent", "unit"),
            "line 3, category `math`, column `scale`: `unit` here, `percent` in line 2",
        ),
        ("role", ("", "leaf"), "line 3, category `math`, column `role`: `leaf` is not category or aggregate"),
        (
            "decimals",
            ("-1", "-1"),
            "line 2, category `math`, column `decimals`: `-1` is not a number from 0 to 400 or `exact`",
        ),
        (
            "higher_is_better",
            ("yes", "yes"),
            "line 2, category `math`, column `higher_is_better`: `yes` is not true or false",
        ),
        (
            "parts",
            ("x", ""),
            'line 2, category `math`, column `parts`: `x` is not a JSON list of names such as ["a", "b"]',
        ),
    ],
)
def test_what_rows_say_of_their_category_must_make_sense(
    tmp_path: Path, name: str, cells: tuple[str, str], message: str
) -> None:
    text = f"model,category,score,{name}\na,math,1,{cells[0]}\nb,math,2,{cells[1]}\n"
    assert refusal(tmp_path, text) == message


def test_percent_signs_contradict_a_unit_scale(tmp_path: Path) -> None:
    message = refusal(tmp_path, "model,category,score,scale\na,math,50%,unit\n")
    assert message == "line 2, category `math`, column `scale`: is unit, but there are percent signs"


# ---- writing

names = (
    st.text(
        st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(',"\r\n \u2028\x85=%'),
        min_size=1,
        max_size=8,
    )
    .map(str.strip)
    .filter(bool)
)
unique_names = st.lists(names, min_size=1, max_size=4, unique_by=str.casefold)
numbers = (
    st.floats(allow_nan=False, allow_infinity=False) | st.just(float("nan")) | st.integers(-5, 100).map(float)
)


@st.composite
def tables(draw: st.DrawFn) -> ScoreTable:
    models, columns = draw(unique_names), draw(unique_names)

    def array(cells: st.SearchStrategy[float]) -> np.ndarray:
        size = len(models) * len(columns)
        return np.array(draw(st.lists(cells, min_size=size, max_size=size))).reshape(
            len(models), len(columns)
        )

    counts = st.just(float("nan")) | st.integers(0, 10**16).map(float)
    errors = st.just(float("nan")) | st.floats(0, 1e300)
    roles = [draw(st.sampled_from(["category", "aggregate"])) for _ in columns[1:]]
    return ScoreTable(
        tuple(models),
        tuple(
            Column(
                name,
                role,
                draw(st.sampled_from(["percent", "unit", None])),
                draw(st.booleans()),
                draw(st.none() | st.integers(0, 400)),
                tuple(draw(st.lists(names, max_size=2))),
                draw(st.sampled_from([None, "acc", "exact_match,strict-match", 'f"1'])),
            )
            for name, role in zip(columns, ["category", *roles], strict=True)
        ),
        array(numbers),
        array(counts) if draw(st.booleans()) else None,
        array(errors) if draw(st.booleans()) else None,
    )


@given(tables())
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, table: ScoreTable
) -> None:
    path = tmp_path_factory.mktemp("round") / "long.csv"
    write_scores(table, path)
    read_back = read_scores(path)
    same(read_back, table)
    for name in ("counts", "stderrs"):
        one, other = getattr(read_back, name), getattr(table, name)
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("name", ["flores36", "table1-8b", "table3"])
def test_the_paper_s_tables_survive_writing(tmp_path: Path, name: str) -> None:
    table = read_scores(f"paper:{name}")
    write_scores(table, tmp_path / "long.csv")
    same(read_scores(tmp_path / "long.csv"), table)


@pytest.mark.parametrize("name", ["a\0b", "a\udc80"])
def test_names_that_no_text_file_holds_are_refused(tmp_path: Path, name: str) -> None:
    table = ScoreTable.of({"math": [1.0]}, models=[name])
    with pytest.raises(ScoreTableError, match="NUL or an unpaired surrogate"):
        write_scores(table, tmp_path / "long.csv")
    assert not (tmp_path / "long.csv").exists()


# ---- the user's page


def documented() -> list[tuple[str, str]]:
    """Return file name and content of each example in docs/score-tables.md, marked by a comment before it."""
    page = (ROOT / "docs" / "score-tables.md").read_text(encoding="utf-8")
    return re.findall(r"<!-- file: (\S+) -->\n+```\w*\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize(("name", "content"), documented())
def test_documented_files_are_read(tmp_path: Path, name: str, content: str) -> None:
    table = read_scores(write(tmp_path, content, name))
    assert table.categories
    assert table.kind == next((kind for kind in ("long", "transposed") if name.startswith(kind)), "wide")


def test_documented_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in documented():
        write(tmp_path, content, name)
    page = (ROOT / "docs" / "score-tables.md").read_text(encoding="utf-8")
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, scope)


def test_the_page_names_every_format() -> None:
    page = (ROOT / "docs" / "score-tables.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in FORMATS if name != "paper")


def test_python_is_told_what_the_reader_decided(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("model,math,wer,rank\na,41.5,10.2,1\nb,52.5,9.2,2\nc,63.5,8.2,3\nAverage,52.5,9.2,\n")
    read_scores(path)
    assert {record.name for record in caplog.records} == {"soce.scores.read"}
    told = " ".join(record.getMessage() for record in caplog.records)
    assert all(f"`{name}`" in told for name in ("wer", "rank", "Average"))
    assert "`math`" not in told
