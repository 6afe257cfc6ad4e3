"""Result files of lm-evaluation-harness, lighteval and Inspect, as the programs write them, and damaged."""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soce.exceptions import ScoreTableError
from soce.scores.formats import inspect_ai, lighteval, lm_eval, zip_member
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import Column, ScoreTable
from soce.scores.tables.long import write_scores

RESULTS = Path(__file__).parents[1] / "results"
MAIN = RESULTS / "lm_eval" / "main"
LOOSE = RESULTS / "lm_eval" / "loose"
OLD = RESULTS / "lm_eval" / "old" / "bloom.json"
TINY_A = next((MAIN / "models__tiny-a").iterdir())
TINY_B = next((MAIN / "models__tiny-b").iterdir())
LIGHTEVAL = RESULTS / "lighteval"
LIGHT_A = next((LIGHTEVAL / "models" / "tiny-a").iterdir())
INSPECT = RESULTS / "inspect"
MATCH, INCLUDES = sorted(path for path in (INSPECT / "logs").iterdir() if "05-18" not in path.name)
ZSTD = next((INSPECT / "zstd").iterdir())
LOG = next((INSPECT / "json").iterdir())
NAN = math.nan


def cells(table: ScoreTable, array: np.ndarray | None = None) -> dict[str, list[float]]:
    """Return a table's columns as lists."""
    held = table.values if array is None else array
    return {column.name: held[:, place].tolist() for place, column in enumerate(table.columns)}


def refusal(path: Path, **options: Any) -> tuple[str, str | None]:
    """Return message and hint of what is refused, which names the path or something below it."""
    with pytest.raises(ScoreTableError) as caught:
        read_scores(path, options=ReadOptions(**options))
    (problem,) = caught.value.problems
    assert problem.path is not None
    assert problem.path.startswith(str(path))
    return problem.message, problem.hint


def refused_path(read: Any, path: Path, options: ReadOptions) -> str | None:
    """Return the path that a refusal names, None if the file is read; nothing else may be raised."""
    try:
        read(path, options)
    except ScoreTableError as error:
        return error.path
    return None


def changed(path: Path, folder: Path, change: Any, name: str | None = None) -> Path:
    """Return a copy of a JSON file with something changed in it."""
    held = json.loads(path.read_text())
    change(held)
    written = folder / (name or path.name)
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(held))
    return written


# ---- lm-evaluation-harness


def test_leaves_of_two_models() -> None:
    table = read_scores(MAIN, options=ReadOptions(metric="acc word_perplexity"))
    assert table.kind == "lm-eval"
    assert table.models == ("models/tiny-a", "models/tiny-b")
    assert table.columns == (
        Column("toy_rev", scale="unit", metric="acc"),
        Column("toy_sort", scale="unit", metric="acc"),
        Column("toy_max", scale="unit", metric="acc"),
        Column("toy_text", higher_is_better=False, metric="word_perplexity"),
        Column("toy_string", "aggregate", "unit", parts=("toy_rev", "toy_sort"), metric="acc"),
        Column("toy_all", "aggregate", "unit", parts=("toy_max", "toy_rev", "toy_sort"), metric="acc"),
    )
    assert cells(table) == {
        "toy_rev": [0.1, 0.2],
        "toy_sort": [0.25, 5 / 12],
        "toy_max": [0.5, 0.5],
        "toy_text": [624328999.414857, 594630674.8383303],
        "toy_string": [0.175, 0.30833333333333335],
        "toy_all": [0.2708333333333333, 0.3541666666666667],
    }
    assert table.counts is not None
    assert table.counts.tolist() == [[20, 12, 16, 4, 32, 48]] * 2
    assert table.stderrs is not None
    assert table.stderrs[0, :3].tolist() == [0.06882472016116853, 0.1305582419667734, 0.12909944487358055]
    assert np.isnan(table.stderrs[:, 3]).all()  # "N/A" in the files
    assert table.ignored == ()


