"""A run, opened again: its scores are found, what is missing is scored once, the rest refused."""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.landscapes import CATEGORIES, Landscape, Smooth, pool, search_with

import soce
from soce.analysis.ablation import ablation_table
from soce.analysis.gains import category_gains
from soce.analysis.games import plan_shapley, soup_game, soup_players
from soce.analysis.shapley import shapley_values
from soce.analysis.wins import win_rates
from soce.exceptions import EvaluationError, ScoreTableError, StudyError
from soce.scores.objective import Mean, Weighted
from soce.search.folder import DEMO, LOG, OLD_TRIALS, RESULT, SCORES, SELECTION, STUDY, TRIALS
from soce.search.open import open_run
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.scoring import SearchProgress

pytest.importorskip("optuna")


def searched(tmp_path: Path, evaluator: Landscape | None = None, **options: Any) -> tuple[SearchResult, Path]:
    folder = tmp_path / "run"
    evaluator = evaluator or Landscape()
    return search_with(pool(tmp_path), evaluator, folder=folder, draws=50, **options), folder


def test_what_was_scored_is_found_and_nothing_else(tmp_path: Path) -> None:
    result, folder = searched(tmp_path)
    before = sorted(path.name for path in folder.rglob("*"))
    run = open_run(folder)
    assert run.pool.names == ("a", "b", "c")
    assert run.identity is not None
    assert run.identity.share == Fraction(1, 2)
    assert run.missing.keys() == {"selection", "scores", "soup"}
    assert run.pool.without_path == ()
    for arm in result.arms:
        assert run.value(arm.recipe, on="report") == arm.report.value
        assert run.value(arm.recipe, on="selection") == arm.selection.value
    assert run.result == result
    assert list(run.evaluations()) == [arm.label for arm in result.arms]
    for tried in result.ranked:
        assert run.value(run.pool.recipe(tried.parts), on="selection") == tried.value
    uneven = run.pool.recipe({"a": 1, "b": 19})
    assert run.unscored([uneven, result.best.recipe], on="report") == (uneven,)
    with pytest.raises(EvaluationError, match="the soup of `a`, `b` was not scored on the report items"):
        run.value(uneven)
    items = run.items("report") or {}
    assert {name: len(ids) for name, ids in items.items()} == dict.fromkeys(CATEGORIES, 100)
    assert not set(items["math"]) & set((run.items("selection") or {})["math"])
    assert sorted(path.name for path in folder.rglob("*")) == before, "reading changes nothing"


@pytest.mark.parametrize("has_other", [False, True])
def test_shapley_values_score_only_what_is_missing(tmp_path: Path, has_other: bool) -> None:
    evaluator, other = Smooth(), Smooth(tag="held-out-") if has_other else None
    _, folder = searched(tmp_path, evaluator, held_out_evaluator=other)
    reporter = evaluator if other is None else other
    run = open_run(folder)
    plan = plan_shapley(run)
    assert plan.n_soups == 7
    lacking = plan.missing()
    assert len(lacking) == 3, "pairs: the grid has none without its third expert"
    with pytest.raises(EvaluationError, match="3 of 7 soups were not scored on the report items"):
        plan.values()
    reporter.calls.clear()
    seen: list[SearchProgress] = []
    assert plan.evaluate(reporter, on_progress=seen.append) == 3
    assert [recipe for recipe, _ in reporter.calls] == [recipe.id for recipe in lacking]
    assert {count for _, count in reporter.calls} == {200 if other is None else 400}
    assert (seen[0].stage, seen[0].done, seen[0].total) == ("missing soups", 0, 3)
    assert (seen[-1].done, seen[-1].n_evaluated) == (3, 3)
    assert plan.missing() == ()
    assert plan.evaluate(reporter) == 0
    assert open_run(folder).unscored(plan.game.recipes()) == (), "kept in the folder"
    found = plan.values()

    def score(recipe: object) -> float:
        return Mean().values(_table(reporter, recipe))[0]

    expected = shapley_values(soup_game(soup_players("abc"), score=score, ingredients=run.pool), "abc")
    assert found.value == pytest.approx(dict(expected.value), abs=1e-9)
    assert (found.method, found.reading) == ("exact", "union")
    again, _ = searched(tmp_path, evaluator, held_out_evaluator=other)
    assert again.n_evaluated == 0, "the search goes on with the same scores"


def _table(evaluator: Landscape, recipe: Any) -> Any:
    from soce.search.scoring import table_of

    return table_of({"soup": evaluator.score(recipe)})


def test_pairs_are_drawn_from_the_same_scores(tmp_path: Path) -> None:
    evaluator = Landscape()
    _, folder = searched(tmp_path, evaluator)
    run = open_run(folder)
    plan_shapley(run).evaluate(evaluator)
    pairs = plan_shapley(run, size=2)
    assert pairs.n_soups == 4
    assert pairs.missing() == ()
    nested = plan_shapley(run, size=2, reading="nested")
    assert (nested.n_soups, len(nested.missing())) == (7, 3), "two pairs of three models: 2/4, 1/4, 1/4"
    assert pairs.values().players == ("a + b", "a + c", "b + c")


