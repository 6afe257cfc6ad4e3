"""The paper's printed tables: every figure of its text that can be recomputed from them, in exact arithmetic."""

from __future__ import annotations

import csv
import io
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.paper import PAPER_TABLES, paper_roles, paper_table
from soce.scores.read import read_scores

ABLATIONS = ("table1-70b", "table1-8b", "table2-mgsm", "table2-infbench")
ROWS = ("1", "2", "3", "4", "5")
SOUP = "SoCE"


def printed(file: str) -> list[dict[str, str]]:
    text = resources.files("soce.scores").joinpath("data", "paper", file).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def exact(score: float) -> Fraction:
    """Return the printed value of a score: the shortest decimal that reads back as this float."""
    return Fraction(repr(score))


def rounded(value: Fraction, places: int) -> Decimal:
    """Return the value to so many decimals, half to even, without a float on the way."""
    unit = Decimal(1).scaleb(-places)
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(unit, ROUND_HALF_EVEN)


def arms(name: str) -> tuple[list[Fraction], dict[str, Fraction]]:
    """Return the ingredients' scores, and by role those of best single, uniform-all, -selected and soce."""
    table = paper_table(name)
    (category,) = table.categories
    scores = {model: exact(table.score(model, category)) for model in table.models}
    roles = paper_roles(name)
    ingredients = [scores[model] for model in table.models if roles[model] == "ingredient"]
    others = {role: scores[model] for model, role in roles.items() if role != "ingredient"}
    return ingredients, {"best single": max(ingredients), **others}


def difference(name: str, larger: str, smaller: str) -> tuple[Decimal, Decimal]:
    """Return the difference of two arms in percentage points and in relative percent."""
    _, by_role = arms(name)
    points = by_role[larger] - by_role[smaller]
    return rounded(points, 2), rounded(100 * points / by_role[smaller], 3)


# ---- what is shipped


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_each_table_reads_through_read_scores_too(name: str) -> None:
    table = paper_table(name)
    assert read_scores(f"paper:{name}").digest == table.digest
    assert (table.kind, table.source, table.n_missing) == ("paper", f"paper:{name}", 0)
    assert {column.scale for column in table.columns} == {"percent"}


@pytest.mark.parametrize(
    ("name", "n_models", "n_categories", "decimals"),
    [
        ("flores36", 6, 36, 2),
        ("table1-70b", 7, 1, 2),
        ("table1-8b", 8, 1, 2),
        ("table2-mgsm", 7, 1, 1),
        ("table2-infbench", 8, 1, 2),
        ("table3", 5, 4, 2),
    ],
)
def test_sizes(name: str, n_models: int, n_categories: int, decimals: int) -> None:
    table = paper_table(name)
    assert (len(table.models), len(table.categories)) == (n_models, n_categories)
    assert {column.decimals for column in table.columns} == {decimals}


@pytest.mark.parametrize("file", ["flores36.csv", "table3.csv"])
def test_pandas_reads_the_same_scores(file: str) -> None:
    text = resources.files("soce.scores").joinpath("data", "paper", file).read_text(encoding="utf-8")
    frame = pd.read_csv(io.StringIO(text), index_col="model", dtype={"model": str})
    ours = paper_table(file.removesuffix(".csv")).to_frame()
    pd.testing.assert_frame_equal(ours, frame, check_names=False)


def test_the_average_is_an_aggregate_of_all_directions() -> None:
    table = paper_table("flores36")
    average = table.columns[0]
    assert (average.name, average.role, average.parts) == ("avg_bleu", "aggregate", table.categories)


def test_unknown_tables_and_tables_without_roles_are_refused() -> None:
    with pytest.raises(
        ScoreTableError, match=r"^the paper has no table `flores`\nhint: did you mean `flores36`"
    ):
        paper_table("flores")
    with pytest.raises(ScoreTableError, match="`table3` has no roles"):
        paper_roles("table3")


def test_every_ablation_has_each_arm_once() -> None:
    for name in ABLATIONS:
        roles = list(paper_roles(name).values())
        assert [roles.count(role) for role in ("uniform-all", "uniform-selected", "soce")] == [1, 1, 1]
        assert roles.count("ingredient") == len(roles) - 3


# ---- Tables 1 and 2: the arms


@pytest.mark.parametrize(
    ("larger", "smaller", "expected"),
    [
        ("uniform-all", "best single", ("-10.23 -13.022", "-2.57 -3.551", "-3.90 -7.662", "0.00 0.000")),
        ("uniform-selected", "best single", ("-0.16 -0.204", "1.64 2.266", "-3.10 -6.090", "0.41 1.494")),
        ("uniform-selected", "uniform-all", ("10.07 14.737", "4.21 6.032", "0.80 1.702", "0.41 1.494")),
        ("soce", "uniform-selected", ("2.28 2.908", "2.49 3.364", "3.90 8.159", "0.15 0.539")),
        ("soce", "uniform-all", ("12.35 18.074", "6.70 9.599", "4.70 10.000", "0.56 2.041")),
        ("soce", "best single", ("2.12 2.699", "4.13 5.707", "0.80 1.572", "0.56 2.041")),
    ],
)
def test_differences_of_the_arms(larger: str, smaller: str, expected: tuple[str, ...]) -> None:
    for name, figures in zip(ABLATIONS, expected, strict=True):
        points, relative = (Decimal(figure) for figure in figures.split())
        assert difference(name, larger, smaller) == (points, relative), name


