"""Long tables with a row for each item: the score of a category is the mean of its items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import Column, ScoreTable
from soce.scores.tables.long import write_scores

ROWS = """model,category,item,score
a,math,q1,1
a,math,q2,0
a,math,q3,0
b,math,q1,1
b,math,q2,1
b,math,q3,0
a,chat,q1,0.25
b,chat,q1,0.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "items.csv"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScoreTableError) as caught:
        read_scores(written(folder, text))
    return [problem.message for problem in caught.value.problems]


def test_scores_are_means_over_items(tmp_path: Path) -> None:
    table = read_scores(written(tmp_path, ROWS))
    assert table.kind == "long"
    assert table.columns == (Column("math", scale="unit"), Column("chat", scale="unit"))
    assert table.values.tolist() == [[1 / 3, 0.25], [2 / 3, 0.5]]
    assert table.counts is not None
    assert table.counts.tolist() == [[3, 1], [3, 1]]
    assert table.outcomes["a"] == {"math": {"q1": 1.0, "q2": 0.0, "q3": 0.0}, "chat": {"q1": 0.25}}
    # The order of rows changes nothing, and the scores alone are an ordinary table.
    head, *rows = ROWS.splitlines()
    again = read_scores(written(tmp_path, "\n".join([head, *sorted(rows, reverse=True)]) + "\n"))
    assert again.digest == table.digest
    write_scores(table, tmp_path / "long.csv")
    assert read_scores(tmp_path / "long.csv").digest == table.digest


@pytest.mark.parametrize("name", ["item", "Item ID", "question_id", "doc_id", "sample_id"])
def test_what_other_programs_call_an_item(tmp_path: Path, name: str) -> None:
    text = ROWS.replace("item", name).replace("category", "task").replace("score", "accuracy")
    assert read_scores(written(tmp_path, text)).outcomes["b"]["math"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}


def test_outcomes_follow_their_model_and_category(tmp_path: Path) -> None:
    table = read_scores(written(tmp_path, ROWS))
    assert table.take(models=["b"], columns=["chat"]).outcomes == {"b": {"chat": {"q1": 0.5}}}
    assert table.renamed({"a": "z"}).outcomes["z"] == table.outcomes["a"]
    renamed = table.with_columns([Column("sums", scale="unit"), table.columns[1]])
    assert renamed.outcomes["a"].keys() == {"sums", "chat"}
    lacking = replace(table, no_outcomes=(("math", "no file"), ("chat", "no file")))
    assert lacking.take(columns=["chat"]).no_outcomes == (("chat", "no file"),)
    assert lacking.with_columns(renamed.columns).no_outcomes == (("sums", "no file"), ("chat", "no file"))
    other = tmp_path / "other.csv"
    other.write_text("model,category,item,score\nc,math,q1,1\na,code,q9,1\n")
    joined = read_scores([tmp_path / "items.csv", other])
    assert joined.outcomes["a"] == {**table.outcomes["a"], "code": {"q9": 1.0}}
    assert joined.outcomes["c"] == {"math": {"q1": 1.0}}


def test_frames_and_tables_of_one_model(tmp_path: Path) -> None:
    frame = pd.DataFrame({"category": ["m"] * 3, "item": [1, 2, 3], "score": [True, False, True]})
    frame["score"] = frame["score"].astype(int)
    table = read_scores(frame, options=ReadOptions(model="soup"))
    assert table.outcomes == {"soup": {"m": {"1": 1.0, "2": 0.0, "3": 1.0}}}
    path = written(tmp_path, "category,item,score\nm,1,1\nm,2,0\n")
    assert read_scores(f"soup={path}").outcomes == {"soup": {"m": {"1": 1.0, "2": 0.0}}}


@pytest.mark.parametrize(
    ("told", "scale", "score"), [("percent", "percent", 30.0), ("", "percent", 30.0), ("unknown", None, 30.0)]
)
def test_scales_are_those_of_the_outcomes(tmp_path: Path, told: str, scale: str | None, score: float) -> None:
    rows = f"model,category,item,score,scale\na,bleu,s1,40,{told}\na,bleu,s2,20,{told}\n"
    table = read_scores(written(tmp_path, rows))
    assert (table.columns[0].scale, table.score("a", "bleu")) == (scale, score)


def test_what_is_no_outcome_of_an_item_is_refused(tmp_path: Path) -> None:
    head = "model,category,item,score"
    assert problems(tmp_path, f"{head}\na,math,q1,1\na,math,q1,0\n") == [
        "line 3: model `a`, category `math`, item `q1` is also in line 2"
    ]
    assert problems(tmp_path, f"{head}\na,math,,1\na,math,q1,0\n") == ["line 2: the item has no name"]
    assert problems(tmp_path, f"{head}\na,math,q1,\na,math,q2,0\n") == [
        "line 2, category `math`, column `score`: the item has no outcome"
    ]
    (bad,) = problems(tmp_path, f"{head}\na,math,q1,yes\na,math,q2,0\n")
    assert "`yes` is not a number" in bad, "told once"
    assert problems(tmp_path, f"{head},n,stderr\na,math,q1,1,5,0\na,math,q2,0,5,0\n") == [
        "a table of items has no column `n`",
        "a table of items has no column `stderr`",
    ]
    assert problems(
        tmp_path, f"{head},doc_id,sample_id\na,math,q1,1,0,0\na,math,q2,0,1,1\n".replace("item", "x")
    ) == ["the item could be in any of `doc_id`, `sample_id`"]


def test_outcomes_of_strangers_are_refused() -> None:
    for outcomes in ({"z": {"math": {"q1": 1.0}}}, {"a": {"code": {"q1": 1.0}}}):
        with pytest.raises(ScoreTableError, match=r"there is no (model `z`|column `code`)"):
            ScoreTable(("a",), (Column("math"),), np.ones((1, 1)), outcomes=outcomes)


def test_a_table_without_items_has_no_outcomes(tmp_path: Path) -> None:
    table = read_scores(written(tmp_path, "model,category,score\na,math,1\nb,math,0\n"))
    assert table.outcomes == {}
    assert np.array_equal(table.values, [[1.0], [0.0]])