def test_scores_of_different_metrics_are_not_joined(tmp_path: Path) -> None:
    def other_metric(held: Any) -> None:
        for row in held["results"].values():
            for name in [name for name in row if name.startswith("acc")]:
                row[name.replace("acc,", "f1,").replace("acc_stderr", "f1_stderr")] = row.pop(name)

    one = changed(TINY_A, tmp_path, lambda held: held["results"].pop("toy_text"))
    two = changed(TINY_B, tmp_path, other_metric)
    with pytest.raises(ScoreTableError, match=r"column `toy_rev`: the metric is acc in .* and f1 in "):
        read_scores([one, two], options=ReadOptions(metric="acc f1", drop=("toy_text",)))
    # A source that does not say what it measured may stand beside one that does.
    plain = tmp_path / "plain.csv"
    plain.write_text("model,toy_rev\nb,0.5\n")
    joined = read_scores([one, plain], options=ReadOptions(metric="acc"))
    assert [column.metric for column in joined.columns if column.role == "category"] == ["acc"] * 3
    write_scores(joined, tmp_path / "long.csv")
    assert read_scores(tmp_path / "long.csv").columns == joined.columns


def test_a_metric_of_old_files_is_that_of_new_ones() -> None:
    old = read_scores(f"bloom={OLD}", options=ReadOptions(metric="acc"))
    assert {column.metric for column in old.columns} == {"acc"}


def test_group_level_replaces_tasks_by_their_groups() -> None:
    table = read_scores(MAIN, options=ReadOptions(metric="acc word_perplexity", level="group"))
    assert table.categories == ("toy_max", "toy_text", "toy_string")
    assert [column.name for column in table.columns if column.role == "aggregate"] == ["toy_all"]
    assert table.ignored == (
        ("toy_rev", "is part of the group `toy_string`"),
        ("toy_sort", "is part of the group `toy_string`"),
    )


@pytest.mark.parametrize(
    ("metric", "expected"), [("acc,none", 0.1), ("acc_norm", 0.2), ("em acc_norm,none", 0.2)]
)
def test_the_metric_is_the_users_choice(metric: str, expected: float) -> None:
    table = read_scores(TINY_A, options=ReadOptions(metric=metric))
    assert table.score("models/tiny-a", "toy_rev") == expected
    assert ("toy_text", f"has no metric `{metric}`") in table.ignored


def test_a_group_without_the_metric_of_its_tasks_is_left_out() -> None:
    table = read_scores(TINY_A, options=ReadOptions(metric="acc_norm"))
    assert table.categories == ("toy_rev", "toy_sort", "toy_max")
    assert dict(table.ignored)["toy_all"] == "is a group without a score in the metric of its tasks"


def test_several_metrics_must_be_chosen_from() -> None:
    message, hint = refusal(MAIN)
    assert message == "task `toy_rev` has several metrics: `acc,none`, `acc_norm,none` (as 3 of 4 tasks have)"
    assert hint == (
        "choose with `--metric`, several in order of preference; there are: `acc,none` (3 of 4 tasks), "
        "`acc_norm,none` (3 of 4 tasks), `word_perplexity,none` (1 of 4 tasks)"
    )
    message, hint = refusal(MAIN, metric="f1")
    assert message == "no task has a metric `f1`"
    assert hint is not None
    assert hint.startswith("there are: `acc,none` (3 of 4 tasks), ")
    message, hint = refusal(LOOSE, metric="exact_match")
    assert message == (
        "metric `exact_match` of task `toy_gen` is one of `exact_match,flexible-extract`, "
        "`exact_match,strict-match`"
    )
    assert hint == "give the full name, for example `exact_match,flexible-extract`"


def test_the_one_common_metric_is_taken(tmp_path: Path) -> None:
    def without_text(held: Any) -> None:
        del held["results"]["toy_text"], held["results"]["toy_max"]["acc_norm,none"]

    table = read_scores(changed(TINY_A, tmp_path, without_text))
    assert table.score("models/tiny-a", "toy_rev") == 0.1
    assert table.categories == ("toy_rev", "toy_sort", "toy_max")


def test_the_only_metric_of_each_task_is_taken(tmp_path: Path) -> None:
    def one_each(held: Any) -> None:
        held["results"] = {name: held["results"][name] for name in ("toy_text", "toy_max")}
        del held["results"]["toy_max"]["acc_norm,none"]

    table = read_scores(changed(TINY_A, tmp_path, one_each))
    assert cells(table) == {"toy_text": [624328999.414857], "toy_max": [0.5]}