def test_means_of_the_ingredients() -> None:
    means = [rounded(sum(arms(name)[0]) / len(arms(name)[0]), 3) for name in ABLATIONS]
    assert means == [Decimal(mean) for mean in ("67.235", "66.180", "41.825", "26.702")]


def test_selection_alone_does_not_beat_the_best_single_model_in_two_of_four() -> None:
    beats = {name: difference(name, "uniform-selected", "best single")[0] > 0 for name in ABLATIONS}
    assert beats == {"table1-70b": False, "table1-8b": True, "table2-mgsm": False, "table2-infbench": True}


def test_uniform_over_all_beats_the_best_single_model_nowhere() -> None:
    assert all(difference(name, "uniform-all", "best single")[0] <= 0 for name in ABLATIONS)
    assert all(difference(name, "soce", "best single")[0] > 0 for name in ABLATIONS)


# ---- what the text claims


def relative_range(larger: str, smaller: str) -> tuple[Decimal, Decimal]:
    """Return the smallest and largest relative difference of two values printed with two decimals."""
    half = Fraction(1, 200)
    a, b = Fraction(larger), Fraction(smaller)
    least, most = (a - half) / (b + half) - 1, (a + half) / (b - half) - 1
    return rounded(100 * least, 3), rounded(100 * most, 3)


@pytest.mark.parametrize(
    ("name", "claim", "larger", "smaller"),
    [
        ("table1-70b", "2.7", "soce", "best single"),
        ("table1-8b", "5.7", "soce", "best single"),
        ("table2-mgsm", "1.57", "soce", "best single"),
    ],
)
def test_claims_that_are_right_and_relative(name: str, claim: str, larger: str, smaller: str) -> None:
    points, relative = difference(name, larger, smaller)
    places = -Decimal(claim).as_tuple().exponent
    assert round(relative, places) == Decimal(claim) != round(points, places)


def test_the_70b_gain_over_uniform_selected_is_points_labelled_relative() -> None:
    assert difference("table1-70b", "soce", "uniform-selected") == (Decimal("2.28"), Decimal("2.908"))


def test_the_8b_gain_over_uniform_selected_is_neither() -> None:
    claim = Decimal("3.44")
    points, relative = difference("table1-8b", "soce", "uniform-selected")
    least, most = relative_range("76.50", "74.01")
    assert (points, relative, least, most) == tuple(map(Decimal, ("2.49", "3.364", "3.351", "3.378")))
    assert claim not in {points, relative}
    assert claim > most


def test_the_infbench_gain_by_selection_is_neither() -> None:
    points, relative = difference("table2-infbench", "uniform-selected", "best single")
    least, most = relative_range("27.85", "27.44")
    assert (points, relative, least, most) == tuple(map(Decimal, ("0.41", "1.494", "1.457", "1.531")))
    assert points < Decimal("1.15") < least


def test_the_infbench_gain_of_the_text_is_right_within_rounding() -> None:
    least, most = relative_range("28.00", "27.44")
    assert difference("table2-infbench", "soce", "best single")[1] == Decimal("2.041")
    assert least <= Decimal("2.05") <= most


def test_the_infbench_gain_of_the_caption_is_not_over_the_best() -> None:
    claim = Decimal("0.66")
    assert difference("table2-infbench", "soce", "best single")[1] == Decimal("2.041")
    # `28.0` has one decimal, `27.85` has two.
    half = Fraction(1, 200)
    least = rounded(100 * (Fraction("27.95") / (Fraction("27.85") + half) - 1), 3)
    most = rounded(100 * (Fraction("28.05") / (Fraction("27.85") - half) - 1), 3)
    assert difference("table2-infbench", "soce", "uniform-selected")[1] == Decimal("0.539")
    assert (least, most) == (Decimal("0.341"), Decimal("0.736"))
    assert least <= claim <= most
    assert rounded(Fraction("27.85") * (1 + Fraction(claim) / 100), 2) == Decimal("28.03")


def test_the_rescue_rate() -> None:
    assert rounded(Fraction(100 * 32, 380), 3) == Decimal("8.421")


def test_only_one_appendix_candidate_is_in_table_1() -> None:
    single = {row["bfcl_accuracy"] for row in printed("table1.csv") if row["role"] == "ingredient"}
    candidates = [row["bfcl_v3"] for row in printed("table3.csv") if row["model"].startswith("8b-")]
    assert [score for score in candidates if score in single] == ["72.37"]


# ---- Table 3: does the soup overfit


def flag(soup: str, parents: tuple[str, ...], category: str) -> str:
    table = paper_table("table3")
    scores = [exact(table.score(parent, category)) for parent in parents]
    score = exact(table.score(soup, category))
    return "below_min" if score < min(scores) else "above_max" if score > max(scores) else "between"


