"""Soups against parents, other benchmarks and ablations: the paper's own tables, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.analysis.ablation import ablation_of_scores, ablation_table
from soce.analysis.overfit import check_overfit
from soce.analysis.parents import Family, compare_with_parents
from soce.exceptions import ScoreTableError, StudyError
from soce.scores.paper import paper_roles, paper_table
from soce.scores.table import ScoreTable

FLORES = paper_table("flores36")
ROWS = ("1", "2", "3", "4", "5")

# ---- parents


def test_the_soup_of_table_5_against_its_five_parents() -> None:
    found = compare_with_parents(FLORES, [Family(ROWS, "SoCE")])
    (one,) = found.families
    assert (one.n_categories, one.better_than_one, one.better_than_all) == (36, 35, 27)
    assert (one.worse_than_all, one.tied_with_worst, one.tied_with_best) == (1, (), ())
    assert found.n_above(20) == found.n_above(20, than="all") == 1
    assert found.n_above(27, than="all") == 0, "more than, not at least"
    not_better = {
        name
        for name in FLORES.categories
        if FLORES.score("SoCE", name) <= max(FLORES.score(row, name) for row in ROWS)
    }
    listed = "deu_eng, eng_spa, spa_eng, eng_ind, eng_zhoHt, zhoHt_eng, jpn_eng, kor_eng, tur_eng"
    assert ", ".join(name for name in FLORES.categories if name in not_better) == listed


def test_the_soup_of_table_5_against_each_row() -> None:
    found = compare_with_parents(FLORES, [Family((row,), "SoCE") for row in ROWS])
    assert [one.better_than_all for one in found.families] == [34, 34, 30, 33, 35]
    assert [one.better_than_one for one in found.families] == [34, 34, 30, 33, 35], "one parent: the same"


def test_means_and_net_gains() -> None:
    found = compare_with_parents(FLORES, [Family(("1", "2"), "SoCE"), Family(("3", "4"), "SoCE")])
    first = found.families[0]
    means = FLORES.oriented().mean(axis=1)
    assert first.lowest_parent_mean == pytest.approx(means[1], abs=1e-12)
    assert first.highest_parent_mean == pytest.approx(means[0], abs=1e-12)
    assert first.soup_mean == pytest.approx(means[5], abs=1e-12)
    expected = [46.22 - (45.60 + 45.76) / 2, 46.22 - (45.85 + 45.95) / 2]
    assert found.gains[0].category == "eng_deu"
    assert found.gains[0].mean == pytest.approx(sum(expected) / 2, abs=1e-12)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["n_families"] == 2


def test_ties_are_told_and_not_counted() -> None:
    scores = ScoreTable.of(
        {"x": [1, 2, 1], "y": [1, 2, 2], "z": [3, 3, 3], "w": [1, 2, None]}, models=["a", "b", "s"]
    )
    (one,) = compare_with_parents(scores, [Family(("a", "b"), "s")]).families
    assert (one.better_than_one, one.better_than_all, one.worse_than_all) == (1, 0, 0)
    assert one.tied_with_worst == ("x", "z")
    assert one.tied_with_best == ("y", "z")
    assert (one.n_categories, one.missing) == (3, ("w",))


def test_lower_is_better_for_parents() -> None:
    scores = ScoreTable.of({"loss": [3, 2, 1]}, models=["a", "b", "s"])
    scores = scores.with_columns([replace(scores.columns[0], higher_is_better=False)])
    found = compare_with_parents(scores, [Family(("a", "b"), "s")])
    assert found.families[0].better_than_all == 1
    assert found.gains[0].mean == 1.5


@given(st.permutations(ROWS), st.permutations(FLORES.categories))
def test_order_means_nothing_to_parents(rows: list[str], columns: list[str]) -> None:
    found = compare_with_parents(FLORES.take(columns=columns), [Family(tuple(rows), "SoCE")])
    straight = compare_with_parents(FLORES, [Family(ROWS, "SoCE")])
    assert found.families[0].better_than_all == straight.families[0].better_than_all
    assert found.families[0].soup_mean == straight.families[0].soup_mean
    assert {one.category: one.mean for one in found.gains} == {
        one.category: one.mean for one in straight.gains
    }


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ([], "there is no soup"),
        ([Family((), "SoCE")], "there is no parent"),
        ([Family(("1", "SoCE"), "SoCE")], "among its own parents"),
        ([Family(("1", "1"), "SoCE")], "the parent `1` is named twice"),
        ([Family(("1",), "socce")], "there is no model `socce`"),
    ],
)
def test_families_that_are_none_are_refused(families: list[Family], expected: str) -> None:
    with pytest.raises(ScoreTableError, match=expected) as caught:
        compare_with_parents(FLORES, families)
    assert caught.value.problems[0].hint


def test_a_family_without_a_shared_category_is_refused() -> None:
    scores = ScoreTable.of({"x": [1, None], "y": [None, 2]}, models=["a", "s"])
    with pytest.raises(ScoreTableError, match="no category has scores of the soup `s` and all its parents"):
        compare_with_parents(scores, [Family(("a",), "s")])


# ---- overfit check

TABLE_3 = paper_table("table3")
M1, M2, M3 = "8b-m1", "8b-m2", "8b-m3"


@pytest.mark.parametrize(
    ("soup", "ingredients", "flags"),
    [
        ("Souped Model-3x", (M1, M2, M3), ("above_max", "between", "between", "between")),
        ("Souped Model-2x", (M1, M2), ("above_max", "between", "above_max", "between")),
        ("Souped Model-2x", (M2, M3), ("above_max", "above_max", "above_max", "between")),
    ],
)
def test_the_flags_of_table_3(soup: str, ingredients: tuple[str, ...], flags: tuple[str, ...]) -> None:
    found = check_overfit(TABLE_3, soup, ingredients, took_part=["bfcl_v3"])
    assert tuple(one.flag for one in found.benchmarks) == flags
    assert [one.took_part for one in found.benchmarks] == [True, False, False, False]
    assert found.regressions == ()


def test_weighted_means_and_their_order() -> None:
    found = check_overfit(TABLE_3, "Souped Model-3x", (M1, M2, M3), (7, 2, 1))
    by_name = check_overfit(TABLE_3, "Souped Model-3x", (M3, M1, M2), {M1: 7, M2: 2, M3: 1})
    bfcl = found.benchmarks[0]
    assert bfcl.weighted_mean == pytest.approx((7 * 69.50 + 2 * 72.37 + 67.50) / 10, abs=1e-12)
    assert [one.weighted_mean for one in by_name.benchmarks] == [
        one.weighted_mean for one in found.benchmarks
    ]
    assert (bfcl.minimum, bfcl.maximum) == (67.50, 72.37)
    assert check_overfit(TABLE_3, "Souped Model-3x", (M1, M2)).benchmarks[0].weighted_mean is None


def test_equal_is_between_and_below_is_a_regression() -> None:
    scores = ScoreTable.of(
        {"x": [1, 2, 1], "y": [1, 2, 2], "z": [1, 2, 0.5], "w": [1, None, 3]}, models=["a", "b", "s"]
    )
    found = check_overfit(scores, "s", ["a", "b"], took_part=["x"])
    assert [one.flag for one in found.benchmarks] == ["between", "between", "below_min", None]
    assert found.regressions == ("z",)
    assert found.benchmarks[3].missing == ("b",)
    assert check_overfit(scores, "s", ["a", "b"], took_part=["z"]).regressions == ()
    json.dumps(found.to_json(), allow_nan=False)


def test_lower_is_better_for_regressions() -> None:
    scores = ScoreTable.of({"loss": [1, 2, 3]}, models=["a", "b", "s"])
    scores = scores.with_columns([replace(scores.columns[0], higher_is_better=False)])
    assert check_overfit(scores, "s", ["a", "b"]).regressions == ("loss",)
    assert check_overfit(scores, "a", ["b", "s"]).benchmarks[0].flag == "above_max"


@pytest.mark.parametrize(
    ("ingredients", "parts", "options", "expected"),
    [
        ([], None, {}, "there is no ingredient"),
        ([M1, M1], None, {}, "`8b-m1` is named twice"),
        ([M1, "Souped Model-3x"], None, {}, "among its own ingredients"),
        ([M1, M2], [1], {}, "expected parts for 2 ingredients, got 1"),
        ([M1, M2], [1, -1], {}, r"the parts are \[1, -1\]"),
        ([M1, M2], [0, 0], {}, r"the parts are \[0, 0\]"),
        ([M1, M2], {M3: 1}, {}, "`8b-m3`, which is no ingredient"),
        ([M1, M2], None, {"took_part": ["bfcl"]}, "there is no column `bfcl`"),
        ([M1, "8b-m4"], None, {}, "there is no model `8b-m4`"),
    ],
)
def test_overfit_checks_of_nothing_are_refused(
    ingredients: list[str], parts: object, options: dict[str, list[str]], expected: str
) -> None:
    with pytest.raises(ScoreTableError, match=expected) as caught:
        check_overfit(TABLE_3, "Souped Model-3x", ingredients, parts, **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].hint


# ---- ablation

TABLES = ("table1-70b", "table1-8b", "table2-mgsm", "table2-infbench")


def printed(name: str) -> tuple[dict[str, float], dict[str, str]]:
    found = paper_table(name)
    return {model: found.score(model, found.categories[0]) for model in found.models}, paper_roles(name)


GOLDEN = {
    # uniform-all - best, uniform-selected - uniform-all, soce - uniform-selected, soce - uniform-all,
    # soce - best, uniform-selected - best: percentage points, relative percent
    "table1-70b": [
        (-10.23, -13.022),
        (10.07, 14.737),
        (2.28, 2.908),
        (12.35, 18.074),
        (2.12, 2.699),
        (-0.16, -0.204),
    ],
    "table1-8b": [(-2.57, -3.551), (4.21, 6.032), (2.49, 3.364), (6.70, 9.599), (4.13, 5.707), (1.64, 2.266)],
    "table2-mgsm": [
        (-3.90, -7.662),
        (0.80, 1.702),
        (3.90, 8.159),
        (4.70, 10.000),
        (0.80, 1.572),
        (-3.10, -6.090),
    ],
    "table2-infbench": [
        (0.00, 0.000),
        (0.41, 1.494),
        (0.15, 0.539),
        (0.56, 2.041),
        (0.56, 2.041),
        (0.41, 1.494),
    ],
}
MEANS = {"table1-70b": 67.235, "table1-8b": 66.180, "table2-mgsm": 41.825, "table2-infbench": 26.702}


@pytest.mark.parametrize("name", TABLES)
def test_the_differences_of_the_paper_s_tables(name: str) -> None:
    found = ablation_of_scores(*printed(name))
    assert [
        (round(one.percentage_points or 0, 2), round(one.relative_percent or 0, 3))
        for one in found.differences
    ] == GOLDEN[name]
    assert round(found.mean_of_singles, 3) == MEANS[name]
    assert found.scores_higher
    assert found.beats_best_single is None  # scores alone show no difference
    assert found.soup.arm == "soce"


def test_a_soup_that_only_equals_the_best_does_not_beat_it() -> None:
    scores = {"a": 0.5, "b": 0.4, "all": 0.45, "some": 0.45, "soup": 0.5}
    roles = {"a": "single", "b": "single", "all": "uniform-all", "some": "uniform-selected", "soup": "soce"}
    found = ablation_of_scores(scores, roles, scale="unit")
    assert not found.scores_higher
    assert found.best_single_report == "a"
    assert found.row("b").percentage_points == pytest.approx(-10)
    assert found.row("b").relative_percent == pytest.approx(-20)
    assert ablation_of_scores(scores, roles, scale=None).row("b").percentage_points is None
    zero = ablation_of_scores(dict.fromkeys(scores, 0.0), roles)
    assert {one.relative_percent for one in zero.differences} == {None}
    json.dumps(zero.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("scores", "roles", "expected"),
    [
        ({"a": 1.0}, {}, "`a` has no role"),
        ({}, {"a": "single"}, "`a` has no score"),
        ({}, {}, "there is no single model"),
        ({"a": 1.0}, {"a": "single"}, "0 arms for uniform-all"),
        ({"a": math.nan}, {"a": "single"}, "the score of `a` is nan"),
    ],
)
def test_an_ablation_that_lacks_an_arm_is_refused(
    scores: dict[str, float], roles: dict[str, str], expected: str
) -> None:
    with pytest.raises(StudyError, match=expected) as caught:
        ablation_of_scores(scores, roles)
    assert caught.value.problems[0].hint


@pytest.mark.parametrize("data", [{}, {"arms": 3}, {"arms": [{}]}, {"arms": [], "comparisons": []}])
def test_what_is_no_result_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(StudyError, match="this is not the result of a search"):
        ablation_table(data)


def test_arrays_of_the_paper_are_not_changed() -> None:
    before = FLORES.values.copy()
    compare_with_parents(FLORES, [Family(ROWS, "SoCE")])
    assert np.array_equal(before, FLORES.values)