def test_filters_are_part_of_a_metrics_name() -> None:
    table = read_scores(LOOSE, options=ReadOptions(metric="exact_match,strict-match acc"))
    assert cells(table) == {"toy_rev": [0.1], "toy_gen": [0.0]}
    assert table.ignored[0] == ("toy_loose", "is a group without a score")
    message, _ = refusal(LOOSE, metric="acc", level="group")
    assert message == "no group of the results has a score"


def test_results_of_groups_only_say_how_to_read_them(tmp_path: Path) -> None:
    path = tmp_path / "results_2026-01-01T00-00-00.0.json"
    rows = {"mmlu": {"acc,none": 0.5, "alias": "mmlu"}, "bbh": {"acc,none": 0.4}}
    held = {"results": rows, "groups": rows, "group_subtasks": {"mmlu": ["mmlu_law"], "bbh": ["bbh_x"]}}
    path.write_text(json.dumps({**held, "model_name": "a", "configs": {}}))
    message, hint = refusal(path)
    assert "only groups have scores" in message
    assert hint == "read the groups with `--level group`"
    assert cells(read_scores(path, options=ReadOptions(level="group"))) == {"mmlu": [0.5], "bbh": [0.4]}


def test_results_that_somebody_cut_down(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"results": {"arc": {"acc,none": 0.4, "acc_stderr,none": 0.01}}}')
    assert refusal(path)[1] == "say which model it is: `NAME=PATH`"
    table = read_scores(f"a={path}")
    assert (table.kind, table.models, cells(table)) == ("lm-eval", ("a",), {"arc": [0.4]})


def test_rows_of_0_4_9(tmp_path: Path) -> None:
    """Groups that do not aggregate have a key of one space; tasks stand in `group_subtasks` with no members."""

    def as_in_0_4_9(held: Any) -> None:
        held["results"]["toy_loose"] = {" ": " ", "alias": "toy_loose"}
        held["group_subtasks"] |= {"toy_rev": [], "toy_gen": [], "toy_text": []}
        for row in held["results"].values():
            row.pop("sample_len", None)
            row.pop("name", None)

    table = read_scores(
        changed(next(LOOSE.rglob("*.json")), tmp_path, as_in_0_4_9), options=ReadOptions(metric="acc")
    )
    assert cells(table) == {"toy_rev": [0.1]}
    assert table.counts is not None
    assert table.counts.tolist() == [[20]]


def test_results_before_0_4_need_a_name() -> None:
    assert lm_eval.recognise(OLD)
    message, hint = refusal(OLD, metric="acc")
    assert message == "the file does not say which model it is about"
    assert hint == "say which model it is: `NAME=PATH`"
    table = read_scores(f"bloom={OLD}", options=ReadOptions(metric="acc word_perplexity"))
    assert table.models == ("bloom",)
    assert cells(table) == {"boolq": [0.5], "wikitext": [20.5]}
    assert [column.higher_is_better for column in table.columns] == [True, False]
    assert table.counts is None
    assert table.standard_errors().tolist()[0][0] == 0.1


def test_the_directory_is_the_name_only_if_the_harness_named_it(tmp_path: Path) -> None:
    def unnamed(held: Any) -> None:
        del held["model_name"]

    inside = changed(TINY_A, tmp_path / "some__model", unnamed)
    assert read_scores(inside, options=ReadOptions(metric="acc")).models == ("some__model",)
    message, _ = refusal(changed(TINY_A, tmp_path, unnamed, "mine.json"), metric="acc")
    assert message == "the file does not say which model it is about"


def test_two_results_for_one_task_are_the_users_to_choose_from(tmp_path: Path) -> None:
    shutil.copy(TINY_A, tmp_path)
    newer = shutil.copy(TINY_A, tmp_path / "results_2026-11-23T01-00-00.0.json")
    message, hint = refusal(tmp_path, metric="acc")
    assert message == "model `models/tiny-a` has several results for `toy_max` and 3 other tasks"
    assert hint == f"choose one and move the others away; the newest is `{newer}`"


