"""README's tour, command by command, with its one edit: from checkpoints and a table to a published soup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.doc_blocks import blocks, kitchen, run_command, stock

from soce.search.open import open_run

pytest.importorskip("torch")
pytest.importorskip("optuna")


def test_from_checkpoints_and_a_table_to_a_published_soup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    readme = [block for block in blocks() if block.page == "README.md"]
    place = next(i for i, block in enumerate(readme) if block.first.startswith("soce init"))
    begin, edit, go_on = readme[place : place + 3]
    assert [begin.language, edit.language, go_on.language] == ["console", "diff", "console"]
    kitchen(here, stock(tmp_path), begin)
    tasks = Path("tasks.jsonl").rename("later.jsonl")  # which the edit names, and `soce init` would find

    for line, _ in begin.commands:
        run_command(line)
    text = Path("soce.yaml").read_text()
    assert "EDIT" in text
    before, after = edit.text.splitlines()
    assert before.startswith("-")
    assert after.startswith("+")
    assert text.count(before[1:]) == 1
    Path("soce.yaml").write_text(text.replace(before[1:], after[1:]))
    tasks.rename("tasks.jsonl")

    dry_run, run, *others = [line for line, _ in go_on.commands]
    there = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    told = json.loads(run_command(f"{dry_run.split('#')[0]} --json"))
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == there
    run_command(run)
    n_evaluated = open_run(here / "run").n_evaluations
    assert told["missing"] <= n_evaluated <= told["missing"] + told["more_soups"]
    for line in others:
        run_command(line)
    assert (here / "run" / "soup" / "model.safetensors").is_file()
    assert (here / "run" / "soup" / "README.md").is_file()

    again = json.loads(run_command(f"{dry_run.split('#')[0]} --json"))
    assert (again["missing"], again["missing_items"], again["more_soups"]) == (0, 0, 0)
    assert run_command(dry_run).splitlines()[-1].startswith("time")
