"""Long tables of other programs: other names, other capitals, several metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable

ROWS = "a,x,0.61\na,y,0.55\nb,x,0.66\nb,y,0.51\n"


def read(folder: Path, text: str, **options: Any) -> ScoreTable:
    path = folder / "t.csv"
    path.write_text(text)
    return read_scores(path, options=ReadOptions(**options))


def refused(folder: Path, text: str, **options: Any) -> ScoreTableError:
    with pytest.raises(ScoreTableError) as caught:
        read(folder, text, **options)
    return caught.value


@pytest.mark.parametrize(
    "head",
    [
        "Model,Category,Score",
        "MODEL,CATEGORY,SCORE",
        "model,task,value",
        "Model,Benchmark,Score",
        "model_name,dataset,accuracy",
        "Model Name,Task Name,Acc",
        "model,subject,result",
        "model,variable,value",
        "model,metric,value",
        "model,task,metric_value",
        "Experiment,Dataset,Accuracy",
        "checkpoint,eval,score",
        "model,category,F1",
        "run,benchmark,pass@1",
    ],
)
def test_names_of_columns(tmp_path: Path, head: str) -> None:
    table = read(tmp_path, f"{head}\n{ROWS}")
    assert (table.kind, table.models, table.categories) == ("long", ("a", "b"), ("x", "y"))
    assert table.values.tolist() == [[0.61, 0.55], [0.66, 0.51]]


def test_names_of_what_is_beside_a_score(tmp_path: Path) -> None:
    text = "model,task,acc,acc_stderr,num_samples,metric\na,x,0.5,0.1,20,acc\nb,x,0.75,,10,acc\n"
    table = read(tmp_path, text)
    assert table.stderrs is not None
    assert table.counts is not None
    assert table.stderrs[0, 0] == 0.1
    assert table.counts[:, 0].tolist() == [20, 10]
    assert table.columns[0].metric == "acc"


def test_several_metrics_of_a_category_are_chosen_from(tmp_path: Path) -> None:
    text = "model,task,metric,value\na,x,acc,0.5\na,x,f1,0.6\nb,x,acc,0.7\nb,x,f1,0.8\na,y,em,0.9\nb,y,em,1\n"
    (problem,) = refused(tmp_path, text).problems
    assert "`acc`, `f1`" in problem.message
    table = read(tmp_path, text, metric="f1")
    assert table.values.tolist() == [[0.6, 0.9], [0.8, 1]]
    assert [column.metric for column in table.columns] == ["f1", "em"]


def test_a_metric_that_a_category_lacks_leaves_it_out_with_a_word(tmp_path: Path) -> None:
    rows = [f"{model},{task},{metric},0.5" for model in "ab" for task, metric in
            (("x", "acc"), ("x", "f1"), ("y", "em"), ("y", "bleu"))]  # fmt: skip
    table = read(tmp_path, "\n".join(["model,task,metric,value", *rows]), metric="f1")
    assert table.categories == ("x",)
    assert table.ignored == (("y", "has no metric `f1`"),)


@pytest.mark.parametrize("head", ["task,metric,value,stderr,version", "Category,Metric,Score,SE,n-shot"])
def test_a_table_of_one_model_needs_its_name(tmp_path: Path, head: str) -> None:
    text = f"{head}\narc,acc,0.4,0.01,1\nmmlu,acc,0.5,0.02,1\n"
    (problem,) = refused(tmp_path, text).problems
    assert "does not say which model" in problem.message
    assert "`NAME=PATH`" in (problem.hint or "")
    table = read_scores(f"mine={tmp_path / 't.csv'}")
    assert (table.kind, table.models, table.categories) == ("long", ("mine",), ("arc", "mmlu"))
    assert table.stderrs is not None
    assert table.stderrs.tolist() == [[0.01, 0.02]]


def test_measures_of_one_model_are_no_models(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "task,accuracy,f1\narc,0.4,0.5\nmmlu,0.5,0.6\n").problems
    assert "measures, not models: `accuracy`, `f1`" in problem.message
    wide = read(tmp_path, "who,accuracy,f1\na,0.4,0.5\nb,0.5,0.6\n")
    assert wide.categories == ("accuracy", "f1")


def test_a_leaderboard_with_a_category_of_models_stays_wide(tmp_path: Path) -> None:
    rows = "a,open,55,50,60\nb,closed,60,61,59\n"
    for head in ("Model,Category,Score,MMLU,GSM8K", "who,category,score,mmlu,gsm8k"):
        table = read(tmp_path, f"{head}\n{rows}")
        assert (table.kind, table.models) == ("wide", ("a", "b"))
        assert [name.lower() for name in table.categories] == ["mmlu", "gsm8k"]


def test_a_row_for_each_model_stays_wide(tmp_path: Path) -> None:
    table = read(tmp_path, "model,task,accuracy,f1\na,qa,0.5,0.25\nb,qa,0.75,0.5\n")
    assert (table.kind, table.categories) == ("wide", ("accuracy", "f1"))


def test_two_columns_that_may_be_the_score_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "model,task,accuracy,value\na,x,0.5,1\na,y,0.6,2\n")
    assert "`accuracy`, `value`" in error.problems[0].message
    assert error.problems[0].hint == "call one of them `score`"


def test_a_hint_names_the_columns_of_a_long_table(tmp_path: Path) -> None:
    error = refused(tmp_path, "model,what,points\na,x,1\n", format="long")
    assert len(error.problems) == 2
    assert "`category` (or `task`" in (error.problems[0].hint or "")
    (problem,) = refused(tmp_path, "who,what,score\na,x,1\na,y,2\n").problems
    assert problem.message == "line 3: the model `a` is also in line 2"
    assert "`model`, `category` and `score`" in (problem.hint or "")


def test_a_metric_gives_the_direction(tmp_path: Path) -> None:
    rows = ["a,lm,perplexity,9.5", "b,lm,perplexity,8.5", "a,qa,acc,0.5", "b,qa,acc,0.6"]
    lm, qa = read(tmp_path, "\n".join(["model,task,metric,value", *rows])).columns
    assert (lm.higher_is_better, lm.direction, lm.scale) == (False, "name", None)
    assert (qa.higher_is_better, qa.direction) == (True, "default")