def test_disjoint_results_of_one_model_are_joined(tmp_path: Path) -> None:
    groups = {"toy_string": "toy_rev", "toy_all": "toy_max"}
    for number, kept in enumerate([("toy_rev", "toy_all"), ("toy_sort", "toy_all"), ("toy_max", "toy_all")]):

        def keep(held: Any, kept: Any = kept) -> None:
            held["results"] = {name: held["results"][name] for name in kept}
            held["group_subtasks"] = {"toy_all": [groups.get(kept[0], kept[0])]}

        changed(TINY_A, tmp_path, keep, f"results_2026-01-0{number + 1}T00-00-00.json")
    table = read_scores(tmp_path, options=ReadOptions(metric="acc"))
    assert table.models == ("models/tiny-a",)
    assert cells(table) == {"toy_rev": [0.1], "toy_sort": [0.25], "toy_max": [0.5]}
    assert dict(table.ignored) == {
        "toy_all": "stands in several result files of a model, in each for other tasks"
    }


def test_not_finite_is_missing(tmp_path: Path) -> None:
    def not_finite(held: Any) -> None:
        held["results"]["toy_rev"]["acc,none"] = math.nan
        held["results"]["toy_sort"]["acc,none"] = math.inf
        held["results"]["toy_max"]["acc_stderr,none"] = -math.inf

    path = changed(TINY_A, tmp_path, not_finite)
    assert "NaN" in path.read_text()
    assert "Infinity" in path.read_text()
    table = read_scores([path, TINY_B], options=ReadOptions(metric="acc", columns=("toy_rev", "toy_sort")))
    assert table.n_missing == 2
    assert table.score("models/tiny-b", "toy_rev") == 0.2


def test_counts_and_directions_that_differ(tmp_path: Path) -> None:
    def limited(held: Any) -> None:
        held["n-samples"]["toy_rev"] = {"original": 20, "effective": 5}
        held["higher_is_better"]["toy_sort"] = {"acc": None}

    path = changed(TINY_A, tmp_path, limited)
    shutil.copy(TINY_B, tmp_path)
    table = read_scores(tmp_path, options=ReadOptions(metric="acc"))
    assert table.counts is not None
    assert table.counts[:, 0].tolist() == [5, 20]
    assert all(column.higher_is_better for column in table.columns)

    def contrary(held: Any) -> None:
        held["higher_is_better"]["toy_rev"] = {"acc": False}

    changed(path, tmp_path, contrary)
    message, _ = refusal(tmp_path, metric="acc")
    assert message == "the files disagree on whether a larger `acc,none` is better in `toy_rev`"


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    def circle(held: Any) -> None:
        held["group_subtasks"] = {"toy_all": ["toy_string"], "toy_string": ["toy_all", "toy_rev"]}

    table = read_scores(changed(TINY_A, tmp_path, circle), options=ReadOptions(metric="acc"))
    assert {column.name: column.parts for column in table.columns if column.role == "aggregate"} == {
        "toy_string": ("toy_rev",),
        "toy_all": ("toy_rev",),
    }


def test_samples_and_other_files_beside_results_are_not_read(tmp_path: Path) -> None:
    shutil.copytree(MAIN, tmp_path, dirs_exist_ok=True)
    (tmp_path / "samples_toy_rev_2026.jsonl").write_text("{}")
    (tmp_path / "notes.json").write_text("[1, 2")
    (tmp_path / "other.json").write_text('{"results": {}}')
    table = lm_eval.read(tmp_path, ReadOptions(metric="acc"))
    assert table.digest == lm_eval.read(MAIN, ReadOptions(metric="acc")).digest
    (tmp_path / "results_2026-01-01T00-00-00.json").write_text("")
    assert refusal(tmp_path, format="lm-eval", metric="acc")[0] == "the file is empty"


SAMPLES = RESULTS / "lm_eval" / "samples"
ALL_METRICS = "perplexity word_perplexity acc exact_match,first"


