"""Models whose weights fit and whose origins do not: told wherever ingredients meet, and never a reason to refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import checkpoint, directory, f32
from tests.cli.test_search import Landscapes, make

import soce
from soce.cli.doctor import doctor
from soce.cli.merge import merge as command
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.run import run

QUICK = soce.MergeOptions(sync=False)


def family(home: Path) -> list[str]:
    """Write a base, its chat model, and an uncensored one under another licence, as people keep them."""
    heads = {
        "Llama-3.1-8B": "license: llama3.1\nextra_gated_prompt: >-\n  ### LLAMA 3.1\n  license: yes",
        "Llama-3.1-8B-Instruct": "license: llama3.1\nbase_model: meta-llama/Meta-Llama-3.1-8B",
        "dolphin-2.9-llama3-8b": "license: other\nlicense_name: llama3\ntags:\n- generated_from_trainer\n- uncensored",
    }
    paths = [directory(home / name, 1.0 + place / 8, 2.0) for place, name in enumerate(heads)]
    for path, head in zip(paths, heads.values(), strict=True):
        (path / "README.md").write_text(f"---\n{head}\n---\n# {path.name}\n")
    return list(map(str, paths))


def kinds(warnings: list[str] | tuple[str, ...]) -> list[str]:
    words = {"stages": "stages of training", "unaligned": "unaligned models", "licences": "licences differ"}
    return [next(kind for kind, word in words.items() if word in warning) for warning in warnings]


def test_plan_merge_and_doctor_say_the_same(tmp_path: Path) -> None:
    paths = family(tmp_path)
    planned = soce.plan(paths, output=tmp_path / "soup").data["warnings"]
    assert kinds(planned) == ["stages", "unaligned", "licences"]
    assert "`Llama-3.1-8B` (name: that of `Llama-3.1-8B-Instruct` without `instruct`)" in planned[0]
    assert "`dolphin-2.9-llama3-8b` (README.md, tags: `uncensored`)" in planned[1]
    assert "`Llama-3.1-8B` and `Llama-3.1-8B-Instruct` llama3.1 (README.md, license" in planned[2]
    found = soce.diagnose(paths)
    assert found.soupable
    assert found.warnings[:3] == tuple(planned)
    made = soce.merge(paths, output=tmp_path / "soup", options=QUICK)
    assert made.warnings == tuple(planned)
    manifest = json.loads((tmp_path / "soup" / "soce.json").read_text())
    assert manifest["run"]["warnings"] == planned


def test_commands_say_it_in_lines_that_fit(tmp_path: Path) -> None:
    paths = family(tmp_path)
    for arguments in (
        [*paths, "-o", str(tmp_path / "soup"), "--plan"],
        [*paths, "-o", str(tmp_path / "soup"), "-q"],
    ):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0
        assert kinds(" ".join(result.stderr.split()).split("warning: ")[1:]) == [
            "stages",
            "unaligned",
            "licences",
        ]
        assert max(map(len, result.stderr.splitlines())) <= 80
    result = CliRunner().invoke(doctor, [*paths, "-q"])
    assert result.exit_code == 0
    assert "soupable: 3 checkpoints agree" in result.stdout
    assert "`dolphin-2.9-llama3-8b` (README.md, tags:" in " ".join(result.stderr.split())


def test_doctor_says_it_of_models_that_do_not_fit_as_well(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "m-7b", {"w": ("F32", [1], f32(1.0))})
    other = checkpoint(tmp_path / "m-7b-chat", {"w": ("F32", [2], f32(1.0, 2.0))})
    found = soce.diagnose([one, other])
    assert not found.soupable
    assert kinds(found.warnings) == ["stages"]


def test_no_card_changes_a_result(tmp_path: Path) -> None:
    paths = family(tmp_path)
    said = soce.merge(paths, output=tmp_path / "first", options=QUICK)
    for path in paths:
        (Path(path) / "README.md").write_bytes(b"---\n\t: [ \xff\n---\n")
    silent = soce.merge(paths, output=tmp_path / "second", options=QUICK)
    assert kinds(silent.warnings) == ["stages"], "names are left"
    assert said.result_digests == silent.result_digests


def test_what_no_part_is_taken_of_has_no_say(tmp_path: Path) -> None:
    base, chat, dolphin = family(tmp_path)
    weights = {base: 0, chat: 1, dolphin: 0}
    assert soce.plan(weights, output=tmp_path / "soup").data["warnings"] == []
    taking = soce.MergeOptions(take={"w": dolphin})
    planned = soce.plan({chat: 1}, output=tmp_path / "soup", options=taking).data["warnings"]
    assert kinds(planned[:2]) == ["unaligned", "licences"]


def test_many_recipes_are_told_once_of_all(tmp_path: Path) -> None:
    base, chat, dolphin = family(tmp_path)
    grid = {"a": {base: 1, chat: 1}, "b": {chat: 1, dolphin: 1}}
    assert kinds(soce.plan_all(grid, output=tmp_path / "soups").data["warnings"]) == [
        "stages",
        "unaligned",
        "licences",
    ]


@pytest.mark.parametrize("name", ["A", "Llama-3.1-8B-Instruct", "x-uncensored", "checkpoint-500"])
def test_what_holds_for_all_is_not_told(tmp_path: Path, name: str) -> None:
    paths = [directory(tmp_path / run / name, value, 2.0) for run, value in (("one", 1.0), ("two", 1.5))]
    for path in paths:
        (path / "README.md").write_text(
            "---\nlicense: cc-by-nc-4.0\ntags: [merge, chat]\nbase_model: org/b-7b\n---\n"
        )
    assert soce.plan(list(map(str, paths)), output=tmp_path / "soup").data["warnings"] == []


def test_a_run_says_it_of_its_candidates_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(NamedEvaluators, "opened", Landscapes().opened_for)
    make(tmp_path)
    for name, tag in (("a", "sft"), ("b", "dpo")):
        (tmp_path / name / "README.md").write_text(f"---\nlicense: mit\ntags: [{tag}]\n---\n")
    arguments = (
        "scores.csv --models models.yaml --rule explicit --category math --category code -e x.jsonl -o all"
    )
    result = CliRunner().invoke(run, arguments.split())
    told = " ".join(result.stderr.split())
    assert result.exit_code == 0, result.output
    assert told.count("stages of training: `a` (README.md, tags: `sft`), `b` (README.md, tags: `dpo`);") >= 1
