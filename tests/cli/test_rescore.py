"""The command `soce rescore`: kept answers by another scorer, and a search by it that asks no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.landscapes import search_with
from tests.report_runs import Kitchen, make_run
from tests.speakers import Speaker, Teller, Together, write_tasks
from tests.tiny_models import save_models

from soce.cli.rescore import rescore
from soce.evaluate.tasks.items import read_tasks
from soce.search.open import open_run
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.selection.file import read_selection
from soce.selection.weights import WeightGrid
from soce.store.database import STORE

pytest.importorskip("optuna")

MODELS = ("ash", "birch", "cedar", "elm")
CATEGORIES = ("algebra", "coding", "dialogue")


@pytest.fixture
def told(tmp_path: Path) -> tuple[Path, Path]:
    """Return a run whose models wrap half of their right answers in a sentence, and its tasks."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", CATEGORIES)
    kitchen = Teller(MODELS, 3, tasks, categories=CATEGORIES)
    make_run(tmp_path / "run", MODELS, kitchen=kitchen, publishes=False, step="0.25")
    return tmp_path / "run", tasks


def soce_rescore(*words: object) -> Result:
    return CliRunner().invoke(rescore, [str(word) for word in words], prog_name="soce rescore")


def data(*words: object) -> dict[str, Any]:
    result = soce_rescore(*words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_scores_before_and_after_are_those_of_the_two_scorers(told: tuple[Path, Path]) -> None:
    run, tasks = told
    before = open_run(run).evaluations()
    (found,) = data(run, "--tasks", tasks, "--scorer", "number").values()
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert arms.keys() == before.keys()
    for label, arm in arms.items():
        known = before[label]
        assert arm["before"] == {name: one.score for name, one in known.categories.items()}
        for category, answers in known.answers.items():
            right = [
                answer.choice == 0
                if answer.choice is not None
                else str(answer.text).strip(" .").endswith(f" {2 * int(item.split('-')[1])}")
                or answer.text == f" {2 * int(item.split('-')[1])}"
                for item, answer in answers.items()
            ]
            assert arm["after"][category] == pytest.approx(sum(right) / len(right), abs=1e-12)
        changed = {(one["category"], one["item"]) for one in arm["changed"]}
        assert changed == {
            (category, item)
            for category, answers in known.answers.items()
            for item, answer in answers.items()
            if "The answer is" in str(answer.text)
        }
        assert all((one["before"], one["after"]) == (0, 1) for one in arm["changed"])
    assert found["n_without"] == 0


def test_a_search_by_the_other_scorer_asks_no_model(told: tuple[Path, Path], tmp_path: Path) -> None:
    run, tasks = told
    other = tmp_path / "number.jsonl"
    result = soce_rescore(run, "--tasks", tasks, "--scorer", "number", "--output", other)
    assert result.exit_code == 0, result.stderr
    assert f"wrote `{other}`" in result.stderr
    by_number = Teller(MODELS, 3, other, categories=CATEGORIES)
    selection, paths = read_selection(run / "selection.yaml"), open_run(run).pool.paths
    (tmp_path / "again").mkdir()
    shutil.copy(run / "search" / STORE, tmp_path / "again" / STORE)
    found = search_with(selection, by_number, folder=tmp_path / "again", candidates=paths, draws=500)
    assert (by_number.calls, by_number.n_items, found.n_evaluated) == (0, 0, 0)
    fresh = Teller(MODELS, 3, other, categories=CATEGORIES)
    anew = search_with(selection, fresh, folder=tmp_path / "fresh", candidates=paths, draws=500)
    assert anew.to_json() == found.to_json()
    assert fresh.calls > 0


def test_tasks_that_stand_beside_others_are_rescored_with_all_of_them(tmp_path: Path) -> None:
    """Two files of tasks, and an evaluator that has none: `tasks`, `more-tasks` and BFCL, say."""
    files = [write_tasks(tmp_path / f"{name}.jsonl", [name]) for name in CATEGORIES]
    tellers = [Teller(MODELS, 3, file, categories=CATEGORIES) for file in files]
    named = [word for file in files for word in ("--tasks", file)]
    make_run(tmp_path / "run", MODELS, kitchen=Together(*tellers), publishes=False, step="0.25")
    run, other = tmp_path / "run", tmp_path / "number.jsonl"
    missing = soce_rescore(run, *named[:2], "--scorer", "number")
    assert (missing.exit_code, "not known which tasks file" in missing.stderr) == (1, True)
    (found,) = data(run, *named, "--scorer", "number").values()
    assert {*found["arms"][0]["after"]} == {*CATEGORIES}
    assert soce_rescore(run, *named, "--scorer", "number", "--output", other).exit_code == 0
    by_number = Teller(MODELS, 3, other, categories=CATEGORIES)
    selection, paths = read_selection(run / "selection.yaml"), open_run(run).pool.paths
    search_with(selection, by_number, folder=run / "search", candidates=paths, draws=500)
    assert by_number.calls == 0


def test_the_objective_has_the_scores_of_evaluators_without_tasks(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", CATEGORIES[1:])
    other = Kitchen(MODELS, 3, categories=CATEGORIES)
    other.items = {CATEGORIES[0]: other.items[CATEGORIES[0]]}
    both = Together(other, Teller(MODELS, 3, tasks, categories=CATEGORIES))
    make_run(tmp_path / "run", MODELS, kitchen=both, publishes=False, step="0.25")
    before = open_run(tmp_path / "run").evaluations()
    (found,) = data(tmp_path / "run", "--tasks", tasks, "--scorer", "number").values()
    for arm in found["arms"]:
        scores = {
            **{name: one.score for name, one in before[arm["label"]].categories.items()},
            **arm["after"],
        }
        assert arm["value_after"] == pytest.approx(sum(scores.values()) / 3, abs=1e-12)


def test_the_second_time_nothing_is_new(told: tuple[Path, Path]) -> None:
    run, tasks = told
    (first,) = data(run, "--tasks", tasks, "--scorer", "contains").values()
    (second,) = data(run, "--tasks", tasks, "--scorer", "contains").values()
    # Items with choices have no text: what they are worth is known already.
    assert 0 < first["n_filed"] < first["n_outcomes"]
    assert second == {**first, "n_filed": 0}


def test_the_old_scores_stay(told: tuple[Path, Path]) -> None:
    run, tasks = told
    before = {name: one.to_json() for name, one in open_run(run).evaluations().items()}
    data(run, "--tasks", tasks, "--scorer", "number")
    assert {name: one.to_json() for name, one in open_run(run).evaluations().items()} == before


def test_mended_tasks_take_the_answers_of_the_same_questions(told: tuple[Path, Path], tmp_path: Path) -> None:
    """Another right answer, another id, another category: the questions are the same; a new one has no answer."""
    run, tasks = told
    lines = [json.loads(line) for line in tasks.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "exact_match":
            line |= {"id": f"new-{line['id']}", "category": f"{line['category']}-mended"}
    lines[0]["answer"] = "The answer is 0."
    lines.append({"category": "algebra-mended", "kind": "exact_match", "prompt": "new?", "answer": "1"})
    mended = tmp_path / "mended.jsonl"
    mended.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = data(run, "--tasks", tasks, "--tasks", mended).values()
    assert found["n_without"] == 1
    best = found["arms"][-1]
    assert set(best["after"]) == {*CATEGORIES, *(f"{name}-mended" for name in CATEGORIES)}
    assert {one["item"] for one in best["changed"]} <= {"new-algebra-0"}


def test_longer_texts_are_other_texts(told: tuple[Path, Path], tmp_path: Path) -> None:
    run, tasks = told
    lines = [json.loads(line) for line in tasks.read_text().splitlines()]
    longer = [{**line, "max_new_tokens": 64} for line in lines if line["kind"] == "exact_match"]
    other = tmp_path / "longer.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in longer))
    result = soce_rescore(run, "--tasks", tasks, "--tasks", other)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no answer is kept that the other tasks could score" in result.stderr


def test_what_is_printed_fits(told: tuple[Path, Path]) -> None:
    run, tasks = told
    result = soce_rescore(run, "--tasks", tasks, "--scorer", "number", "--limit", "2")
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    blocks = result.stdout.split("\n\n")
    assert blocks[0].startswith("objective on the report items")
    assert blocks[1].startswith("categories of soce")
    assert "0 \u2192 1" in blocks[2]
    assert "more items that changed" in blocks[-1]
    assert "a search by these tasks asks no model for them" in " ".join(result.stderr.split())


@pytest.mark.parametrize("scorer", ["number", '{"name": "regex", "pattern": "is (\\\\w+)"}', "contains"])
def test_a_scorer_may_be_named_or_given_with_settings(told: tuple[Path, Path], scorer: str) -> None:
    run, tasks = told
    assert data(run, "--tasks", tasks, "--scorer", scorer)["report"]["n_filed"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either `--scorer`, or `--tasks`"),
        (["--scorer", "numbers"], "did you mean `number`?"),
        (["--scorer", '{"name": "regex"}'], "lacks its `pattern`"),
        (["--scorer", "{"], "`--scorer` is not JSON"),
        (["--scorer", "number", "--soup", "asch"], "no soup or model of the run is called `asch`"),
        (["--scorer", "choice"], "line 1: has no `choices`"),
        (["--output", "x.jsonl", "--tasks", "other.jsonl"], "`--output` needs `--scorer`"),
    ],
)
def test_what_cannot_be_is_refused(told: tuple[Path, Path], words: list[str], message: str) -> None:
    run, tasks = told
    result = soce_rescore(run, "--tasks", tasks, *words)
    assert result.exit_code in {1, 2}
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_run_whose_tasks_are_not_known_says_how_to_name_them(told: tuple[Path, Path]) -> None:
    result = soce_rescore(told[0], "--scorer", "number")
    assert result.exit_code == 1
    assert "it is not known which tasks file the run was scored on" in result.stderr
    assert "--tasks" in result.stderr


def test_a_run_without_answers_says_so(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", CATEGORIES)
    silent = Speaker(MODELS, 3, tasks, speaks=False, categories=CATEGORIES)
    make_run(tmp_path / "run", MODELS, kitchen=silent, publishes=False, step="0.25")
    result = soce_rescore(tmp_path / "run", "--tasks", tasks, "--scorer", "number")
    assert (result.exit_code, "no answer is kept" in result.stderr) == (1, True)
    make_run(tmp_path / "other", MODELS, kitchen=Kitchen(MODELS, 3), publishes=False, step="0.25")
    result = soce_rescore(tmp_path / "other", "--scorer", "number")
    assert "the run was not scored on a tasks file" in result.stderr


def test_the_written_tasks_have_the_ids_and_questions_of_the_old(
    told: tuple[Path, Path], tmp_path: Path
) -> None:
    run, tasks = told
    other = tmp_path / "other.jsonl"
    soce_rescore(run, "--tasks", tasks, "--scorer", "number", "--output", other)
    old, new = read_tasks(tasks), read_tasks(other)
    assert [one.key for one in new.items] == [one.key for one in old.items]
    assert new.item_contents() == old.item_contents()
    assert {one.kind for one in new.items} == {"generation", "multiple_choice"}


def test_real_models_are_asked_once_for_two_scorers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from soce.evaluate.tasks.evaluator import TaskEvaluator

    models = dict(zip("ab", save_models(tmp_path / "models"), strict=True))
    lines = [
        {"category": name, "kind": "exact_match", "prompt": f"{name} {i}:", "answer": "abcdefghij"[i]}
        for name in ("math", "code")
        for i in range(6)
    ]
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool = Pool(models, ("a", "b"), WeightGrid.of(2, step="1/4"))
    folder, other = tmp_path / "run", tmp_path / "other.jsonl"

    def search(path: Path, folder: Path) -> SearchResult:
        evaluator = TaskEvaluator([*models.values()], read_tasks(path), max_new_tokens=8)
        try:
            return search_with(pool, evaluator, folder=folder, draws=200)
        finally:
            evaluator.close()

    first = search(tasks, folder)
    assert first.n_evaluated > 0
    found = data(folder, "--tasks", tasks, "--scorer", "contains", "--output", other)["report"]
    assert found["n_without"] == 0
    (tmp_path / "again").mkdir()
    shutil.copy(folder / STORE, tmp_path / "again" / STORE)
    again, anew = search(other, tmp_path / "again"), search(other, tmp_path / "fresh")
    assert (again.n_evaluated, anew.n_evaluated > 0) == (0, True)
    assert again.to_json() == anew.to_json()
    assert found["arms"][-1]["after"] == dict(again.arm(found["arms"][-1]["label"]).report.categories)
