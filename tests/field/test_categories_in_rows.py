"""Wide tables that lie on their side: a row for each category, a column for each model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable

MODELS = ("model-a", "model-b", "model-c")
SCORES = {"math": [61.2, 66.1, 59.8], "code": [55.1, 51.2, 60.3], "chat": [40.2, 45.1, 38.4]}
SUMMARY = """\
dataset,version,metric,mode,model-a,model-b,model-c
--------- Exam ---------,-,-,-,-,-,-
mmlu,-,naive_average,ppl,61.2,66.1,59.8
lukaemon_mmlu_law,4c9e2a,accuracy,ppl,60,66,59
gsm8k,1d7fe4,accuracy,gen,55.1,51.2,60.3
IFEval,3321a3,Prompt-level-strict-accuracy,gen,31.5,32.5,33.5
IFEval,3321a3,Inst-level-strict-accuracy,gen,41.5,42.5,43.5
humaneval,8e312c,pass@1,gen,40.2,-,38.4
wikitext,ab12cd,ppl,ppl,9.5,8.5,7.5
ceval,-,-,-,-,-,-
"""


def read(folder: Path, text: str, name: str = "t.csv", **options: Any) -> ScoreTable:
    path = folder / name
    path.write_text(text)
    return read_scores(path, options=ReadOptions(**options))


def refused(folder: Path, text: str, name: str = "t.csv", **options: Any) -> tuple[str, str | None]:
    with pytest.raises(ScoreTableError) as caught:
        read(folder, text, name, **options)
    (problem,) = caught.value.problems
    return problem.message, problem.hint


def frame() -> pd.DataFrame:
    return pd.DataFrame(SCORES, index=list(MODELS))


def side(head: str) -> str:
    """Return the scores with categories in rows, the first column called `head`."""
    return frame().T.to_csv(index_label=head)


def holds_the_scores(table: ScoreTable) -> bool:
    values = [list(row) for row in zip(*SCORES.values(), strict=True)]
    return (table.models, table.categories) == (MODELS, (*SCORES,)) and table.values.tolist() == values


def test_a_summary_of_opencompass(tmp_path: Path) -> None:
    metric = "Prompt-level-strict-accuracy"
    table = read(tmp_path, SUMMARY, metric=metric)
    assert (table.kind, table.models) == ("transposed", MODELS)
    assert table.categories == ("lukaemon_mmlu_law", "gsm8k", "IFEval", "humaneval", "wikitext")
    assert {column.name: column.metric for column in table.columns} == {
        "mmlu": "naive_average",
        "lukaemon_mmlu_law": "accuracy",
        "gsm8k": "accuracy",
        "IFEval": metric,
        "humaneval": "pass@1",
        "wikitext": "ppl",
    }
    assert table.values[0].tolist() == [61.2, 60, 55.1, 31.5, 40.2, 9.5]
    assert table.n_missing == 1
    wikitext = table.columns[table.place("wikitext")]
    assert (wikitext.higher_is_better, wikitext.direction, wikitext.scale) == (False, "name", None)
    reasons = dict(table.ignored)
    assert reasons.keys() == {"version", "metric", "mode", "--------- Exam ---------", "ceval"}
    assert reasons["ceval"] == "no model has a score"
    assert "--no-transpose" in table.notes[0]


def test_averages_of_the_same_parts_are_no_categories(tmp_path: Path) -> None:
    rows = [
        "mmlu,-,naive_average",
        "mmlu-stem,-,naive_average",
        "lukaemon_mmlu_law,x,accuracy",
        "gsm8k,y,accuracy",
    ]
    text = "\n".join(["dataset,version,metric,mode,a,b", *(f"{row},gen,50.5,60" for row in rows)])
    assert read(tmp_path, text).categories == ("lukaemon_mmlu_law", "gsm8k")


def test_scores_are_no_names_of_models(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "math,code\n61.5,55\n52,66.5\n")
    assert "no column names the models" in message
    assert hint is not None
    assert "--model-column" in hint
    assert read(tmp_path, "math,code,note\n61.5,55,a\n52,66.5,b\n").models == ("a", "b")


def test_several_metrics_of_a_dataset_are_chosen_from(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, SUMMARY)
    assert message.startswith("task `IFEval` has several metrics: `Prompt-level-strict-accuracy`")
    assert hint is not None
    assert "`Inst-level-strict-accuracy`" in hint


def test_an_average_of_opencompass_without_its_parts_is_a_category(tmp_path: Path) -> None:
    text = "dataset,version,metric,mode,a,b\nmmlu,x,naive_average,ppl,61,66\ngsm8k,y,accuracy,gen,55,51\n"
    assert read(tmp_path, text).categories == ("mmlu", "gsm8k")


@pytest.mark.parametrize(
    "head", ["dataset", "Task", "BENCHMARK", "category", "Categories", "subject", "task_name", "", "Skill"]
)
def test_a_first_column_of_categories_turns_the_table(tmp_path: Path, head: str) -> None:
    assert holds_the_scores(read(tmp_path, side(head)))


def test_what_pandas_writes_by_default(tmp_path: Path) -> None:
    table = read(tmp_path, frame().to_json(), "t.json")
    assert table.kind == "transposed"
    assert holds_the_scores(table)


@pytest.mark.parametrize("orient", ["index", "split", "table"])
def test_other_shapes_of_pandas(tmp_path: Path, orient: Any) -> None:
    assert holds_the_scores(read(tmp_path, frame().to_json(orient=orient), "t.json"))


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table", "records"])
def test_shapes_of_pandas_with_a_column_of_models(tmp_path: Path, orient: Any) -> None:
    held = frame().rename_axis("model").reset_index()
    assert holds_the_scores(read(tmp_path, held.to_json(orient=orient), "t.json"))


def test_a_long_frame_as_json_by_columns(tmp_path: Path) -> None:
    long = frame().rename_axis("model").reset_index().melt(id_vars="model")
    table = read(tmp_path, long.to_json(), "t.json")
    assert table.kind == "long"
    assert holds_the_scores(table)


def test_several_levels_of_columns_are_refused(tmp_path: Path) -> None:
    levels = frame()
    levels.columns = pd.MultiIndex.from_product([["acc"], SCORES])
    message, hint = refused(tmp_path, levels.to_json(orient="split"), "t.json")
    assert "several levels" in message
    assert hint is not None


def test_our_own_json_is_not_turned(tmp_path: Path) -> None:
    held = {model: {name: SCORES[name][row] for name in SCORES} for row, model in enumerate(MODELS)}
    table = read(tmp_path, json.dumps(held), "t.json")
    assert table.kind == "wide"
    assert holds_the_scores(table)
    unknown = read(tmp_path, '{"a": {"x": 1.5, "y": 2}, "b": {"x": 2, "y": 3}}', "t.json")
    assert unknown.models == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        '{"math": {"a": 1.5, "b": 2}, "code": {"a": 2, "b": 3}}',
        '{"x": {"model-a": 1.5, "model-b": 2}, "y": {"model-a": 2, "model-b": 3}}',
    ],
)
def test_what_is_only_likely_is_asked(tmp_path: Path, text: str) -> None:
    message, hint = refused(tmp_path, text, "t.json")
    assert "categories in rows" in message
    assert hint is not None
    assert "`--transpose`" in hint
    assert "`--no-transpose`" in hint
    turned = read(tmp_path, text, "t.json", transpose=True)
    kept = read(tmp_path, text, "t.json", transpose=False)
    assert (turned.models, turned.categories) == (kept.categories, kept.models)
    assert turned.values.tolist() == kept.values.T.tolist()


def test_names_of_models_under_a_head_of_categories_are_asked_about(tmp_path: Path) -> None:
    """Models may be called after the data that they were tuned on."""
    text = "dataset,math,code\nmetamath-7b,61.5,55\nmagicoder-7b,52,66.5\n"
    assert "its first column is `dataset`" in refused(tmp_path, text)[0]
    assert read(tmp_path, text, transpose=False).categories == ("math", "code")


def test_a_table_that_names_its_models_is_left_as_it_is(tmp_path: Path) -> None:
    text = "model,alpha,beta\nmath,61.5,55\ncode,52,66.5\n"  # experts, named after what they were tuned on
    assert read(tmp_path, text).models == ("math", "code")
    text = "task,Model,alpha,beta\nqa,a,61.5,55\nqa,b,52,66.5\n"
    assert read(tmp_path, text, model_column="Model").models == ("a", "b")


def test_averages_in_rows_become_aggregates(tmp_path: Path) -> None:
    table = read(tmp_path, side("Benchmark") + "Average,52.1,54.1,52.8\n")
    assert table.categories == (*SCORES,)
    assert table.columns[-1].name == "Average"
    assert table.columns[-1].role == "aggregate"


def test_standard_errors_beside_models_are_no_models(tmp_path: Path) -> None:
    table = read(
        tmp_path, "task,model-a,model-a_stderr,model-b,avg\nmath,61.5,1.5,66,63.75\ncode,55,2,51,53\n"
    )
    assert table.models == ("model-a", "model-b")
    assert dict(table.ignored)["model-a_stderr"] == "the standard errors of `model-a`"


def test_printed_cells_of_a_turned_table(tmp_path: Path) -> None:
    table = read(tmp_path, "| Benchmark | Model A | Model B |\n|---|---|---|\n| math | **61.5** ± 0.5 | 60 ± 1 |\n"
                           "| code | 55 ± 1 | **56** ± 1 |\n", "t.md")  # fmt: skip
    assert (table.models, table.categories) == (("Model A", "Model B"), ("math", "code"))
    assert table.stderrs is not None
    assert table.stderrs.tolist() == [[0.5, 1], [1, 1]]


def test_a_bad_cell_is_named_by_model_and_category(tmp_path: Path) -> None:
    message, _ = refused(tmp_path, side("task").replace("66.1", "0x10"))
    assert message == "model `model-b`, column `math`: `0x10` is hexadecimal"


def test_the_split_of_a_turned_table_is_chosen(tmp_path: Path) -> None:
    text = "Benchmark,Split,model-a,model-b\nmmlu,test,61,66\nmmlu,dev,60,65\ngsm8k,test,55,51\n"
    assert "the table has 2 splits" in refused(tmp_path, text)[0]
    assert read(tmp_path, text, split="test").values.tolist() == [[61, 55], [66, 51]]


def test_a_category_in_two_rows_is_refused(tmp_path: Path) -> None:
    message, _ = refused(tmp_path, "task,a,b\nmath,1.5,2\ncode,2,3\nmath,3,4\n")
    assert message == "line 4: the category `math` is also in line 2"


def test_nothing_to_turn(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "task,version,metric\nmath,1,acc\ncode,2,acc\n")
    assert "no column is a model" in message
    assert hint is not None
    assert refused(tmp_path, "task,a\nmath,-\n")[0] == "no category has a score"
    message, _ = refused(tmp_path, side("task"), transpose=True, model_column="task")
    assert "no column names them" in message


def test_the_command_line_says_so_and_can_be_told(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from soce.cli.analyze import analyze

    path = tmp_path / "t.csv"
    path.write_text(side("task"))
    told = CliRunner().invoke(analyze, [str(path)])
    assert "transposed, 3 models × 3 categories" in told.stdout
    assert "--no-transpose" in told.stderr
    path.write_text(side("model").replace("math", "x"))
    assert CliRunner().invoke(analyze, [str(path)]).exit_code == 1
    told = CliRunner().invoke(analyze, [str(path), "--transpose"])
    assert told.exit_code == 0