def test_samples_beside_the_results_hold_outcomes_by_item() -> None:
    options = ReadOptions(metric=ALL_METRICS, items=True)
    table = read_scores(SAMPLES, options=options)
    outcomes = table.outcomes["models/tiny"]
    assert outcomes["tiny_choice"] == {str(i): float(i in (0, 3, 6, 9)) for i in range(12)}
    assert outcomes["tiny_said"] == {str(i): float(i == 10) for i in range(12)}  # after the filter `first`
    for name, of_items in outcomes.items():
        assert table.score("models/tiny", name) == pytest.approx(sum(of_items.values()) / len(of_items))
    assert dict(table.no_outcomes) == {
        "tiny_text": "`word_perplexity` of single documents is no number",
        "tiny_surprise": "the score is not the mean of the items' outcomes",
        "tiny_shots": "there are no samples of the task beside the results; "
        "the harness writes them with `--log_samples`",
    }
    assert table.origin.items == {name: tuple(found) for name, found in outcomes.items()}
    assert read_scores(SAMPLES, options=ReadOptions(metric=ALL_METRICS)).digest == table.digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[:-1], "there are outcomes of 11 items, and the score is of 12"),
        (lambda lines: [*lines, lines[0]], "document 0 is there twice"),
        (
            lambda lines: [*lines[1:], lines[0].replace('"acc": 1.0', '"acc": 0.0')],
            "the score is not the mean",
        ),
        (lambda lines: [*lines, "{"], "line 13 of the samples is not JSON"),
        (lambda lines: [*lines, "[]"], "line 13 of the samples has no `doc_id`"),
        (
            lambda lines: [line.replace('"filter": "none"', '"filter": "x"') for line in lines],
            "there are none",
        ),
    ],
)
def test_samples_that_are_not_those_of_the_score_give_no_outcomes(
    tmp_path: Path, change: Any, reason: str
) -> None:
    shutil.copytree(SAMPLES, tmp_path / "copy")
    (path,) = (tmp_path / "copy").rglob("samples_tiny_choice_*")
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    table = read_scores(tmp_path / "copy", options=ReadOptions(metric=ALL_METRICS, items=True))
    assert table.outcomes["models/tiny"].keys() == {"tiny_said"}
    assert reason in dict(table.no_outcomes)["tiny_choice"]


# ---- lighteval


def test_lighteval_tasks() -> None:
    table = read_scores(LIGHTEVAL)
    assert table.kind == "lighteval"
    assert table.models == ("models/tiny-a", "models/tiny-b")
    assert cells(table) == {
        "toymax|0": [0.5, 0.5],
        "toy:sort|0": [0.25, 5 / 12],
        "toy:rev|0": [0.1, 0.2],
        "toygen|0": [0.0, 0.0],
        "toy:_average|0": [0.175, 0.30833333333333335],
    }
    assert table.columns[4] == Column(
        "toy:_average|0", "aggregate", "unit", parts=("toy:rev|0", "toy:sort|0"), metric="acc"
    )
    assert table.counts is None  # the files say -1
    assert table.stderrs is not None
    assert table.stderrs[0].tolist()[:4] == [
        0.12909944487358055,
        0.1305582419667734,
        0.06882472016116853,
        0.0,
    ]
    assert np.isnan(table.stderrs[:, 4]).all()
    assert table.ignored == (("all", "is a group without a score in the metric of its tasks"),)


def test_lighteval_averages() -> None:
    table = read_scores(LIGHT_A, options=ReadOptions(metric="acc"))
    assert table.columns[-1].name == "all"
    assert table.columns[-1].parts == ("toy:rev|0", "toy:sort|0", "toymax|0")
    assert table.score("models/tiny-a", "all") == pytest.approx(np.mean([0.1, 0.25, 0.5]))
    table = read_scores(LIGHT_A, options=ReadOptions(metric="acc", level="group"))
    assert table.categories == ("toymax|0", "toy:_average|0")


def test_lighteval_and_lm_eval_in_one_directory(tmp_path: Path) -> None:
    shutil.copy(LIGHT_A, tmp_path)
    shutil.copy(TINY_A, tmp_path)
    message, _ = refusal(tmp_path)
    assert message == "could be any of lm-eval, lighteval"
    assert read_scores(tmp_path, options=ReadOptions(format="lighteval")).kind == "lighteval"
    assert read_scores(tmp_path, options=ReadOptions(format="lm-eval", metric="acc")).kind == "lm-eval"