def test_a_progress_callback_that_raises_loses_nothing(tmp_path: Path) -> None:
    evaluator = Landscape()
    _, folder = searched(tmp_path, evaluator)
    plan = plan_shapley(open_run(folder))

    def stop(progress: SearchProgress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan.evaluate(evaluator, on_progress=stop)
    assert len(plan_shapley(open_run(folder)).missing()) == 1


def test_other_analyses_take_what_a_run_holds(tmp_path: Path) -> None:
    result, folder = searched(tmp_path)
    run = open_run(folder)
    evaluations = run.evaluations()
    found = win_rates(evaluations, ["a", "b", "c"], "soce")
    assert found.n_items == 200
    for name in "abc":
        test = next(one.mcnemar for one in result.comparisons if (one.first, one.second) == ("soce", name))
        assert test is not None
        assert (found.mcnemar[name].only_second, found.mcnemar[name].only_first) == (
            test.only_first,
            test.only_second,
        )
    gains = category_gains(evaluations, "soce", ["a", "b", "c"])
    assert [one.category for one in gains.categories] == list(CATEGORIES)
    assert ablation_table(result).to_json() == ablation_table(result.to_json()).to_json()
    table = ablation_table(result)
    for one in table.differences[:5]:
        same = next(
            other for other in result.comparisons if (other.first, other.second) == (one.first, one.second)
        )
        assert (one.difference, one.percentage_points, one.relative_percent) == (
            same.difference,
            same.percentage_points,
            same.relative_percent,
        )
        assert one.interval == same.interval
    assert table.beats_best_single == result.beats_best_single
    assert table.best_single_report == result.best_single_report
    assert table.best_single_selection == result.best_single_selection


def test_an_evaluator_that_knows_no_items(tmp_path: Path) -> None:
    evaluator = Landscape(has_items=False)
    _, folder = searched(tmp_path, evaluator)
    run = open_run(folder)
    assert run.items() is None
    plan = plan_shapley(run)
    assert len(plan.missing()) == 3
    assert plan.evaluate(evaluator) == 3
    assert plan.values().total == run.value(run.pool.recipe({"a": 1, "b": 1, "c": 1}))


def test_an_evaluator_that_names_its_items_late(tmp_path: Path) -> None:
    evaluator = Landscape(tells_items=False)
    _, folder = searched(tmp_path, evaluator)
    plan = plan_shapley(open_run(folder))
    assert plan.evaluate(evaluator) == 3
    assert plan.missing() == ()


def test_nothing_held_out(tmp_path: Path) -> None:
    evaluator = Landscape()
    _, folder = searched(tmp_path, evaluator, share=None)
    run = open_run(folder)
    assert run.identity is not None
    assert run.identity.share is None
    assert run.items("report") == run.items("selection")
    assert run.value(run.pool.recipe({"a": 1})) == run.value(run.pool.recipe({"a": 1}), on="selection")


def test_a_folder_that_holds_the_search_is_enough(tmp_path: Path) -> None:
    _, folder = searched(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    folder.rename(home / "search")
    run = open_run(home)
    assert (run.kind, run.folder, run.search) == ("run", home, home / "search")
    assert run.value(run.pool.recipe({"a": 1})) > 0


def test_objectives_come_back(tmp_path: Path) -> None:
    objective = Weighted({"math": Fraction(3), "code": Fraction(1)}, source="here")
    result, folder = searched(tmp_path, objective=objective)
    run = open_run(folder)
    assert run.objective == objective
    assert run.value(result.best.recipe) == result.best.report.value
    other = json.loads((folder / "study.json").read_text())
    other["identity"]["objective"] = {"name": "my own", "weights": None}
    (folder / "study.json").write_text(json.dumps(other))
    without = open_run(folder)
    assert (without.objective, without.missing.keys() & {"objective"}) == (None, {"objective"})
    with pytest.raises(ScoreTableError, match="the run's objective `my own` cannot be made again"):
        without.value(result.best.recipe)
    assert open_run(folder, objective=objective).value(result.best.recipe) == result.best.report.value


# ---- what is refused


def test_another_evaluator_is_refused(tmp_path: Path) -> None:
    _, folder = searched(tmp_path)
    with pytest.raises(StudyError, match=r"by another evaluator: .*landscape") as caught:
        plan_shapley(open_run(folder)).evaluate(Landscape(version=2))
    assert caught.value.problems[0].hint


def test_models_that_moved_or_changed(tmp_path: Path) -> None:
    evaluator = Landscape()
    _, folder = searched(tmp_path, evaluator)
    moved = {name: shutil.copytree(tmp_path / name, tmp_path / "moved" / name) for name in "abc"}
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(OSError, match="b'"):
        plan_shapley(open_run(folder)).evaluate(evaluator)
    assert plan_shapley(open_run(folder, paths=moved)).evaluate(evaluator) == 3
    shard = next(moved["a"].glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes())
    nested = plan_shapley(open_run(folder, paths=moved), size=2, reading="nested")
    assert nested.evaluate(evaluator) == 3, "touched, not changed"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run = open_run(folder, paths=moved)
    with pytest.raises(StudyError, match="the model `a` is not the one that was scored: shards, model"):
        run.evaluate([run.pool.recipe({"a": 1, "b": 19})], evaluator)


def test_models_that_nobody_located_need_a_path_to_be_mixed(tmp_path: Path) -> None:
    evaluator = Landscape()
    _, folder = searched(tmp_path, evaluator)
    study = json.loads((folder / "study.json").read_text())
    assert study.pop("paths") == {name: str(tmp_path / name) for name in "abc"}
    (folder / "study.json").write_text(json.dumps(study))
    run = open_run(folder)
    assert run.pool.without_path == ("a", "b", "c")
    assert len(run.evaluations()) == 6
    with pytest.raises(StudyError, match="nobody said where the model `a` is"):
        plan_shapley(run).evaluate(evaluator)
    paths = {name: str(tmp_path / name) for name in "abc"}
    assert plan_shapley(open_run(folder, paths=paths)).evaluate(evaluator) == 3


def test_a_search_of_moved_models_goes_on_and_notes_where_they_are(tmp_path: Path) -> None:
    result, folder = searched(tmp_path)
    for name in "abc":
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    moved = Pool({name: str(tmp_path / f"moved-{name}") for name in "abc"}, ("a", "b", "c"))
    again = search_with(moved, Landscape(), folder=folder, draws=50)
    assert again.n_evaluated == 0
    assert again.to_json() == result.to_json()
    assert open_run(folder).pool.paths["b"] == str(tmp_path / "moved-b")


def test_an_unfinished_search(tmp_path: Path) -> None:
    _, folder = searched(tmp_path)
    (folder / "result.json").unlink()
    run = open_run(folder)
    assert run.result is None
    for ask in (run.evaluations, run.items, lambda: plan_shapley(run).missing()):
        with pytest.raises(StudyError, match="the search is not finished") as caught:
            ask()
        assert caught.value.problems[0].hint
    with pytest.raises(StudyError, match="the search is not finished"):
        run.items("selection")


def test_a_result_of_another_split_is_refused(tmp_path: Path) -> None:
    _, folder = searched(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    result["split"]["held_out"]["math"] = 7
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(StudyError, match="tells of another split"):
        open_run(folder).items()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"identity": {}}',
        '{"identity": {"ingredients": {"a": 3}, "experts": ["a"], "held_out": {"evaluator": null, "share": null}, "objective": {"name": "mean", "weights": null}, "evaluator": {}}}',
    ],
)
def test_damaged_studies_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    run = open_run(tmp_path)
    assert run.missing.keys() >= {"study", "result"}
    with pytest.raises(StudyError, match="the study cannot be read") as caught:
        _ = run.pool
    assert caught.value.problems[0].path == str(tmp_path)


