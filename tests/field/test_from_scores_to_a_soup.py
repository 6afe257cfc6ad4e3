"""The README's path, step by step: every candidate stays in sight, and each step names the next one."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cli.test_search import SELECT, Landscapes, make

from soce.cli.analyze import analyze
from soce.cli.merge import merge
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.run import run as run_command
from soce.cli.search import search
from soce.cli.select import select
from soce.cli.verify import verify
from soce.selection.file import read_selection

NAMED = [word for name in "abcd" for word in ("-c", f"{name}={name}")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    return tmp_path


@pytest.fixture
def landscapes(monkeypatch: pytest.MonkeyPatch) -> Landscapes:
    found = Landscapes()
    monkeypatch.setattr(NamedEvaluators, "opened", found.opened_for)
    return found


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)  # type: ignore[arg-type]


def steps(found: Result) -> list[list[str]]:
    """Return the words of the commands that come next."""
    assert found.exit_code == 0, found.stderr
    lines = found.stderr.splitlines()
    return [shlex.split(line.removeprefix("next: ")) for line in lines if line.startswith("next: ")]


def test_paths_of_candidates_that_are_no_experts_reach_the_search(here: Path, landscapes: Landscapes) -> None:
    landscapes.optimum = {"d": 1.0}  # the best ingredient is none of the experts, a and c
    chosen = run(select, "scores.csv", *NAMED, *SELECT, "-o", "selection.yaml")
    assert steps(chosen)[0][:3] == ["soce", "search", "selection.yaml"]
    kept = read_selection("selection.yaml")
    assert {name: Path(path).name for name, path in kept.checkpoints.items()} == {"b": "b", "d": "d"}
    found = run(search, "selection.yaml", "-e", "x.jsonl", "-o", "run", "--json")
    result = json.loads(found.stdout)
    assert [arm["label"] for arm in result["arms"] if arm["arm"] == "single"] == [*"abcd"]
    assert result["best_single"] == {"on_selection": "d", "on_report": "d"}
    assert not result["beats_best_single"]
    assert result["notes"] == ["8 sign-flip tests were made: p is not corrected"]


def test_paths_may_come_when_the_search_begins(here: Path, landscapes: Landscapes) -> None:
    names = [word for name in "abcd" for word in ("-c", name)]
    chosen = run(select, "scores.csv", *names, *SELECT, "-o", "selection.yaml")
    assert "c=PATH" in steps(chosen)[0]
    for name in "abcd":
        (here / name).rename(here / f"at-{name}")
    refused = run(search, "selection.yaml", "-e", "x.jsonl", "-o", "run")
    assert refused.exit_code == 1
    assert "`--candidate c=PATH`" in refused.stderr
    assert landscapes.opened == []
    paths = [word for name in "abcd" for word in ("-c", f"{name}=at-{name}")]
    assert run(search, "selection.yaml", "-e", "x.jsonl", "-o", "run", *paths).exit_code == 0


def test_every_step_names_the_next_one(here: Path, landscapes: Landscapes) -> None:
    (swept,) = steps(run(analyze, "scores.csv", "--clusters", "2", "-c", "a", "-c", "b"))
    assert swept == ["soce", "select", "scores.csv", "-c", "a", "-c", "b", "--sweep"]
    (chosen,) = steps(run(select, *swept[2:]))
    assert chosen[:6] == ["soce", "select", "scores.csv", "-c", "a", "-c"]
    assert steps(run(select, *chosen[2:]))[0][:2] == ["soce", "search"]
    assert run(select, "scores.csv", *NAMED, *SELECT, "-o", "s.yaml").exit_code == 0
    merged, reported = steps(run(search, "s.yaml", "-e", "x.jsonl", "-o", "run", "--dtype", "bf16"))
    assert reported == ["soce", "report", "run", "--selection", "s.yaml"]
    assert merged == ["soce-merge", "c=4", "a=6", "--output", "soup", "--dtype", "BF16"]
    assert run(merge, *merged[1:]).exit_code == 0
    (again,) = steps(run(verify, "soup"))
    assert again == ["soce", "verify", "soup", "--recompute"]
    assert steps(run(verify, *again[2:])) == []


def test_names_of_any_length_leave_numbers_whole_in_80_columns(here: Path, landscapes: Landscapes) -> None:
    long = {name: f"my-organisation/mistral-7b-instruct-sft-{name}-epoch-3-merged" for name in "abcd"}
    text = (here / "scores.csv").read_text()
    for name, other in long.items():
        text = text.replace(f"\n{name},", f"\n{other},")
    (here / "scores.csv").write_text(text)
    landscapes.optimum = {long["a"]: 0.6, long["c"]: 0.4}
    named = [word for name, other in long.items() for word in ("-c", f"{other}={name}")]
    found = run(run_command, "scores.csv", *named, *SELECT, "-e", "x.jsonl", "-o", "all")
    assert found.exit_code == 0, found.stderr
    assert max(map(len, found.stdout.splitlines())) <= 80
    assert " 95 % interval [" in " ".join(found.stdout.rpartition("\n\n")[2].split())


MISTAKES = {
    "evaluator": (["-e", "gone.jsonl"], "gone.jsonl"),
    "bad tasks": (["-e", "bad.jsonl"], "line 1"),
    "held-out": (["-e", "good.jsonl", "--held-out", "gone.jsonl"], "gone.jsonl"),
    "categories": (
        ["-e", "good.jsonl", "--held-out", "other.jsonl"],
        "only the held-out tasks have the category `code`",
    ),
    "module": (["-e", "no_such_module:evaluate"], "no module `no_such_module`"),
    "function": (["-e", "json:evaluates"], "has no `evaluates`"),
    "program": (["--evaluator-command", "no-such-program {checkpoint}"], "no-such-program"),
    "scratch": (
        ["--evaluator-command", f"{sys.executable} {{checkpoint}}", "--set", "evaluate.scratch=gone"],
        "there is no such directory",
    ),
    "format": (
        ["--evaluator-command", f"{sys.executable} {{checkpoint}}", "--set", "evaluate.format=paper"],
        "paper",
    ),
    "model": (["-e", "good.jsonl", "-c", "a=gone", "-c", "b=b"], "`gone`"),
    "output": (["-e", "good.jsonl", "-o", "scores.csv"], "scores.csv"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_before_a_model_is_loaded_and_anything_is_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    from soce.evaluate.live import opening

    def load(*_: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(opening, "live_model", load)
    (here / "good.jsonl").write_text(
        '{"category": "math", "kind": "teacher_forced", "prompt": "a", "answer": "b"}\n'
    )
    (here / "other.jsonl").write_text((here / "good.jsonl").read_text().replace("math", "code"))
    (here / "bad.jsonl").write_text("{}\n")
    before = sorted(here.rglob("*"))
    arguments, words = MISTAKES[mistake]
    paths = [] if mistake == "model" else ["--models", "models.yaml"]
    found = run(run_command, "scores.csv", *paths, *SELECT, "-o", "all", *arguments)
    assert found.exit_code in {1, 2}
    assert words in found.stderr
    assert sorted(here.rglob("*")) == before