def test_lighteval_without_a_name(tmp_path: Path) -> None:
    def unnamed(held: Any) -> None:
        held["config_general"] = {}

    path = changed(LIGHT_A, tmp_path, unnamed)
    assert refusal(path)[0] == "the file does not say which model it is about"
    assert read_scores(f"x={path}").models == ("x",)


# ---- Inspect


def test_inspect_logs_of_two_models() -> None:
    table = read_scores(INSPECT / "logs")
    assert table.kind == "inspect"
    assert table.models == ("mockllm/small", "mockllm/large")
    assert table.columns == (
        Column("toy_match", scale="unit", metric="match/accuracy"),
        Column("toy_includes", scale="unit", metric="includes/accuracy"),
    )
    assert cells(table) == {"toy_match": [0.6, 0.6], "toy_includes": [0.625, 0.625]}
    assert table.counts is not None
    assert table.counts.tolist() == [[10, 8], [10, 8]]
    assert table.stderrs is not None
    assert table.stderrs[0].tolist() == [0.1632993161855452, 0.18298126367784995]


def test_inspect_json_is_the_same_as_the_archive() -> None:
    packed, plain = read_scores(MATCH), read_scores(LOG)
    assert cells(packed) == cells(plain)
    assert packed.digest == plain.digest


def test_inspect_counts_items_not_epochs(tmp_path: Path) -> None:
    table = read_scores(INSPECT / "limit")
    assert table.counts is not None
    assert table.counts.tolist() == [[4]]

    def older(held: Any) -> None:
        held["eval"]["config"]["epochs"] = 2
        del held["results"]["scores"][0]["scored_samples"]

    table = read_scores(changed(LOG, tmp_path, older))
    assert table.counts is not None
    assert table.counts.tolist() == [[5]]


def test_inspect_scores_with_several_metrics() -> None:
    message, _ = refusal(INSPECT / "more")
    assert message.startswith("task `toy_grouped` has several metrics: `includes/all`, `includes/x`, ")
    table = read_scores(INSPECT / "more", options=ReadOptions(metric="includes/all accuracy"))
    assert cells(table) == {"toy_grouped": [2 / 3], "toy_multi": [1.0], "toy_two": [2 / 3]}
    assert table.stderrs is not None
    assert table.stderrs[0, 1:].tolist() == [0.0, 0.210818510677892]
    assert np.isnan(table.stderrs[0, 0])
    assert (
        refusal(INSPECT / "more", metric="accuracy", level="group")[0] == "there are no groups in the results"
    )


def test_inspect_failed_runs(tmp_path: Path) -> None:
    failed = next((INSPECT / "error").iterdir())
    message, hint = refusal(failed)
    assert message == "there are no scores in the results"
    assert hint == "`toy_includes` has no score: the status of the run is `error`"
    shutil.copy(failed, tmp_path)
    shutil.copy(MATCH, tmp_path)
    table = read_scores(tmp_path)
    assert table.categories == ("toy_match",)
    assert table.ignored == (("toy_includes", "has no score: the status of the run is `error`"),)
    shutil.copy(INCLUDES, tmp_path)
    assert read_scores(tmp_path).categories == ("toy_match", "toy_includes")


def test_inspect_two_logs_of_one_task(tmp_path: Path) -> None:
    shutil.copy(MATCH, tmp_path)
    newer = shutil.copy(LOG, tmp_path)
    message, hint = refusal(tmp_path)
    assert message == "model `mockllm/small` has several results for `toy_match`"
    assert hint == f"choose one and move the others away; the newest is `{newer}`"


def test_zstd_archives() -> None:
    assert read_scores(ZSTD).digest == read_scores(MATCH).digest


