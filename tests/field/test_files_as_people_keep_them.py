"""Score tables in the kinds of files that people have: other separators, encodings, sheets, Markdown, JSON Lines."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from soce.cli.analyze import analyze
from soce.exceptions import Problem, ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable

WIDE = "model,math,code\nmodel-a,50.5,7\nmodel-b,60,8.25\n"
VALUES = [[50.5, 7.0], [60.0, 8.25]]


def write(folder: Path, content: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes, name: str, **options: object) -> ScoreTable:
    return read_scores(write(folder, content, name), options=ReadOptions(**options))


def refused(folder: Path, content: str | bytes, name: str, **options: object) -> Problem:
    with pytest.raises(ScoreTableError) as caught:
        read(folder, content, name, **options)
    return caught.value.problems[0]


def is_wide(table: ScoreTable) -> bool:
    return (table.models, table.categories) == (("model-a", "model-b"), ("math", "code")) and (
        table.values.tolist() == VALUES
    )


def workbook(sheets: dict[str, list[list[object]]]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


ROWS: list[list[object]] = [["model", "math", "code"], ["model-a", 50.5, 7], ["model-b", 60, 8.25]]


# ---- separators and decimals


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("suffix", ["csv", "txt", "dat"])
def test_other_separators_where_every_line_has_them(
    tmp_path: Path, mark: str, name: str, suffix: str
) -> None:
    table = read(tmp_path, WIDE.replace(",", mark), f"scores.{suffix}")
    assert is_wide(table)
    assert any(name in note for note in table.notes)


def test_a_tsv_with_commas_and_a_separator_that_excel_says(tmp_path: Path) -> None:
    assert is_wide(read(tmp_path, WIDE, "scores.tsv"))
    assert is_wide(read(tmp_path, "sep=;\r\n" + WIDE.replace(",", ";").replace("\n", "\r\n"), "scores.csv"))


def test_decimal_commas_of_a_file_with_semicolons(tmp_path: Path) -> None:
    table = read(tmp_path, "model;math;code\nmodel-a;50,5;7\nmodel-b;60;8,25\n", "scores.csv")
    assert is_wide(table)
    assert any("commas" in note for note in table.notes)
    assert [column.decimals for column in table.columns] == [1, 2]
    printed = read(tmp_path, "model;math\nQwen2,5-7B;78,5 ± 0,3\nLlama 3.1;1.234,5\n", "scores.csv")
    assert printed.models == ("Qwen2,5-7B", "Llama 3.1")
    assert printed.values.tolist() == [[78.5], [1234.5]]


@pytest.mark.parametrize(
    "cells", [("1,234", "2,345"), ("78,5", "60.5"), ("1,234", "0.5")], ids=["either", "both", "thousands"]
)
def test_commas_that_are_not_certain_are_asked_about(tmp_path: Path, cells: tuple[str, str]) -> None:
    text = f"model;math\nmodel-a;{cells[0]}\nmodel-b;{cells[1]}\n"
    problem = refused(tmp_path, text, "scores.csv")
    assert "column `math`" in problem.message
    assert "decimal" in (problem.hint or "")


def test_decimals_as_the_user_says(tmp_path: Path) -> None:
    text = "model;math\nmodel-a;1,234\nmodel-b;2,345\n"
    assert read(tmp_path, text, "s.csv", decimal=",").values.tolist() == [[1.234], [2.345]]
    assert read(tmp_path, text, "s.csv", decimal=".").values.tolist() == [[1234], [2345]]
    quoted = 'model,math\nmodel-a,"78,5"\nmodel-b,"60,5"\n'
    assert read(tmp_path, quoted, "s.csv", decimal=",").values.tolist() == [[78.5], [60.5]]
    assert "decimal" in (refused(tmp_path, quoted, "s.csv").hint or "")


def test_the_separator_as_the_user_says(tmp_path: Path) -> None:
    text = "model:math\nmodel-a:1.5\nmodel-b:2.5\n"
    assert read(tmp_path, text, "s.csv", delimiter=":").values.tolist() == [[1.5], [2.5]]
    assert is_wide(read(tmp_path, WIDE.replace(",", "\t"), "s.csv", delimiter="tab"))
    assert "cannot separate columns" in refused(tmp_path, text, "s.csv", delimiter="::").message
    assert "cannot separate columns" in refused(tmp_path, text, "s.csv", delimiter="\n").message


def test_two_separators_that_both_fit_are_asked_about(tmp_path: Path) -> None:
    problem = refused(tmp_path, "model;math, hard\nmodel-a;78,5\nmodel-b;60,5\n", "s.csv")
    assert "commas and semicolons" in problem.message
    assert "delimiter" in (problem.hint or "")


def test_a_quoted_semicolon_separates_nothing(tmp_path: Path) -> None:
    table = read(tmp_path, 'model,"math; hard"\nmodel-a,50\nmodel-b,60\n', "s.csv")
    assert (table.categories, table.notes) == (("math; hard",), ())


def test_empty_columns_and_rows_that_spreadsheets_leave_at_the_end(tmp_path: Path) -> None:
    text = "model,math,code,,\nmodel-a,50.5,7,,\nmodel-b,60,8.25,,\n,,,,\n,,,,\n"
    assert is_wide(read(tmp_path, text, "s.csv"))
    assert "column 4" in refused(tmp_path, text.replace("8.25,,", "8.25,x,"), "s.csv").message
    assert "line 3" in refused(tmp_path, text.replace("model-b,60,8.25", ",60,8.25"), "s.csv").message


texts = st.text(st.sampled_from("abcXYZ012,;|.' -_/é"), min_size=1, max_size=8).map(lambda name: f"q{name}q")
scores = st.none() | st.decimals(-999, 999, places=2)


@given(
    st.lists(texts, min_size=2, max_size=4, unique_by=str.casefold),
    st.lists(texts, min_size=1, max_size=3, unique_by=str.casefold),
    st.data(),
)
def test_separators_and_decimals_change_nothing_or_are_asked_about(
    tmp_path_factory: pytest.TempPathFactory, models: list[str], categories: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("same")
    values = [[data.draw(scores) for _ in categories] for _ in models]
    separator, comma = data.draw(st.sampled_from([(",", False), (";", False), (";", True), ("\t", True)]))
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(["model", *categories])
    for model, row in zip(models, values, strict=True):
        cells = ["" if value is None else str(value) for value in row]
        writer.writerow([model, *(cell.replace(".", ",") if comma else cell for cell in cells)])
    options = ReadOptions(format="wide", transpose=False, columns=tuple(categories))
    try:
        table = read_scores(write(folder, file.getvalue(), "s.csv"), options=options)
    except ScoreTableError:
        options = replace(options, delimiter=separator, decimal="," if comma else ".")
        table = read_scores(folder / "s.csv", options=options)
    expected = [[np.nan if value is None else float(value) for value in row] for row in values]
    assert (table.models, table.categories) == (tuple(models), tuple(categories))
    np.testing.assert_array_equal(table.values, expected)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_of_a_workbook_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    content = bytearray(saved(workbook({"S": ROWS})))
    for where, byte in changes:
        content[int(where * len(content))] = byte
    with contextlib.suppress(ScoreTableError):  # nothing else may be raised
        read(tmp_path_factory.mktemp("changed"), bytes(content), "s.xlsx")


# ---- encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_its_mark_is_read_and_named(tmp_path: Path, encoding: str) -> None:
    mark = {"utf-16": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    table = read(tmp_path, mark + WIDE.replace("model-b", "Mödell 模型").encode(encoding), "s.csv")
    assert table.models[1] == "Mödell 模型"
    (note,) = table.notes
    assert "UTF-16" in note
    other = write(tmp_path, "model,chat\nmodel-a,1.5\n", "other.csv")
    (note,) = read_scores([tmp_path / "s.csv", other]).notes
    assert note.startswith(f"`{tmp_path / 's.csv'}`: ")


@pytest.mark.parametrize("name", ["Größe", "modèle", "Señor – “x”"])
def test_windows_western_is_read_and_named(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, f"model,math\n{name},78.5 ± 0.3\nb,60\n".encode("cp1252"), "s.csv")
    assert table.models[0] == name
    assert table.stderrs is not None
    assert "Windows-1252" in table.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        "model,math\n模型,50\nb,60\n".encode("gbk"),
        b"model,math\n\xec\xee\xe4\xe5\xeb\xfc,50\nb,60\n",
        "model,math\nÄ,50\n".encode() + b"\xff,60\n",
        b"model,math\na\x81,50\nb,60\n",
    ],
    ids=["gbk", "cyrillic", "damaged UTF-8", "undefined"],
)
def test_other_bytes_are_refused_with_their_place(tmp_path: Path, content: bytes) -> None:
    problem = refused(tmp_path, content, "s.csv")
    assert "line " in problem.message
    assert "UTF-8" in (problem.hint or "")


def test_the_encoding_reaches_stderr_and_not_stdout(tmp_path: Path) -> None:
    rows = "".join(f"Modèle {i},{50 + i * i % 7}.5,{40 + i * 3 % 5}.25\n" for i in range(6))
    path = write(tmp_path, ("model,math,code\n" + rows).encode("cp1252"), "s.csv")
    result = CliRunner().invoke(analyze, [str(path)])
    assert result.exit_code == 0, result.output
    assert "Windows-1252" in result.stderr
    assert "Windows-1252" not in result.stdout


# ---- JSON Lines


def test_json_lines_wide_and_long(tmp_path: Path) -> None:
    wide = '{"model": "model-a", "math": 50.5, "code": 7}\n\n{"model": "model-b", "math": 60, "code": 8.25}\n'
    for name in ("s.jsonl", "s.ndjson", "s.json", "s.txt", "s"):
        assert is_wide(read(tmp_path, wide, name))
    long = '{"model": "a", "category": "x", "score": 0.5}\n{"model": "b", "category": "x", "score": 0.75}\n'
    table = read(tmp_path, long, "s.jsonl")
    assert (table.kind, table.values.tolist()) == ("long", [[0.5], [0.75]])
    assert read(tmp_path, '{"model": "a", "math": 1.5}\n', "one.jsonl").models == ("a",)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    start = '{"model": "a", "math": 1}\n\n'
    assert "line 3" in refused(tmp_path, start + '{"model": "b" "math": 2}\n', "s.jsonl").message
    assert (
        "line 3, column `math`"
        in refused(tmp_path, start + '{"model": "b", "math": "x"}\n', "s.jsonl").message
    )
    assert "line 3" in refused(tmp_path, start + '{"model": "b", "math": [2]}\n', "s.jsonl").message
    assert "not objects" in refused(tmp_path, start + "[2]\n", "s.jsonl").message


# ---- Markdown

TABLE = """\
| model | math | code |
|:------|-----:|:----:|
| **model-a** | 50.5 | 7 |
| [model-b](https://x.org/b) | **60** | 8.25 |
"""


@pytest.mark.parametrize("name", ["README.md", "board.markdown", "pasted.txt", "pasted.csv", "pasted"])
@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        f"---\nlicense: mit\n---\n\n# Results\n\nSome words, with commas.\n\n{TABLE}\nMore words | with a bar.\n",
        "model | math | code\n--- | --- | ---\nmodel-a | 50.5 | 7\nmodel-b | 60 | 8.25\n",
        " model   | math | code\n---------+------+------\n model-a | 50.5 | 7\n model-b | 60   | 8.25\n(2 rows)\n",
        TABLE.replace("\n", "\r\n"),
    ],
    ids=["alone", "in a text", "without outer bars", "psql", "crlf"],
)
def test_markdown_tables(tmp_path: Path, name: str, text: str) -> None:
    assert is_wide(read(tmp_path, text, name))


def test_escapes_in_markdown(tmp_path: Path) -> None:
    table = read(tmp_path, "| model | a\\|b |\n|---|---|\n| my\\_model | 78.5\\* |\n| other | 60 |\n", "t.md")
    assert (table.models, table.categories) == (("my_model", "other"), ("a|b",))
    assert table.values.tolist() == [[78.5], [60]]


def test_of_several_markdown_tables_one_is_chosen_by_heading_or_number(tmp_path: Path) -> None:
    text = f"# Settings\n\n| key | value |\n|---|---|\n| lr | 0.1 |\n\n## Results ##\n\n{TABLE}"
    problem = refused(tmp_path, text, "t.md")
    assert "2 tables: `1 Settings`, `2 Results`" in problem.message
    assert "sheet" in (problem.hint or "")
    assert is_wide(read(tmp_path, text, "t.md", sheet="results"))
    assert is_wide(read(tmp_path, text, "t.md", sheet="2"))
    assert "there is no table `3`" in refused(tmp_path, text, "t.md", sheet="3").message


def test_markdown_that_is_no_table(tmp_path: Path) -> None:
    assert "no table" in refused(tmp_path, "# Title\n\nA | b\n\nc | d\n", "t.md").message
    ragged = refused(tmp_path, TABLE + "| model-c | 1 |\n", "t.md")
    assert ragged.message == "line 5: 2 cells, the header has 3"
    assert (
        refused(tmp_path, "| model | math |\n|---|---|\n", "t.md").message
        == "the file has a header and no rows"
    )


# ---- workbooks


@pytest.mark.parametrize("name", ["s.xlsx", "s.xlsm", "s.bin", "s"])
def test_workbooks(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, saved(workbook({"Sheet1": ROWS, "Empty": []})), name)
    assert is_wide(table)
    assert table.notes == ()


def test_workbooks_as_pandas_writes_them(tmp_path: Path) -> None:
    pd.DataFrame({"math": [50.5, 60], "code": [7, 8.25]}, index=["model-a", "model-b"]).to_excel(
        tmp_path / "p.xlsx"
    )
    assert is_wide(read_scores(tmp_path / "p.xlsx"))


def test_of_several_sheets_one_is_chosen(tmp_path: Path) -> None:
    book = workbook({"Notes": [["who", "when"], ["me", "now"]], "Results": ROWS})
    problem = refused(tmp_path, saved(book), "s.xlsx")
    assert "2 sheets: `1 Notes`, `2 Results`" in problem.message
    assert is_wide(read(tmp_path, saved(book), "s.xlsx", sheet="Results"))
    assert is_wide(read(tmp_path, saved(book), "s.xlsx", sheet="2"))
    assert "there is no sheet `Result`" in refused(tmp_path, saved(book), "s.xlsx", sheet="Result").message
    book["Notes"].sheet_state = "hidden"
    assert is_wide(read(tmp_path, saved(book), "s.xlsx"))


def test_titles_above_the_header_are_passed_over_with_a_word(tmp_path: Path) -> None:
    book = workbook({"S": [["Results of June"], [], *ROWS]})
    book["S"].merge_cells("A1:C1")
    table = read(tmp_path, saved(book), "s.xlsx")
    assert is_wide(table)
    (note,) = table.notes
    assert "row 1 (`Results of June`)" in note
    groups = workbook({"S": [[None, "Reasoning", None], *ROWS]})
    groups["S"].merge_cells("B1:C1")
    assert is_wide(read(tmp_path, saved(groups), "s.xlsx"))


def test_empty_columns_and_rows_around_a_table(tmp_path: Path) -> None:
    rows = [[], [], *[[None, *row[:2], None, row[2]] for row in ROWS], []]
    table = read(tmp_path, saved(workbook({"S": rows})), "s.xlsx")
    assert is_wide(table)
    bad = saved(workbook({"S": [*rows[:-1], [None, "model-c", "x", None, 1]]}))
    assert refused(tmp_path, bad, "s.xlsx").message == "row 6, column `math`: `x` is not a number"


def test_percentages_dates_and_errors_of_a_workbook(tmp_path: Path) -> None:
    day = dt.datetime(2026, 6, 1)
    book = workbook({"S": [["model", "math", "code", "day"], ["a", 0.785, "#N/A", day], ["b", 0.29, 7, day]]})
    for row in (2, 3):
        book["S"].cell(row, 2).number_format = "0.0%"
    table = read(tmp_path, saved(book), "s.xlsx")
    np.testing.assert_array_equal(table.values, [[78.5, np.nan], [29, 7]])
    assert table.columns[0].scale == "percent"
    assert [name for name, _ in table.ignored] == ["day"]


def test_formulas_have_the_values_saved_with_them_or_are_refused(tmp_path: Path) -> None:
    book = workbook({"S": [*ROWS, ["model-c", "=B2+B3", 9]]})
    problem = refused(tmp_path, saved(book), "s.xlsx")
    assert "cell B4" in problem.message
    assert "save" in (problem.hint or "")
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(book))) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            held = old.read(name).replace(b"<f>B2+B3</f><v></v>", b"<f>B2+B3</f><v>55.5</v>")
            new.writestr(name, held.replace(b"<f>B2+B3</f><v />", b"<f>B2+B3</f><v>55.5</v>"))
    assert read(tmp_path, content.getvalue(), "s.xlsx").score("model-c", "math") == 55.5


def test_damaged_workbooks_and_other_archives(tmp_path: Path) -> None:
    whole = saved(workbook({"S": ROWS}))
    assert "cannot be read" in refused(tmp_path, whole[: len(whole) // 2], "s.xlsx").message.replace(
        "not a workbook that can be read", "cannot be read"
    )
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("content.xml", "<x/>")
    assert "archive" in refused(tmp_path, other.getvalue(), "s.csv").message
    assert "workbook" in refused(tmp_path, other.getvalue(), "s.xlsx").message


def test_workbooks_without_openpyxl_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(workbook({"S": ROWS}))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    problem = refused(tmp_path, content, "s.xlsx")
    assert (problem.message, "soce[excel]" in (problem.hint or "")) == (
        "reading Excel workbooks needs openpyxl",
        True,
    )


# ---- files that could be anything


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("s.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), ".xlsx"),
        ("s.csv.gz", b"\x1f\x8b\x08\x00rest", "unpack"),
        ("s.ods", b"PK\x03\x04rest", ".xlsx"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    assert hint in (refused(tmp_path, content, name).hint or "")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "Some words, and more.\nNo table here\n"),
        ("x.log", "[2026-06-01] started\n[2026-06-01] done\n"),
        ("x.bin", b"\x00\x01\x02"),
        ("x.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "),
        ("x.txt", ""),
    ],
)
def test_what_is_not_certain_by_content_is_of_no_known_format(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    problem = refused(tmp_path, content, name)
    assert problem.message.startswith("the file is of no known format")
    assert "format" in (problem.hint or "")
