"""Tables in which names mislead: facts beside scores, subjects called like averages, boards of ranks or losses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable
from soce.selection.experts import select_experts
from soce.selection.lint import lint_scores
from soce.selection.rules import Explicit


def read(folder: Path, text: str, name: str = "scores.csv", **options: object) -> ScoreTable:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_scores(path, options=ReadOptions(**options))


def with_column(folder: Path, name: str, cells: tuple[object, ...]) -> ScoreTable:
    lines = [
        f"{model},{cell}" for model, cell in zip(("a,50.5,60", "b,55,50", "c,45,65"), cells, strict=True)
    ]
    return read(folder, "\n".join([f'model,math,code,"{name}"', *lines]))


# Columns that are no scores


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("math_time", (12.5, 13.5, 10.5)),
        ("math_tokens", (51.5, 61.5, 41.5)),
        ("math_runtime", (12.5, 13.5, 10.5)),
        ("tokens math", (51.5, 61.5, 41.5)),
        ("rank_math", (2, 1, 3)),
        ("math - # eval", (567, 567, 567)),
        ("math - Observed inference time (s)", (0.5, 0.6, 0.7)),
    ],
)
def test_facts_about_a_benchmark_beside_it(tmp_path: Path, name: str, cells: tuple[object, ...]) -> None:
    table = with_column(tmp_path, name, cells)
    assert table.categories == ("math", "code")
    assert [column for column, _ in table.ignored] == [name]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Model sha", ("26bca36bde", "0123456", "abc")),
        ("Embedding Dimensions", (96, 48, 64)),
        ("Memory Usage (GB, fp32)", (26.5, 5.75, 26.5)),
        ("Vocab size", (32, 50, 128)),
        ("num_hidden_layers", (32, 40, 28)),
        ("Context window", (8, 32, 4)),
        ("lora_r", (16, 64, 32)),
        ("lora_alpha", (32, 64, 16)),
        ("warmup_ratio", (0.03, 0.1, 0.05)),
        ("dropout", (0.1, 0.05, 0)),
        ("density", (0.5, 0.7, 0.9)),
        ("math_pvalue", (0.04, 0.03, 0.5)),
        ("code p-value", (0.04, 0.03, 0.5)),
        ("FLOPs(G)", (4.5, 17.5, 8)),
        ("Rang", (2, 1, 2)),
        ("排名", (2, 1, 2)),
        ("Sum of ranks", (3, 5, 6)),
        ("Parameter (Mrd.)", (7, 8, 9)),
        ("Δ vs base", ("+1.2", "+0.2", "+2.2")),
        ("Start Time", ("2025-01-01", "2025-01-02", "2025-01-03")),
    ],
)
def test_facts_about_a_model(tmp_path: Path, name: str, cells: tuple[object, ...]) -> None:
    table = with_column(tmp_path, name, cells)
    assert table.categories == ("math", "code")
    assert [column for column, _ in table.ignored] == [name]


@pytest.mark.parametrize(
    "name",
    [
        "mean_reversion",
        "average_case",
        "total_recall",
        "overall_quality",
        "summary_quality",
        "cost_benefit",
        "rank_order",
        "latency_reasoning",
        "math_memory",
        "math_id",
    ],
)
def test_subjects_that_are_called_like_facts_or_averages(tmp_path: Path, name: str) -> None:
    table = with_column(tmp_path, name, (61.5, 59.5, 70.5))
    assert table.categories == ("math", "code", name)
    assert table.columns[-1].higher_is_better
    findings = lint_scores(table)
    assert findings.coded("S02") == ()
    asked = {column for finding in findings.coded("S14") for column in finding.columns}
    assert asked == (
        {name} if {"mean", "average", "total", "overall", "summary"} & {*name.split("_")} else set()
    )


@pytest.mark.parametrize(
    "name", ["Average Skills", "avg_bleu", "Mean win rate", "Mittelwert", "平均分", "평균"]
)
def test_means_of_the_others_stay_aggregates(tmp_path: Path, name: str) -> None:
    table = with_column(tmp_path, name, (55.25, 52.5, 55))
    assert (table.categories, table.columns[-1].role) == (("math", "code"), "aggregate")


def test_a_mean_over_runs_of_one_benchmark_is_a_category(tmp_path: Path) -> None:
    text = "model,AIME24 (avg@32),AIME25 avg@8,HMMT mean@16,Average\na,50,60,70,60\nb,55,66,77,66\n"
    assert read(tmp_path, text).categories == ("AIME24 (avg@32)", "AIME25 avg@8", "HMMT mean@16")


def test_an_average_of_some_is_known_by_their_names(tmp_path: Path) -> None:
    text = "model,live_a,live_b,chat,Overall Live\na,50,60,10,55\nb,40,60,20,50\n"
    assert read(tmp_path, text).categories == ("live_a", "live_b", "chat")
    text = "model,de_a,de_b,fr_a,fr_b,Average German,Average French\na,50,60,70,80,55,75\nb,55,50,60,65,52.5,62.5\n"
    assert read(tmp_path, text).categories == ("de_a", "de_b", "fr_a", "fr_b")


@pytest.mark.parametrize(
    "name", ["Mittelwert", "Durchschnitt", "Média", "平均", "Écart-type", "Δ", "Δ vs. base", "Improvement"]
)
def test_rows_that_are_no_models_in_other_words(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, f"model,math,code\na,50.5,60\nb,55,50\n{name},52.75,55\n")
    assert table.models == ("a", "b")
    assert [row for row, _ in table.no_models] == [name]


# Directions


def test_losses_whose_average_alone_says_so(tmp_path: Path) -> None:
    text = "model,Average WER ⬇️,AMI,Earnings22\na,10.33,10.2,10.45\nb,9.33,9.12,9.53\nc,13.6,15.9,11.3\n"
    table = read(tmp_path, text)
    assert [column.higher_is_better for column in table.columns] == [False] * 3
    assert "smaller is better in all categories" in table.notes[-1]
    assert [one.model for one in select_experts(table, Explicit(("AMI",))).experts] == ["b"]
    kept = read(tmp_path, text, higher_is_better=("AMI",))
    assert [column.higher_is_better for column in kept.columns] == [False, True, False]


def test_losses_that_may_be_averaged_are_asked_about(tmp_path: Path) -> None:
    table = read(
        tmp_path, "model,Average WER,AMI,Earnings22\na,10.3,10.1,10.4\nb,9.2,9.1,9.5\nc,13,15.9,11.3\n"
    )
    assert {one.columns for one in lint_scores(table).coded("S20")} == {
        ("Average WER",),
        ("AMI", "Earnings22"),
    }


def test_ranks_with_ties_are_asked_about(tmp_path: Path) -> None:
    text = "model,hard,coding,math\na,1,1,2\nb,2,1,1\nc,2,3,7\nd,4,4,1\ne,5,4,4\n"
    (finding,) = lint_scores(read(tmp_path, text)).coded("S20")
    assert finding.columns == ("coding", "hard", "math")


@pytest.mark.parametrize(
    "name", ["EER", "minDCF", "FPR@95", "false positive rate", "DER", "miss rate", "Fehlerrate"]
)
def test_smaller_is_better_in_measures_of_other_fields(tmp_path: Path, name: str) -> None:
    table = with_column(tmp_path, name, (0.25, 0.15, 0.35))
    assert not table.columns[-1].higher_is_better


def test_a_share_of_1_among_percentages_is_asked_about(tmp_path: Path) -> None:
    (finding,) = lint_scores(read(tmp_path, "model,math,code\na,0.85,60\nb,82,0.5\nc,70,65\n")).coded("S04")
    assert (finding.severity, finding.columns, finding.models) == ("warning", ("code", "math"), ("a", "b"))
    assert lint_scores(read(tmp_path, "model,math,aime\na,85,0.8\nb,82,3.3\nc,70,0\n")).coded("S04") == ()


@pytest.mark.parametrize("name", ["HarmBench ASR", "attack success rate", "refusal_rate", "MetricX", "LPIPS"])
def test_measures_that_may_be_better_if_smaller_are_asked_about(tmp_path: Path, name: str) -> None:
    (finding,) = lint_scores(with_column(tmp_path, name, (25, 15, 35))).coded("S20")
    assert (finding.columns, finding.severity) == ((name,), "warning")


def test_a_column_of_differences_is_no_model_where_models_are_columns(tmp_path: Path) -> None:
    text = "|Task|Metric|base|ours|improvement|\n|---|---|---|---|---|\n|MMLU|acc|50|51|+1|\n|GSM8K|em|40|45|+5|\n"
    assert read(tmp_path, text, "t.md").models == ("base", "ours")


# Names of models


def test_a_time_is_no_name_if_another_column_has_names(tmp_path: Path) -> None:
    rows = ["2025-01-01 00:00,run-a,0.5,0.75", "2025-01-02 00:00,run-b,0.75,0.5"]
    assert read(tmp_path, "\n".join(["Start Time,Name,math,code", *rows])).models == ("run-a", "run-b")
    assert read(tmp_path, "\n".join(["date,model,math,code", *rows])).models == ("run-a", "run-b")
    assert read(tmp_path, "Provider,Name,math\nMeta,a,50.5\nGoogle,b,60.5\n").models == ("a", "b")
    assert read(tmp_path, "Family,math\nllama,50.5\ngemma,60.5\n").models == ("llama", "gemma")
    assert read(tmp_path, "step,math\n500,50.5\n1000,60.5\n").models == ("500", "1000")


def test_marks_and_losses_are_no_names(tmp_path: Path) -> None:
    assert read(tmp_path, "T,Models,math\n🔶,org/a,50.5\n🟢,org/b,60.5\n").models == ("org/a", "org/b")
    assert read(tmp_path, "Training Loss,run,math\n1.3,a,0.5\n1.2,b,0.75\n").models == ("a", "b")
    with pytest.raises(ScoreTableError, match="no column names the models"):
        read(tmp_path, "Training Loss,Step,math\nNo log,500,0.5\n1.2,1000,0.75\n")


def test_scores_are_no_names_whatever_they_are_called(tmp_path: Path) -> None:
    """`to_json(orient="records")` loses the index that held the names."""
    frame = pd.DataFrame({"human_eval": [0.5, 0.6], "gsm8k": [0.3, 0.2]}, index=["a", "b"])
    with pytest.raises(ScoreTableError, match="no column names the models"):
        read(tmp_path, frame.to_json(orient="records"), "t.json")
    for swept in ("alpha", "merge ratio", "λ", "epoch"):
        assert read(tmp_path, f"{swept},math\n0.0,50.5\n0.5,60.5\n").models == ("0.0", "0.5")


def test_an_index_that_was_written_twice(tmp_path: Path) -> None:
    table = read(tmp_path, ",Unnamed: 0,model,math\n0,0,a,0.5\n3,3,b,0.75\n")
    assert (table.models, table.categories) == (("a", "b"), ("math",))


# Titles


def test_titles_above_the_header(tmp_path: Path) -> None:
    body = "model,math,code\na,50.5,60\nb,55,50\n"
    for above, line in (
        ("Results of March\n", 1),
        ("Results of March,,\n,,\n", 1),
        ("\n\nResults of March\n\n", 3),
    ):
        table = read(tmp_path, above + body)
        assert table.models == ("a", "b")
        assert table.notes[0].startswith(f"line {line} (`Results of March`) is above the header")
    with pytest.raises(ScoreTableError, match="line 4, column `math`"):
        read(tmp_path, "Results of March,,\n,,\n" + body.replace("50.5", "0x10"))


def test_a_header_of_one_name_is_no_title(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame({"math": [50.5, 60.5, 70.5]}, index=["a", "b", "c"])
    frame.to_excel(tmp_path / "t.xlsx")
    frame.to_csv(tmp_path / "t.csv")
    for name in ("t.xlsx", "t.csv"):
        table = read_scores(tmp_path / name)
        assert (table.models, table.categories) == (("a", "b", "c"), ("math",))