def pack(path: Path, members: list[tuple[str, str | bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.eval"
    path.write_bytes(b"")
    assert refusal(path)[0] == "the file is empty"
    path.write_bytes(b"PK nothing")
    assert refusal(path)[0] == "the file is not a zip archive, or is damaged"
    pack(path, [("_journal/start.json", "{}")])
    assert refusal(path)[0] == "the archive has no member `header.json`: the run did not finish"
    pack(path, [("header.json", "{}"), ("header.json", "{}")])
    assert refusal(path)[0] == "the archive has 2 members `header.json`"
    pack(path, [("header.json", b"\xff\xff")])
    assert refusal(path)[0] == "member `header.json` is not UTF-8 text"
    pack(path, [("header.json", "{}")])
    assert refusal(path)[0] == "the file holds no Inspect results: there are no `status` and `eval`"
    monkeypatch.setattr(zip_member, "MAX_BYTES", 1000)
    pack(path, [("header.json", " " * 1_000_000)])
    assert refusal(path)[0] == "member `header.json` has more than 1000 bytes, which is what is read at most"
    path = tmp_path / "folder.eval" / "log.eval"
    path.mkdir(parents=True)
    assert refusal(path, format="inspect")[0] == "there are no Inspect results below the directory"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_damaged_archives_are_refused_not_crashed_on(tmp_path_factory: Any, seed: int, n_bytes: int) -> None:
    generator = random.Random(seed)
    content = bytearray(generator.choice([MATCH, ZSTD]).read_bytes())
    for _ in range(n_bytes):
        content[generator.randrange(len(content))] = generator.randrange(256)
    path = tmp_path_factory.getbasetemp() / "damaged.eval"
    path.write_bytes(content)
    assert refused_path(inspect_ai.read, path, ReadOptions()) in {str(path), None}


REDUCTIONS = INSPECT / "reductions"


def test_reductions_hold_outcomes_by_item() -> None:
    table = read_scores(REDUCTIONS, options=ReadOptions(items=True, metric="accuracy mean", reducer="mean"))
    outcomes = table.outcomes["mockllm/model"]
    solved = {str(i) if i % 2 == 0 else f"s/{i}": float(i % 3 > 0) for i in range(8)}
    assert outcomes["epochs"] == solved
    assert outcomes["graded"] == {name: int(name[-1]) % 4 / 4 for name in solved}
    assert table.no_outcomes == ()
    by_largest = read_scores(
        REDUCTIONS, options=ReadOptions(items=True, metric="accuracy mean", reducer="max")
    )
    assert by_largest.outcomes["mockllm/model"]["epochs"] == solved  # letters, not numbers


def test_an_archive_keeps_its_reductions_in_a_member(tmp_path: Path) -> None:
    (log,) = REDUCTIONS.glob("*graded*")
    held = json.loads(log.read_text())
    reductions = held.pop("reductions")

    def packed(name: str, **members: object) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, content in members.items():
                archive.writestr(f"{member}.json", json.dumps(content))
        return tmp_path / name

    options = ReadOptions(items=True, metric="mean")
    table = read_scores(packed("whole.eval", header=held, reductions=reductions), options=options)
    assert table.outcomes == read_scores(log, options=options).outcomes
    table = read_scores(packed("head.eval", header=held), options=options)
    assert table.outcomes == {}
    assert "no member `reductions.json`" in dict(table.no_outcomes)["graded"]
    for change, reason in (
        (lambda samples: samples[1:], "outcomes of 7 items, and the score is of 8"),
        (lambda samples: [*samples, samples[0]], "sample `0` is there twice"),
        (lambda samples: [{**sample, "value": "?"} for sample in samples], "of single samples is no number"),
        (lambda samples: [{"value": 1}], "has no `sample_id`"),
        (lambda samples: None, "there are none"),
    ):
        damaged = [{**reductions[0], "samples": change(reductions[0]["samples"])}]
        table = read_scores(packed("bad.eval", header=held, reductions=damaged), options=options)
        assert table.outcomes == {}
        assert reason in dict(table.no_outcomes)["graded"]
    table = read_scores(packed("none.eval", header=held, reductions=[]), options=options)
    assert "has no reductions of the score" in dict(table.no_outcomes)["graded"]


# ---- anything else


@pytest.mark.parametrize(
    ("kind", "name"),
    [("lm-eval", "lm-evaluation-harness"), ("lighteval", "lighteval"), ("inspect", "Inspect")],
)
@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"results": []}', '{"results": 1, "eval": 2}', "null"])
def test_json_of_another_shape(tmp_path: Path, kind: str, name: str, text: str) -> None:
    path = tmp_path / "results_2026-01-01T00-00-00.json"
    path.write_text(text)
    message, hint = refusal(path, format=kind)
    assert message.startswith(f"the file holds no {name} results: there ")
    assert hint is not None
    assert hint.startswith("name ")


@pytest.mark.parametrize("kind", ["lm-eval", "lighteval", "inspect"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("{", "line 1, column 2: not JSON: expecting property name enclosed in double quotes"),
        ('{"results": {}, "results": {}}', "duplicate key `results`"),
        ("<html>", "the file is a web page"),
    ],
)
def test_not_json(tmp_path: Path, kind: str, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    assert refusal(path, format=kind)[0] == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"results": {}, "config": {}}', "the results are empty"),
        ('{"results": {"a": {}}, "config": {}, "model_name": "m"}', "there are no scores in the results"),
        ('{"results": {"a": 1}, "config": {}}', "the result of task `a` is not an object"),
        ('{"results": {"a": {"acc,none": "1"}}, "config": {}}', "`acc,none` of task `a` is not a number"),
        ('{"results": {}, "config_general": {}}', "the results are empty"),
        ('{"results": {"a": 1}, "config_general": {}}', "the result of task `a` is not an object"),
        ('{"status": "success", "eval": {}}', "the log does not say which task it is of"),
        (
            '{"status": "success", "eval": {"task": "t", "model": "m"}, "results": {"scores": [{}]}}',
            "an entry of `results.scores` has no object `metrics`",
        ),
        ('{"status": "success", "eval": {"task": "t", "model": "m"}}', "there are no scores in the results"),
    ],
)
def test_nothing_to_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    assert refusal(path)[0] == message


