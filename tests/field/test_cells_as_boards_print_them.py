"""Cells as boards print them: read where they say one thing, refused by name where they could say two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import Problem, ScoreTableError
from soce.scores.cells.column import parse_column
from soce.scores.cells.printed import take_apart
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable


def read(folder: Path, cells: list[str], **options: object) -> ScoreTable:
    """Return the table of one column of cells beside one of plain scores."""
    path = folder / "board.csv"
    rows = [f'm{row},{50 + row}.5,"{cell}"' for row, cell in enumerate(cells)]
    path.write_text("\n".join(["model,plain,printed", *rows]), encoding="utf-8")
    return read_scores(path, options=ReadOptions(**options))


def refused(folder: Path, cells: list[str], **options: object) -> Problem:
    with pytest.raises(ScoreTableError) as caught:
        read(folder, cells, **options)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "text",
    [
        "**78.5**", "***78.5***", "__78.5__", "*78.5*", "_78.5_", "`78.5`", "<b>78.5</b>", "<u><b>78.5</b></u>",
        '<span style="color: green">78.5</span>', r"\textbf{78.5}", r"\underline{\textbf{78.5}}", "$78.5$",
        r"$\mathbf{78.5}$", r"{\bf 78.5}", "[78.5](https://example.org/a_(b))", "**[78.5](https://example.org)**",
        '<a href="https://example.org" target="_blank">78.5</a>', "🥇 78.5", "78.5 🏆", "🥇 **78.5**",
        "&nbsp;78.5", "+78.5", "78.5\u200b", "\ufeff78.5", "\uff17\uff18.\uff15", "'78.5", "\u201c78.5\u201d",
    ],
)  # fmt: skip
def test_what_only_changes_how_a_number_looks(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, ["60.0", text.replace('"', '""')])
    assert table.values.tolist() == [[50.5, 60.0], [51.5, 78.5]]
    assert table.columns[1].decimals == 1
    assert table.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "78.5 ± 0.3", "78.5±0.3", "78.5 +/- 0.3", "78.5+-0.3", "**78.5** ± 0.3", "**78.5 ± 0.3**", r"78.5 \pm 0.3",
        r"$78.5 \pm 0.3$", r"$78.5_{\pm 0.3}$", r"$78.5_{\pm0.3}$", r"\textbf{78.5}$_{\pm 0.3}$", "78.5<br>±0.3",
        "78.5<sub>±0.3</sub>", "78.5 &plusmn; 0.3", "(78.5 ± 0.3)",
        "78.5 (±0.3)", "**78.5** (± 0.3)", "78.5 (SE 0.3)", "78.5 (stderr = 0.3)",
    ],
)  # fmt: skip
def test_a_score_with_its_standard_error(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, [text, "60"])
    assert table.values[:, 1].tolist() == [78.5, 60]
    assert table.stderrs is not None
    np.testing.assert_array_equal(table.stderrs, [[np.nan, 0.3], [np.nan, np.nan]])
    (note,) = table.notes
    assert "standard error" in note
    assert "`printed`" in note


@pytest.mark.parametrize(
    "text", ["78.5 ± 0.3%", "78.5% ± 0.3%", "78.5% ± 0.3", "(78.5 ± 0.3)%", r"78.5 \pm 0.3\%"]
)
def test_a_percent_sign_is_of_both_numbers(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, [text])
    assert (table.columns[1].scale, table.values[0, 1]) == ("percent", 78.5)
    assert table.stderrs is not None
    assert table.stderrs[0, 1] == 0.3


@pytest.mark.parametrize(
    "text",
    [
        "78.5*", "78.5**", "78.5†", "78.5‡", "78.5 †", "†78.5", "78.5[^1]", "78.5[^note]", "78.5[1]", "78.5¹",
        "78.5ᵃ", "78.5%¹", "78.5<sup>1</sup>", "78.5<sup>a</sup>", r"78.5$^{*}$", r"78.5$^\dagger$", "**78.5**†",
        "78.5 ↑", "78.5 (+2.3)", "78.5 (-2.3)", "78.5 (↑2.3)", "78.5 ▼ 2.3", "78.5 +1.2/-1.3", "78.5 (+1.2/-1.3)",
        "78.5 [77.1, 79.9]", "78.5 (77.1–79.9)", "78.5 [95% CI: 77.1, 79.9]",
    ],
)  # fmt: skip
def test_marks_changes_and_intervals_are_passed_over_with_a_word(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, ["60.0", text])
    assert table.values[:, 1].tolist() == [60, 78.5]
    assert table.stderrs is None or "±" in text
    assert any("`printed` (" in note for note in table.notes) or text == "78.5**"


@pytest.mark.parametrize(
    ("text", "stderr", "count"),
    [
        ("78.5 (n=200)", None, 200), ("78.5% (N = 200)", None, 200), ("78.5 ± 0.3 (n=200)", 0.3, 200),
        ("78.5 ± N/A", None, None), ("78.5 (SD 0.3)", None, None), ("78.5 (std=0.3)", None, None),
    ],
)  # fmt: skip
def test_brackets_that_say_what_is_in_them(text: str, stderr: float | None, count: int | None) -> None:
    parsed = parse_column([text])
    assert (parsed.bad, parsed.values.tolist()) == ((), [78.5])
    assert (None if parsed.stderrs is None else parsed.stderrs[0]) == stderr
    assert (None if parsed.counts is None else parsed.counts[0]) == count
    assert (parsed.passed_over is not None) == ("SD" in text or "std" in text)


def test_shares_of_one_number_of_items(tmp_path: Path) -> None:
    assert read(tmp_path, ["12 of 20", "13 out of 20"]).values[:, 1].tolist() == [60, 65]
    table = read(tmp_path, ["12/20", "20 / 20", "**0/20**", "-"])
    np.testing.assert_array_equal(table.values[:, 1], [60, 100, 0, np.nan])
    assert table.counts is not None
    np.testing.assert_array_equal(table.counts[:, 1], [20, 20, 20, np.nan])
    assert (table.columns[1].scale, table.columns[1].decimals) == ("percent", None)


@pytest.mark.parametrize(
    ("text", "score"),
    [("60% (12/20)", 60), ("12/20 (60.0%)", 60), ("66.7% (2/3)", 66.7), ("0.6 (12/20)", 0.6)],
)
def test_a_score_beside_the_share_that_it_is(tmp_path: Path, text: str, score: float) -> None:
    table = read(tmp_path, [text])
    assert table.values[0, 1] == score
    assert table.counts is not None
    assert table.counts[0, 1] == int(text.split("/")[1].split(")")[0].split(" ")[0])


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("1,234.5", 1234.5), ("1,234,567", 1234567), ("1\u00a0234.5", 1234.5), ("1\u202f234", 1234),
        ("1\u2009234", 1234), ("1'234.5", 1234.5), ("-1,234.5", -1234.5), ("\u22125.5", -5.5), ("1,234.5%", 1234.5),
    ],
)  # fmt: skip
def test_thousands_and_other_minus_signs(text: str, score: float) -> None:
    assert parse_column([text]).values.tolist() == [score]


def test_a_comma_groups_thousands_where_its_column_or_the_user_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, ["1,234", "1,250.5"]).values[:, 1].tolist() == [1234, 1250.5]
    assert read(tmp_path, ["1,234", "1,250"], decimal=".").values[:, 1].tolist() == [1234, 1250]
    problem = refused(tmp_path, ["1,234", "1,250"])
    assert "line 2, column `printed`: `1,234`" in problem.message
    assert problem.hint is not None
    assert "--decimal" in problem.hint


def test_commas_separate_decimals_where_the_user_says_so() -> None:
    cells = ["78,5", "1.234,5", "60", "70,5 ± 0,25", "-"]
    parsed = parse_column(cells, ",")
    np.testing.assert_array_equal(parsed.values, [78.5, 1234.5, 60, 70.5, np.nan])
    assert parsed.stderrs is not None
    assert parsed.stderrs[3] == 0.25
    assert parsed.decimals == 1
    (bad,) = parse_column(["78,5", "78.5"], ",").bad
    assert bad.message == "`78.5` has a point"
    (bad,) = parse_column(["78,5", "3"]).bad
    assert (bad.message, "--decimal" in (bad.hint or "")) == ("`78,5` has a comma", True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.785 (0.012)", "second number"),
        ("78.5 (1319)", "second number"),
        ("78.5 (80.1)", "second number"),
        ("78.5 [80.1, 90.1]", "second number"),
        ("78.5<sub>0.3</sub>", "second number"),
        (r"78.5$_{0.3}$", "second number"),
        ("78.5 / 80.2", "several scores"),
        ("78.5 ± 0.3 / 80.2 ± 0.4", "several scores"),
        ("78.5 | 80.2", "several scores"),
        ("~~78.5~~", "struck out"),
        ("<del>78.5</del>", "struck out"),
        (r"\sout{78.5}", "struck out"),
        ("78¹", "power"),
        ("70% (12/20)", "not the same"),
        ("0.785 ± 1.2%", "error in percent"),
        ("~78.5", "is not a number"),
        (">90", "is not a number"),
        ("↑2.3", "is not a number"),
        ("EM: 78.5", "is not a number"),
        ("78.5 (EM)", "is not a number"),
        ("78.5a", "is not a number"),
        (r"\cellcolor{red}78.5", "is not a number"),
        ("78.5 80.1", "is not a number"),
        ("(78.5)", "is not a number"),
        ("78.5?", "is not a number"),
        ("78.5 pts", "is not a number"),
        ("78.5 \u2192 80.1", "is not a number"),
        ("78.5 vs 80.1", "is not a number"),
        ("78.5‰", "is not a number"),
        ("12/20 correct", "is not a number"),
        ("78.5[1](https://x.org)", "is not a number"),
        ("78.5<a href='x'>1</a>", "is not a number"),
        ("78.5**1**", "is not a number"),
        (r"78.5\emph{1}", "is not a number"),
        ("78.5$1$", "is not a number"),
        ("78~~.5~~", "struck out"),
    ],
)
def test_a_column_that_could_be_read_in_two_ways_is_refused_by_its_first_cell(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(ScoreTableError) as caught:
        read(tmp_path, ["", text, text])
    first = caught.value.problems[0]
    assert first.message.startswith("line 3, column `printed`: `")
    assert reason in first.message
    assert first.hint
    assert read(tmp_path, ["", text, text], drop=("printed",)).categories == ("plain",)


def test_one_reason_is_told_once_for_its_column(tmp_path: Path) -> None:
    problem = refused(tmp_path, ["78.5 / 80.2"] * 7)
    assert "like 6 more" in problem.message


@pytest.mark.parametrize(
    "cells",
    [
        ["12/20", "13/25"],
        ["78/80", "65/70"],
        ["12/20", "55.5"],
        ["12/20", "0.6"],
        ["12/20", "21/20"],
        ["0/0"],
    ],
)
def test_shares_that_could_be_something_else_are_refused(tmp_path: Path, cells: list[str]) -> None:
    assert "column `printed`" in refused(tmp_path, cells).message


@pytest.mark.parametrize(
    "cells",
    [
        ["Acme", "Other"], ["MIT", "Apache 2.0"], ["2024-05-01", "2024-06-30"], ["Qwen/Qwen2-7B", "org/a-1.5B"],
        ["1.2.3", "0.4.12"], ["7B", "70B"], ["8x7B", "7B"], ["128K", "32k"], ["$12.50", "$3.00"], ["3.5 hours", "2 h"],
        ["05/24", "11/24"], ["03/25", "12/24"], ["5/2024", "11/2024"], ["10/05/2024", "11/05/2024"], ["12:30", "9:15"],
        ["v1.0", "v2"], ["🥇", "🥈"], ["1️⃣", "2️⃣"], ["https://x.org/1", "https://x.org/2"],
        ["<a href='x'>log 1</a>", "<a href='y'>log 2</a>"], ["2.5 GB", "7.0 GB"], ["2.5GB (fp16)", "7.0GB"],
        ["3.5-turbo", "4.1-mini"], ["01-ai/Yi-1.5-9B", "a/b-1.5"], ["12.50 $", "3.00 $"], ["01.02.2024", "03.02.2024"],
        ["5 stars", "4 stars"], ["1st", "2nd"], ["#1", "#2"], ["10.5 million", "2 million"], ["2.1.3-rc1", "2.1.0"],
        ["by 2.5 points", "by 3.5 points"], ["words", "78.5 (EM)", "words"],
    ],
)  # fmt: skip
def test_a_column_of_text_is_set_aside(tmp_path: Path, cells: list[str]) -> None:
    table = read(tmp_path, cells)
    assert (table.categories, table.ignored) == (("plain",), (("printed", "no cell is a number"),))


@pytest.mark.parametrize("text", ["–", "—", "--", "#N/A", "n.a.", "**-**", "<b>N/A</b>", "<NA>"])
def test_missing_scores_as_boards_print_them(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, ["60", text]).values[:, 1], [60, np.nan])


def test_long_tables_have_such_cells_too(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(
        "model,task,score\na,x,78.5 ± 0.3\na,y,12/20\nb,x,**79.5**\nb,y,13/20\n", encoding="utf-8"
    )
    table = read_scores(path)
    assert table.values.tolist() == [[78.5, 60], [79.5, 65]]
    assert table.stderrs is not None
    assert table.counts is not None
    np.testing.assert_array_equal(table.stderrs, [[0.3, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(table.counts, [[np.nan, 20], [np.nan, 20]])
    assert "`x`" in table.notes[0]
    path.write_text("model,task,score\na,x,0.5 (0.1)\nb,x,0.6 (0.1)\n", encoding="utf-8")
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path)
    assert "±" in (caught.value.problems[0].hint or "")


def test_names_without_links_bold_and_medals(tmp_path: Path) -> None:
    names = [
        "[org/a](https://huggingface.co/org/a)", "**b**", "🥇 c", '<a href=""https://x"">d</a> 📑', "🥈 **[e](https://x)**",
        "`f`", "*g*", "plain_h_i", "**Ours** (7B)", "[j](x)", "j", "k-4[1](x)",
    ]  # fmt: skip
    path = tmp_path / "board.csv"
    rows = [f'"{name}",{row}.5' for row, name in enumerate(names)]
    path.write_text("\n".join(["model,**math**", *rows]), encoding="utf-8")
    table = read_scores(path)
    assert table.models == (
        "org/a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "plain_h_i",
        "Ours (7B)",
        "[j](x)",
        "j",
        "k-4 1",
    )
    assert table.categories == ("math",)


def test_a_board_with_medals_arrows_and_a_note(tmp_path: Path) -> None:
    path = tmp_path / "board.md"
    path.write_text(
        "# Board\n\n"
        "|   | Model | MMLU ↑ | Toxic (↓) | #Params |\n|---|:--|--:|--:|--:|\n"
        "| 🥇 | **[org/a](https://x.org/a)** | **78.5** ± 0.3 | 5.25 | 7B |\n"
        "| 🥈 | [org/b](https://x.org/b)* | 70.5 ± 0.4 | 6.1† | 70B |\n"
        "| 🥉 | org/c | 71.5 ± 0.4 | – | 8x7B |\n\n† by ourselves\n",
        encoding="utf-8",
    )
    table = read_scores(path)
    assert (table.models, table.categories) == (("org/a", "org/b*", "org/c"), ("MMLU ↑", "Toxic (↓)"))
    assert [column.higher_is_better for column in table.columns] == [True, False]
    np.testing.assert_array_equal(table.values, [[78.5, 5.25], [70.5, 6.1], [71.5, np.nan]])
    assert table.stderrs is not None
    assert table.stderrs[:, 0].tolist() == [0.3, 0.4, 0.4]


numbers = st.decimals(-99_999, 99_999, places=2).map(str)


@given(
    numbers,
    st.none() | st.decimals("0.01", 99, places=2).map(str),
    st.sampled_from(["{}", "**{}**", "<b>{}</b>", "🥇 {}", r"\textbf{{{}}}", "[{}](https://x.org)", "`{}`"]),
)
def test_whatever_is_around_a_number_it_stays_the_same(number: str, error: str | None, frame: str) -> None:
    text = frame.format(number) + ("" if error is None else f" ± {error}")
    parsed = parse_column([text])
    assert (parsed.bad, parsed.values.tolist(), parsed.decimals) == ((), [float(number)], 2)
    assert (None if parsed.stderrs is None else parsed.stderrs[0]) == (
        None if error is None else float(error)
    )


@given(st.text(st.sampled_from("0123456789.,±+-*_~%/()[]{}^\\$<>b ↑🥇¹"), max_size=14))
def test_no_cell_becomes_a_number_whose_digits_it_does_not_hold(text: str) -> None:
    parsed = parse_column([text])
    value = float(parsed.values[0])
    if parsed.bad or np.isnan(value):
        return
    digits = "".join(character for character in text if character.isascii() and character.isdigit())
    written = f"{abs(value):.0f}" if value == int(value) else repr(abs(value))
    if parsed.counts is None:
        assert "".join(filter(str.isdigit, written)).strip("0") in digits
    else:
        assert 0 <= value <= 100


@given(st.text(max_size=40))
def test_any_text_is_taken_apart_or_not(text: str) -> None:
    take_apart(text)


@pytest.mark.parametrize(
    "piece",
    [
        "*",
        "[",
        "<b>",
        "(",
        "$",
        "\\textbf{",
        "1,234",
        "¹",
        "† ",
        "_a",
        "~",
        "1 / ",
        ",234",
        "\u00a0234",
        " 1",
        "1 ± ",
    ],
)
def test_long_cells_take_no_time(piece: str) -> None:
    parse_column([piece * (2000 // len(piece)), "1" + piece * 500 + "x"])
