"""`soce study` as a user meets it: what it says before it scores, what it prints, how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory
from tests.report_runs import Kitchen, make_run

from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.report import report
from soce.cli.study import study
from soce.search.open import open_run
from soce.store.file import StoreFile

MODELS = ("ash", "birch", "cedar", "elm")
FIXED = ("--points", "3")

PROGRAM = """
import json, pathlib, struct, sys, time

checkpoint, output = map(pathlib.Path, sys.argv[1:3])
text = (checkpoint / "model.safetensors").read_bytes()
length = struct.unpack("<Q", text[:8])[0]
start, end = json.loads(text[8 : 8 + length])["w"]["data_offsets"]
(value,) = struct.unpack("<f", text[8 + length + start : 8 + length + start + 4])
log = pathlib.Path("calls.txt")
with log.open("a") as file:
    print(value, file=file)
time.sleep(float(sys.argv[3]))
scores = {"math": value, "code": 4 - (value - 1) ** 2, "chat": 2 + value / 2}
(output / "scores.csv").write_text("model,math,code,chat\\nm," + ",".join(map(str, scores.values())) + "\\n")
"""


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(study, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


def said(result: Result) -> str:
    return " ".join(result.stderr.split())


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Kitchen]:
    """Return a finished run of two experts among four candidates, and what scores it."""
    pytest.importorskip("optuna")
    kitchen = Kitchen(MODELS, 2)

    @contextmanager
    def opened(*_: object, **__: object):
        yield kitchen, None

    monkeypatch.setattr(NamedEvaluators, "opened", opened)
    make_run(tmp_path / "run", MODELS, 2, publishes=False)
    return tmp_path / "run", kitchen


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with four checkpoints and a program that scores them."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(MODELS):
        directory(tmp_path / name, float(place), 2.0)
    (tmp_path / "models.yaml").write_text("".join(f"{name}: {name}\n" for name in MODELS))
    (tmp_path / "score.py").write_text(PROGRAM)
    return tmp_path


def command(seconds: float = 0) -> list[str]:
    words = f"{sys.executable} score.py {{checkpoint}} {{output}} {seconds}"
    return ["--evaluator-command", words, "--evaluator-scores", "{output}/scores.csv"]


def test_a_run_is_studied_with_its_own_scores(searched: tuple[Path, Kitchen]) -> None:
    folder, kitchen = searched
    before = run(folder, *FIXED, "--no-evaluate")
    assert before.exit_code == 0
    assert "18 models and soups of 4 candidates: 4 single models, 6 pairs, 4 triplets, 1 larger set" in said(
        before
    )
    assert not (folder / "search" / "population.json").exists()
    assert "missing" in before.stdout
    found = run(folder, *FIXED, "-e", "tasks.jsonl")
    assert found.exit_code == 0, found.stderr
    calls = kitchen.calls
    assert calls == 18 - int(said(found).partition(" of them are known")[0].split()[-1])
    for words in (
        "Figure 2",
        "Figure 5",
        "Figure 6",
        "share parents",
        "selected candidates against the others",
        "experts may have been chosen on these items",
    ):
        assert words in " ".join(found.stdout.split())
    assert "missing" not in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 80
    again = run(folder, *FIXED, "-e", "tasks.jsonl")
    assert again.stdout == found.stdout
    assert kitchen.calls == calls


def test_json_holds_every_member_and_every_analysis(searched: tuple[Path, Kitchen]) -> None:
    folder, _ = searched
    found = json.loads(run(folder, *FIXED, "-e", "tasks.jsonl", "--clusters", "2", "--json", "-q").stdout)
    members = found["population"]["members"]
    assert len(members) == 18
    assert all(member["scores"] for member in members)
    assert found["missing"] == {}
    assert len(found["parents"]["families"]) == 10
    assert {name: len(one["values"]) for name, one in found["shapley"].items()} == {
        "singles": 4,
        "pairs": 6,
        "triplets": 4,
    }
    assert found["selected"]["interval"]["low"] < found["selected"]["difference"]
    assert sum(found["item_categories"]["categories"].values()) > 0


def test_what_the_budget_leaves_out_is_said_before_anything_is_scored(searched: tuple[Path, Kitchen]) -> None:
    folder, kitchen = searched
    found = run(folder, "--budget", "10", "-e", "tasks.jsonl")
    text = said(found)
    assert "leaves out 1 pair, 4 triplets and 20 random points, drawn by seed 0" in text
    assert "`--budget 35` has room for all" in text
    assert text.index("leaves out") < text.index("next:")
    assert "missing" in found.stdout
    assert kitchen.calls <= 10


def test_shapley_values_and_parents_reach_the_report(searched: tuple[Path, Kitchen], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder, _ = searched

    def sections() -> dict[str, dict]:
        CliRunner().invoke(report, [str(folder), "--no-evaluate", "-o", str(tmp_path / "report.json"), "-q"])
        made = json.loads((tmp_path / "report.json").read_text())["sections"]
        return {one["anchor"]: one for one in made}

    before = sections()
    assert "weightings of one set" not in json.dumps(before["consistency"])
    assert "are scored by `soce study`" in json.dumps(before["consistency"])
    assert before["parents"]["data"]["n_families"] == 3
    run(folder, *FIXED, "-e", "tasks.jsonl")
    after = sections()
    assert "population of `soce study`: 18 of 18" in json.dumps(after["consistency"])
    assert list(after["shapley"]["data"]["singles"]["values"]) == list(MODELS)
    assert after["shapley"]["data"]["selected"]["others"] == ["cedar", "elm"]
    assert after["parents"]["data"]["n_families"] == 10


def test_a_new_study_needs_candidates_and_one_evaluator(here: Path) -> None:
    for arguments, words in (
        ([], "name candidates with `--models`"),
        (["--models", "models.yaml"], "give either `--evaluator`"),
        (["--models", "models.yaml", *command(), "--held-out", "more.jsonl"], "give one evaluator"),
        (["-c", "ash", "-c", "birch"], "is not NAME=PATH"),
    ):
        result = run("new", *arguments)
        assert result.exit_code == 2
        assert words in said(result)
        assert not (here / "new").exists()


def test_a_file_is_no_run(here: Path) -> None:
    result = run("score.py", "--models", "models.yaml", *command())
    assert result.exit_code == 1
    assert "this is a file, not the directory of a run" in said(result)


def test_a_new_study_scores_candidates_of_its_own(here: Path) -> None:
    found = run("new", "--models", "models.yaml", *command(), "--points", "0")
    assert found.exit_code == 0, found.stderr
    assert len((here / "calls.txt").read_text().split()) == 15
    assert "0 of them are known" in said(found)
    assert "nothing was selected" in " ".join(found.stdout.split())
    assert "coalitions, the empty one worth 0" in found.stdout
    opened = open_run("new")
    assert opened.kind == "study"
    values = {name: opened.value(opened.pool.recipe({name: 1})) for name in MODELS}
    assert values["birch"] == pytest.approx((1 + 4 + 2.5) / 3)
    again = run("new", "--models", "models.yaml", "--points", "0", *command())
    assert again.stdout == found.stdout
    assert "the evaluator that is named was not asked" in said(again)
    assert len((here / "calls.txt").read_text().split()) == 15
    alone = run("new", "--points", "0", "--no-evaluate")
    assert alone.stdout == found.stdout
    clustered = run("new", "--points", "0", "--no-evaluate", "--clusters", "2")
    assert "missing categories of items: the scores of `ash` do not tell items apart" in " ".join(
        clustered.stdout.replace("missing   ", "missing").split()
    )
    assert run("new", "--objective", "mean").exit_code == 2


def test_an_objective_that_cannot_be_computed_costs_one_score_and_leaves_no_study(here: Path) -> None:
    asked = ("new", "--models", "models.yaml", *command(), "--points", "0")
    unknown = run(*asked, "--objective", "nonsense")
    assert unknown.exit_code == 1
    assert "is not an objective" in said(unknown)
    assert not (here / "new").exists()
    lacking = run(*asked, "--objective", "column:nix")
    assert lacking.exit_code == 1
    assert "there is no column `nix`" in said(lacking)
    assert len((here / "calls.txt").read_text().split()) == 1
    mended = run(*asked, "--objective", "column:code")
    assert mended.exit_code == 0, mended.stderr
    assert len((here / "calls.txt").read_text().split()) == 15
    assert "Shapley values of candidates" in mended.stdout


def test_a_report_of_a_study_says_that_nothing_was_searched(here: Path) -> None:
    pytest.importorskip("matplotlib")
    run("new", "--models", "models.yaml", *command(), "--points", "0", "-q")
    result = CliRunner().invoke(report, ["new", "-o", "-", "--format", "markdown"])
    assert result.exit_code == 0, result.output
    assert "A study of ash, birch, cedar and elm" in result.stdout
    assert "Unfinished" not in result.stdout
    assert "Shapley value of each candidate" in result.stdout
    assert "Soups beside their parents" in result.stdout


def test_a_study_that_was_stopped_goes_on(here: Path) -> None:
    # A shell without job control starts what runs in the background with SIGINT ignored, and Python leaves it so.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from soce.cli import main; main()"
    words = [
        sys.executable,
        "-c",
        code,
        "study",
        "new",
        "--models",
        "models.yaml",
        "--points",
        "0",
        *command(0.3),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ})
    end = time.monotonic() + 60
    while not (here / "calls.txt").exists() or len((here / "calls.txt").read_text().split()) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing that was scored is lost" in " ".join(stderr.split())
    known = StoreFile(here / "new").size().n_evaluations
    assert 2 <= known < 15
    found = run("new", "--models", "models.yaml", *command(0.3), "--points", "0")
    assert found.exit_code == 0
    assert f"{known} of them are known" in said(found)
    assert StoreFile(here / "new").size().n_evaluations == 15
