"""Outcomes by item of BFCL evaluations: failures in score files, all ids in result files, and what contradicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soce.analysis.wins import outcomes_of_failures, win_rates
from soce.exceptions import ScoreTableError
from soce.scores import bfcl
from soce.scores.formats.bfcl_scores import read_failures
from soce.scores.formats.options import ReadOptions
from soce.scores.outcomes import notes_on
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable

WITH_ITEMS = ReadOptions(items=True)
FOLDERS = {"live": "live", "memory": "agentic/memory/kv", "web": "agentic", "multi": "multi_turn"}
MISSING = (
    "the result files, which list all items, are missing; "
    "leave them in the same place below `result`, beside the directory of scores"
)


def evaluation(
    home: Path,
    category: str,
    ids: list[str],
    failed: list[str],
    *,
    model: str = "org_model",
    version: str = "v4",
    results: bool = True,
) -> Path:
    """Write what `bfcl generate` and `bfcl evaluate` leave of one category, and return the score file."""
    group = "" if version == "v3" else FOLDERS.get(category.partition("_")[0], "non_live")
    score, result = (
        home / kind / model / group / f"BFCL_{version}_{category}_{kind}.json" for kind in ("score", "result")
    )
    right = len(ids) - len(failed)
    head = {"accuracy": right / len(ids), "correct_count": right, "total_count": len(ids)}
    lines = [{"id": name, "model_name": model, "valid": False, "error": ["…"]} for name in failed]
    write_lines(score, [head, *lines])
    if results:
        write_lines(result, [{"id": name, "result": "[f(x='\"id\": 1')]", "latency": 1} for name in ids])
    return score


def write_lines(path: Path, lines: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def live(n: int, category: str = "live_simple") -> list[str]:
    return [f"{category}_{i}-{i // 2}-{i % 2}" for i in range(n)]


def read(home: Path) -> ScoreTable:
    return read_scores(home / "score", options=WITH_ITEMS)


def test_failures_are_in_score_files_and_all_ids_in_result_files(tmp_path: Path) -> None:
    ids = live(5)
    evaluation(tmp_path, "live_simple", ids, [ids[1], ids[4]])
    scenario = [f"memory_kv_{i}-customer-{i}" for i in range(3)]
    evaluation(tmp_path, "memory_kv", scenario, scenario)
    evaluation(tmp_path, "web_search_base", ["web_search_base_0", "web_search_base_7"], [])
    prerequisites = tmp_path / "result/org_model/agentic/memory/kv/BFCL_v4_memory_kv_prereq_result.json"
    write_lines(prerequisites, [{"id": "memory_kv_prereq_0-customer-0", "result": ""}])
    table = read(tmp_path)
    assert table.outcomes == {
        "org_model": {
            "live_simple": dict(zip(ids, (1.0, 0.0, 1.0, 1.0, 0.0), strict=True)),
            "memory_kv": dict.fromkeys(scenario, 0.0),
            "web_search_base": {"web_search_base_0": 1.0, "web_search_base_7": 1.0},
        }
    }
    assert table.no_outcomes == ()
    assert table.origin.items == {name: tuple(of) for name, of in table.outcomes["org_model"].items()}
    # Named otherwise, joined with others, or without a category, a model keeps its outcomes.
    named = read_scores(
        [f"soup={tmp_path / 'score'}"],
        options=ReadOptions(items=True, drop=("memory_kv",), rename={"soup": "s"}),
    )
    assert named.outcomes["s"].keys() == {"live_simple", "web_search_base"}
    assert read_scores(tmp_path / "score").outcomes == {}  # nobody asked
    assert read_scores(tmp_path / "score").origin.items is None


@pytest.mark.parametrize("path", ["score", "score/org_model", "score/org_model/live", "."])
def test_result_files_are_found_from_wherever_the_scores_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    evaluation(tmp_path, "live_simple", live(3), live(3)[:1])
    monkeypatch.chdir(tmp_path / path)
    for source in (".", tmp_path / path, f"../{(tmp_path / path).resolve().name}"):
        table = read_scores(source, options=WITH_ITEMS)
        assert table.outcomes["org_model"]["live_simple"] == dict(zip(live(3), (0.0, 1.0, 1.0), strict=True))


def test_a_result_file_may_lie_beside_its_score_file(tmp_path: Path) -> None:
    score = evaluation(tmp_path, "live_simple", live(3), [])
    result = tmp_path / "result/org_model/live/BFCL_v4_live_simple_result.json"
    result.rename(score.with_name(result.name))
    assert set(read(tmp_path).outcomes["org_model"]["live_simple"].values()) == {1.0}


@pytest.mark.parametrize(
    ("version", "category", "n"),
    [
        ("v3", "simple", 400),
        ("v3", "java", 100),
        ("v4", "simple_python", 400),
        ("v4", "multi_turn_base", 200),
    ],
)
def test_ids_that_are_numbered_need_no_result_file(
    tmp_path: Path, version: str, category: str, n: int
) -> None:
    ids = [f"{category}_{i}" for i in range(n)]
    evaluation(tmp_path, category, ids, ids[-3:], version=version, results=False)
    found = read(tmp_path).outcomes["org_model"][category]
    assert list(found) == ids
    assert [item for item, outcome in found.items() if not outcome] == ids[-3:]


def test_nothing_is_guessed_without_result_files(tmp_path: Path) -> None:
    some = [f"multiple_{i}" for i in range(50)]
    evaluation(tmp_path, "multiple", some, some[:2], results=False)  # a part of the 200: which one?
    beyond = [f"parallel_{i}" for i in range(1, 201)]
    evaluation(tmp_path, "parallel", beyond, beyond[-1:], results=False)  # there is no `parallel_200`
    evaluation(tmp_path, "live_simple", live(258), live(258)[:9], results=False)
    evaluation(tmp_path, "web_search_base", ["web_search_base_0"], [], results=False)
    table = read(tmp_path)
    assert table.outcomes == {}
    assert notes_on(table.no_outcomes) == (
        "no outcomes by item in `multiple`, `parallel`, `live_simple`, `web_search_base`: " + MISSING,
    )
    assert table.score("org_model", "live_simple") == 249 / 258


def test_files_that_contradict_each_other_give_no_items(tmp_path: Path) -> None:
    ids = live(4)

    def told(home: str, *, result: list[object] | None = None, score: list[object] | None = None) -> str:
        path = evaluation(tmp_path / home, "live_simple", ids, ids[:1])
        if result is not None:
            write_lines(tmp_path / home / "result/org_model/live/BFCL_v4_live_simple_result.json", result)
        if score is not None:
            write_lines(path, [json.loads(path.read_text().splitlines()[0]), *score])
        table = read(tmp_path / home)
        assert table.outcomes == {}
        ((name, reason),) = table.no_outcomes
        assert name == "live_simple"
        return reason

    entries: list[object] = [{"id": name} for name in ids]
    kept_apart = "; keep the files of one evaluation together"
    assert told("short", result=entries[:3]) == (
        "the result file has 3 items, and the score file counts 4" + kept_apart
    )
    assert told("twice", result=[*entries, entries[0]]) == "item `live_simple_0-0-0` is there 2 times"
    assert told("other", result=[*entries[1:], {"id": "live_simple_9-0-0"}]) == (
        "item `live_simple_0-0-0` failed and is not among the items that were answered"
    )
    assert told("moved", result=[*entries[1:], {"id": "live_multiple_9-0-0"}]) == (
        "item `live_multiple_9-0-0` is not of category `live_simple`"
    )
    assert told("lost", score=[]) == "1 item failed, and 0 are listed below the first line"
    assert told("again", score=[entries[0], entries[0]]) == "item `live_simple_0-0-0` is there 2 times"
    # BFCL before v3 numbered failures from 1, whatever their ids were.
    for number, entry in enumerate(({"id": 1}, {"valid": False}, [1], None)):
        assert (
            told(f"old{number}", score=[entry])
            == "line 2 has no text `id`; those before BFCL v3 have numbers"
        )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"result": "x", "id": "live_simple_0-0-0"}', None),  # not first
        (b'{"id":"live_simple_0-0-0"}', None),  # no space
        (b'{"id": "live_simple_\\u0030-0-0", "result": "x"}', None),  # escaped
        (b"\xff", "line 1 is not JSON"),
        (b'{"id": "\xff"}', "line 1 is not JSON"),
        (b'{"result": "x"', "line 1 is not JSON"),
        (b'{"x": ' + b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_lines_of_result_files(tmp_path: Path, line: bytes, reason: str | None) -> None:
    evaluation(tmp_path, "live_simple", ["live_simple_0-0-0"], [])
    (path,) = (tmp_path / "result").rglob("*.json")
    path.write_bytes(line + b"\n\n")
    table = read(tmp_path)
    if reason is None:
        assert table.outcomes == {"org_model": {"live_simple": {"live_simple_0-0-0": 1.0}}}
    else:
        assert reason in dict(table.no_outcomes)["live_simple"]


def test_errors_that_were_scored_as_answers_are_told(tmp_path: Path) -> None:
    for category in ("live_irrelevance", "live_simple"):
        evaluation(tmp_path, category, live(2, category), [])
    assert read(tmp_path).notes == ()
    (path,) = (tmp_path / "result").rglob("*irrelevance*")
    answers = [
        {"id": name, "result": "Error during inference: timeout"} for name in live(2, "live_irrelevance")
    ]
    write_lines(path, [*answers])
    (note,) = read(tmp_path).notes
    assert note.startswith("requests failed for some items of `live_irrelevance`: BFCL takes the error for")
    write_lines(
        path, [{"id": one["id"], "result": 'no: "result": "Error during inference: x"'} for one in answers]
    )
    assert read(tmp_path).notes == ()  # the model only speaks of one


def test_an_id_that_v3_has_twice_stands_for_two_items(tmp_path: Path) -> None:
    (twice,) = bfcl.TWICE["v3"]
    ids = [*live(3, "live_relevance"), twice, twice]
    for n_failed, outcomes in enumerate(((1.0, 1.0), (0.0, 1.0), (0.0, 0.0))):
        home = tmp_path / str(n_failed)
        evaluation(home, "live_relevance", ids, [twice] * n_failed, version="v3")
        found = read(home).outcomes["org_model"]["live_relevance"]
        assert (found[twice], found[f"{twice} (2)"]) == outcomes
        assert len(found) == 5
    evaluation(tmp_path / "v4", "live_relevance", ids, [])
    assert read(tmp_path / "v4").outcomes == {}


@given(st.dictionaries(st.sampled_from(live(40)), st.booleans(), min_size=1))
@settings(max_examples=25)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, outcomes: dict[str, bool]) -> None:
    home = tmp_path_factory.mktemp("bfcl")
    evaluation(home, "live_simple", list(outcomes), [item for item, solved in outcomes.items() if not solved])
    table = read(home)
    assert table.outcomes["org_model"]["live_simple"] == outcomes
    assert table.score("org_model", "live_simple") == sum(outcomes.values()) / len(outcomes)


def test_win_rates_of_folders(tmp_path: Path) -> None:
    ids = live(4)
    for model, failed in (("a", [ids[1], ids[3]]), ("b", [ids[2], ids[3]]), ("soup", [])):
        evaluation(tmp_path, "live_simple", ids, failed, model=model)
    by_item = win_rates(read(tmp_path).outcomes, ["a", "b"], "soup")
    assert (by_item.rescue.count, by_item.rescued) == (1, (("live_simple", ids[3]),))
    failures, counts = read_failures(tmp_path / "score")
    assert counts == {"live_simple": 4}
    assert failures["b"] == {"live_simple": (ids[2], ids[3])}
    listed = win_rates(outcomes_of_failures(failures, counts), ["a", "b"], "soup")
    assert (listed.retention, listed.rescue, listed.fails) == (
        by_item.retention,
        by_item.rescue,
        by_item.fails,
    )
    # Models that were given other items have no common failures.
    evaluation(tmp_path, "live_simple", ids[:3], [], model="c")
    with pytest.raises(ScoreTableError, match=r"there are 3 items, and 4 of another model|and 3 of another"):
        read_failures(tmp_path / "score")
    evaluation(tmp_path, "live_multiple", live(3, "live_multiple"), [], model="a")
    evaluation(tmp_path, "live_simple", ids, [], model="c")
    with pytest.raises(ScoreTableError, match="`b` has no file of category `live_multiple`"):
        read_failures(tmp_path / "score")
