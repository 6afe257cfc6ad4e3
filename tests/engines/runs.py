"""`soce run` on a serving engine: an experiment of two tiny models, and what must hold of its run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.engines.tasks import write_every_kind

from soce.cli.run import run
from soce.evaluate.served.model import ServedModel

SCORES = "model,choice,exact,stops\na,9,4,2\nb,2,8,3\nx,4,4,5\n"
EXPERIMENT = """\
scores: scores.csv
models: {a: %s, b: %s}
select: {rule: explicit, categories: [choice, exact], step: 1/2}
evaluate: {tasks: tasks.jsonl, max-length: 100, max-new-tokens: 8, %s}
report_on: {tasks: other.jsonl}
output: run
"""


def write_experiment(paths: Sequence[str], engine: str) -> None:
    """Write an experiment into the current folder; `engine` are more keys of `evaluate`."""
    Path("scores.csv").write_text(SCORES)
    every = map(json.loads, write_every_kind(Path("every.jsonl"), chat=False).read_text().splitlines())
    kept = [line for line in every if line["category"] in {"choice", "exact", "stops"}]
    for name, letter in (("tasks.jsonl", "a"), ("other.jsonl", "b")):
        lines = [{**line, "prompt": letter + line["prompt"]} for line in kept]
        Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("soce.yaml").write_text(EXPERIMENT % (*paths, engine))


def soce_run(*arguments: str) -> Result:
    """Return the result of `soce run` in the current folder."""
    return CliRunner().invoke(run, arguments, prog_name="soce run")


def children() -> set[str]:
    """Return the processes that this one started and that are still there."""
    return {
        child for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()
    }


def expect_run(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the experiment; assert that it starts its engine once and ends it, and files scores under it."""
    started: list[ServedModel] = []
    start = ServedModel.start

    def noted(*given: Any) -> ServedModel:
        started.append(start(*given))
        return started[-1]

    monkeypatch.setattr(ServedModel, "start", noted)
    before = children()
    planned = json.loads(soce_run("--dry-run", "--json").stdout)
    assert planned["engine"].startswith(f"{engine} ")
    assert planned["missing"] > 0
    assert started == []
    found = soce_run()
    assert found.exit_code == 0, found.stderr
    assert f"starting {engine} on" in found.stderr
    assert len(started) == 1
    assert children() == before
    assert not Path(str(started[0].socket)).exists()
    identity = json.dumps(json.loads(Path("run", "search", "study.json").read_text())["identity"])
    assert identity.count(f'"engine": "{engine}"') == 2
    assert started[0].token not in identity
    told = soce_run("--dry-run").stdout
    assert f"engine      {engine}" in told
    assert ": all is known" in told
