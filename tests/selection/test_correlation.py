"""Step 1: correlations against the paper's numbers, a leaderboard's, pandas' and scipy's; order changes no bit."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.shared_data import shared_data

from soce.exceptions import ScoreTableError
from soce.scores.table import Column, ScoreTable
from soce.selection.clusters import cluster_categories
from soce.selection.correlation import (
    Correlation,
    Weakest,
    correlate_categories,
    critical_correlation,
)

LEAVES = {
    ("non_live", "Python Simple AST"): "simple",
    ("non_live", "Java Simple AST"): "java",
    ("non_live", "JavaScript Simple AST"): "javascript",
    ("non_live", "Multiple AST"): "multiple",
    ("non_live", "Parallel AST"): "parallel",
    ("non_live", "Parallel Multiple AST"): "parallel_multiple",
    ("non_live", "Irrelevance Detection"): "irrelevance",
    ("live", "Python Simple AST"): "live_simple",
    ("live", "Python Multiple AST"): "live_multiple",
    ("live", "Python Parallel AST"): "live_parallel",
    ("live", "Python Parallel Multiple AST"): "live_parallel_multiple",
    ("live", "Irrelevance Detection"): "live_irrelevance",
    ("live", "Relevance Detection"): "live_relevance",
    ("multi_turn", "Base"): "multi_turn_base",
    ("multi_turn", "Miss Func"): "multi_turn_miss_func",
    ("multi_turn", "Miss Param"): "multi_turn_miss_param",
    ("multi_turn", "Long Context"): "multi_turn_long_context",
}
MULTI_TURN = ("multi_turn_base", "multi_turn_long_context", "multi_turn_miss_func", "multi_turn_miss_param")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def number(cell: str) -> float | None:
    return None if cell == "N/A" else float(cell.rstrip("%"))


def leaderboard(snapshot: str = "2025-04-30") -> ScoreTable:
    """Return the 17 leaves of a board, read by hand: the reader has tests of its own."""
    folder = shared_data(f"bfcl/{snapshot}")
    files = {
        file: {row["Model"]: row for row in read_rows(folder / f"data_{file}.csv")}
        for file in ("non_live", "live", "multi_turn")
    }
    models = list(files["live"])
    columns = {
        leaf: [number(files[file][model][header]) for model in models]
        for (file, header), leaf in LEAVES.items()
    }
    return ScoreTable.of(columns, models=models, scale="percent")


@cache
def board() -> Correlation:
    return correlate_categories(leaderboard(), missing="complete")


def flores(*, without: str | None = None) -> Correlation:
    rows = read_rows(shared_data("paper/flores36.csv"))[:5]
    names = [name for name in rows[0] if name not in {"model", "avg_bleu", without}]
    columns = {name: [float(row[name]) for row in rows] for name in names}
    return correlate_categories(ScoreTable.of(columns, models=[row["model"] for row in rows]))


def rho(correlation: Correlation, first: str, second: str) -> float:
    places = correlation.categories
    return float(correlation.rho[places.index(first), places.index(second)])


def table_of(values: object) -> ScoreTable:
    array = np.array(values, dtype=np.float64)
    return ScoreTable(
        tuple(f"m{row:03}" for row in range(array.shape[0])),
        tuple(Column(f"c{place:03}") for place in range(array.shape[1])),
        array,
    )


def permuted(table: ScoreTable, seed: int) -> ScoreTable:
    random = np.random.default_rng(seed)
    columns = [column.name for column in table.columns]
    return table.take(
        models=[table.models[row] for row in random.permutation(len(table.models))],
        columns=[columns[place] for place in random.permutation(len(columns))],
    )


def by_name(correlation: Correlation, matrix: np.ndarray) -> bytes:
    order = sorted(range(len(correlation.categories)), key=correlation.categories.__getitem__)
    return matrix[np.ix_(order, order)].tobytes()


def refusal(table: ScoreTable, **options: object) -> str:
    with pytest.raises(ScoreTableError) as caught:
        correlate_categories(table, **options)  # type: ignore[arg-type]
    return str(caught.value)


# ---- golden facts: the paper's Table 5


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("eng_spa", "spa_eng", 1.0),
        ("fra_eng", "kor_eng", 0.994616655344),
        ("ind_eng", "eng_rus", 0.987383431659),
        ("eng_vie", "ita_eng", -0.000301953123),
        ("deu_eng", "eng_ita", -0.989681860056),
        ("eng_hin", "arb_eng", -0.997017025806),
    ],
)
def test_pairs_of_table_5(first: str, second: str, expected: float) -> None:
    assert rho(flores(), first, second) == pytest.approx(expected, abs=1e-12, rel=0)


@pytest.mark.parametrize(
    ("without", "n_pairs", "mean", "absolute", "below"),
    [
        (None, 630, 0.124321249487, 0.461649289051, [49, 85, 151, 220, 344]),
        ("eng_spa", 595, 0.134806698472, 0.467983104378, [44, 76, 137, 203, 320]),
    ],
)
def test_summary_of_table_5(
    without: str | None, n_pairs: int, mean: float, absolute: float, below: list[int]
) -> None:
    values = [pair.rho for pair in flores(without=without).pairs()]
    assert len(values) == n_pairs
    assert math.fsum(values) / n_pairs == pytest.approx(mean, abs=1e-12, rel=0)
    assert math.fsum(map(abs, values)) / n_pairs == pytest.approx(absolute, abs=1e-12, rel=0)
    assert [sum(abs(value) < limit for value in values) for limit in (0.05, 0.1, 0.2, 0.3, 0.5)] == below


def test_weakest_partners_of_table_5() -> None:
    found = flores().weakest()
    assert len(found) == 36
    at_a_twentieth = {weakest.category for weakest in found if weakest.value < 0.05}
    assert {weakest.category for weakest in found} - at_a_twentieth == {
        "eng_ben", "eng_fra", "eng_jpn", "eng_rus", "hin_eng"
    }  # fmt: skip
    assert (found[-1].category, round(found[-1].value, 5)) == ("eng_jpn", 0.09225)
    assert flores().saturation == found[-1].value


def test_critical_correlations() -> None:
    expected = {
        3: 0.997,
        4: 0.950,
        5: 0.878,
        8: 0.707,
        10: 0.632,
        20: 0.444,
        30: 0.361,
        80: 0.220,
        120: 0.179,
    }
    assert {n: round(critical_correlation(n), 3) for n in expected} == expected
    assert all(math.isnan(critical_correlation(n)) for n in (-1, 0, 1, 2))


# ---- golden facts: the leaderboard


def test_the_board_without_its_partial_row() -> None:
    correlation = board()
    assert len(correlation.population) == 120
    assert correlation.dropped == ("Grok-3-mini-beta (Prompt)",)
    assert correlation.constant == correlation.undefined == ()
    rows = read_rows(shared_data("bfcl/corr_leaf17_leaderboard_2025-04-30.csv"))
    stated = np.array([[float(cell) for name, cell in row.items() if name] for row in rows])
    assert np.array_equal(np.round(correlation.rho, 4), stated)


def test_the_partial_row_moves_three_pairs_a_little() -> None:
    moved = np.abs(np.triu(correlate_categories(leaderboard()).rho - board().rho, 1))
    assert int((moved > 1e-12).sum()) == 3
    assert 0.00085 < moved.max() < 0.00086


def test_breakpoints_of_the_threshold() -> None:
    found = board().weakest()
    assert [(weakest.category, round(weakest.value, 4)) for weakest in found] == [
        ("live_irrelevance", 0.0005),
        ("live_parallel", 0.0005),
        ("irrelevance", 0.0022),
        ("javascript", 0.0022),
        ("parallel", 0.0104),
        ("multiple", 0.0105),
        ("live_simple", 0.0140),
        ("live_multiple", 0.0324),
        ("parallel_multiple", 0.0344),
        ("simple", 0.0405),
        ("java", 0.0636),
        ("live_relevance", 0.0728),
        ("multi_turn_miss_param", 0.0728),
        ("live_parallel_multiple", 0.0755),
        ("multi_turn_miss_func", 0.0755),
        ("multi_turn_long_context", 0.0770),
        ("multi_turn_base", 0.1302),
    ]
    assert found[0].value == found[1].value  # one pair, so exactly
    assert (found[0].partner, found[1].partner) == ("live_parallel", "live_irrelevance")
    assert board().saturation == found[-1].value


def test_weakest_pairs_of_the_board() -> None:
    pairs = board().pairs()
    assert [(pair.first, pair.second, round(abs(pair.rho), 4)) for pair in pairs[:4]] == [
        ("live_irrelevance", "live_parallel", 0.0005),
        ("irrelevance", "javascript", 0.0022),
        ("live_irrelevance", "parallel", 0.0104),
        ("live_irrelevance", "multiple", 0.0105),
    ]
    assert len(pairs) == 136
    assert board().pairs(limit=5) == pairs[:5]
    assert board().pairs(limit=5, strongest_first=True) == pairs[:-6:-1]
    assert board().pairs(signed=True, strongest_first=True)[-1] == board().pairs(signed=True)[0]
    assert {pair.n for pair in pairs} == {120}
    assert abs(pairs[10].rho) < 0.074 < critical_correlation(120)


def test_signed_walk_of_the_board() -> None:
    found = board().weakest(signed=True)
    assert {weakest.category for weakest in found if weakest.value < -0.3} == {
        "irrelevance", "live_irrelevance", "live_relevance"
    }  # fmt: skip
    assert sum(weakest.value < 0 for weakest in found) == 8
    assert board().pairs(signed=True)[0].rho == found[0].value == found[1].value


def test_clusters_of_the_board() -> None:
    three = cluster_categories(board(), n_clusters=3)
    assert [len(cluster) for cluster in three] == [11, 4, 2]
    assert three[1:] == (MULTI_TURN, ("irrelevance", "live_irrelevance"))
    four = cluster_categories(board(), n_clusters=4)
    parallel = ("live_parallel", "live_parallel_multiple", "parallel", "parallel_multiple")
    assert sorted(four) == sorted(
        [tuple(sorted(set(three[0]) - set(parallel))), parallel, MULTI_TURN, three[2]]
    )
    assert [cluster[0] for cluster in four[1:]] == ["live_parallel", "multi_turn_base", "irrelevance"]


def test_clusters_stand_together_in_the_order_of_the_heatmap() -> None:
    order = board().order()
    assert sorted(order) == sorted(board().categories)
    for n_clusters in range(1, 18):
        for cluster in cluster_categories(board(), n_clusters=n_clusters):
            places = sorted(order.index(name) for name in cluster)
            assert places == list(range(places[0], places[0] + len(places)))


GROUPS = {
    ("NonLive", "Live"): (0.7179, 0.7090, 0.6744),
    ("NonLive", "Multi"): (0.3096, 0.2952, 0.2848),
    ("NonLive", "Relevance"): (0.3794, 0.4035, 0.3325),
    ("NonLive", "Irrelevance"): (0.3000, 0.3045, 0.3922),
    ("Live", "Multi"): (0.4757, 0.5069, 0.5067),
    ("Live", "Relevance"): (0.1250, 0.1517, 0.1101),
    ("Live", "Irrelevance"): (0.6524, 0.6597, 0.7312),
    ("Multi", "Relevance"): (0.0945, 0.1051, 0.0823),
    ("Multi", "Irrelevance"): (0.3228, 0.3496, 0.3639),
    ("Relevance", "Irrelevance"): (-0.4813, -0.4827, -0.4051),
}


@pytest.mark.parametrize(("place", "snapshot"), list(enumerate(["2025-04-14", "2025-04-30", "2025-06-14"])))
def test_group_columns_of_three_snapshots(place: int, snapshot: str) -> None:
    table = leaderboard(snapshot)
    complete = {name for name, row in zip(table.models, table.values, strict=True) if not np.isnan(row).any()}
    folder = shared_data(f"bfcl/{snapshot}")
    non_live = {row["Model"]: row["Non_Live Overall Acc"] for row in read_rows(folder / "data_non_live.csv")}
    rows = [row for row in read_rows(folder / "data_overall.csv") if row["Model"] in complete]
    headers = {
        "Live": "Live Acc", "Multi": "Multi Turn Acc",
        "Relevance": "Relevance Detection", "Irrelevance": "Irrelevance Detection",
    }  # fmt: skip
    columns = {"NonLive": [number(non_live[row["Model"]]) for row in rows]}
    columns |= {name: [number(row[header]) for row in rows] for name, header in headers.items()}
    correlation = correlate_categories(ScoreTable.of(columns, models=[row["Model"] for row in rows]))
    assert len(rows) == (119, 120, 109)[place]
    for (first, second), stated in GROUPS.items():
        assert round(rho(correlation, first, second), 4) == stated[place]
    assert cluster_categories(correlation, n_clusters=3) == (
        ("Irrelevance", "Live", "NonLive"), ("Multi",), ("Relevance",)
    )  # fmt: skip


# ---- oracles


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    """Scores as leaderboards print them, as programs do, from few values, on odd scales; a third may be holes."""
    n_models, n_categories = draw(st.integers(3, 12)), draw(st.integers(2, 6))
    cell = draw(
        st.sampled_from(
            [
                st.integers(0, 10_000).map(lambda hundredths: hundredths / 100),
                st.integers(0, 3).map(float),
                st.floats(0, 1),
                st.floats(-1e6, 1e6),
                st.integers(0, 50).map(lambda step: 1e6 + step / 8),
            ]
        )
    )
    hole = draw(st.sampled_from([0, 1, 3]))
    values = np.array(
        [
            [math.nan if draw(st.integers(0, 9)) < hole else draw(cell) for _ in range(n_categories)]
            for _ in range(n_models)
        ]
    )
    assume(np.isfinite(values).any())
    return values


def shared_scores(values: np.ndarray, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    both = ~np.isnan(values[:, i]) & ~np.isnan(values[:, j])
    return values[both, i], values[both, j]


@given(tables(), st.integers(3, 5))
@pytest.mark.filterwarnings("ignore::scipy.stats.NearConstantInputWarning")
def test_rho_is_that_of_scipy_pair_by_pair(values: np.ndarray, min_overlap: int) -> None:
    correlation = correlate_categories(table_of(values), min_overlap=min_overlap)
    for i, j in combinations(range(values.shape[1]), 2):
        x, y = shared_scores(values, i, j)
        assert correlation.n[i, j] == correlation.n[j, i] == len(x)
        found = correlation.rho[i, j]
        if len(x) < min_overlap or min(x) == max(x) or min(y) == max(y):
            assert math.isnan(found)
            continue
        assert -1 <= found <= 1
        # The oracle loses digits where the spread is small beside the scores.
        lost = max(np.abs(x).max() / np.ptp(x), np.abs(y).max() / np.ptp(y))
        assert found == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12 + 1e-14 * lost)


@given(tables(), st.integers(3, 5))
def test_rho_is_that_of_pandas(values: np.ndarray, min_overlap: int) -> None:
    table = table_of(values)
    correlation = correlate_categories(table, min_overlap=min_overlap)
    theirs = table.to_frame().corr(min_periods=min_overlap).to_numpy()
    for i, j in combinations(range(values.shape[1]), 2):
        if math.isnan(correlation.rho[i, j]):
            continue  # pandas takes a variance of rounding errors for one; scipy's test says which are undefined
        x, y = shared_scores(values, i, j)
        lost = max(np.abs(x).max() / np.ptp(x), np.abs(y).max() / np.ptp(y))
        if lost < 1e6:
            assert correlation.rho[i, j] == pytest.approx(theirs[i, j], abs=1e-12 + 1e-14 * lost)


@given(tables())
def test_complete_rows_are_a_table_of_their_own(values: np.ndarray) -> None:
    full = ~np.isnan(values).any(axis=1)
    table = table_of(values)
    if full.sum() < 3:
        assert "have every score" in refusal(table, missing="complete")
        return
    dropped = correlate_categories(table, missing="complete")
    kept = [name for name, keep in zip(table.models, full, strict=True) if keep]
    alone = correlate_categories(table.take(models=kept))
    assert dropped.rho.tobytes() == alone.rho.tobytes()
    assert dropped.population == tuple(kept)
    assert set(dropped.dropped) == set(table.models) - set(kept)


def test_pairs_that_lose_their_largest_scores_keep_all_digits() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 4))
    values[0, 0] = 1e9  # but the other columns have a hole there
    values[0, 1:] = np.nan
    values[1:, 0] = 1e-3 * values[1:, 0] + values[1:, 1]
    correlation = correlate_categories(table_of(values))
    for j in (1, 2, 3):
        expected = scipy.stats.pearsonr(*shared_scores(values, 0, j)).statistic
        assert correlation.rho[0, j] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-40, 2.0**900])
def test_powers_of_two_change_no_bit(scale: float) -> None:
    steps = np.array([[0.3, 7], [1, 2], [2, 1], [5, 1], [3.1, 0]])
    scaled, plain = correlate_categories(table_of(steps * scale)), correlate_categories(table_of(steps))
    assert scaled.rho.tobytes() == plain.rho.tobytes()


def test_small_spreads_on_large_scores_keep_all_digits() -> None:
    steps = np.array([[0, 7], [1, 2], [2, 1], [5, 1], [3, 0]])
    shifted, plain = (
        correlate_categories(table_of(1.0 + steps * 2.0**-50)),
        correlate_categories(table_of(steps)),
    )
    assert shifted.rho[0, 1] == pytest.approx(plain.rho[0, 1], abs=1e-15)


def test_what_is_constant_where_both_have_scores_is_undefined() -> None:
    nan = math.nan
    third = 0.1 + 0.2  # not a short decimal: its mean need not be itself
    values = [[third, 1, 5], [third, 2, 5], [third, 4, 5], [9.0, nan, 5], [nan, 3, 5]]
    correlation = correlate_categories(table_of(values))
    assert np.isnan(correlation.rho[0, 1])
    assert correlation.n[0, 1] == 3
    assert correlation.constant == ("c002",)
    assert correlation.undefined == ("c000", "c001", "c002")
    assert np.diagonal(correlation.rho).tolist()[:2] == [1.0, 1.0]
    assert math.isnan(correlation.rho[2, 2])
    assert correlation.weakest() == ()
    assert correlation.pairs() == []
    assert correlation.saturation is None
    assert correlation.order() == correlation.categories


# ---- invariance


@given(tables(), st.integers(0, 2**32 - 1))
def test_no_bit_depends_on_the_order_of_rows_or_columns(values: np.ndarray, seed: int) -> None:
    table = table_of(values)
    first, second = correlate_categories(table), correlate_categories(permuted(table, seed))
    assert by_name(first, first.rho) == by_name(second, second.rho)
    assert by_name(first, first.n) == by_name(second, second.n)
    assert first.weakest() == second.weakest()
    assert first.weakest(signed=True) == second.weakest(signed=True)
    assert first.pairs() == second.pairs()
    assert first.order() == second.order()
    assert first.population == second.population
    assert set(first.constant) == set(second.constant)
    for limit in (-0.5, 0.0, 0.5):
        assert cluster_categories(first, min_correlation=limit) == cluster_categories(
            second, min_correlation=limit
        )


def test_no_bit_depends_on_order_in_a_large_table_with_holes() -> None:
    random = np.random.default_rng(1)
    values = random.random((300, 90))
    values[random.random(values.shape) < 0.05] = np.nan
    table = table_of(values)
    first, second = correlate_categories(table), correlate_categories(permuted(table, 2))
    assert by_name(first, first.rho) == by_name(second, second.rho)
    assert first.rho.tobytes() == first.rho.T.tobytes()
    # Nor on which other categories there are: a pair is a matter of its own.
    few = correlate_categories(table.take(columns=table.categories[5:8]))
    assert few.rho.tobytes() == np.ascontiguousarray(first.rho[5:8, 5:8]).tobytes()


def test_no_bit_depends_on_the_number_of_threads() -> None:
    script = (
        "import hashlib, numpy as np; from soce.selection.pearson import correlate_rows;"
        "r = np.random.default_rng(3); x = r.random((300, 700)); y = x.copy();"
        "y[r.random(x.shape) < 0.05] = np.nan;"
        "print([hashlib.sha256(correlate_rows(z, min_overlap=3)[0].tobytes()).hexdigest() for z in (x, y)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": n,
                "OMP_NUM_THREADS": n,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(printed) == 1


@given(tables(), st.floats(0.01, 100), st.floats(-1000, 1000))
@example(np.array([[50.0, 1.0], [60.0, 3.0], [90.0, 2.0]]), 0.01, 0.0)
def test_units_do_not_matter(values: np.ndarray, factor: float, shift: float) -> None:
    before = correlate_categories(table_of(values))
    moved = values * factor + shift
    after = correlate_categories(table_of(moved))
    for i, j in combinations(range(values.shape[1]), 2):
        x, y = shared_scores(moved, i, j)
        if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0 or math.isnan(before.rho[i, j]):
            continue  # rounding may have made scores equal
        rounding = sum(np.abs(scores).max() / np.ptp(scores) for scores in (x, y))
        assert after.rho[i, j] == pytest.approx(before.rho[i, j], abs=1e-12 + 1e-14 * rounding)


def test_lower_is_better_turns_the_sign() -> None:
    table = table_of([[1, 2], [2, 3], [3, 7], [4, 5]])
    turned = table.with_columns([table.columns[0], Column("c001", higher_is_better=False)])
    assert correlate_categories(turned).rho[0, 1] == -correlate_categories(table).rho[0, 1]


def test_differences_of_rounding_break_no_tie() -> None:
    random = np.random.default_rng(8)
    base, other = random.random(50), random.random(50)
    columns = {"a": other * 0.1 + 7, "b": other, "c": other / 3 - 11, "x": base}
    table = ScoreTable.of({name: list(v) for name, v in columns.items()}, models=[f"m{n}" for n in range(50)])
    correlation = correlate_categories(table)
    assert len({abs(rho(correlation, "x", name)) for name in "abc"}) == 1
    assert correlation.weakest()[-1] == Weakest("x", abs(rho(correlation, "x", "b")), "a")


def test_equal_columns_have_equal_partners() -> None:
    random = np.random.default_rng(5)
    values = random.random((40, 5))
    values[random.random(values.shape) < 0.1] = np.nan
    values[:, 4] = values[:, 0]
    correlation = correlate_categories(table_of(values))
    assert correlation.rho[0, 1:4].tobytes() == correlation.rho[4, 1:4].tobytes()
    assert correlation.rho[0, 4] == pytest.approx(1.0, abs=1e-15)


# ---- what the result offers


def small() -> Correlation:
    return correlate_categories(
        ScoreTable.of(
            {"b": [50, 60, 70, 80], "a": [50, 70, 80, 70], "flat": [1, 1, 1, 1], "c": [70, 71, 71, 70]},
            models=["w", "x", "y", "z"],
        )
    )


def test_ties_are_broken_by_name() -> None:
    columns = {"b": [1, 2, 3, 4], "a": [1, 2, 3, 4], "z": [1, -1, -1, 1], "y": [1, -1, -1, 1]}
    correlation = correlate_categories(ScoreTable.of(columns, models=list("wxyz")))
    assert correlation.weakest() == (
        Weakest("a", 0.0, "y"), Weakest("b", 0.0, "y"), Weakest("y", 0.0, "a"), Weakest("z", 0.0, "a")
    )  # fmt: skip
    assert [(pair.first, pair.second) for pair in correlation.pairs()] == [
        ("a", "y"), ("a", "z"), ("b", "y"), ("b", "z"), ("a", "b"), ("y", "z")
    ]  # fmt: skip


def test_intervals_are_those_of_scipy() -> None:
    random = np.random.default_rng(4)
    values = random.random((12, 3))
    values[:9, 2] = np.nan
    correlation = correlate_categories(table_of(values))
    low, high = correlation.interval()
    theirs = scipy.stats.pearsonr(values[:, 0], values[:, 1]).confidence_interval(0.95)
    assert (low[0, 1], high[0, 1]) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert correlation.n[0, 2] == 3
    assert np.isnan([low[0, 2], high[0, 2]]).all()


def test_a_perfect_correlation_has_an_interval_of_one_point() -> None:
    low, high = correlate_categories(table_of([[n, 2 * n] for n in range(5)])).interval()
    assert (low[0, 1], high[0, 1]) == (1.0, 1.0)


def test_clusters_leave_out_what_has_no_correlation() -> None:
    assert cluster_categories(small(), n_clusters=1) == (("a", "b", "c"),)
    assert cluster_categories(small(), n_clusters=3) == (("a",), ("b",), ("c",))
    assert cluster_categories(small(), min_correlation=-1.0) == (("a", "b", "c"),)
    assert cluster_categories(small(), min_correlation=1.0) == (("a",), ("b",), ("c",))
    assert small().order()[-1] == "flat"


@pytest.mark.parametrize(
    ("n_clusters", "words"),
    [
        (0, "cannot make 0 clusters of 3 categories with defined correlations"),
        (4, "cannot make 4 clusters of 3 categories"),
    ],
)
def test_numbers_of_clusters_that_make_no_sense_are_refused(n_clusters: int, words: str) -> None:
    with pytest.raises(ScoreTableError, match=words):
        cluster_categories(small(), n_clusters=n_clusters)


def test_clusters_are_as_near_as_their_members_on_average() -> None:
    rho = np.eye(4)
    pairs = {(0, 1): 0.9, (1, 2): 0.7, (2, 3): 0.5, (1, 3): 0.2, (0, 2): 0.1, (0, 3): 0.0}
    for (first, second), value in pairs.items():
        rho[first, second] = rho[second, first] = value
    found = Correlation(("a", "b", "c", "d"), rho, np.full((4, 4), 9), ("m", "n", "o"))
    # By the nearest members c would join a and b; by the farthest the last two would not join above 0.
    assert cluster_categories(found, n_clusters=2) == (("a", "b"), ("c", "d"))
    assert len(cluster_categories(found, min_correlation=0.2501)) == 2
    assert len(cluster_categories(found, min_correlation=0.2499)) == 1


def test_equal_merges_are_made_one_at_a_time() -> None:
    pattern = {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4], "y": [1, -1, -1, 1], "z": [1, -1, -1, 1]}
    correlation = correlate_categories(ScoreTable.of(pattern, models=list("mnop")))
    assert cluster_categories(correlation, n_clusters=3) == (("a", "b"), ("y",), ("z",))


def test_json_is_plain_and_complete() -> None:
    given_back = json.loads(json.dumps(small().to_json(), allow_nan=False))
    assert given_back["categories"] == ["b", "a", "flat", "c"]
    assert given_back["rho"][0][2] is given_back["rho"][2][2] is None
    assert given_back["rho"][0][1] == small().rho[0, 1]
    assert given_back["n"] == [[4] * 4] * 4
    assert given_back["constant"] == given_back["undefined"] == ["flat"]
    assert given_back["critical_correlation"] == pytest.approx(0.95, abs=1e-3)


def test_json_has_the_intervals_of_all_pairs() -> None:
    given_back = small().to_json()
    low, high = small().interval()
    assert given_back["low"][0][1] == low[0, 1]
    assert given_back["high"][0][1] == high[0, 1]
    assert given_back["low"][0][0] is given_back["high"][0][2] is None


def test_a_frame_has_the_matrix() -> None:
    frame = small().to_frame()
    assert list(frame.index) == list(frame.columns) == list(small().categories)
    assert frame.loc["a", "b"] == small().rho[1, 0]
    assert math.isnan(frame.loc["flat", "b"])


def test_notebooks_show_escaped_names() -> None:
    table = ScoreTable.of({"<b>": [1, 2, 3], "x&y": [3, 1, 2], "k\x1b": [1, 1, 1]}, models=["m", "n", "o"])
    html = correlate_categories(table)._repr_html_()
    assert all(name in html for name in ("&lt;b&gt;", "x&amp;y", "k\\u{1b}"))
    assert "<b>" not in html
    assert ">-0.50<" in html
    assert ">·<" in html


def test_notebooks_show_the_edges_of_a_large_table() -> None:
    random = np.random.default_rng(0)
    html = correlate_categories(table_of(random.random((10, 100))))._repr_html_()
    assert html.count("<tr") == 62
    assert "100 rows × 100 columns" in html


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().rho[0, 0] = 0.0


# ---- refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"population": ["m000", "m001"]},
            "`table`: the population is 2 models, a correlation takes at least 3\nhint: correlate over more",
        ),
        ({"population": []}, "the population is 0 models"),
        ({"population": ["m000"]}, "the population is 1 model, "),
        ({"population": ["m000", "m001", "m001"]}, "the population names `m001` twice"),
        ({"population": ["m000", "m001", "m0002"]}, "there is no model `m0002`\nhint: did you mean `m002`"),
        ({"min_overlap": 2}, "min_overlap is 2, at least 3 models are needed"),
        ({"missing": "\x1b"}, "missing is `\\u{1b}`\nhint: use pairwise or complete"),
    ],
)
def test_populations_that_tell_nothing_are_refused(options: dict[str, object], words: str) -> None:
    assert words in refusal(table_of([[1, 2], [2, 3], [3, 7], [4, 5]]), **options)


def test_one_category_has_nothing_to_correlate_with() -> None:
    table = table_of([[1, 2], [2, 3], [3, 7]])
    one = table.with_columns([table.columns[0], Column("c001", role="aggregate")])
    assert "there is one category, a correlation takes two" in refusal(one)
    none = one.with_columns([Column("c000", role="aggregate"), one.columns[1]])
    assert "there are no categories" in refusal(none)


def test_one_model_is_refused() -> None:
    assert "the population is 1 model" in refusal(table_of([[1, 2]]))


def test_an_empty_table_has_no_correlation() -> None:
    correlation = correlate_categories(table_of([[math.nan] * 2] * 4))
    assert np.isnan(correlation.rho).all()
    assert correlation.n.tolist() == [[0, 0], [0, 0]]
    assert correlation.constant == ()
    assert correlation.undefined == ("c000", "c001")
    with pytest.raises(ScoreTableError, match="cannot make 1 clusters of 0 categories"):
        cluster_categories(correlation, n_clusters=1)
    assert cluster_categories(correlation, min_correlation=0.5) == ()
