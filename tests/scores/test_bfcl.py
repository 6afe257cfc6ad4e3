"""BFCL: facts, leaderboard tables, score directories, and what method.md says of the real boards."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import shared_data

from soce.exceptions import ScoreTableError
from soce.scores.bfcl import BOARDS, OVERALL, REPEATS, versions_of
from soce.scores.formats import bfcl_board, bfcl_scores
from soce.scores.formats.options import ReadOptions, apply_options
from soce.scores.join import join_tables
from soce.scores.objective import Formula, Mean, NamedColumn, Weighted, objective_stderr
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable

ROWS = {"2025-04-14": 119, "2025-04-30": 121, "2025-06-14": 109, "2025-12-16": 109}
V3 = ("2025-04-14", "2025-04-30", "2025-06-14")
SNAPSHOTS = pytest.mark.parametrize("snapshot", list(ROWS))
GROK = "Grok-3-mini-beta (Prompt)"


@cache
def read(path: Path) -> ScoreTable:
    return bfcl_board.read(path, ReadOptions())


def board(snapshot: str) -> ScoreTable:
    return read(shared_data(f"bfcl/{snapshot}"))


def version_of(snapshot: str) -> str:
    return "v3" if snapshot in V3 else "v4"


def refusal(path: Path) -> str:
    with pytest.raises(ScoreTableError) as caught:
        bfcl_board.read(path, ReadOptions())
    return str(caught.value)


# Facts


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_every_aggregate_is_a_mean_of_leaves(version: str) -> None:
    facts = BOARDS[version]  # type: ignore[index]
    for form in facts.aggregates.values():
        assert sum(form.values()) == 1
        assert form.keys() <= facts.items.keys()
        assert all(weight > 0 for weight in form.values())
    assert list(facts.leaves.values()) == list(facts.items)


def test_the_leaf_weights_of_v3_are_those_that_its_formula_implies() -> None:
    weights = BOARDS["v3"].overall
    items = BOARDS["v3"].items
    for leaf, weight in weights.items():
        if leaf in {"simple", "java", "javascript"}:
            assert weight == Fraction(1, 45)
        elif leaf.startswith("live_"):
            assert weight == Fraction(items[leaf] or 0, 3 * 2251)
        elif leaf.startswith("multi_turn_"):
            assert weight == Fraction(1, 12)
        else:
            assert weight == Fraction(1, 15)
    assert len(weights) == 17
    assert sum(count or 0 for count in items.values()) == 4441


def test_live_relevance_does_not_count_in_v4() -> None:
    assert set(BOARDS["v4"].items) - set(BOARDS["v4"].overall) == {"live_relevance"}
    assert BOARDS["v4"].overall["web_search_base"] == Fraction(1, 10)
    assert BOARDS["v4"].overall["memory_kv"] == Fraction(2, 30)


def test_versions_are_told_by_the_leaves_that_only_one_has() -> None:
    assert versions_of(["java"]) == {"v3"}
    assert versions_of(["memory_kv", "multiple"]) == {"v4"}
    assert versions_of(["multiple"]) == set()
    assert versions_of(["java", "memory_kv"]) == {"v3", "v4"}


# The real boards


@SNAPSHOTS
def test_a_board_is_read_whole(snapshot: str) -> None:
    table = board(snapshot)
    facts = BOARDS[version_of(snapshot)]  # type: ignore[index]
    assert len(table.models) == ROWS[snapshot]
    assert table.categories == tuple(facts.items)
    aggregates = {column.name: column for column in table.columns if column.role == "aggregate"}
    assert aggregates.keys() == facts.aggregates.keys()
    assert all(set(aggregates[name].parts) == set(form) for name, form in facts.aggregates.items())
    assert {(column.scale, column.decimals) for column in table.columns} == {("percent", 2)}
    assert table.kind == "bfcl"
    assert table.counts is not None
    for leaf, items in facts.items.items():
        counts = set(table.counts[~np.isnan(table.values[:, table.place(leaf)]), table.place(leaf)])
        assert counts == {items} if items else np.isnan(list(counts)).all()
    reasons = dict(table.ignored)
    assert reasons["overall/Rank"] == "a rank, not a score"
    assert reasons["overall/Multi Turn Base"] == "the same scores as `multi_turn_base`"
    assert reasons["overall/Live Acc"] == "the same scores as `live/Live Overall Acc`"
    assert ("data_format_sensitivity.csv" in reasons) == (version_of(snapshot) == "v4")
    with (shared_data(f"bfcl/{snapshot}") / "data_overall.csv").open(encoding="utf-8") as file:
        printed = {row["Model"]: row["Overall Acc"] for row in csv.DictReader(file)}
    assert tuple(printed) == table.models
    for model in set(table.models) - {GROK}:
        assert f"{table.score(model, OVERALL):.2f}%" == printed[model]


LARGEST = {
    "non_live/Non_Live Overall Acc": 0.0045,
    "live/Live Overall Acc": 0.0155,
    "multi_turn/Multi Turn Overall Acc": 0.0055,
    OVERALL: 0.0105,
}
"""Largest deviation of what the printed leaves give from what is printed, as method.md states it, rounded up."""


@pytest.mark.parametrize("snapshot", V3)
def test_the_formulas_of_v3_give_what_is_printed(snapshot: str) -> None:
    table = board(snapshot)
    for column, bound in LARGEST.items():
        recomputed = Weighted(BOARDS["v3"].aggregates[column], source=column).values(table)
        deviation = np.abs(recomputed - table.values[:, table.place(column)])
        assert np.nanmax(deviation) < bound
        assert np.isnan(deviation).sum() == table.n_missing // 14
        if column == "live/Live Overall Acc":
            apart = {table.models[row] for row in np.flatnonzero(deviation > 0.01)}
            assert apart <= {"Llama-3.3-70B-Instruct (FC)", "Phi-4-mini-instruct (Prompt)"}
            for model in apart:  # 17 of the 18 items of live_relevance explain them
                items = {
                    leaf: Fraction(17 if leaf == "live_relevance" else BOARDS["v3"].items[leaf] or 0)
                    for leaf in BOARDS["v3"].aggregates[column]
                }
                value = Weighted(items, source="17").values(table)[table.row(model)]
                assert abs(value - table.score(model, column)) < 0.0045


def test_the_formula_of_v4_gives_what_is_printed() -> None:
    table = board("2025-12-16")
    deviation = np.abs(Formula("bfcl-v4").values(table) - NamedColumn(OVERALL).values(table))
    assert np.nanmax(deviation) < 0.0065
    assert not np.isnan(deviation).any()


@SNAPSHOTS
def test_every_aggregate_is_what_the_facts_say_within_rounding(snapshot: str) -> None:
    table = board(snapshot)
    for column, form in BOARDS[version_of(snapshot)].aggregates.items():  # type: ignore[index]
        recomputed = Weighted(form, source=column).values(table)
        assert np.nanmax(np.abs(recomputed - table.values[:, table.place(column)])) < 0.0155


def test_aggregates_of_a_partly_evaluated_model_are_missing() -> None:
    table = board("2025-04-30")
    assert table.n_missing == 14
    assert {leaf for leaf in table.categories if not np.isnan(table.score(GROK, leaf))} == {
        "simple",
        "multiple",
        "parallel",
    }
    assert table.blanked == (
        (GROK, OVERALL, "14.37%"),
        (GROK, "non_live/Non_Live Overall Acc", "43.10%"),
        (GROK, "live/Live Overall Acc", "0.00%"),
        (GROK, "multi_turn/Multi Turn Overall Acc", "0.00%"),
    )
    assert all(np.isnan(table.score(GROK, column)) for column in BOARDS["v3"].aggregates)
    assert np.isnan(Formula("bfcl-v3").values(table)[table.row(GROK)])
    others = table.take(models=[model for model in table.models if model != GROK])
    assert (others.n_missing, others.blanked, len(others.models)) == (0, (), 120)
    renamed = table.renamed({GROK: "partial"})
    assert {model for model, _, _ in renamed.blanked} == {"partial"}
    assert table.take(columns=["simple", OVERALL]).blanked == table.blanked[:1]
    called = table.with_columns(replace(column, name=column.name.upper()) for column in table.columns)
    assert called.blanked[0] == (GROK, OVERALL.upper(), "14.37%")
    assert not board("2025-04-14").blanked
    assert not board("2025-12-16").blanked


@pytest.mark.parametrize(
    ("snapshot", "collisions"), list(zip(ROWS, (26, 28, 19, 25), strict=True))
)  # fmt: skip
def test_names_keep_their_suffixes_because_they_collide_without(snapshot: str, collisions: int) -> None:
    models = board(snapshot).models
    bare = [model.removesuffix(" (FC)").removesuffix(" (Prompt)") for model in models]
    assert len({name for name in bare if bare.count(name) > 1}) == collisions
    assert any(model.endswith(" (FC)") for model in models)


LEAF_OF_PREFIX = {"NL": "non_live", "L": "live", "MT": "multi_turn"}


def candidates() -> list[dict[str, str]]:
    with shared_data("bfcl/paper_candidates_v3_2025-04-30.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_papers_candidates_are_read_as_another_reader_read_them() -> None:
    table = board("2025-04-30")
    compared = 0
    for row in candidates():
        assert table.score(row["Model"], OVERALL) == float(row["Overall Acc (official)"])
        for header, text in list(row.items())[3:]:
            prefix, _, rest = header.partition(" ")
            leaf = BOARDS["v3"].leaves[f"{LEAF_OF_PREFIX[prefix]}/{rest}"]
            assert table.score(row["Model"], leaf) == float(text)
            compared += 1
    assert compared == 9 * 17


GOLDEN = """
xLAM-2-70b-fc-r (FC) | 78.45 | 77.06 | 0.68 | 1.30
CoALM-70B | 54.49 | 58.74 | 0.56 | 1.29
watt-tool-70B (FC) | 73.57 | 75.86 | 0.74 | 1.12
Functionary-Medium-v3.1 (FC) | 62.32 | 66.27 | 0.63 | 1.25
xLAM-2-8b-fc-r (FC) | 72.04 | 71.42 | 0.74 | 1.32
ToolACE-2-8B (FC) | 68.73 | 69.81 | 0.69 | 1.24
watt-tool-8B (FC) | 67.79 | 71.73 | 0.72 | 1.13
BitAgent-8B | 67.49 | 71.54 | 0.72 | 1.13
CoALM-8B | 54.52 | 58.77 | 0.51 | 1.24
"""


def test_scores_and_standard_errors_of_the_papers_candidates() -> None:
    golden = {
        model: numbers for model, *numbers in (line.split(" | ") for line in GOLDEN.strip().split("\n"))
    }
    table = board("2025-04-30").take(models=list(golden))
    columns = [
        NamedColumn(OVERALL).values(table),
        Mean().values(table),
        objective_stderr(table, Formula("bfcl-v3")),
        objective_stderr(table, Mean()),
    ]
    for row, (model, numbers) in enumerate(golden.items()):
        assert [f"{column[row]:.2f}" for column in columns] == numbers, model
    assert np.abs(Formula("bfcl-v3").values(table) - columns[0]).max() < 0.01
    # The leaderboard's overall column has no standard error of its own: nobody says on how many items it is.
    assert np.isnan(objective_stderr(table, NamedColumn(OVERALL))).all()


def test_the_objective_decides_which_8b_model_is_best() -> None:
    names = [row["Model"] for row in candidates() if row["set"] == "8B"]
    table = board("2025-04-30").take(models=names)
    best = {
        objective.name: names[int(np.argmax(objective.values(table)))]
        for objective in (Formula("bfcl-v3"), NamedColumn(OVERALL), Mean())
    }
    assert best == {
        "bfcl-v3": "xLAM-2-8b-fc-r (FC)",
        f"column:{OVERALL}": "xLAM-2-8b-fc-r (FC)",
        "mean": "watt-tool-8B (FC)",
    }


def test_the_papers_models_score_otherwise_on_v4() -> None:
    table = board("2025-12-16")
    assert table.score("xLAM-2-70b-fc-r (FC)", OVERALL) == 53.07
    assert table.score("xLAM-2-8b-fc-r (FC)", OVERALL) == 46.68


def test_group_columns_can_be_the_categories() -> None:
    groups = (
        "non_live/Non_Live Overall Acc",
        "live/Live Overall Acc",
        "multi_turn/Multi Turn Overall Acc",
        "live_relevance",
        "overall/Irrelevance Detection",
    )
    for snapshot in V3:
        table = apply_options(board(snapshot), ReadOptions(columns=groups))
        assert set(table.categories) == set(groups)
        complete = table.take(
            models=[m for m in table.models if not np.isnan([table.score(m, name) for name in groups]).any()]
        )
        rho = np.corrcoef([complete.values[:, complete.place(name)] for name in groups])
        expected = {
            "2025-04-14": (0.7179, -0.4813),
            "2025-04-30": (0.7090, -0.4827),
            "2025-06-14": (0.6744, -0.4051),
        }
        assert (round(rho[0, 1], 4), round(rho[3, 4], 4)) == expected[snapshot]


@pytest.mark.parametrize("name", ["leaf17", "overall17cols"])
def test_correlations_are_those_of_another_program(name: str) -> None:
    with shared_data(f"bfcl/corr_{name}_leaderboard_2025-04-30.csv").open(encoding="utf-8") as file:
        (_, *headers), *rows = list(csv.reader(file))
    if name == "leaf17":
        table = board("2025-04-30")
        columns = [
            BOARDS["v3"].leaves[f"{LEAF_OF_PREFIX[header.split(' ')[0]]}/{header.partition(' ')[2]}"]
            for header in headers
        ]
    else:
        table = read(shared_data("bfcl/2025-04-30/data_overall.csv"))
        columns = [BOARDS["v3"].leaf(f"overall/{header}") or f"overall/{header}" for header in headers]
    models = [model for model in table.models if model != GROK]
    values = table.take(models=models, columns=columns).values
    assert len(models) == 120
    assert np.allclose(
        np.corrcoef(values.T), [[float(cell) for cell in row[1:]] for row in rows], atol=5.1e-5
    )


@SNAPSHOTS
def test_each_file_of_a_board_is_read_alone_with_what_it_has(snapshot: str) -> None:
    whole = board(snapshot)
    folder = shared_data(f"bfcl/{snapshot}")
    for path in sorted(folder.glob("data_*.csv")):
        if path.name == "data_format_sensitivity.csv":
            assert not bfcl_board.recognise(path)
            assert "the header is not that of a table of a BFCL board" in refusal(path)
            continue
        assert bfcl_board.recognise(path)
        table = read(path)
        file = path.stem.removeprefix("data_")
        for model in table.models:
            for column in table.columns:
                name = column.name
                if name not in {other.name for other in whole.columns}:
                    assert file == "overall"
                    name = REPEATS[name]
                told = table.score(model, column.name)
                assert told == whole.score(model, name) or np.isnan(whole.score(model, name))
    overall = read(folder / "data_overall.csv")
    v3 = version_of(snapshot) == "v3"
    assert len(overall.categories) == (12 if v3 else 17)
    assert len(overall.columns) == (18 if v3 else 25)
    parts = {column.name: column.parts for column in overall.columns}
    assert parts["overall/Live Acc"] == (
        ()
        if v3
        else tuple(f"live_{name}" for name in ("simple", "multiple", "parallel", "parallel_multiple"))
    )
    assert len(parts["overall/Multi Turn Acc"]) == 4


def test_a_file_that_both_versions_have_claims_no_more_than_both_say() -> None:
    table = read(shared_data("bfcl/2025-04-30/data_live.csv"))
    assert table.counts is not None
    counts = dict(zip(table.categories, table.counts[0].tolist(), strict=False))
    assert counts["live_multiple"] == 1053
    assert np.isnan(counts["live_irrelevance"])
    assert np.isnan(counts["live_relevance"])
    parts = {column.name: column.parts for column in table.columns}
    assert parts["live/Live Overall Acc"] == ()
    assert len(parts["live/AST Summary"]) == 4
    assert table.blanked == ((GROK, "live/Live Overall Acc", "0.00%"),)


def test_boards_are_told_from_other_tables() -> None:
    assert bfcl_board.recognise(shared_data("bfcl/2025-04-30"))
    assert not bfcl_board.recognise(shared_data("bfcl"))
    assert not bfcl_board.recognise(shared_data("bfcl/paper_candidates_v3_2025-04-30.csv"))


def test_files_of_different_boards_are_not_joined(tmp_path: Path) -> None:
    v3, v4 = shared_data("bfcl/2025-06-14"), shared_data("bfcl/2025-12-16")
    for folder, name in ((v3, "data_overall.csv"), (v3, "data_live.csv"), (v4, "data_non_live.csv")):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert refusal(tmp_path).split("\n") == [
        f"`{tmp_path}`: the files are of different versions of the benchmark: "
        "`data_overall.csv` of v3, `data_non_live.csv` of v4",
        "hint: read the files of one snapshot of one board; v3 and v4 measure different things",
    ]
    (tmp_path / "data_non_live.csv").unlink()
    other = shared_data("bfcl/2025-04-30") / "data_live.csv"
    (tmp_path / "data_live.csv").write_bytes(other.read_bytes())
    assert "which should be equal" in refusal(tmp_path)


# Made-up boards

NON_LIVE = "Rank,Model,Non_Live Overall Acc,AST Summary,Simple AST,Python Simple AST,Java Simple AST,JavaScript Simple AST,Multiple AST,Parallel AST,Parallel Multiple AST,Irrelevance Detection"
MULTI_TURN = "Rank,Model,Multi Turn Overall Acc,Base,Miss Func,Miss Param,Long Context"


def made(folder: Path, *lines: str, header: str = MULTI_TURN, name: str = "data_multi_turn.csv") -> Path:
    (folder / name).write_text("\n".join((header, *lines)), encoding="utf-8")
    return folder / name


def test_a_board_of_one_file_in_a_folder(tmp_path: Path) -> None:
    path = made(tmp_path, "1,b (FC),50.00%,40.00%,60.00%,50.0%,50.00%", "2,a,0.00%,N/A,N/A,1.00%,N/A")
    table = bfcl_board.read(tmp_path, ReadOptions())
    assert table.models == ("b (FC)", "a")
    assert table.categories == tuple(leaf for leaf in BOARDS["v3"].items if leaf.startswith("multi_turn"))
    assert table.score("b (FC)", "multi_turn_base") == 40.0
    assert table.columns[table.place("multi_turn_miss_param")].decimals == 2
    assert table.blanked == (("a", "multi_turn/Multi Turn Overall Acc", "0.00%"),)
    assert table.digest == bfcl_board.read(path, ReadOptions()).digest


def test_columns_that_no_version_has_are_left_out_with_the_reason(tmp_path: Path) -> None:
    made(tmp_path, "1,a,50%,40%,60%,50%,50%,soon", header=f"{MULTI_TURN},Composite")
    table = bfcl_board.read(tmp_path, ReadOptions())
    assert dict(table.ignored)["multi_turn/Composite"] == "not a score that BFCL v3 or v4 is known to have"
    assert len(table.columns) == 5


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,a,50%,40%,60%,50%"], "line 2: 6 cells, the header has 7"),
        (["1,a, b,50%,40%,60%,50%,50%"], "not valid CSV: Expected 7 fields in line 2, saw 8"),
        (
            ["1,a,50%,40%,60%,50%,50%", "2,a,50%,40%,60%,50%,50%"],
            "line 3: the model `a` is also in line 2",
        ),
        (["1,a,50%,0.4,60%,50%,50%"], "line 2, column `Base`: `0.4` has no percent sign"),
        (["1,a,50%,4o%,60%,50%,50%"], "line 2, column `Base`: `4o%` is not a number"),
        (["1,a,50%,inf%,60%,50%,50%"], "line 2, column `Base`: `inf%` is infinite"),
        (["1,,50%,40%,60%,50%,50%"], "line 2: the model has no name"),
        (['1,"a,50%'], "not valid CSV: unexpected end of data"),
        ([], "the file has a header and no rows"),
    ],
)
def test_malformed_boards_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    path = made(tmp_path, *lines)
    assert refusal(path).split("\n")[0] == f"`{path}`: {message}"


def test_other_folders_and_files_are_refused(tmp_path: Path) -> None:
    assert not bfcl_board.recognise(tmp_path)
    assert "there is no table of a BFCL board" in refusal(tmp_path)
    assert not bfcl_board.recognise(tmp_path / "absent.csv")
    path = made(tmp_path, "1,a,50%,40%,60%,50%,50%", name="data_live.csv")
    assert (
        refusal(tmp_path).split("\n")[0]
        == f"`{path}`: the header is not that of the `live` table of a BFCL board"
    )
    path = made(tmp_path, "1,a,50%,50%,40%,60%,50%,50%", header=MULTI_TURN + ",Base", name="x.csv")
    assert refusal(path).split("\n")[0] == f"`{path}`: column `Base` is there twice: columns 4 and 8"
    path.write_bytes(bytes(range(256)))
    assert not bfcl_board.recognise(path)


percent = st.integers(0, 10_000).map(lambda hundredths: f"{hundredths // 100}.{hundredths % 100:02}%")


cells = st.tuples(*[st.one_of(percent, st.just("N/A"))] * 5)


@given(st.lists(cells, min_size=1, max_size=4), st.randoms())
def test_the_order_of_lines_changes_nothing(rows: list[tuple[str, ...]], shuffled: Random) -> None:
    lines = [",".join(("1", f"model {number}", *row)) for number, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        first = bfcl_board.read(made(Path(folder), *lines), ReadOptions())
        shuffled.shuffle(lines)
        second = bfcl_board.read(made(Path(folder), *lines), ReadOptions())
    assert first.digest == second.digest
    assert sorted(first.blanked) == sorted(second.blanked)
    for number, (overall, *leaves) in enumerate(rows):
        kept = first.score(f"model {number}", "multi_turn/Multi Turn Overall Acc")
        assert np.isnan(kept) == (overall == "N/A" or "N/A" in leaves)


# Score directories


def score_file(folder: Path, name: str, correct: int, total: int, accuracy: float | None = None) -> Path:
    """Write what the evaluator writes: the counts, then one line for each failed item."""
    folder.mkdir(parents=True, exist_ok=True)
    first = {
        "accuracy": correct / total if accuracy is None else accuracy,
        "correct_count": correct,
        "total_count": total,
    }
    failed = [{"id": f"x_{item}", "valid": False, "error": ["…"]} for item in range(total - correct)]
    path = folder / name
    path.write_text("\n".join(json.dumps(line) for line in (first, *failed)) + "\n", encoding="utf-8")
    return path


def read_scores_of(path: Path) -> ScoreTable:
    return bfcl_scores.read(path, ReadOptions())


def test_flat_folders_of_v3(tmp_path: Path) -> None:
    one, two = tmp_path / "score" / "org_one", tmp_path / "score" / "org_two-FC"
    score_file(one, "BFCL_v3_live_parallel_multiple_score.json", 12, 24)
    score_file(one, "BFCL_v3_simple_score.json", 399, 400)
    score_file(two, "BFCL_v3_simple_score.json", 5, 10)
    (one / "BFCL_v3_simple_result.json").write_text("{}", encoding="utf-8")
    table = read_scores_of(tmp_path)
    assert table.models == ("org_one", "org_two-FC")
    assert table.categories == ("simple", "live_parallel_multiple")
    assert table.score("org_one", "simple") == 399 / 400
    assert table.score("org_one", "live_parallel_multiple") == 0.5
    assert np.isnan(table.score("org_two-FC", "live_parallel_multiple"))
    assert table.counts is not None
    assert np.array_equal(table.counts, [[400, 24], [10, np.nan]], equal_nan=True)
    assert {column.scale for column in table.columns} == {"unit"}
    assert table.kind == "bfcl-scores"
    assert read_scores_of(one).models == ("org_one",)


def test_nested_folders_of_v4(tmp_path: Path) -> None:
    model = tmp_path / "org_model"
    score_file(model / "non_live", "BFCL_v4_simple_python_score.json", 1, 4)
    score_file(model / "live", "BFCL_v4_live_simple_score.json", 2, 4)
    score_file(model / "agentic" / "memory" / "kv", "BFCL_v4_memory_kv_score.json", 3, 155)
    score_file(model / "agentic" / "memory" / "rec_sum", "BFCL_v4_memory_rec_sum_score.json", 4, 155)
    score_file(model / "agentic", "BFCL_v4_web_search_base_score.json", 50, 100)
    score_file(model / "format_sensitivity", "BFCL_v4_format_sensitivity_score.json", 1, 2)
    for path in (tmp_path, model):
        table = read_scores_of(path)
        assert table.models == ("org_model",)
        assert table.categories == (
            "simple_python",
            "live_simple",
            "web_search_base",
            "memory_kv",
            "memory_rec_sum",
        )
        assert table.score("org_model", "memory_kv") == 3 / 155
        assert table.ignored == (("format_sensitivity", "accuracies under other prompt formats"),)
    alone = read_scores_of(model / "agentic" / "memory" / "kv" / "BFCL_v4_memory_kv_score.json")
    assert (alone.models, alone.categories) == (("org_model",), ("memory_kv",))


def test_categories_that_soce_does_not_know_come_last(tmp_path: Path) -> None:
    for category in ("zeta", "alpha", "java"):
        score_file(tmp_path / "m", f"BFCL_v3_{category}_score.json", 1, 2)
    assert read_scores_of(tmp_path).categories == ("java", "alpha", "zeta")


def test_score_folders_are_told_from_others(tmp_path: Path) -> None:
    assert not bfcl_scores.recognise(tmp_path)
    assert not bfcl_scores.recognise(tmp_path / "absent")
    path = score_file(tmp_path / "a" / "live", "BFCL_v4_live_simple_score.json", 1, 2)
    assert bfcl_scores.recognise(tmp_path)
    assert bfcl_scores.recognise(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScoreTableError, match="there is no BFCL score file"):
        read_scores_of(tmp_path / "empty")


def test_a_category_twice_and_versions_mixed_are_refused(tmp_path: Path) -> None:
    score_file(tmp_path / "m", "BFCL_v4_live_simple_score.json", 1, 2)
    again = score_file(tmp_path / "m" / "live", "BFCL_v4_live_simple_score.json", 1, 2)
    with pytest.raises(ScoreTableError, match="the category `live_simple` is also in"):
        read_scores_of(tmp_path)
    again.unlink()
    score_file(tmp_path / "other", "BFCL_v3_live_simple_score.json", 1, 2)
    with pytest.raises(ScoreTableError, match="different versions of the benchmark: `BFCL_v3"):
        read_scores_of(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"accuracy": 0.5, "correct_count": 12, "total_count": 25}', "the accuracy is 0.5, but 12 of 25 items are correct"),
        ('{"accuracy": 0.5, "correct_count": 12}', "the first line does not say what was counted"),
        ('{"accuracy": 0, "correct_count": 0, "total_count": 0}', "`0` correct of `0` items is not a score"),
        ('{"accuracy": 2, "correct_count": 4, "total_count": 2}', "`4` correct of `2` items is not a score"),
        ('{"accuracy": 1, "correct_count": -1, "total_count": -1}', "`-1` correct of `-1` items is not a score"),
        ('{"accuracy": 0.5, "correct_count": 1.0, "total_count": 2}', "`1.0` correct of `2` items is not a score"),
        ('{"accuracy": true, "correct_count": 2, "total_count": 2}', "the accuracy is not a number"),
        ('{"accuracy": "1", "correct_count": 2, "total_count": 2}', "the accuracy is not a number"),
        ("[1]", "the first line does not say what was counted"),
        ("", "the first line is empty"),
        ('{"id": "x", "valid": false}', "the first line does not say what was counted"),
        (" " * (1 << 17), "the first line is longer than 65536 bytes"),
    ],
)  # fmt: skip
def test_first_lines_without_sense_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "m").mkdir()
    path = tmp_path / "m" / "BFCL_v4_live_simple_score.json"
    path.write_text(line + "\nrest", encoding="utf-8")
    with pytest.raises(ScoreTableError) as caught:
        read_scores_of(tmp_path)
    assert str(caught.value).split("\n")[0] == f"`{path}`: {message}"


def test_only_the_first_line_is_read(tmp_path: Path) -> None:
    path = score_file(tmp_path / "m", "BFCL_v4_live_simple_score.json", 1, 2)
    path.write_bytes(path.read_bytes() + b"\xff\xfe not JSON")
    assert read_scores_of(tmp_path).score("m", "live_simple") == 0.5


def test_versions_are_not_joined_either_when_read_apart(tmp_path: Path) -> None:
    v3, v4 = (
        score_file(tmp_path / name, f"BFCL_{name}_{leaf}_score.json", 1, 2)
        for name, leaf in (("v3", "simple"), ("v4", "simple_python"))
    )
    tables = [read_scores_of(v3), read_scores_of(v4)]
    with pytest.raises(ScoreTableError, match=r"of v3 and `.*` of v4 are of different versions of BFCL"):
        join_tables(tables)
    assert join_tables([tables[0], tables[0].renamed({"v3": "other"})]).models == ("v3", "other")


def test_all_readers_reach_these_formats(tmp_path: Path) -> None:
    score_file(tmp_path / "m", "BFCL_v4_live_simple_score.json", 1, 2)
    made(tmp_path / "m", "1,a,50%,40%,60%,50%,50%")
    scores = read_scores(f"better={tmp_path}", options=ReadOptions(format="bfcl-scores"))
    assert scores.models == ("better",)
    chosen = ("multi_turn/Multi Turn Overall Acc",)
    board = read_scores(tmp_path / "m", options=ReadOptions(format="bfcl", columns=chosen, rename={"a": "b"}))
    assert (board.models, board.categories) == (("b",), chosen)
