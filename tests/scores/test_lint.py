"""Lint: every check on the table that just triggers it and on the one that just does not, and the real tables."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.shared_data import shared_data

from soce.exceptions import ScoreTableError
from soce.scores.formats import bfcl_board
from soce.scores.formats.options import ReadOptions
from soce.scores.lint.findings import CHECKS, Check, Finding, Findings, raise_errors
from soce.scores.lint.rounding import compare, means_of_others, not_whole
from soce.scores.lint.tables import lint_pair
from soce.scores.paper import paper_table
from soce.scores.table import Column, ScoreTable
from soce.selection.correlation import correlate_categories
from soce.selection.lint import lint_scores, lint_selection

SEVENTY = ["xLAM-2-70b-fc-r (FC)", "CoALM-70B", "watt-tool-70B (FC)", "Functionary-Medium-v3.1 (FC)"]
EIGHT = ["xLAM-2-8b-fc-r (FC)", "ToolACE-2-8B (FC)", "watt-tool-8B (FC)", "BitAgent-8B", "CoALM-8B"]
LETTERS = "abcdefghijkl"


def table(
    columns: dict[str, list[str | None]], *, counts: dict[str, object] | None = None, **more
) -> ScoreTable:
    """Return a table of percentages from printed texts, eight models or as many as the columns have."""
    n_models = len(next(iter(columns.values())))
    kinds = [
        Column(
            name,
            scale="percent",
            decimals=max(len((text or "").partition(".")[2]) for text in texts),
            role="aggregate" if name in more.get("aggregates", {}) else "category",
            parts=tuple(more.get("aggregates", {}).get(name, ())),
        )
        for name, texts in columns.items()
    ]
    values = np.array(
        [[np.nan if text is None else float(text) for text in texts] for texts in columns.values()]
    )
    items = None
    if counts is not None:
        items = np.array(
            [np.broadcast_to(counts.get(name, np.nan), n_models) for name in columns], dtype=float
        ).T
    return ScoreTable(tuple(LETTERS[:n_models]), tuple(kinds), values.T, counts=items)


def spread(seed: int, n_models: int = 8) -> list[str]:
    """Return scores that no check minds."""
    random = Random(seed)
    return [f"{value / 100:.2f}" for value in random.sample(range(1000, 9900), n_models)]


def clean(n_models: int = 8) -> dict[str, list[str | None]]:
    return {name: list(spread(seed, n_models)) for seed, name in enumerate(["math", "code", "chat"])}


def codes(findings: Findings) -> list[str]:
    return [finding.code for finding in findings]


def only(findings: Findings, code: str) -> Finding:
    (finding,) = findings.coded(code)
    return finding


def test_a_table_without_faults_has_no_findings() -> None:
    assert lint_scores(table(clean())) == ()


# S01


@pytest.mark.parametrize(("n_equal", "found"), [(8, True), (7, False)])
def test_s01_starts_at_four_fifths(n_equal: int, found: bool) -> None:
    columns = clean(10)
    columns["copy"] = columns["math"][:n_equal] + ["1.5", "2.5", "3.5"][: 10 - n_equal]
    findings = lint_scores(table(columns)).coded("S01")
    assert [finding.columns for finding in findings] == ([("copy", "math")] if found else [])
    if found:
        assert (
            findings[0].message
            == "categories `copy` and `math` are equal in 8 of 10 models (not in `i` and `j`)"
        )
        assert findings[0].models == tuple(LETTERS[:8])


@pytest.mark.parametrize(("values", "found"), [(["0", "50", "100"], True), (["0", "0", "100"], False)])
def test_s01_needs_three_values(values: list[str], found: bool) -> None:
    scores = (values * 3)[:8]
    assert ("S01" in codes(lint_scores(table({**clean(), "x": scores, "y": scores})))) is found


def test_s01_looks_only_at_rows_that_have_both() -> None:
    columns = clean()
    columns["copy"] = [*columns["math"][:4], None, None, None, "1"]
    finding = only(lint_scores(table(columns)), "S01")
    assert "equal in 4 of 5 models (not in `h`)" in finding.message


def test_s01_names_a_group_once() -> None:
    columns = clean()
    columns |= {"copy": columns["math"], "again": columns["math"]}
    finding = only(lint_scores(table(columns)), "S01")
    assert finding.columns == ("again", "copy", "math")
    assert finding.details["n_pairs"] == 3


# S02


@pytest.mark.parametrize(
    "name", ["avg", "avg_bleu", "Average", "Mean Acc", "Overall Acc", "AST Summary", "score"]
)
def test_s02_checks_columns_named_like_averages(name: str) -> None:
    columns = {"math": ["50", "60", "70"], "code": ["60", "70", "80"], name: ["55", "65", "90"]}
    finding = only(lint_scores(table(columns)), "S02")
    assert finding.columns == (name,)
    assert finding.models == ("c",)
    assert finding.details["largest"] == {"model": "c", "difference": -15.0}
    assert "90 given" in finding.message


@pytest.mark.parametrize("name", ["math_score", "meaning", "totality", "averages"])
def test_s02_leaves_other_names_alone(name: str) -> None:
    columns = {"math": ["50", "60", "70"], "code": ["60", "70", "80"], name: ["55", "65", "90"]}
    assert "S02" not in codes(lint_scores(table(columns)))


@pytest.mark.parametrize(
    ("printed", "found"), [("55.01", False), ("55.02", True), ("54.99", False), ("54.98", True)]
)
def test_s02_accepts_what_rounding_explains(printed: str, found: bool) -> None:
    """For a mean of parts with two decimals that is a difference of 0.01 and no more."""
    columns = {"math": ["50.00"], "code": ["60.00"], "avg": [printed]}
    assert ("S02" in codes(lint_scores(table(columns)))) is found


def test_s02_checks_declared_parts_only() -> None:
    parts = {"group": ("math", "code")}
    columns = clean() | {"group": ["1"] * 8}
    assert only(lint_scores(table(columns, aggregates=parts)), "S02").columns == ("group",)
    assert "S02" not in codes(lint_scores(table(columns, aggregates={"group": ()})))


def test_s02_accepts_a_mean_weighted_by_items() -> None:
    columns = {"math": ["50.00", "60.00"], "code": ["60.00", "80.00"], "avg": ["57.50", "75.00"]}
    assert "S02" not in codes(lint_scores(table(columns, counts={"math": 100, "code": 300})))
    assert "S02" in codes(lint_scores(table(columns)))


def test_s02_accepts_the_mean_of_a_group_of_the_same_name() -> None:
    columns = {"math_a": ["50", "60"], "math_b": ["60", "70"], "chat": ["1", "2"], "math_avg": ["55", "65"]}
    assert "S02" not in codes(lint_scores(table(columns)))


def test_s02_takes_floats_of_any_sum_order_for_equal() -> None:
    columns = {"a": [0.1, 0.3], "b": [0.2, 0.7], "c": [0.3, 0.1]}
    means = [sum(scores) / 3 + 1e-16 for scores in zip(*columns.values(), strict=True)]
    assert "S02" not in codes(lint_scores(ScoreTable.of({**columns, "mean": means}, models=["x", "y"])))


@settings(max_examples=60)
@given(st.data())
@example(data=None)
def test_rounded_means_are_decided_as_by_exact_arithmetic(data: st.DataObject | None) -> None:
    if data is None:
        parts, printed = [Decimal("0.05"), Decimal("0.15")], Decimal("0.2")  # the interval ends meet exactly
    else:
        decimals = st.integers(0, 4)
        parts = [
            data.draw(st.decimals(0, 100, places=data.draw(decimals), allow_nan=False, allow_infinity=False))
            for _ in range(data.draw(st.integers(1, 5)))
        ]
        near = sum(map(Fraction, parts)) / len(parts) + Fraction(data.draw(st.integers(-300, 300)), 20_000)
        digits = data.draw(decimals)
        printed = Decimal(round(near * 10**digits)).scaleb(-digits)

    def half(value: Decimal) -> Fraction:
        return Fraction(1, 2) / 10 ** -int(value.as_tuple().exponent)

    mean = sum(map(Fraction, parts)) / len(parts)
    allowed = half(printed) + sum(map(half, parts)) / len(parts)
    beyond = abs(Fraction(printed) - mean) > allowed
    columns = tuple(
        Column(f"c{place}", decimals=-int(value.as_tuple().exponent))
        for place, value in enumerate([printed, *parts])
    )
    scores = ScoreTable(("model",), columns, np.array([[float(value) for value in (printed, *parts)]]))
    assert compare(scores, 0, range(1, len(columns))).beyond.tolist() == [beyond]
    assert means_of_others(scores.values, columns)[0] == (not beyond)


# S03


def test_s03_names_constant_columns_of_population_and_candidates() -> None:
    columns = clean() | {"x": ["7.0"] * 8, "y": ["7.0"] * 4 + ["8.0"] * 4}
    population, candidates = list("abcdefgh"), list("abcd")
    first, second = lint_scores(table(columns), population=population, candidates=candidates).coded("S03")
    assert (first.columns, first.details["rows"]) == (("x",), "population")
    assert (second.columns, second.details["rows"]) == (("x", "y"), "candidates")
    assert first.message == "category `x` (7.0) is the same for all 8 models of the population"


def test_s03_one_other_score_is_enough() -> None:
    assert "S03" not in codes(lint_scores(table(clean() | {"x": ["7.0"] * 7 + ["7.1"]})))


# S04, S10


def plain(columns: dict[str, list[float | None]]) -> ScoreTable:
    return ScoreTable.of(columns, models=list(LETTERS[: len(next(iter(columns.values())))]))


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([0.5, 0.7], [50, 70], True),
        ([0.5, 1.0], [1.1, 0.2], True),
        ([0, 1], [50, 70], False),  # of either scale
        ([0.5, 0.7], [0, 1], False),
        ([50, 70], [1, 100], False),
    ],
)
def test_s04_names_mixed_scales(first: list[float], second: list[float], found: bool) -> None:
    findings = lint_scores(plain({"x": first, "y": second})).coded("S04")
    assert [(finding.severity, finding.columns) for finding in findings] == (
        [("error", ("x", "y"))] if found else []
    )


def test_s04_believes_what_the_source_says() -> None:
    columns = (Column("x", scale="percent"), Column("y"))
    low = ScoreTable(("a", "b"), columns, np.array([[0.5, 20], [0.7, 30]]))
    assert "S04" not in codes(lint_scores(low))


@pytest.mark.parametrize(
    ("scale", "inside", "outside"),
    [("percent", 100, 100.01), ("percent", 0, -0.01), ("unit", 1, 1.01), (None, 100, 100.5), (None, 0, -0.5)],
)
def test_s10_names_scores_out_of_range(scale, inside: float, outside: float) -> None:
    for score, found in ((inside, False), (outside, True)):
        values = np.array([[0.5], [score]])
        findings = lint_scores(ScoreTable(("a", "b"), (Column("x", scale=scale),), values)).coded("S10")
        assert [(finding.severity, finding.models) for finding in findings] == (
            [("error", ("b",))] if found else []
        )


def test_s10_leaves_columns_without_range_alone() -> None:
    loss = Column("perplexity", higher_is_better=False)
    assert "S10" not in codes(lint_scores(ScoreTable(("a", "b"), (loss,), np.array([[230.0], [-3.0]]))))


@pytest.mark.parametrize("count", [0.0, -3.0, 2.5, float("inf")])
def test_s10_names_impossible_item_counts(count: float) -> None:
    finding = only(lint_scores(table(clean(), counts={"math": [100] * 7 + [count]})), "S10")
    assert (finding.models, finding.columns) == (("h",), ("math",))


# S05


def test_s05_names_aggregates_over_missing_scores() -> None:
    columns = clean()
    columns["math"][2] = None
    columns |= {"group": ["1"] * 8, "total": ["2"] * 8}
    given = table(columns, aggregates={"group": ("math", "code"), "total": ("group", "chat")})
    finding = only(lint_scores(given), "S05")
    assert (finding.models, finding.columns) == (("c",), ("group", "total"))
    whole = table({**columns, "math": columns["code"]}, aggregates={"group": ("math", "code")})
    assert "S05" not in codes(lint_scores(whole))


def test_s05_names_what_a_reader_blanked() -> None:
    columns = clean() | {"group": [None] * 8}
    given = replace(table(columns, aggregates={"group": ("math",)}), blanked=(("b", "group", "43.10%"),))
    assert only(lint_scores(given), "S05").details == {
        "n_cells": 1,
        "n_blanked": 1,
        "cells": [["b", "group"]],
    }
    assert "S05" not in codes(lint_scores(given, population=["a", "c", "d"], candidates=["a", "c"]))


# S06


@pytest.mark.parametrize(("difference", "found"), [("82.50", True), ("82.51", False)])
def test_s06_includes_the_limit(difference: str, found: bool) -> None:
    columns = {"x": ["80.50", difference, "10.00"], "y": ["70.10", "70.20", "20.00"]}
    findings = lint_scores(table(columns)).coded("S06")
    assert [finding.models for finding in findings] == ([("a", "b")] if found else [])
    if found:
        assert "`a` and `b` (2.00 at most)" in findings[0].message


def test_s06_counts_percentage_points_whatever_the_scale() -> None:
    near = plain({"x": [0.74, 0.72, 0.1], "y": [0.3, 0.31, 0.5]})
    assert only(lint_scores(near), "S06").details["pairs"] == [
        {"models": ["a", "b"], "largest_difference": 2.0}
    ]
    assert "S06" not in codes(lint_scores(near, near=1.99))


def test_s06_knows_no_difference_where_a_score_is_missing() -> None:
    columns = {"x": ["80", "80", "10"], "y": ["70", None, "20"]}
    assert "S06" not in codes(lint_scores(table(columns)))
    columns["y"][0] = None
    assert "`a` and `b` (identical)" in only(lint_scores(table(columns)), "S06").message


def test_s06_looks_at_candidates_only() -> None:
    columns = {"x": ["80", "80", "10"], "y": ["70", "70", "20"]}
    assert "S06" not in codes(lint_scores(table(columns), candidates=["a", "c"]))


def test_s06_lists_closest_first_and_groups() -> None:
    columns = {"x": [f"{10 * (place // 4) + place % 4 * 0.1:.1f}" for place in range(12)]}
    finding = only(lint_scores(table(columns)), "S06")
    assert finding.details["n_pairs"] == 18
    assert finding.details["groups"] == [list("abcd"), list("efgh"), list("ijkl")]
    assert finding.message.endswith(
        "`a` and `b` (0.1 at most), `b` and `c` (0.1 at most), `c` and `d` (0.1 at most), "
        "`e` and `f` (0.1 at most), `f` and `g` (0.1 at most) and 13 more"
    )


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, None]), min_size=3, max_size=3), min_size=2, max_size=12
    )
)
def test_s06_finds_what_looking_at_every_pair_finds(rows: list[list[float | None]]) -> None:
    given_table = ScoreTable.of(
        {name: [row[place] for row in rows] for place, name in enumerate("xyz")},
        models=list(LETTERS[: len(rows)]),
        scale="percent",
    )
    expected = []
    for first, one in enumerate(rows):
        for second, other in enumerate(rows[first + 1 :], first + 1):
            same_gaps = [score is None for score in one] == [score is None for score in other]
            both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
            if same_gaps and both and max(abs(a - b) for a, b in both) <= 2:
                expected.append([LETTERS[first], LETTERS[second]])
    found = [
        pair["models"]
        for finding in lint_scores(given_table).coded("S06")
        for pair in finding.details["pairs"]
    ]
    assert sorted(found) == expected


# S07


@pytest.mark.parametrize(
    ("n_models", "severity", "text"),
    [
        (1, "error", "over 1 model "),
        (2, "error", "two points always lie on a line"),
        (3, "warning", "0.997"),
        (4, "warning", "0.950"),
        (7, "warning", "0.754"),
        (8, None, ""),
    ],
)
def test_s07_grows_with_fewer_models(n_models: int, severity: str | None, text: str) -> None:
    found = lint_scores(table(clean(8)), population=list(LETTERS[:n_models])).coded("S07")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(text in finding.message for finding in found)


def test_s07_is_no_error_where_nothing_rests_on_correlations() -> None:
    found = lint_scores(table(clean(2)), correlates=False)
    assert not found.errors
    assert only(found, "S07").severity == "warning"


# S08, S09


@pytest.mark.parametrize(
    ("score", "n_items", "found"),
    [
        ("70.59", 18, True),
        ("70.59", 17, False),
        ("66.67", 18, False),
        ("66.66", 18, True),
        ("12.50", 8, False),
        ("12.5", 8, False),
        ("12", 8, False),  # 12.5 lies on the edge of what 12 and 13 stand for
        ("13", 8, False),
        ("14", 8, True),
        ("100.00", 7, False),
    ],
)
def test_s08_counts_right_answers(score: str, n_items: int, found: bool) -> None:
    given_table = table({"x": [score, "0", "100"]}, counts={"x": n_items})
    findings = lint_scores(given_table, min_items=1).coded("S08")
    assert [finding.models for finding in findings] == ([("a",)] if found else [])


def test_s08_says_which_number_of_items_fits() -> None:
    given_table = table({"x": ["70.59", "82.35", "66.67", "50.00", "0.00"]}, counts={"x": 18})
    assert only(lint_scores(given_table), "S08").message == (
        "2 scores in `x` that 18 items cannot give and 17 can: `a` (70.59) and `b` (82.35)"
    )


def test_s08_leaves_columns_alone_that_are_no_shares() -> None:
    given_table = table({"f1": ["70.59", "82.35", "61.23", "50.00"]}, counts={"f1": 18})
    assert "S08" not in codes(lint_scores(given_table))


@settings(max_examples=100)
@given(st.integers(1, 3000), st.integers(0, 4), st.data())
def test_s08_accepts_every_rounded_share(n_items: int, decimals: int, data: st.DataObject) -> None:
    share = Fraction(100 * data.draw(st.integers(0, n_items)), n_items)
    column = Column("x", scale="percent", decimals=decimals)
    score = np.array([float(round(share * 10**decimals) / Fraction(10) ** decimals)])
    checked, broken = not_whole(score, float(n_items), column)
    assert checked.all()
    assert not broken.any()


def test_s08_names_counts_that_differ() -> None:
    columns = {"x": ["50.00", "25.00", "75.00"]}
    finding = only(lint_scores(table(columns, counts={"x": [200, 200, 400]})), "S08")
    assert finding.message == "1 category measured on different numbers of items: `x` (200 to 400)"


def test_s09_starts_below_the_limit() -> None:
    columns = {"x": ["50", "0"], "y": ["50", "0"], "z": ["50", "0"]}
    given_table = table(columns, counts={"x": 30, "y": 28, "z": 16})
    finding = only(lint_scores(given_table), "S09")
    assert finding.message == "2 categories with fewer than 30 items: `z` (16) and `y` (28)"
    assert "S09" not in codes(lint_scores(given_table, min_items=16))


# S12, S13, S14, S16


@pytest.mark.parametrize(("last", "found"), [("70.5", True), ("70.6", True), ("70.7", False)])
def test_s12_names_means_among_the_categories(last: str, found: bool) -> None:
    columns = {"x": ["50.0", "60.0", "80.0"], "y": ["60.0", "20.0", "61.0"], "all": ["55.0", "40.0", last]}
    findings = lint_scores(table(columns)).coded("S12")
    assert [finding.columns for finding in findings] == ([("all",)] if found else [])


@pytest.mark.parametrize("name", ["math_all", "math"])
def test_s12_looks_at_columns_of_one_prefix(name: str) -> None:
    columns = clean(3) | {
        "math_x": ["50", "60", "80"],
        "math_y": ["60", "20", "61"],
        name: ["55", "40", "70.5"],
    }
    columns["chat"] = ["5", "4", "1"]
    finding = only(lint_scores(table(columns)), "S12")
    assert (
        finding.message
        == f"1 aggregate among the categories: `{name}` is the mean of the 2 categories `math_...`"
    )


def test_s12_needs_three_rows_and_parts_that_differ() -> None:
    assert "S12" not in codes(lint_scores(table({"x": ["50", "60"], "y": ["60", "20"], "z": ["55", "40"]})))
    same = ["50", "60", "70"]
    assert "S12" not in codes(lint_scores(table({"x": same, "y": same, "z": same})))


def test_s13_names_redundant_columns_but_not_copies() -> None:
    columns = clean()
    columns["twin"] = [f"{float(text) / 2 + 1:.3f}" for text in columns["math"]]
    columns["copy"] = list(columns["code"])
    given_table = table(columns)
    finding = only(lint_scores(given_table), "S13")
    assert (finding.severity, finding.columns) == ("information", ("math", "twin"))
    assert lint_scores(given_table, correlation=correlate_categories(given_table)) == lint_scores(given_table)


@pytest.mark.parametrize("name", ["Rank", "Latency Mean (s)", "cost", "Total Cost ($)"])
def test_s14_doubts_names(name: str) -> None:
    assert only(lint_scores(table(clean() | {name: spread(9)})), "S14").columns == (name,)


def test_s14_doubts_columns_that_count() -> None:
    counting = [str(place) for place in (3, 1, 2, 4, 5, 6, 8, 7)]
    assert only(lint_scores(table(clean() | {"place": counting})), "S14").columns == ("place",)
    assert "S14" not in codes(
        lint_scores(table(clean() | {"place": ["3", "1", "2", "4", "5", "6", "8", "9"]}))
    )


def test_s14_repeats_what_a_reader_left_out() -> None:
    given_table = replace(table(clean()), ignored=(("url", "a link"), ("gone", "dropped as asked")))
    finding = only(lint_scores(given_table), "S14")
    assert finding.message == "1 column left out as no scores: `url` (a link)"
    assert "S14" not in codes(lint_scores(replace(given_table, kind="bfcl")))


def test_s16_counts_missing_scores() -> None:
    columns = clean()
    columns["math"][1] = columns["code"][1] = columns["code"][6] = None
    finding = only(lint_scores(table(columns)), "S16")
    assert finding.message == "3 of 24 scores missing, in 2 models and 2 categories: `b` (2) and `g` (1)"
    assert finding.details["dropped"] == ["b", "g"]
    assert finding.details["columns"] == {"code": 2, "math": 1}
    assert "S16" not in codes(lint_scores(table(columns), population=list("acde"), candidates=["a", "h"]))


# S15, S17, S18


def test_s15_names_what_the_tables_lack() -> None:
    selection = table(clean())
    report = selection.take(models=list("bcdefgh"), columns=["math", "code"])
    second, first = (finding for finding in lint_pair(selection, report) if finding.code == "S15")
    assert first.message == (
        "selection and report table differ in categories: `chat` only in the selection table"
    )
    assert second.message == "the report table lacks 1 candidate: `a`"
    other = table({name: spread(seed) for seed, name in enumerate(["math", "code", "chat"], 40)})
    assert not lint_pair(selection, other)
    assert not lint_pair(selection, other.take(models=list("ab")), candidates=["a", "b"])


def test_s17_knows_a_table_in_any_order() -> None:
    selection = table(clean())
    turned = selection.take(models=selection.models[::-1], columns=["chat", "math", "code"])
    assert codes(lint_pair(selection, turned)) == ["S17"]
    assert codes(lint_pair(selection, turned.take(models=list("abc")), candidates=["a", "b"])) == ["S17"]
    values = selection.values.copy()
    values[0, 0] += 0.01
    assert not lint_pair(selection, replace(selection, values=values))


@pytest.mark.parametrize(
    ("n_selected", "n_experts", "threshold", "found"),
    [(8, 3, 0.1, False), (9, 3, 0.1, True), (8, 4, 0.1, True), (8, 3, 0.13, False), (8, 3, 0.14, True)],
)
def test_s18_says_when_nothing_was_selected(
    n_selected: int, n_experts: int, threshold: float, found: bool
) -> None:
    findings = lint_selection(
        n_selected=n_selected,
        n_categories=10,
        experts=list("abcd")[:n_experts],
        candidates=list("abcd"),
        threshold=threshold,
        saturation=0.13,
    )
    assert codes(findings) == (["S18"] if found else [])


# What the findings are


def test_the_page_lists_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "score-tables.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (S\d\d) \| (\w+) \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    assert {code: Check(*rest) for code, *rest in rows} == CHECKS


def test_findings_are_ordered_and_print_themselves() -> None:
    columns = clean(4) | {"<b>": ["150", "2", "3", "4"]}
    findings = lint_scores(table(columns))
    assert codes(findings) == ["S10", "S07"]
    assert str(findings).startswith(
        "error: S10: 1 score out of range: 150 in `<b>` of `a` (0 to 100)\nhint: "
    )
    assert json.loads(json.dumps(findings.to_json()))[0]["columns"] == ["<b>"]
    assert "&lt;b&gt;" in findings._repr_html_()
    assert str(findings.coded("S99")) == "nothing found"
    with pytest.raises(ScoreTableError, match=r"^`scores.csv`: 1 score out of range: .* \(S10\)\nhint: "):
        raise_errors(findings, "scores.csv")
    raise_errors(findings.coded("S07"), "scores.csv")


def test_unknown_models_are_refused() -> None:
    with pytest.raises(ScoreTableError, match="there is no model `z`"):
        lint_scores(table(clean()), population=["z"])


TEXTS = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1.0, 0.5, 50.0, 70.59, 100.0, -1.0, 1e300, -1e300, 5e-324, 101.0, 1e17]),
    st.floats(0, 100),
    st.integers(0, 4).map(float),
)
NAMES = ["avg", "math", "math_x", "math_y", "rank", "overall/Overall Acc", "simple", "java", "x:y", "score"]


@st.composite
def tables(draw) -> ScoreTable:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    n_models = draw(st.integers(1, 9))
    columns = tuple(
        Column(
            name,
            role=draw(st.sampled_from(["category", "category", "aggregate"])),
            scale=draw(st.sampled_from([None, "percent", "unit"])),
            higher_is_better=draw(st.booleans()),
            decimals=draw(st.sampled_from([None, 0, 2, 9, 20, 400])),
            parts=tuple(draw(st.lists(st.sampled_from([*NAMES, "nowhere"]), max_size=3))),
        )
        for name in names
    )
    grid = st.lists(
        st.lists(TEXTS, min_size=len(names), max_size=len(names)), min_size=n_models, max_size=n_models
    )
    values = np.array(draw(grid), dtype=float)
    counts = None
    if draw(st.booleans()):
        items = st.sampled_from([np.nan, 0, -1, 2.5, 17, 18, 1e9, 1e300, np.inf])
        counts = np.array([[draw(items) for _ in names] for _ in range(n_models)])
    kind = draw(st.sampled_from(["table", "bfcl"]))
    return ScoreTable(tuple(LETTERS[:n_models]), columns, values, counts=counts, kind=kind)


@settings(max_examples=150, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_lint_takes_every_table_and_no_order_matters(given_table: ScoreTable, random: Random) -> None:
    findings = lint_scores(given_table)
    json.dumps(findings.to_json(), allow_nan=False)
    assert list(findings) == sorted(
        findings, key=lambda finding: ["error", "warning", "information"].index(finding.severity)
    )
    models, columns = list(given_table.models), [column.name for column in given_table.columns]
    random.shuffle(models)
    random.shuffle(columns)
    turned = given_table.take(models=models, columns=columns)
    assert lint_scores(turned).to_json() == findings.to_json()
    lint_pair(given_table, turned)


# The paper's table


def test_flores_table_5() -> None:
    findings = lint_scores(paper_table("flores36"))
    copies, average = only(findings, "S01"), only(findings, "S02")
    assert codes(findings) == [
        "S01",
        "S02",
        "S06",
        "S07",
    ]  # five of its models are within 2 BLEU of each other
    assert copies.columns == ("eng_spa", "spa_eng")
    assert copies.models == ("1", "2", "3", "4", "5")
    assert average.columns == ("avg_bleu",)
    assert average.models == ("1", "2", "3", "4", "5", "SoCE")
    differences = {model: round(row["difference"], 4) for model, row in average.details["rows"].items()}
    assert differences == {"1": 0.0969, "2": 0.1061, "3": 0.11, "4": 0.0922, "5": 0.0886, "SoCE": 0.2008}
    assert average.details["largest"]["model"] == "SoCE"
    assert "largest difference 0.2008 in `SoCE` (39.19 given, 39.3908 computed)" in average.message
    implied = average.details["implied"]["eng_spa, spa_eng"]
    assert implied["suspect"] == "eng_spa"
    intervals = {
        model: (row["eng_spa"]["low"], row["eng_spa"]["high"], row["impossible"])
        for model, row in implied["rows"].items()
    }
    assert intervals == {
        "1": (31.82, 32.18, False),
        "2": (31.77, 32.13, False),
        "3": (31.64, 32.0, False),
        "4": (31.85, 32.21, False),
        "5": (31.78, 32.14, False),
        "SoCE": (24.65, 25.01, True),
    }
    assert average.hint is not None
    assert "31.64 to 32.21 in `eng_spa`" in average.hint
    assert "more characters" not in findings._repr_html_()  # some messages have more than 200
    assert max(len(finding.message) for finding in findings) > 200
    assert "in `SoCE`, where they differ, the average itself must be wrong" in average.hint
    assert "0.811" in only(findings, "S07").message


def test_flores_rows_one_to_five() -> None:
    findings = lint_scores(paper_table("flores36"), population=list("12345"), candidates=list("12345"))
    assert "equal in 5 of 5 models" in only(findings, "S01").message
    assert "S13" not in codes(findings)  # the copies again
    assert only(findings, "S02").details["implied"]["eng_spa, spa_eng"]["suspect"] is None


# The real boards


def board(snapshot: str) -> ScoreTable:
    return bfcl_board.read(shared_data(f"bfcl/{snapshot}"), ReadOptions())


def test_bfcl_snapshot_with_the_paper_candidates() -> None:
    findings = lint_scores(board("2025-04-30"), candidates=[*SEVENTY, *EIGHT])
    assert codes(findings) == ["S02", "S02", "S05", "S06", "S08", "S09", "S16"]
    tainted = only(findings, "S05")
    assert tainted.models == ("Grok-3-mini-beta (Prompt)",)
    assert "overall/Overall Acc" in tainted.columns
    near = only(findings, "S06")
    assert near.models == ("BitAgent-8B", "watt-tool-8B (FC)")
    assert near.details["pairs"] == [{"models": list(near.models), "largest_difference": 2.0}]
    assert only(findings, "S09").details["n_items"] == {
        "live_parallel": 16,
        "live_relevance": 18,
        "live_parallel_multiple": 24,
    }
    missing = only(findings, "S16")
    assert missing.details["models"] == {"Grok-3-mini-beta (Prompt)": 14}
    assert len(missing.columns) == 14


def test_the_next_pair_of_paper_candidates_is_far_apart() -> None:
    candidates = [*SEVENTY, *EIGHT]
    snapshot = board("2025-04-30")
    assert only(lint_scores(snapshot, candidates=candidates, near=16.65), "S06").details["n_pairs"] == 1
    assert (
        only(lint_scores(snapshot, candidates=candidates, near=16.66), "S06").details["n_pairs"] == 4
    )  # three tie


@pytest.mark.parametrize(("snapshot", "n_rows"), [("2025-04-14", 6), ("2025-04-30", 8), ("2025-06-14", 6)])
def test_bfcl_scores_of_seventeen_items(snapshot: str, n_rows: int) -> None:
    finding = only(lint_scores(board(snapshot)), "S08")
    assert (finding.columns, len(finding.models)) == (("live_relevance",), n_rows)
    assert finding.details["columns"]["live_relevance"]["fits"] == 17


@pytest.mark.parametrize("snapshot", ["2025-04-14", "2025-04-30", "2025-06-14"])
def test_bfcl_averages_follow_the_formulas_but_for_one_model(snapshot: str) -> None:
    """Its live_relevance of 100 % would fit 17 items too, and with 17 its average is right."""
    findings = lint_scores(board(snapshot)).coded("S02")
    assert [finding.columns for finding in findings] == [("live/Live Overall Acc",), ("overall/Overall Acc",)]
    assert {finding.models for finding in findings} == {("Llama-3.3-70B-Instruct (FC)",)}


def test_bfcl_v4_averages_follow_the_formulas() -> None:
    assert "S02" not in codes(lint_scores(board("2025-12-16")))


def test_bfcl_with_the_four_large_candidates_as_population() -> None:
    findings = lint_scores(board("2025-04-30"), population=SEVENTY, candidates=SEVENTY)
    assert codes(findings) == ["S03", "S07", "S09"]
    assert (
        only(findings, "S03").message
        == "category `java` (64.00) is the same for all 4 models of the population"
    )
    assert "0.950" in only(findings, "S07").message
