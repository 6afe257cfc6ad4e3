"""What a merge must be told of its ingredients, `soce run` and `soce search` can be told as well."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory, f32, read_directory, read_file, write_file
from tests.cli.test_search import SELECT, Landscapes, make

from soce import verify
from soce.cli.options.experiment import keys_of
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.report import report
from soce.cli.run import run as run_command
from soce.cli.search import search
from soce.cli.select import select
from soce.merging.options import DECISIONS, MergeOptions, flags_of

RUN = [
    "scores.csv",
    "--models",
    "models.yaml",
    "--rule",
    "explicit",
    "--category",
    "math",
    "--category",
    "code",
]
RUN += ["-e", "x.jsonl", "-o", "all"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(NamedEvaluators, "opened", Landscapes().opened_for)
    make(tmp_path)
    return tmp_path


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)  # type: ignore[arg-type]


def give_code(folder: Path) -> None:
    for name in "abcd":
        (folder / name / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_x.X"}}')
        (folder / name / "modeling_x.py").write_text("x = 1\n")


def leave_by_links(folder: Path) -> None:
    for name in "abcd":
        (folder / name).rename(folder / f"store-{name}")
        (folder / name).mkdir()
        for file in (folder / f"store-{name}").iterdir():
            (folder / name / file.name).symlink_to(file)


def give_another_shard(folder: Path) -> None:
    for name in "abcd":
        index = {"metadata": {}, "weight_map": dict.fromkeys(("w",), "model.safetensors")}
        (folder / name / "model.safetensors.index.json").write_text(json.dumps(index))
        directory(folder / "extra", 1.0, 2.0)
        (folder / "extra" / "model.safetensors").rename(folder / name / "other.safetensors")
        for left in (folder / "extra").iterdir():
            left.unlink()
        (folder / "extra").rmdir()


def differ_in_tokens(folder: Path) -> None:
    for name in "abcd":
        model = {"model": {"type": "BPE", "vocab": {"a": 0, name * 2: 1}, "merges": []}}
        (folder / name / "tokenizer.json").write_text(json.dumps(model))


def add_a_tensor(folder: Path) -> None:
    tensors = {"w": ("F32", [2], f32(0.0, 2.0)), "mtp.w": ("F32", [1], f32(7.0))}
    write_file(folder / "a" / "model.safetensors", tensors)


KINDS = [
    (add_a_tensor, "merge.leave-out=mtp.*"),
    (add_a_tensor, "merge.take=mtp.*=a"),
    (give_code, "merge.copy-code=true"),
    (give_code, "merge.copy-code=false"),
    (leave_by_links, "merge.follow-links=true"),
    (give_another_shard, "merge.ignore-unreferenced=true"),
    (differ_in_tokens, "merge.allow-different-tokenizers=true"),
]


@pytest.mark.parametrize(("spoil", "option"), KINDS)
def test_what_a_merge_refuses_is_refused_first_and_accepted_if_told(
    here: Path, spoil: object, option: str
) -> None:
    spoil(here)  # type: ignore[operator]
    refused = run(run_command, *RUN)
    assert refused.exit_code == 1
    assert f"`--set {option.partition('mtp')[0]}" in refused.stderr
    assert not (here / "all").exists()
    taken = run(run_command, *RUN, "--set", option)
    assert taken.exit_code == 0, taken.stderr
    assert (here / "all" / "soup" / "modeling_x.py").exists() == (option == "merge.copy-code=true")
    assert ("mtp.w" in read_directory(here / "all" / "soup")) == option.startswith("merge.take")


def test_a_run_that_accepts_more_than_before_finds_what_is_there(here: Path) -> None:
    assert run(run_command, *RUN).exit_code == 0
    before = (here / "all" / "soup" / "soce.json").read_bytes()
    accepting = ("ignore-unreferenced", "follow-links", "allow-different-configs")
    more = [word for name in accepting for word in ("--set", f"merge.{name}=true")]
    again = run(run_command, *RUN, *more)
    assert again.exit_code == 0, again.stderr
    assert (here / "all" / "soup" / "soce.json").read_bytes() == before


def test_tensors_that_one_candidate_has_are_taken_or_left_out(here: Path) -> None:
    extra = {"mtp.w": ("F32", [1], f32(7)), "ema.w": ("F32", [1], f32(5))}
    write_file(here / "b" / "model.safetensors", read_file(here / "b" / "model.safetensors") | extra)
    refused = run(run_command, *RUN)
    assert refused.exit_code == 1
    assert "--set merge.take=" in refused.stderr
    assert "--set merge.leave-out=" in refused.stderr
    found = run(run_command, *RUN, "--set", "merge.take=mtp.*=b", "--set", "merge.leave-out=ema.*")
    assert found.exit_code == 0, found.stderr
    soup = read_file(here / "all" / "soup" / "model.safetensors")
    assert (set(soup), soup["mtp.w"]) == ({"w", "mtp.w"}, extra["mtp.w"])
    assert verify(here / "all" / "soup", recompute=True).ok
    result = json.loads((here / "all" / "search" / "result.json").read_text())
    assert result["merge"] == {"leave_out": ["ema.*"], "take": {"mtp.*": "b"}}


def test_what_a_selection_file_says_of_tensors_holds_in_its_search(here: Path) -> None:
    extra = {"mtp.w": ("F32", [1], f32(7)), "ema.w": ("F32", [1], f32(5))}
    write_file(here / "a" / "model.safetensors", read_file(here / "a" / "model.safetensors") | extra)
    file = here / "selection.yaml"
    assert run(select, "scores.csv", "--models", "models.yaml", *SELECT, "-o", str(file)).exit_code == 0
    file.write_text(file.read_text() + "leave_out: ['ema.*']\ntake: {'mtp.*': a}\n")
    words = [str(file), "--models", "models.yaml", "-e", "x.jsonl", "-o", "run", "--publish", "soup"]
    found = run(search, *words)
    assert found.exit_code == 0, found.stderr
    assert set(read_directory(here / "soup")) == {"w", "mtp.w"}


def test_decisions_are_recorded_and_stand_in_the_commands_of_the_report(here: Path) -> None:
    give_code(here)
    assert run(run_command, *RUN, "--set", "merge.copy-code=true", "--dtype", "bf16").exit_code == 0
    result = json.loads((here / "all" / "search" / "result.json").read_text())
    assert result["merge"] == {"dtype": "BF16", "copy_code": True}
    shown = run(report, "all", "--no-evaluate", "--format", "json", "--output", "-").stdout
    assert "soce merge recipe.yaml --output soup-again --dtype BF16 --copy-code" in shown


def test_every_decision_is_an_option_of_merge_and_search_and_said_to_run() -> None:
    from soce.cli.merge import merge

    flags = {flag for name in DECISIONS for flag in flags_of({name: True})}
    assert {f"merge.{name.replace('_', '-')}" for name in DECISIONS} <= {*keys_of(run_command).places}
    for command in (merge, search):
        known = {flag for option in command.params for flag in option.opts}
        assert flags <= known
    assert MergeOptions(overwrite=True, follow_links=True).decisions() == {"follow_links": True}
    assert shlex.join(flags_of({"leave_out": ["a*", "b"], "take": {"c": "d"}})) == (
        "--leave-out 'a*' --leave-out b --take c=d"
    )
