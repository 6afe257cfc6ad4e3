"""Wide tables have columns of numbers that are no scores: errors and counts of others, sizes, likes, steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable
from soce.selection.lint import lint_scores

MATH = (51.2, 49.8, 53.4, 55.1, 47.6, 50.0)
CODE = (31.2, 40.2, 28.7, 35.5, 29.8, 31.0)


def read(folder: Path, held: dict[str, object], **options: object) -> ScoreTable:
    """Read a table of six models that has these columns; a single value stands in all rows."""
    cells = {name: list(given) if isinstance(given, tuple) else [given] * 6 for name, given in held.items()}
    lines = [",".join(["model", *(f'"{name}"' for name in cells)])]
    lines += [",".join([f"m{row}", *(str(column[row]) for column in cells.values())]) for row in range(6)]
    path = folder / "scores.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return read_scores(path, options=ReadOptions(**options))


def with_column(folder: Path, name: str, values: object, **options: object) -> ScoreTable:
    return read(folder, {"math": MATH, "code": CODE, name: values}, **options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Parameters", (7.0, 13.0, 7.0, 34.0, 70.0, 3.0)),
        ("#Params (B)", (7.24, 13.0, 7.24, 34.4, 70.6, 3.2)),
        ("n_params", 7241732096),
        ("Active params", (7.0, 13.0, 7.0, 34.0, 70.0, 3.0)),
        ("Model size (GB)", (14.5, 26.0, 14.5, 68.8, 141.2, 6.4)),
        ("size", ("7B", "13B", "7B", "34B", "70B", "3B")),
        ("peak_memory_gb", (14.5, 26.0, 14.5, 68.8, 141.2, 6.4)),
        ("memory", (14.5, 26.0, 14.5, 68.8, 141.2, 6.4)),
        ("VRAM", 24),
        ("likes", (12, 0, 150, 3, 7, 1)),
        ("Hub ❤️", (12.0, 0.0, 150.0, 3.0, 7.0, 1.0)),
        ("downloads", (12000, 0, 1504, 3, 7, 1)),
        ("step", (500, 1000, 1500, 2000, 2500, 3000)),
        ("_step", (500, 1000, 1500, 2000, 2500, 3000)),
        ("global_step", (500, 1000, 1500, 2000, 2500, 3000)),
        ("epoch", (0.98, 1.0, 1.97, 2.0, 2.95, 3.0)),
        ("shots", 5),
        ("n-shot", 5),
        ("num_fewshot", (0, 5, 5, 0, 25, 25)),
        ("seed", (1, 2, 3, 1, 2, 42)),
        ("runtime", (120.5, 98.2, 333.1, 120.0, 98.7, 101.1)),
        ("eval_runtime", (120.5, 98.2, 333.1, 120.0, 98.7, 101.1)),
        ("eval_samples_per_second", (12.5, 9.2, 33.1, 12.0, 9.7, 10.1)),
        ("Total Time (s)", (120.5, 98.2, 333.1, 120.0, 98.7, 101.1)),
        ("inference time", (1.5, 0.2, 3.1, 1.0, 0.7, 1.1)),
        ("seconds", (120.5, 98.2, 333.1, 120.0, 98.7, 101.1)),
        ("tokens", (1000000, 200000, 1504, 3000, 70000, 1)),
        ("Training tokens (T)", (2, 15, 1.4, 3, 7, 18)),
        ("avg output tokens", (512.5, 480.2, 333.1, 701.0, 502.2, 610.0)),
        ("price", (0.15, 2.5, 3, 15, 0.6, 1.1)),
        ("Input price ($/1M)", (0.15, 2.5, 3, 15, 0.6, 1.1)),
        ("date", (20250401, 20250402, 20250403, 20250404, 20250405, 20250406)),
        ("Upload To Hub Date", ("2024-06-01", "2024-07-01", "", "2024-06-09", "2024-06-13", "2024-06-11")),
        ("precision", (16, 16, 8, 4, 16, 32)),
        ("samples", (1319, 1319, 1319, 1300, 1319, 1319)),
        ("count", 500),
        ("n", 500),
        ("num_battles", (1200, 800, 950, 700, 10, 40)),
        ("train/grad_norm", (1.5, 0.2, 3.1, 1.0, 0.7, 1.1)),
        ("tok/s", (98.5, 70.2, 33.1, 21.0, 80.7, 41.1)),
        ("Sweep", ""),
        ("n_seeds", 3),
        ("n_votes_cast", 30),
        ("n_wins", (120, 80, 95, 70, 101, 404)),
        ("learning_rate", (1e-5, 2e-5, 1e-5, 3e-5, 1e-4, 1e-6)),
        ("batch size", (16, 32, 64, 16, 8, 8)),
        ("version", 1),
        ("avg_length", (1500, 1700, 2100, 900, 1200, 1100)),
        ("standard_error", (1.2, 1.3, 1.1, 1.2, 1.4, 1.3)),
        ("lc_standard_error", (1.2, 1.3, 1.1, 1.2, 1.4, 1.3)),
        ("variance", (1.2, 1.3, 1.1, 1.2, 1.4, 1.3)),
        ("Latency Mean (s)", (1.5, 0.2, 3.1, 1.0, 0.7, 1.1)),
    ],
)
def test_numbers_that_are_no_scores_are_set_aside_and_named(
    tmp_path: Path, name: str, values: object
) -> None:
    table = with_column(tmp_path, name, values)
    assert table.categories == ("math", "code")
    assert [column for column, _ in table.ignored] == [name]
    assert [finding.columns for finding in lint_scores(table).coded("S14")] == [(name,)]


@pytest.mark.parametrize(
    "name",
    [
        "step_reasoning",
        "multi_step",
        "n_queens",
        "number_theory",
        "math_500",
        "size_comparison",
        "time_series",
        "date_understanding",
        "code_params",
        "object_counting",
        "word_count",
        "memory_kv",
        "long_memory",
        "tokenization",
        "few_shot_learning",
        "link_prediction",
        "price_comparison",
        "reading_time",
        "arc_25_shot",
        "temporal_sequences",
        "generation",
        "model_knowledge",
        "precision",
        "standard_english",
        "se_ranking_qa",
        "std_lib",
        "hub",
        "civil_ci_law",
    ],
)
def test_categories_that_are_called_alike_stay(tmp_path: Path, name: str) -> None:
    table = with_column(tmp_path, name, (61.2, 59.8, 63.4, 65.1, 57.6, 60.3))
    assert table.categories == ("math", "code", name)
    assert table.ignored == ()


def test_cells_may_say_that_a_column_is_one_of_scores(tmp_path: Path) -> None:
    for name, values in {
        "memory": (0.61, 0.59, 0.63, 0.65, 0.57, 0.6),
        "Memory": ("61.2%", "59%", "63%", "65%", "57.5%", "60%"),
        "count": (150.0, 133.33, 160.0, 141.67, 128.33, 155.0),
        "Count": ("150.00", "133.00", "160.00", "141.00", "128.00", "155.00"),
        "n": (61, 59, 63, 65, 57, 60),
    }.items():
        assert with_column(tmp_path, name, values).categories == ("math", "code", name)


def test_options_make_any_column_one_of_scores(tmp_path: Path) -> None:
    sizes = (7.0, 13.0, 7.0, 34.0, 70.0, 3.0)
    assert with_column(tmp_path, "size", sizes, columns=("math", "size")).categories == ("math", "size")
    assert with_column(tmp_path, "size", sizes, higher_is_better=("size",)).categories[-1] == "size"
    errors = (1.4, 1.3, 1.3, 1.5, 1.9, 1.6)
    table = with_column(tmp_path, "math_stderr", errors, columns=("math", "math_stderr"))
    assert (table.categories, table.stderrs, table.companions) == (("math", "math_stderr"), None, ())


# Standard errors and numbers of items


@pytest.mark.parametrize(
    "name",
    [
        "math_stderr",
        "math stderr",
        "math_std_err",
        "math (standard error)",
        "math_se",
        "math SE",
        "stderr_math",
        "math ±",
        "± math",
        "math +/-",
        "math_sem",
    ],
)
def test_standard_errors_of_another_column_are_read_as_such(tmp_path: Path, name: str) -> None:
    errors = (1.4, 1.3, 1.3, 1.5, 1.9, 1.6)
    table = with_column(tmp_path, name, errors)
    assert (table.categories, table.ignored) == (("math", "code"), ())
    assert table.companions == ((name, "standard errors", "math"),)
    assert table.standard_errors(["math"])[:, 0].tolist() == [*errors]
    assert np.isnan(table.standard_errors(["code"])).all()
    (finding,) = lint_scores(table).coded("S14")
    assert (finding.severity, finding.columns) == ("information", (name,))


@pytest.mark.parametrize(
    "name", ["math_n", "n_math", "math n", "#math", "math_count", "math_num_samples", "math (n)"]
)
def test_numbers_of_items_of_another_column_are_read_as_such(tmp_path: Path, name: str) -> None:
    table = with_column(tmp_path, name, 250)
    assert table.categories == ("math", "code")
    assert table.counts is not None
    assert table.counts[:, 0].tolist() == [250] * 6
    expected = 100 * np.sqrt(0.512 * 0.488 / 250)
    np.testing.assert_allclose(table.standard_errors(["math"])[0, 0], expected)


def test_half_a_confidence_interval_is_two_standard_errors(tmp_path: Path) -> None:
    table = with_column(tmp_path, "math ± 95% CI", (2.8, 2.6, 2.6, 3.0, 3.8, 3.2))
    np.testing.assert_allclose(table.standard_errors(["math"])[0, 0], 2.8 / 1.96, rtol=1e-4)


def test_names_of_lm_eval_have_a_filter_behind_the_error(tmp_path: Path) -> None:
    table = read(tmp_path, {"arc_acc,none": MATH, "arc_acc_stderr,none": 1.4, "gsm8k": CODE})
    assert table.categories == ("arc_acc,none", "gsm8k")
    assert table.standard_errors()[0, 0] == 1.4


@pytest.mark.parametrize("mark", ["±", "+/-", "stderr", "SE"])
@pytest.mark.parametrize("second", ["", ".1"])
def test_a_mark_alone_is_about_the_column_before_it(tmp_path: Path, mark: str, second: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"model,math,{mark},code,{mark}{second}\na,50.5,1.4,40.5,1.1\nb,51.5,1.5,41.5,1.2\n")
    table = read_scores(path)
    assert table.categories == ("math", "code")
    assert table.standard_errors().tolist() == [[1.4, 1.1], [1.5, 1.2]]


def test_an_error_alone_is_that_of_the_only_measure(tmp_path: Path) -> None:
    table = read(tmp_path, {"accuracy": MATH, "stderr": 1.4, "n": 200})
    assert table.categories == ("accuracy",)
    assert table.standard_errors()[0, 0] == 1.4


def test_what_may_count_something_is_asked_about(tmp_path: Path) -> None:
    table = with_column(tmp_path, "n_draws", (1, 0, 4, 2, 3, 2))
    (finding,) = lint_scores(table).coded("S14")
    assert (finding.severity, finding.columns) == ("warning", ("n_draws",))


def test_the_mean_and_deviation_of_seeds_are_no_averages_of_categories(tmp_path: Path) -> None:
    table = read(tmp_path, {"math_mean": MATH, "math_std": 1.4, "code_mean": CODE, "code_sem": 1.1})
    assert table.categories == ("math_mean", "code_mean")
    assert dict(table.ignored)["math_std"] == "the standard deviation of `math_mean`, not its standard errors"
    np.testing.assert_array_equal(table.standard_errors()[0], [np.nan, 1.1])


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("math_std", 1.4, "the standard deviation of `math`"),
        ("math_var", 1.4, "the variance of `math`"),
        ("math_ci", 1.4, "the interval of `math`"),
        ("math 95% CI", ('"[48, 52]"',) * 6, "the interval of `math`"),
        ("math_ci_low", 45.1, "a bound of `math`"),
        ("math_max", 61.1, "a bound of `math`"),
        ("math_err", 1.4, "the error of `math`"),
        ("math_stderr", 0.014, "standard errors of `math`, but in other units"),
        ("math_stderr", -1, "standard errors of `math`, but some are negative"),
        ("math_stderr", "(1.4)", "standard errors of `math`, but `(1.4)` is not a number"),
        ("math raw", tuple(score / 100 for score in MATH), "`math` in other units"),
    ],
)
def test_what_is_about_another_column_and_cannot_be_used_is_set_aside(
    tmp_path: Path, name: str, values: object, reason: str
) -> None:
    table = with_column(tmp_path, name, values)
    assert table.categories == ("math", "code")
    assert table.stderrs is None
    assert dict(table.ignored)[name].startswith(reason)


def test_errors_in_the_cells_go_before_those_of_another_column(tmp_path: Path) -> None:
    cells = tuple(f"{score} ± 0.5" for score in MATH)
    table = read(tmp_path, {"math": cells, "math_stderr": 0.6, "code": CODE})
    assert table.standard_errors(["math"])[:, 0].tolist() == [0.5] * 6
    assert "its own in its cells" in dict(table.ignored)["math_stderr"]


def test_a_second_variant_of_a_benchmark_is_no_companion(tmp_path: Path) -> None:
    other = (61.2, 59.8, 63.4, 40.1, 57.6, 60.3)
    for name in (
        "math_se",
        "math_err",
        "math_std",
        "math_hard",
        "math_500",
        "math_high",
        "math raw",
        "math_min",
        "math_n",
    ):
        assert with_column(tmp_path, name, other).categories == ("math", "code", name)


# Lint


def test_a_right_average_is_not_blamed_for_what_is_no_score(tmp_path: Path) -> None:
    average = tuple(f"{(math + code) / 2:.2f}" for math, code in zip(MATH, CODE, strict=True))
    sizes = (7.0, 13.0, 7.0, 34.0, 70.0, 3.0)
    table = read(tmp_path, {"Average": average, "math": MATH, "code": CODE, "Parameters": sizes})
    assert lint_scores(table).coded("S02") == ()
    table = read(tmp_path, {"Average": average, "math": MATH, "code": CODE, "Wumpus": sizes})
    findings = lint_scores(table)
    assert findings.coded("S02") == ()
    (finding,) = findings.coded("S14")
    assert (finding.columns, finding.details["average"]) == (("Wumpus",), "Average")


def test_a_wrong_average_is_still_found(tmp_path: Path) -> None:
    average = [f"{(math + code) / 2:.2f}" for math, code in zip(MATH, CODE, strict=True)]
    average[2] = "99.99"
    table = read(tmp_path, {"Average": tuple(average), "math": MATH, "code": CODE})
    (finding,) = lint_scores(table).coded("S02")
    assert finding.models == ("m2",)


def test_a_table_without_scores_says_what_its_columns_are(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError) as caught:
        read(tmp_path, {"likes": 3, "downloads": 4})
    (problem,) = caught.value.problems
    assert problem.message == "no column holds scores"
    assert problem.hint is not None
    assert "`likes` (its name has `likes`)" in problem.hint


def test_words_with_marks_before_them_are_no_attempts_at_scores(tmp_path: Path) -> None:
    table = with_column(
        tmp_path, "Type", ("🔶 fine-tuned", "🟢 pretrained", "🔶 fine-tuned", "💬 chat", "", "🟢 x")
    )
    assert table.ignored == (("Type", "no cell is a number"),)
