"""Score tables from data frames of pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores

SCORES = {"math": [61.2, 66.1, 0.1 + 0.2], "code": [55.1, np.nan, 60.3]}
FRAME = pd.DataFrame(SCORES, index=["a", "b", "c"])


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.rename_axis("model"),
        FRAME.rename_axis("model").reset_index(),
        FRAME.rename_axis("model").reset_index().sort_values("model", ascending=False)[::-1],
        FRAME.T.rename_axis("task"),
        FRAME.rename_axis("model").reset_index().melt(id_vars="model"),
        FRAME.rename_axis("model").rename_axis("category", axis=1).stack(future_stack=True).to_frame("score"),
        FRAME.astype(object).where(FRAME.notna(), None),
        FRAME.convert_dtypes(),
    ],
    ids=["index", "named", "column", "sorted", "turned", "melted", "stacked", "objects", "nullable"],
)
def test_ways_to_hold_the_same_scores(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    table = read_scores(frame)
    assert (table.models, table.categories, table.source) == (("a", "b", "c"), ("math", "code"), "DataFrame")
    np.testing.assert_array_equal(table.values, FRAME.to_numpy())
    assert [column.decimals for column in table.columns] == [None, None]
    pd.testing.assert_frame_equal(frame, before)


def test_numbers_are_those_of_their_type() -> None:
    frame = pd.DataFrame({"single": np.float32([0.1, 0.7]), "half": np.float16([0.1, 0.7]), "whole": [3, 40]})
    table = read_scores(frame.set_axis(["a", "b"]))
    np.testing.assert_array_equal(table.values, frame.to_numpy(dtype=np.float64))


def test_text_keeps_its_decimals_and_percent_signs() -> None:
    frame = pd.DataFrame({"model": ["a", "b"], "math": ["71.5%", "60.25%"], "code": [0.5, 0.25]})
    math, code = read_scores(frame).columns
    assert (math.decimals, math.scale, code.decimals, code.scale) == (2, "percent", None, "unit")


def test_a_table_and_its_frame_are_the_same() -> None:
    table = read_scores("paper:flores36")
    again = read_scores(table.to_frame(), options=ReadOptions(columns=table.categories))
    np.testing.assert_array_equal(again.values, table.values)
    assert again.models == table.models


def test_frames_join_with_files(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,chat\na,1.5\nd,2\n")
    table = read_scores([FRAME, path])
    assert (table.models, table.categories) == (("a", "b", "c", "d"), ("math", "code", "chat"))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.concat({"acc": FRAME}, axis=1), "the columns have 2 levels"),
        (FRAME.set_index([["x", "y", "z"], ["a", "b", "c"]]), "a level of the index has no name"),
        (FRAME.iloc[:0], "there are no scores: 0 rows, 2 columns"),
        (pd.DataFrame(), "there are no scores"),
        (FRAME.reset_index(drop=True), "nothing names the models"),
        (FRAME.set_axis(["math", "math"], axis=1), "column `math` is there twice"),
        (FRAME.replace(61.2, np.inf), "row 1, column `math`: `inf` is infinite"),
        (FRAME.set_axis(["a", "b", "a"]), "row 3: the model `a` is also in row 1"),
    ],
)
def test_frames_that_are_no_tables_are_refused(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(ScoreTableError, match=words):
        read_scores(frame)