def test_each_format_knows_its_own() -> None:
    known = [lm_eval.recognise, lighteval.recognise, inspect_ai.recognise]
    for folder, own in ((RESULTS / "lm_eval", 0), (LIGHTEVAL, 1), (INSPECT, 2)):
        for path in [folder, *folder.rglob("*.*")]:
            if path.suffix == ".jsonl":  # samples beside results
                continue
            assert [looks(path) for looks in known] == [number == own for number in range(3)], path
    assert not any(looks(Path(__file__)) for looks in known)
    assert not any(looks(RESULTS / "nothing.json") for looks in known)


READERS = {
    "lm_eval": (TINY_A, lm_eval.read, ReadOptions(metric="acc word_perplexity")),
    "group": (TINY_A, lm_eval.read, ReadOptions(metric="acc", level="group")),
    "old": (OLD, lm_eval.read, ReadOptions(model="old")),
    "lighteval": (LIGHT_A, lighteval.read, ReadOptions()),
    "inspect": (LOG, inspect_ai.read, ReadOptions()),
}
JUNK = [
    None,
    True,
    -1,
    0,
    2.5,
    1e308,
    math.nan,
    math.inf,
    "",
    " ",
    "N/A",
    "x",
    "\ud800",
    [],
    {},
    [None],
    {"": 1},
    {"a": {}},
]


def damage(held: Any, generator: random.Random) -> Any:
    """Replace, drop, rename or double one thing somewhere inside."""
    if not isinstance(held, (dict, list)) or not held or generator.random() < 0.15:
        return copy.deepcopy(generator.choice(JUNK))
    key = generator.choice(sorted(held) if isinstance(held, dict) else range(len(held)))
    action = generator.random()
    if action < 0.1:
        del held[key]
    elif action < 0.2 and isinstance(held, dict):
        held[generator.choice(["", " ", "all", "a:_average|0", "x,y", "toy_rev", "\u202e"])] = copy.deepcopy(
            held[key]
        )
    else:
        held[key] = damage(held[key], generator)
    return held


@pytest.mark.parametrize("case", sorted(READERS))
@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_damaged_results_are_read_or_refused(tmp_path_factory: Any, case: str, seed: int, times: int) -> None:
    source, read, options = READERS[case]
    generator = random.Random(seed)
    held = json.loads(source.read_text())
    for _ in range(times):
        held = damage(held, generator)
    path = tmp_path_factory.getbasetemp() / source.name
    path.write_text(json.dumps(held))
    assert refused_path(read, path, options) in {str(path), None}