@pytest.mark.parametrize(
    ("soup", "parents", "above"),
    [
        ("Souped Model-3x", ("8b-m1", "8b-m2", "8b-m3"), {"bfcl_v3"}),
        ("Souped Model-2x", ("8b-m1", "8b-m2"), {"bfcl_v3", "ifeval"}),
        ("Souped Model-2x", ("8b-m2", "8b-m3"), {"bfcl_v3", "ifeval", "hellaswag"}),
    ],
)
def test_overfit_flags(soup: str, parents: tuple[str, ...], above: set[str]) -> None:
    for category in ("bfcl_v3", "hellaswag", "ifeval", "bbh"):
        assert flag(soup, parents, category) == ("above_max" if category in above else "between")


# ---- Table 5: winners, and the copied column


def flores() -> tuple[list[str], dict[str, dict[str, Decimal]]]:
    rows = {
        row.pop("model"): {name: Decimal(text) for name, text in row.items()}
        for row in printed("flores36.csv")
    }
    return [name for name in rows[SOUP] if name != "avg_bleu"], rows


def test_category_winners_among_the_candidates() -> None:
    table = paper_table("flores36").take(models=ROWS)
    scores = table.oriented()
    assert ((scores == scores.max(axis=0)).sum(axis=0) == 1).all(), "no ties"
    assert np.bincount(scores.argmax(axis=0)).tolist() == [8, 3, 12, 8, 5]
    assert paper_table("flores36").to_frame().drop(columns="avg_bleu").loc[list(ROWS)].idxmax().value_counts(
        sort=False
    ).sort_index().tolist() == [8, 3, 12, 8, 5]


def test_categories_in_which_the_soup_is_above_its_candidates() -> None:
    names, rows = flores()
    above = [[rows[SOUP][name] > rows[row][name] for name in names] for row in ROWS]
    assert [sum(cells) for cells in above] == [34, 34, 30, 33, 35]
    every = [name for name, *cells in zip(names, *above, strict=True) if all(cells)]
    some = [name for name, *cells in zip(names, *above, strict=True) if any(cells)]
    assert (len(every), len(some)) == (27, 35)
    assert set(names) - set(some) == {"eng_spa"}
    assert set(names) - set(every) == {
        *(
            "deu_eng",
            "eng_spa",
            "spa_eng",
            "eng_ind",
            "eng_zhoHt",
            "zhoHt_eng",
            "jpn_eng",
            "kor_eng",
            "tur_eng",
        )
    }
    assert all(rows[SOUP][name] != rows[row][name] for name in names for row in ROWS), "no ties"


def test_one_column_is_a_copy_in_the_candidates_rows() -> None:
    _, rows = flores()
    assert all(rows[row]["eng_spa"] == rows[row]["spa_eng"] for row in ROWS)
    assert (rows[SOUP]["eng_spa"], rows[SOUP]["spa_eng"]) == (Decimal("32.06"), Decimal("35.72"))


@pytest.mark.parametrize(
    ("row", "average", "mean", "excess", "least", "most"),
    [
        ("1", "38.97", "39.0669", "0.0969", "31.82", "32.18"),
        ("2", "38.74", "38.8461", "0.1061", "31.77", "32.13"),
        ("3", "39.07", "39.1800", "0.1100", "31.64", "32.00"),
        ("4", "39.04", "39.1322", "0.0922", "31.85", "32.21"),
        ("5", "38.94", "39.0286", "0.0886", "31.78", "32.14"),
        (SOUP, "39.19", "39.3908", "0.2008", "24.65", "25.01"),
    ],
)
def test_what_the_printed_averages_imply(
    row: str, average: str, mean: str, excess: str, least: str, most: str
) -> None:
    names, rows = flores()
    stated = rows[row]["avg_bleu"]
    true = Fraction(sum(rows[row][name] for name in names)) / 36
    assert stated == Decimal(average)
    assert rounded(true, 4) == Decimal(mean)
    assert rounded(true - Fraction(stated), 4) == Decimal(excess)
    others = sum(rows[row][name] for name in names if name != "eng_spa")
    half = Decimal("0.005")
    assert (36 * (stated - half) - others, 36 * (stated + half) - others) == (Decimal(least), Decimal(most))
    assert not Decimal(least) <= rows[row]["eng_spa"] <= Decimal(most)


def test_a_soup_average_of_39_39_would_agree_with_its_row() -> None:
    names, rows = flores()
    mean = rounded(Fraction(sum(rows[SOUP][name] for name in names)) / 36, 2)
    best = max(rows[row]["avg_bleu"] for row in ROWS)
    assert (mean, mean - best, rows[SOUP]["avg_bleu"] - best) == tuple(
        map(Decimal, ("39.39", "0.32", "0.12"))
    )


def test_the_mean_of_the_category_means_is_that_of_pandas() -> None:
    table = paper_table("flores36")
    ours = table.to_frame()[list(table.categories)].mean(axis=1)
    names, rows = flores()
    exactly = [float(Fraction(sum(rows[row][name] for name in names)) / 36) for row in table.models]
    np.testing.assert_allclose(ours, exactly, rtol=1e-14)
