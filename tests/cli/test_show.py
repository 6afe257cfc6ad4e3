"""The command `soce show`: what soups said to the items, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.doc_blocks import blocks, run_command
from tests.report_runs import Kitchen, make_run
from tests.speakers import Speaker, Teller, Together, write_tasks

from soce.cli.report import report
from soce.cli.show import show
from soce.evaluate.tasks.items import read_tasks
from soce.search.open import open_run
from soce.search.result import SearchResult

pytest.importorskip("optuna")

MODELS = ("ash", "birch", "cedar", "elm")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, SearchResult]:
    """Return a run of models that speak, its tasks, and its result."""
    folder = tmp_path_factory.mktemp("spoken")
    tasks = write_tasks(folder / "tasks.jsonl")
    result = make_run(folder / "run", MODELS, kitchen=Speaker(MODELS, 3, tasks))
    assert result is not None
    return folder / "run", tasks, result


def name_tasks(run: Path, tasks: Path) -> None:
    """Let the published soup say that its command named these tasks."""
    manifest = run / "soup" / "soce.json"
    content = json.loads(manifest.read_text())
    content.setdefault("run", {})["command"] = ["soce", "run", "scores.csv", f"--evaluator={tasks}"]
    manifest.write_text(json.dumps(content))


def soce_show(*words: object) -> Result:
    return CliRunner().invoke(show, [str(word) for word in words], prog_name="soce show")


def data(*words: object) -> dict[str, Any]:
    result = soce_show(*words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_the_best_soup_stands_beside_its_best_ingredient(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, tasks, result = spoken
    found = data(run, "--tasks", tasks)
    parents = {name: result.arm(name).report.value for name, part in result.best.parts.items() if part}
    assert (found["soup"], found["against"]) == ("soce", [max(parents, key=parents.__getitem__)])
    assert found["n_items"] == len(found["items"]) == 180  # half of the items are held out
    one = found["items"][0]
    assert one["text"]["prompt"].startswith(f"{one['category']}: what is ")
    for said in (said for one in found["items"] for said in one["said"] if said["answer"]["choice"] is None):
        assert (said["answer"]["text"].strip() == said["answer"]["text"][1:]) == (said["outcome"] == 1)


def test_texts_of_more_tasks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("algebra", "coding", "dialogue")
    files = [write_tasks(tmp_path / f"{name}.jsonl", [name]) for name in names]
    both = Together(*(Speaker(MODELS, 3, file, categories=names) for file in files))
    make_run(tmp_path / "run", MODELS, kitchen=both, publishes=False, step="0.25")
    evaluate = "{tasks: algebra.jsonl, more-tasks: [coding.jsonl, dialogue.jsonl]}"
    (tmp_path / "soce.yaml").write_text(f"evaluate: {evaluate}\noutput: run\n")
    monkeypatch.chdir(tmp_path)
    items = data()["items"]
    assert {one["category"] for one in items} == {*names}
    assert all(one["text"] for one in items)
    made = CliRunner().invoke(report, ["--output", "report.md", "--no-evaluate"])
    assert made.exit_code == 0, made.output
    page = Path("report.md").read_text()
    assert all(f"{name}: what is" in page for name in names)
    digests = ", ".join(read_tasks(file).digest for file in files)
    assert f"Tasks to choose on: **`{digests}`**" in page


def test_items_that_were_failed_won_and_lost(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, tasks, _ = spoken
    every = data(run, "--tasks", tasks)["items"]

    def names(which: str) -> list[str]:
        return [one["item"] for one in data(run, "--tasks", tasks, which)["items"]]

    outcomes = {one["item"]: tuple(said["outcome"] for said in one["said"]) for one in every}
    assert names("--failed") == [item for item, (soup, _) in outcomes.items() if soup == 0]
    assert names("--won") == [item for item, found in outcomes.items() if found == (1, 0)] != []
    assert names("--lost") == [item for item, found in outcomes.items() if found == (0, 1)]
    cut = [one["item"] for one in every if any(said["answer"]["ending"] == "length" for said in one["said"])]
    assert names("--cut") == cut != []


def test_soups_are_named_by_arm_model_and_weights(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, _, result = spoken
    assert data(run, "--soup", "uniform-all", "--against", "elm", "--against", "best")["against"] == [
        "elm",
        "soce",
    ]
    alone = data(run, "--soup", "ash")
    assert (alone["soup"], alone["against"]) == ("ash", [])
    whole = sum(result.best.parts.values())
    weights = " + ".join(f"{part}/{whole} {name}" for name, part in result.best.parts.items() if part)
    named, best = data(run, "--soup", weights, "--against", "ash"), data(run, "--against", "ash")
    assert [one["said"][0]["answer"] for one in named["items"]] == [
        one["said"][0]["answer"] for one in best["items"]
    ]


def test_what_is_printed_fits_and_is_harmless(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, tasks, _ = spoken
    result = soce_show(run, "--category", "coding", "--tasks", tasks, "--failed", "--limit", "3")
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout
    blocks = result.stdout.split("\n\n")
    assert len(blocks) == 3
    assert all(block.startswith("coding/") and "\u2717" in block and "wanted" in block for block in blocks)
    assert "information: 3 of " in result.stderr
    assert "prints all" in result.stderr


def test_long_texts_are_folded_unless_all_is_wanted(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, tasks, _ = spoken
    folded = soce_show(run, "--cut", "--limit", "1", "--tasks", tasks).stdout
    whole = soce_show(run, "--cut", "--limit", "1", "--tasks", tasks, "--full").stdout
    assert "(cut at its length)" in folded
    assert " ... " in " ".join(folded.split())
    assert len(whole) > 2 * len(folded)


def test_without_the_tasks_there_are_digests(spoken: tuple[Path, Path, SearchResult], tmp_path: Path) -> None:
    run, _, _ = spoken
    result = soce_show(run, "--limit", "1")
    digest = data(run, "--limit", "1")["items"][0]["prompt_digest"]
    assert f"of digest {digest}" in result.stdout
    other = write_tasks(tmp_path / "other.jsonl", n_items=59)
    assert "are not those that were scored" in soce_show(run, "--tasks", other, "--limit", "1").stderr


def test_a_choice_is_shown_by_its_words(spoken: tuple[Path, Path, SearchResult]) -> None:
    run, tasks, _ = spoken
    found = data(run, "--tasks", tasks)["items"]
    item = next(one for one in found if one["said"][0]["answer"]["choice"] is not None)
    printed = soce_show(run, "--category", item["category"], "--tasks", tasks, "--limit", "60").stdout
    block = next(
        block for block in printed.split("\n\n") if block.startswith(f"{item['category']}/{item['item']}\n")
    )
    assert block.rstrip().endswith(item["text"]["choices"][item["said"][1]["answer"]["choice"]])


def test_an_evaluator_that_keeps_no_answers_is_said_in_one_line(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    make_run(tmp_path / "run", MODELS, kitchen=Speaker(MODELS, 3, tasks, speaks=False), publishes=False)
    result = soce_show(tmp_path / "run", "--limit", "1", "--tasks", tasks)
    assert result.exit_code == 0
    assert "(no answer is kept)" in result.stdout
    assert "the evaluator hands none over" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--soup", "asch"], "no soup or model of the run is called `asch`"),
        (["--soup", "asch"], "weights are written as in `1/2 a + 1/2 b`; did you mean `ash`"),
        (["--soup", "1/2 ash + 1/2 oak"], "no soup or model of the run is called"),
        (["--soup", "0 ash"], "no soup or model of the run is called"),
        (["--soup", "1/7 ash + 6/7 birch"], "was not scored on the report items"),
        (["--category", "algebras"], "there is no category `algebras`"),
    ],
)
def test_what_is_not_there_is_refused(
    spoken: tuple[Path, Path, SearchResult], words: list[str], message: str
) -> None:
    result = soce_show(spoken[0], *words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert result.stdout == ""


def test_an_unfinished_run_has_no_best_soup(tmp_path: Path) -> None:
    make_run(tmp_path / "run", MODELS)
    (tmp_path / "run" / "search" / "result.json").unlink()
    assert "there is no best soup" in soce_show(tmp_path / "run").stderr


def test_scores_that_tell_no_items_apart_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "run", MODELS, kitchen=Kitchen(MODELS, 3, has_items=False))
    result = soce_show(tmp_path / "run")
    assert (result.exit_code, "do not tell items apart" in result.stderr) == (1, True)


def test_a_tasks_file_that_the_command_named_is_found(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    make_run(tmp_path / "run", MODELS, kitchen=Speaker(MODELS, 3, tasks))
    name_tasks(tmp_path / "run", tasks)
    assert open_run(tmp_path / "run").manifest is not None
    assert data(tmp_path / "run", "--limit", "1")["items"][0]["text"]["wanted"].isdigit()


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, categories = ("math", "lang", "code"), ("math", "chat", "code")
    tasks = write_tasks(tmp_path / "tasks.jsonl", categories)
    make_run(tmp_path / "run", models, 2, kitchen=Teller(models, 2, tasks, categories=categories))
    name_tasks(tmp_path / "run", tasks)
    lines = [json.loads(line) for line in tasks.read_text().splitlines()]
    mended = [
        {**line, "answer": f"The answer is {line['answer']}."} for line in lines if "choices" not in line
    ]
    (tmp_path / "tasks-mended.jsonl").write_text("".join(json.dumps(line) + "\n" for line in mended))
    monkeypatch.chdir(tmp_path)
    for block in blocks():
        if block.page != "docs/answers.md":
            continue
        if block.language == "console":
            for line, _ in block.commands:
                printed = run_command(line)
                heads = ("math/", "chat/", "code/", "{", "objective on", "categories of")
                assert printed.startswith(heads) or "--lost" in line
        if block.language == "python":
            found: dict[str, Any] = {}
            exec(compile(block.text, str(block), "exec", dont_inherit=True), found)
            assert found["sample"].n_won == len([one for one in found["items"] if one.matches("won")]) > 0
            assert len(found["failed"]) > 0


def test_in_an_experiment_the_run_and_its_tasks_are_known(
    spoken: tuple[Path, Path, SearchResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tasks, _ = spoken
    (tmp_path / "soce.yaml").write_text(f"evaluate: {{tasks: {tasks}}}\noutput: {run}\n")
    monkeypatch.chdir(tmp_path)
    result = soce_show("--limit", "1")
    assert result.exit_code == 0, result.stderr
    assert ": what is " in result.stdout
