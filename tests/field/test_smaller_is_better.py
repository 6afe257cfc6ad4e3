"""Error rates, losses and perplexities: smaller is better by the name of the column, and soce says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.names.directions import smaller_is_better
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable
from soce.scores.tables.long import write_scores
from soce.selection.experts import select_experts
from soce.selection.lint import lint_scores
from soce.selection.rules import Explicit

VALUES = (11.2, 14.2, 8.7, 9.5, 19.8)


def read(folder: Path, name: str, values: tuple[object, ...] = VALUES, **options: object) -> ScoreTable:
    rows = [f"m{i},{50 + i}.5,{value}" for i, value in enumerate(values)]
    path = folder / "scores.csv"
    path.write_text("\n".join([f"model,math,{name}", *rows, ""]), encoding="utf-8")
    return read_scores(path, options=ReadOptions(**options))


def direction(table: ScoreTable) -> tuple[bool, str]:
    column = table.columns[-1]
    return column.higher_is_better, column.direction


@pytest.mark.parametrize(
    "name",
    [
        "WER",
        "librispeech_wer",
        "test-other WER",
        "CER",
        "wikitext_ppl",
        "ppl",
        "Perplexity",
        "word_perplexity",
        "loss",
        "eval_loss",
        "eval/loss",
        "log_loss",
        "NLL",
        "error",
        "error_rate",
        "word error rate",
        "top1_error",
        "RMSE",
        "mean_squared_error",
        "MAE",
        "bits_per_byte",
        "TER",
        "hallucination rate",
        "eval_loss_mean",
        "error (avg)",
    ],
)
def test_smaller_is_better_by_an_unmistakable_name(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, name)
    assert direction(table) == (False, "name")
    assert table.oriented([name])[2, 0] == -8.7
    (finding,) = lint_scores(table).coded("S20")
    assert (finding.severity, finding.columns) == ("warning", (name,))


@pytest.mark.parametrize(
    "name",
    ["error_analysis", "lossless", "error_correction", "answer", "perl", "terse", "loss_aversion", "maestro"],
)
def test_names_that_only_look_so_are_left_alone(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, name)
    assert direction(table) == (True, "default")
    assert lint_scores(table).coded("S20") == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("toxicity", VALUES),
        ("toxicity_score", VALUES),
        ("hearing_loss", VALUES),
        ("syntax_error", VALUES),
        ("neg_mse", (-1.2, -2.2, -0.7, -0.5, -1.8)),
        ("WER improvement", VALUES),
    ],
)
def test_names_that_may_say_so_are_asked_about(tmp_path: Path, name: str, values: tuple[float, ...]) -> None:
    table = read(tmp_path, name, values)
    assert direction(table) == (True, "default")
    (finding,) = lint_scores(table).coded("S20")
    assert "--lower-is-better" in finding.message
    for option in ("lower_is_better", "higher_is_better"):
        assert lint_scores(read(tmp_path, name, values, **{option: (name,)})).coded("S20") == ()


def test_the_worst_model_is_no_expert(tmp_path: Path) -> None:
    selection = select_experts(read(tmp_path, "WER"), Explicit(("WER",)))
    assert [expert.model for expert in selection.experts] == ["m2"]


def test_the_user_knows_better_than_the_name(tmp_path: Path) -> None:
    assert direction(read(tmp_path, "WER", higher_is_better=("WER",))) == (True, "stated")
    assert direction(read(tmp_path, "gap", lower_is_better=("gap",))) == (False, "stated")
    with pytest.raises(ScoreTableError, match="named both"):
        read(tmp_path, "WER", higher_is_better=("WER",), lower_is_better=("WER",))


def test_latency_is_no_score_unless_it_is_named(tmp_path: Path) -> None:
    assert dict(read(tmp_path, "latency").ignored) == {"latency": "its name has `latency`"}
    assert direction(read(tmp_path, "latency", columns=("math", "latency"))) == (False, "name")


def test_a_perplexity_is_on_no_scale_and_mixes_with_shares(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("model,math,ppl\na,0.51,9.0\nb,0.49,120.5\nc,0.53,8.0\n", encoding="utf-8")
    table = read_scores(path)
    assert [column.scale for column in table.columns] == ["unit", None]
    assert lint_scores(table).errors == ()
    (finding,) = lint_scores(table).coded("S04")
    assert (finding.severity, finding.columns) == ("warning", ("ppl",))


def test_what_the_user_calls_a_loss_is_on_no_scale_either(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("model,math,gap,err_rate\na,0.51,9.0,0.1\nb,0.49,120.5,0.2\n", encoding="utf-8")
    table = read_scores(path, options=ReadOptions(lower_is_better=("gap", "err_rate")))
    assert [column.scale for column in table.columns] == ["unit", None, "unit"]


def test_a_metric_and_a_category_say_it_with_the_same_words() -> None:
    """The readers of harnesses ask the same function where a file does not say."""
    known = ["bits_per_byte", "brier_score", "byte_perplexity", "perplexity", "ppl", "ter", "word_perplexity"]
    assert [name for name in known if smaller_is_better(name) != "sure"] == []
    assert [
        name for name in ("acc", "exact_match", "bleu", "f1", "chrf", "mcc") if smaller_is_better(name)
    ] == []


def test_long_tables_take_directions_from_names_where_they_do_not_say(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [
        f"{model},{category},{score}"
        for model, score in (("a", 9.5), ("b", 8.5))
        for category in ("WER", "x")
    ]
    path.write_text("\n".join(["model,category,score", *rows, ""]), encoding="utf-8")
    table = read_scores(path)
    assert [column.higher_is_better for column in table.columns] == [False, True]
    table = read_scores(path, options=ReadOptions(higher_is_better=("WER",)))
    write_scores(table, tmp_path / "written.csv")
    assert read_scores(tmp_path / "written.csv").digest == table.digest