def test_folders_and_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the directory holds no run"):
        open_run(tmp_path)
    _, folder = searched(tmp_path)
    with pytest.raises(StudyError, match="there is no model `z` in the run"):
        open_run(folder, paths={"z": "path"})
    run = open_run(folder)
    with pytest.raises(EvaluationError, match="there are no `other` items"):
        run.items("other")  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="there is no path of `z`"):
        plan_shapley(run, models=["a", "z"])
    (folder / "result.json").write_text("[]")
    run = open_run(folder)
    assert run.missing["result"].startswith("`result.json` cannot be read")
    assert run.missing["result"].endswith("; the search writes it again if it is run once more")
    with pytest.raises(StudyError, match=r"`result\.json` cannot be read"):
        run.evaluations()


def test_too_many_players_are_refused(tmp_path: Path) -> None:
    _, folder = searched(tmp_path)
    run = open_run(folder)
    many = Pool({f"m{n}": f"path/{n}" for n in range(13)}, ("m0",))
    run = dataclasses.replace(run, known_pool=many)
    with pytest.raises(EvaluationError, match="13 players make too many soups"):
        plan_shapley(run, models=many.names)


# ---- the folder


def test_the_names_of_a_runs_files_are_spelled_once() -> None:
    names = {SCORES, SELECTION, LOG, DEMO, STUDY, TRIALS, OLD_TRIALS, RESULT}
    package = Path(soce.__file__).parent
    spelled = {
        (str(path.relative_to(package)), node.value)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert spelled == {("search/folder.py", name) for name in names}
