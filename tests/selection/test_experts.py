"""Experts: winners, ties, margins, the walk; golden facts of the paper's table and of the leaderboard."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.boards import LARGE, SHORT, SMALL, as_categories, board, complete, flores, short, tables

from soce.exceptions import ScoreTableError
from soce.scores.objective import Formula, Mean, NamedColumn, Objective
from soce.scores.table import Column, ScoreTable
from soce.selection.correlation import correlate_categories
from soce.selection.experts import Selection, select_experts
from soce.selection.options import SelectionOptions
from soce.selection.rules import Clusters, Explicit, Pairs, Rule, Threshold
from soce.selection.sweep import SweepStep, sweep_thresholds
from soce.selection.winners import Contest, Winner

OBJECTIVES = (Mean(), Formula("bfcl-v3"))
GROUPS = (
    "non_live/Non_Live Overall Acc",
    "live/Live Overall Acc",
    "multi_turn/Multi Turn Overall Acc",
    "live_relevance",
    "overall/Irrelevance Detection",
)


def sweep_at(steps: Sequence[SweepStep], thresholds: Sequence[float]) -> list[SweepStep]:
    """Return what each threshold gives; `entering` is everything that it chooses."""
    rows = []
    for threshold in thresholds:
        below = [step for step in steps if step.threshold < threshold]
        last = below[-1] if below else SweepStep(threshold, (), 0, (), 0)
        rows.append(replace(last, entering=tuple(name for step in below for name in step.entering)))
    return rows


def choose(rule: Rule, candidates: tuple[str, ...], **options: object) -> Selection:
    table = board()
    options.setdefault("population", complete(table))
    return select_experts(table, rule, SelectionOptions(candidates=candidates, **options))  # type: ignore[arg-type]


# ---- the paper's Table 5


def test_every_row_of_table_5_is_an_expert() -> None:
    for tau in (0.05, 0.06, 0.08, 0.1, 0.5, 1.0):
        selection = select_experts(flores(), Threshold(tau))
        assert sorted(selection.models) == ["1", "2", "3", "4", "5"]
        assert [finding.code for finding in selection.findings] == ["S18"]
        assert "all 5 candidates are experts" in selection.findings[0].message
    steps = sweep_thresholds(flores())
    assert steps[-1].threshold == pytest.approx(0.09225, abs=5e-6)
    assert "eng_jpn" in steps[-1].entering


def test_category_winners_of_table_5() -> None:
    contest = Contest(flores(), SelectionOptions())
    winners = [contest.winner([name]) for name in flores().categories]
    assert [sum(w is not None and w.model == row for w in winners) for row in "12345"] == [8, 3, 12, 8, 5]
    assert not any(w is None or w.tied for w in winners)


# ---- the leaderboard


TAUS = [0.001, 0.01, 0.02, 0.04, 0.05, 0.07, 0.08, 0.1, 0.13, 0.14, 0.2, 0.5, 0.9]
COUNTS = [2, 4, 7, 9, 10, 11, 16, 16, 16, 17, 17, 17, 17]
FOUR_LARGE = {"xLAM", "CoALM", "watt", "Functionary"}
FOUR_SMALL = {"xLAM", "ToolACE", "watt", "BitAgent"}
LARGE_EXPERTS = [{"CoALM", "watt"}, {"xLAM", "CoALM", "watt"}, *[FOUR_LARGE] * 11]
SMALL_EXPERTS = [*[{"ToolACE", "watt"}] * 2, *[{"ToolACE", "watt", "BitAgent"}] * 4, *[FOUR_SMALL] * 7]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
@pytest.mark.parametrize(("candidates", "expected"), [(LARGE, LARGE_EXPERTS), (SMALL, SMALL_EXPERTS)])
def test_the_sweep_of_the_leaderboard(
    candidates: tuple[str, ...], expected: list[set[str]], objective: Objective
) -> None:
    table = board()
    steps = sweep_thresholds(
        table, SelectionOptions(candidates=candidates, population=complete(table), objective=objective)
    )
    rows = sweep_at(steps, TAUS)
    assert [row.n_categories for row in rows] == COUNTS
    assert [short(row.experts) for row in rows] == expected
    assert {row.n_evaluations for row in rows} == {{2: 9, 3: 37, 4: 85}[len(row.experts)] for row in rows}
    for tau in (0.001, 0.02, 0.08, 0.9):
        selection = choose(Threshold(tau), candidates, objective=objective)
        (row,) = sweep_at(steps, [tau])
        assert (selection.models, len(selection.chosen)) == (row.experts, row.n_categories)
        assert set(selection.chosen) == set(row.entering)


def test_the_breakpoints_of_the_leaderboard() -> None:
    table = board()
    steps = sweep_thresholds(table, SelectionOptions(candidates=LARGE, population=complete(table)))
    assert [(step.entering, round(step.threshold, 4)) for step in steps] == [
        (("live_irrelevance", "live_parallel"), 0.0005),
        (("irrelevance", "javascript"), 0.0022),
        (("parallel",), 0.0104),
        (("multiple",), 0.0105),
        (("live_simple",), 0.0140),
        (("live_multiple",), 0.0324),
        (("parallel_multiple",), 0.0344),
        (("simple",), 0.0405),
        (("java",), 0.0636),
        (("live_relevance", "multi_turn_miss_param"), 0.0728),
        (("live_parallel_multiple", "multi_turn_miss_func"), 0.0755),
        (("multi_turn_long_context",), 0.0770),
        (("multi_turn_base",), 0.1302),
    ]
    paper = [step for step in steps if short(step.experts) == {"xLAM", "CoALM", "watt"}]
    assert [round(step.threshold, 4) for step in paper] == [0.0022]  # up to 0.0104, where parallel enters
    small = sweep_thresholds(table, SelectionOptions(candidates=SMALL, population=complete(table)))
    assert not any(short(step.experts) == {"xLAM", "ToolACE", "watt"} for step in small)
    assert choose(Threshold(0.5), LARGE).saturation == steps[-1].threshold


@pytest.mark.parametrize("tau", [0.0141, 0.05, 0.1, 0.9])
def test_at_most_three_experts(tau: float) -> None:
    large, small = (choose(Threshold(tau), names, max_experts=3) for names in (LARGE, SMALL))
    assert [SHORT[model] for model in large.models] == ["CoALM", "watt", "xLAM"]
    assert [SHORT[model] for model in small.models] == ["ToolACE", "watt", "BitAgent"]
    assert large.grid.count == small.grid.count == 37
    assert set(large.uncovered) == {
        name for w in large.winners if w.model not in large.models for name in w.categories
    }
    assert any(note.startswith("the walk stopped at 3 experts") for note in large.notes)


@pytest.mark.parametrize(
    ("m", "large", "small"),
    [
        (1, {"CoALM", "watt"}, {"ToolACE", "watt"}),
        (2, {"CoALM", "watt", "xLAM"}, {"ToolACE", "watt"}),
        (3, FOUR_LARGE, {"ToolACE", "watt"}),
        (4, FOUR_LARGE, {"ToolACE", "watt"}),
        (5, FOUR_LARGE, {"ToolACE", "watt", "BitAgent"}),
        (10, FOUR_LARGE, {"ToolACE", "watt", "BitAgent"}),
        (11, FOUR_LARGE, FOUR_SMALL),
    ],
)
def test_pairs_on_the_leaderboard(m: int, large: set[str], small: set[str]) -> None:
    assert short(choose(Pairs(m), LARGE).models) == large
    assert short(choose(Pairs(m), SMALL).models) == small


def test_the_first_eleven_pairs_are_noise() -> None:
    (note,) = choose(Pairs(11), LARGE).notes
    assert note.startswith("11 of the 11 pairs have |rho| below 0.179")


@pytest.mark.parametrize(
    ("count", "large", "small"),
    [
        (3, {"xLAM", "CoALM", "watt"}, {"xLAM", "ToolACE", "BitAgent"}),
        (4, FOUR_LARGE, FOUR_SMALL),
    ],
)
def test_clusters_on_the_leaderboard(count: int, large: set[str], small: set[str]) -> None:
    assert short(choose(Clusters(n_clusters=count), LARGE).models) == large
    assert short(choose(Clusters(n_clusters=count), SMALL).models) == small


def test_clusters_hold_every_category_and_still_select() -> None:
    three = choose(Clusters(n_clusters=3), LARGE)
    assert len(three.chosen) == 17
    assert three.findings == ()
    (finding,) = choose(Clusters(n_clusters=17), LARGE).findings
    assert finding.code == "S18"


def test_a_cluster_goes_to_the_best_mean() -> None:
    first = choose(Clusters(n_clusters=3), SMALL).winners[0]
    assert (first.model, first.runner_up) == ("BitAgent-8B", "watt-tool-8B (FC)")
    assert (round(first.score, 2), round(first.score - (first.margin or 0), 2)) == (81.54, 81.42)
    assert first.uncertain


def test_the_candidates_as_population() -> None:
    large = choose(Threshold(0.1), LARGE, population=LARGE)
    assert large.constant == ("java",)
    assert "java" not in large.chosen
    assert (len(large.chosen), short(large.models)) == (13, {"xLAM", "watt", "Functionary"})
    small = choose(Threshold(0.1), SMALL, population=SMALL)
    assert (len(small.chosen), short(small.models)) == (14, FOUR_SMALL)
    assert (round(large.critical or 0, 3), round(small.critical or 0, 3)) == (0.95, 0.878)
    large, small = (choose(Threshold(0.2), names, population=names) for names in (LARGE, SMALL))
    assert (len(large.chosen), short(large.models)) == (15, FOUR_LARGE)
    assert (len(small.chosen), short(small.models)) == (17, FOUR_SMALL)


def _overall_columns(*, groups: bool) -> ScoreTable:
    table = board("bfcl/2025-04-30/data_overall.csv")
    names = [column.name for column in table.columns if column.name != "overall/Overall Acc"]
    left_out = set() if groups else {"overall/Non-Live AST Acc", "overall/Live Acc", "overall/Multi Turn Acc"}
    return as_categories(table, [name for name in names if name not in left_out])


@pytest.mark.parametrize("groups", [True, False])
def test_the_columns_of_the_overall_file_give_the_same_experts(groups: bool) -> None:
    table = _overall_columns(groups=groups)
    assert len(table.categories) == (17 if groups else 14)
    for candidates, expected in ((LARGE, FOUR_LARGE), (SMALL, FOUR_SMALL)):
        steps = sweep_thresholds(table, SelectionOptions(candidates=candidates, population=complete(board())))
        rows = sweep_at(steps, [tenths / 10 for tenths in range(1, 10)])
        assert all(short(row.experts) == expected for row in rows)


def test_five_aggregates_of_the_overall_file() -> None:
    columns = ["overall/Non-Live AST Acc", "overall/Live Acc", "overall/Multi Turn Acc"]
    columns += ["live_relevance", "overall/Irrelevance Detection"]
    table = as_categories(board("bfcl/2025-04-30/data_overall.csv"), columns)
    taus = [0.10, 0.11, 0.2, 0.5, 0.9]
    population = complete(board())
    large, small = (
        [short(row.experts) for row in sweep_at(steps, taus)]
        for steps in (
            sweep_thresholds(table, SelectionOptions(candidates=names, population=population))
            for names in (LARGE, SMALL)
        )
    )
    assert large == [{"CoALM", "Functionary"}, *[FOUR_LARGE] * 4]
    assert small == [{"ToolACE"}, *[{"xLAM", "ToolACE", "watt"}] * 4]


@pytest.mark.parametrize(
    ("snapshot", "n", "low", "high"),
    [("2025-04-14", 119, 0.10, 0.29), ("2025-04-30", 120, 0.11, 0.29), ("2025-06-14", 109, 0.09, 0.28)],
)
def test_five_groups_with_signed_correlations(snapshot: str, n: int, low: float, high: float) -> None:
    whole = board(f"bfcl/{snapshot}")
    # Display names changed between the snapshots.
    large = [name.replace("xLAM-2-70b", "xLAM-70b") if name not in whole.models else name for name in LARGE]
    small = [name.replace("xLAM-2-8b", "xLAM-8b") if name not in whole.models else name for name in SMALL]
    table = as_categories(whole, GROUPS)
    correlation = correlate_categories(table, population=complete(whole))
    assert len(correlation.population) == n
    taus = [round(hundredths / 100, 2) for hundredths in range(1, 100)]
    paper = {"large": {"xLAM", "CoALM", "watt"}, "small": {"xLAM", "ToolACE", "watt"}}
    found: dict[str, dict[bool, list[set[str]]]] = {}
    for size, names in (("large", large), ("small", small)):
        found[size] = {
            signed: [
                short(row.experts)
                for row in sweep_at(
                    sweep_thresholds(
                        table, SelectionOptions(candidates=names), correlation=correlation, signed=signed
                    ),
                    taus,
                )
            ]
            for signed in (True, False)
        }
        clusters = select_experts(
            table, Clusters(n_clusters=3), SelectionOptions(candidates=names), correlation=correlation
        )
        assert short(clusters.models) == paper[size]
    both = [
        tau
        for tau, a, b in zip(taus, found["large"][True], found["small"][True], strict=True)
        if (a, b) == (paper["large"], paper["small"])
    ]
    assert both == [tau for tau in taus if low <= tau <= high]
    assert paper["large"] not in found["large"][False]


def test_javascript_is_the_one_tie_that_the_objective_decides() -> None:
    selections = [choose(Threshold(0.9), SMALL, objective=objective) for objective in OBJECTIVES]
    mean, formula = ({w.categories[0]: w for w in selection.winners} for selection in selections)
    changed = [name for name in mean if mean[name].model != formula[name].model]
    assert (changed[0], mean["javascript"].model) == ("javascript", "watt-tool-8B (FC)")
    assert formula["javascript"].model == "ToolACE-2-8B (FC)"
    assert formula["javascript"].decided_by == "objective"
    assert len(changed) == 1
    assert sum(bool(winner.tied) for winner in mean.values()) == 6


def test_ties_and_margins_of_the_large_candidates() -> None:
    winners = {w.categories[0]: w for w in choose(Threshold(0.9), LARGE).winners}
    assert len(winners["java"].tied) == 3
    alone = {name for name, w in winners.items() if w.model == LARGE[3] and not w.tied}
    assert alone == {"multiple", "parallel", "parallel_multiple", "live_parallel_multiple"}
    assert winners["java"].uncertain
    assert not winners["multi_turn_miss_param"].uncertain


def test_too_few_items_keep_categories_out() -> None:
    table = board()
    counts = np.full(table.values.shape, 200.0)
    tiny = ("live_parallel", "live_relevance")
    for name in tiny:
        counts[:, table.place(name)] = 16
    counted = replace(table, counts=counts)
    selection = select_experts(counted, Threshold(0.9), SelectionOptions(candidates=LARGE, min_items=30))
    assert selection.small == tiny
    assert not set(selection.chosen) & set(tiny)
    assert len(selection.chosen) == 15
    steps = sweep_thresholds(counted, SelectionOptions(candidates=LARGE, min_items=30))
    assert steps[-1].n_categories == 15
    assert selection.models == steps[-1].experts


# ---- small tables


def table_of(columns: dict[str, list[float | None]], **options: object) -> ScoreTable:
    models = [chr(ord("a") + row) for row in range(len(next(iter(columns.values()))))]
    return ScoreTable.of(columns, models=models, **options)  # type: ignore[arg-type]


def winner_of(table: ScoreTable, category: str, **options: object) -> tuple[str, tuple[str, ...], str]:
    winner = Contest(table, SelectionOptions(**options)).winner([category])  # type: ignore[arg-type]
    assert winner is not None
    return winner.model, winner.tied, winner.decided_by


def test_ties_go_to_the_objective_then_wins_then_names() -> None:
    assert winner_of(table_of({"x": [5, 5], "y": [1, 2]}), "x") == ("b", ("a",), "objective")
    # Equal means: b is alone best in y and z, a in u only.
    columns: dict[str, list[float | None]] = {"x": [5, 5], "y": [1, 2], "z": [1, 2], "u": [3, 1]}
    assert winner_of(table_of(columns), "x") == ("b", ("a",), "wins")
    assert winner_of(table_of({"x": [5, 5], "y": [1, 2], "z": [2, 1]}), "x") == ("a", ("b",), "name")
    # An undefined objective is the lowest.
    assert winner_of(table_of({"x": [5, 5], "y": [None, 0]}), "x") == ("b", ("a",), "objective")


def test_scores_that_only_rounding_tells_apart_are_tied() -> None:
    columns: dict[str, list[float | None]] = {"x": [0.1 + 0.2, 0.3], "y": [1, 1]}
    assert winner_of(table_of(columns), "x") == ("a", ("b",), "name")
    # The objective is equal too: 2/3 + 1/6 and 1/3 + 1/2, in whatever order they are added.
    columns = {"x": [5, 5], "y": [2 / 3, 1 / 3], "z": [1 / 6, 1 / 2]}
    assert winner_of(table_of(columns), "x") == ("a", ("b",), "name")
    contest = Contest(table_of(columns), SelectionOptions())
    together = contest.winner(["y", "z"])
    assert together is not None
    assert (together.tied, together.margin, together.decided_by) == (("b",), 0.0, "name")
    one_more = {"x": [0.3, math.nextafter(0.3 + 1e-15, 1)], "y": [1, 1]}
    assert winner_of(table_of(one_more), "x")[0] == "b"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("margin", "uncertain"), [(-1.0, True), (0.0, True), (5.99, True), (6.0, False), (None, False)]
)
def test_a_margin_below_two_standard_errors_is_uncertain(margin: float | None, uncertain: bool) -> None:
    winner = Winner(("x",), "a", 5.0, (), "score", "b", margin, 3.0)
    assert winner.uncertain == uncertain
    assert not replace(winner, margin_stderr=None).uncertain
    assert replace(winner, margin=0.0, margin_stderr=0.0).uncertain
    assert not replace(winner, margin=0.5, margin_stderr=0.0).uncertain


def test_a_missing_score_wins_nothing() -> None:
    contest = Contest(
        table_of({"x": [None, 0, 3], "y": [9, 1, None], "z": [None, None, 1]}), SelectionOptions()
    )
    assert [getattr(contest.winner([name]), "model", None) for name in "xyz"] == ["c", "a", "c"]
    assert contest.winner(["x", "y"]) is not None
    both = contest.winner(["x", "y"])
    assert both is not None
    assert (both.model, both.runner_up, both.margin, both.uncertain) == ("b", None, None, False)
    assert contest.winner(["x", "y", "z"]) is None


def test_lower_is_better_wins_and_reads_as_read() -> None:
    table = table_of({"perplexity": [5, 3, 4], "x": [1, 2, 3]})
    turned = table.with_columns([replace(table.columns[0], higher_is_better=False), table.columns[1]])
    winner = Contest(turned, SelectionOptions()).winner(["perplexity"])
    assert winner is not None
    assert (winner.model, winner.score, winner.runner_up, winner.margin) == ("b", 3.0, "c", 1.0)


def test_ties_within_standard_errors() -> None:
    columns = tuple(Column(name, scale="percent") for name in "xy")
    scores = np.array([[80.0, 20.0], [79.0, 90.0], [60.0, 50.0]])
    table = ScoreTable(("a", "b", "c"), columns, scores, counts=np.full((3, 2), 100.0))
    assert winner_of(table, "x") == ("a", (), "score")
    assert winner_of(table, "x", tie_within=1.0) == ("b", ("a",), "objective")
    winner = Contest(table, SelectionOptions(tie_within=1.0)).winner(["x"])
    assert winner is not None
    assert (winner.runner_up, winner.margin, winner.uncertain) == ("a", -1.0, True)
    assert winner.margin_stderr == pytest.approx(math.hypot(4, math.sqrt(0.79 * 0.21) * 10))
    bare = replace(table, counts=None)
    assert winner_of(bare, "x", tie_within=1.0) == ("a", (), "score")
    notes = select_experts(bare, Explicit(("x",)), SelectionOptions(tie_within=1.0)).notes
    assert any("standard errors are unknown: `x`" in note for note in notes)


def test_a_smallest_overall_score_keeps_candidates_out() -> None:
    table = table_of({"x": [9, 5, 6, 1], "y": [0, 7, 5, None], "z": [1, 2, 2, 3]})
    selection = select_experts(table, Explicit(("x", "y")), SelectionOptions(min_overall=4.0))
    assert selection.ineligible == ("a", "d")
    assert set(selection.models) == {"b", "c"}
    assert "below the smallest overall score: `a`, `d`" in selection.notes
    with pytest.raises(ScoreTableError, match=r"no candidate reaches an objective of 40.0") as caught:
        select_experts(table, Explicit(("x",)), SelectionOptions(min_overall=40.0))
    assert caught.value.problems[0].hint == "mean is at most 4.66667"


def test_one_expert_is_no_soup() -> None:
    selection = select_experts(table_of({"x": [1, 2, 3], "y": [1, 3, 4]}), Explicit(("x", "y")))
    assert (selection.models, list(selection.grid)) == (("c",), [(1,)])
    assert selection.experts[0].categories == selection.chosen
    assert "one expert, no soup" in selection.notes


def test_more_experts_than_the_grid_holds() -> None:
    names = [f"c{place:02}" for place in range(11)]
    columns = {name: [float(row == place) for row in range(11)] for place, name in enumerate(names)}
    table = ScoreTable.of(columns, models=[f"m{row:02}" for row in range(11)])
    with pytest.raises(ScoreTableError, match="11 experts do not fit") as caught:
        select_experts(table, Explicit(tuple(names)))
    hint = caught.value.problems[0].hint or ""
    assert all(word in hint for word in ("--max-experts", "--step 1/20", "pairs", "clusters"))
    assert select_experts(table, Explicit(tuple(names)), SelectionOptions(step="1/20")).grid.count > 10_000
    assert len(select_experts(table, Explicit(tuple(names)), SelectionOptions(max_experts=10)).models) == 10
    steps = sweep_thresholds(table)
    assert steps[-1].n_evaluations is None
    assert len(steps[-1].experts) == 11


def test_explicit_categories_need_no_correlation() -> None:
    selection = select_experts(table_of({"x": [1, 2], "y": [2, 1]}), Explicit(("x", "y")))
    assert (selection.models, selection.critical, selection.saturation) == (("b", "a"), None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": ["a", "z"]}, "there is no model `z`"),
        ({"candidates": ["a"]}, "one candidate is given, at least two are needed"),
        ({"candidates": []}, "no candidates are given, at least two are needed"),
        ({"candidates": ["a", "b", "a"]}, "the candidate `a` is given twice"),
        ({"candidates": ["a", "d"]}, "the candidate `d` has no score in any category"),
        ({"candidates": "ab"}, "the candidates must be a list of names"),
        ({"max_experts": 0, "candidates": ["a", "b"]}, "0 experts were asked for"),
        ({"min_items": 0, "candidates": ["a", "b"]}, "the smallest number of items is 0"),
        (
            {"tie_within": -1.0, "candidates": ["a", "b"]},
            "candidates cannot be tied within -1.0 standard errors",
        ),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    table = table_of({"x": [1, 2, 3, None], "y": [2, 1, 3, None]})
    with pytest.raises(ScoreTableError) as caught:
        select_experts(table, Threshold(0.9), SelectionOptions(**options))  # type: ignore[arg-type]
    assert caught.value.problems[0].message == message


def test_a_rule_that_chooses_nothing_says_what_would() -> None:
    with pytest.raises(ScoreTableError, match="no category qualifies") as caught:
        select_experts(table_of({"x": [1, 2, 3], "y": [1, 2, 3.5]}), Threshold(0.5))
    hint = caught.value.problems[0].hint or ""
    assert "of `x` with `y`: take a threshold above it" in hint
    with pytest.raises(ScoreTableError, match="no pair of categories has a defined correlation"):
        select_experts(table_of({"x": [1, 1, 1], "y": [1, 2, 3]}), Threshold(0.5))
    with pytest.raises(ScoreTableError, match="of other categories than the table's"):
        select_experts(
            flores(),
            Threshold(0.5),
            correlation=correlate_categories(table_of({"x": [1, 2, 3], "y": [3, 1, 2]})),
        )


# ---- properties


RULES: tuple[Rule, ...] = (
    Threshold(0.4),
    Threshold(0.1, signed=True),
    Pairs(2),
    Clusters(n_clusters=2),
    Clusters(min_correlation=0.3),
    Explicit(("c0", "c1")),
)


def selected(table: ScoreTable, rule: Rule, **options: object) -> Selection | str:
    try:
        return select_experts(table, rule, SelectionOptions(**options))  # type: ignore[arg-type]
    except ScoreTableError as error:
        return str(error)


@given(tables(), st.sampled_from(RULES), st.sampled_from([None, 1, 2]), st.data())
def test_no_input_order_changes_a_selection(
    table: ScoreTable, rule: Rule, max_experts: int | None, data: st.DataObject
) -> None:
    names = [column.name for column in table.columns]
    shuffled = table.take(
        models=data.draw(st.permutations(table.models)), columns=data.draw(st.permutations(names))
    )
    candidates = data.draw(st.permutations(table.models))[: data.draw(st.integers(2, len(table.models)))]
    one = selected(table, rule, candidates=candidates, max_experts=max_experts)
    other = selected(shuffled, rule, candidates=sorted(candidates), max_experts=max_experts)
    assert one == other


@given(tables(), st.sampled_from(RULES[:3]), st.integers(-3, 3), st.data())
def test_rescaling_a_column_changes_no_expert(
    table: ScoreTable, rule: Rule, power: int, data: st.DataObject
) -> None:
    # A power of two, so that scores stay exact; the objective reads another column.
    place = data.draw(st.integers(1, len(table.columns) - 1))
    values = table.values.copy()
    values[:, place] *= 2.0**power
    objective = NamedColumn("c0")
    one = selected(table, rule, objective=objective)
    other = selected(replace(table, values=values), rule, objective=objective)
    if isinstance(one, Selection) and isinstance(other, Selection):
        assert one.experts == other.experts
        assert one.groups == other.groups
    else:
        assert one == other


@given(tables(), st.sampled_from(RULES))
def test_experts_are_candidates_that_won(table: ScoreTable, rule: Rule) -> None:
    selection = selected(table, rule)
    if isinstance(selection, str):
        return
    assert set(selection.models) <= set(selection.candidates)
    assert len(set(selection.models)) == len(selection.models) == selection.grid.n_experts
    won = [name for expert in selection.experts for name in expert.categories]
    assert sorted([*won, *selection.uncovered]) == sorted(selection.chosen)
    for winner in selection.winners:
        place = [table.place(name) for name in winner.categories]
        scores = table.values[:, place].mean(axis=1)
        assert scores[table.row(winner.model)] == pytest.approx(np.nanmax(scores))
    assert json.loads(json.dumps(selection.to_json()))["digest"] == table.digest
    assert list(selection.to_frame()["winner"]) == [winner.model for winner in selection.winners]
    assert selection._repr_html_().count("<tr") == len(selection.winners) + 1


@given(tables(), st.floats(0.01, 1))
def test_the_sweep_agrees_with_selecting(table: ScoreTable, tau: float) -> None:
    steps = sweep_thresholds(table)
    assert [step.threshold for step in steps] == sorted({step.threshold for step in steps})
    (row,) = sweep_at(steps, [tau])
    selection = selected(table, Threshold(tau))
    if isinstance(selection, str):
        assert row.experts == ()
    else:
        assert (row.experts, row.n_categories) == (selection.models, len(selection.chosen))
        assert row.n_evaluations == selection.grid.count
