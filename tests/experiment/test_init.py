"""`soce init`: what is taken from what is there, and what is left to be said."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from tests.checkpoints import write_file

from soce.cli.init import init
from soce.cli.options.experiment import keys_of
from soce.cli.run import run
from soce.experiment.reading import read_experiment

if TYPE_CHECKING:
    from click.testing import Result

SCORES = """model,math,code,chat
a,74,54,64
b,51,75,63
c,42,48,76
d,57,53,47
e,48,55,44
f,50,54,59
"""


def checkpoint(path: Path, *, width: int = 2) -> None:
    path.mkdir(parents=True)
    data = np.zeros((2, width), "<f4").tobytes()
    write_file(path / "model.safetensors", {"weight": ("F32", [2, width], data)})
    (path / "config.json").write_text("{}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text(SCORES)
    for name in ("a", "b", "c"):
        checkpoint(tmp_path / "models" / name)
    items = [
        {"category": category, "prompt": f"{category} {n}", "answer": "x", "kind": "exact_match"}
        for category in ("math", "code", "chat")
        for n in range(40)
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return tmp_path


def soce_init(*arguments: str) -> Result:
    result = CliRunner().invoke(init, arguments)
    assert result.stdout == ""
    if result.exit_code == 0:  # whatever was found, the file is one that is read
        read_experiment("soce.yaml", (), keys_of(run))
    return result


def written() -> dict[str, object]:
    found = yaml.safe_load(Path("soce.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_everything_there_needs_no_edit() -> None:
    result = soce_init()
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "wrote `soce.yaml`\nnext: soce run --dry-run\n"
    assert written() == {
        "scores": "scores.csv",
        "models": {"a": "models/a", "b": "models/b", "c": "models/c"},
        "select": {"threshold": 0.0097},
        "evaluate": {"tasks": "tasks.jsonl"},
        "report_on": {"share": "1/2"},
        "search": {"strategy": "grid"},
        "output": "run/",
    }
    text = Path("soce.yaml").read_text()
    assert "Read as wide: 6 models and 3 categories, math, code, chat." in text
    assert "120 items in 3 categories" in text
    assert "without a checkpoint: d, e, f" in text
    assert "EDIT" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_threshold_is_the_one_that_the_sweep_goes_on_with() -> None:
    from soce.cli.select import select

    soce_init()
    swept = CliRunner().invoke(select, ["scores.csv", "-c", "a", "-c", "b", "-c", "c", "--sweep"])
    threshold = written()["select"]["threshold"]  # type: ignore[index]
    assert f"--threshold {threshold:g}\n" in swept.stderr


def test_a_file_that_is_there_is_not_replaced() -> None:
    Path("soce.yaml").write_text("mine")
    result = soce_init()
    assert result.exit_code == 1
    assert "`soce.yaml`: it exists" in result.stderr
    assert "--overwrite" in result.stderr
    assert Path("soce.yaml").read_text() == "mine"
    assert soce_init("--overwrite", "--quiet").stderr == ""
    assert written()["output"] == "run/"


def test_every_comment_that_is_an_example_can_be_taken_as_it_stands() -> None:
    Path("held-out.jsonl").write_text(Path("tasks.jsonl").read_text())
    (tasks := Path("tasks.jsonl")).rename("later.jsonl")
    soce_init()
    Path("later.jsonl").rename(tasks)
    text = Path("soce.yaml").read_text()
    examples = re.findall(r"^# ((?:scores|models|select|evaluate|report_on|merge): .*)$", text, re.MULTILINE)
    assert len(examples) == 8
    for example in examples:
        section = example.partition(":")[0]
        without = re.sub(rf"^{section}:.*\n(?:  .*\n)*", "", text, flags=re.MULTILINE)
        Path("tried.yaml").write_text(without.replace(f"# {example}", example))
        assert any(
            place.startswith(section) for place in read_experiment("tried.yaml", (), keys_of(run)).said
        )
    indented = re.findall(r"^  # ([a-z-]+: [^#\n]*)", text, re.MULTILINE)
    assert indented == ["step: 0.1  "]
    for key in indented:
        Path("tried.yaml").write_text(text.replace(f"  # {key}", f"  {key}"))
        read_experiment("tried.yaml", (), keys_of(run))


def test_what_nobody_can_know_is_a_comment_with_an_example() -> None:
    Path("tasks.jsonl").unlink()
    result = soce_init()
    assert "edit what is marked with EDIT" in result.stderr
    assert "evaluate" not in written()
    lines = Path("soce.yaml").read_text().splitlines()
    examples = [line.removeprefix("# ") for line in lines if line.startswith("# evaluate:")]
    assert [[*yaml.safe_load(line)["evaluate"]] for line in examples] == [
        ["tasks"],
        ["lm-eval"],
        ["bfcl", "engine"],
        ["function"],
        ["command"],
    ]


def test_nothing_there_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert soce_init().exit_code == 0
    assert written() == {"report_on": {"share": "1/2"}, "search": {"strategy": "grid"}, "output": "run/"}


def test_names_of_checkpoints_are_those_of_the_table_where_there_is_no_doubt(folder: Path) -> None:
    names = {
        "Org/Llama-3.1-8B-math": "74,54",
        "llama-3.1-8b-code": "51,75",
        "chatty": "42,48",
        "twin": "40,41",
    }
    Path("scores.csv").write_text(
        "model,math,code\n" + "".join(f"{name},{row}\n" for name, row in names.items())
    )
    for path in ("runs/Llama-3.1-8B-math", "runs/hf/Meta-Llama-3.1-8B-Code", "runs/x/twin", "runs/y/twin"):
        checkpoint(folder / path)
    checkpoint(folder / "runs" / "chat")
    (folder / "runs" / "lora").mkdir()
    (folder / "runs" / "lora" / "adapter_config.json").write_text("{}")
    (folder / "runs" / ".cache" / "x").mkdir(parents=True)
    checkpoint(folder / "runs" / ".cache" / "x" / "hidden")
    assert soce_init("--models", "runs").exit_code == 0
    assert written()["models"] == {
        "Org/Llama-3.1-8B-math": "runs/Llama-3.1-8B-math",
        "llama-3.1-8b-code": "runs/hf/Meta-Llama-3.1-8B-Code",
    }
    text = Path("soce.yaml").read_text()
    assert "# chatty: runs/chat  # is it chatty?" in text
    assert text.count("twin: runs/") == 2
    assert "lora is an adapter" in text
    assert "hidden" not in text


def test_a_file_of_models_is_named_and_its_strangers_are_told() -> None:
    Path("models.yaml").write_text("a: models/a\nb: models/b\nz: models/c\n")
    soce_init()
    assert written()["models"] == "models.yaml"
    assert "# z: models/c  # the table has no such model" in Path("soce.yaml").read_text()


def test_models_that_are_somewhere_else_are_taken_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is asked
    names = ("org/a", "hf://org/B@v1", "s3://runs/c/final", "https://host/models/d", "org/strange")
    result = soce_init(*(word for name in names for word in ("--models", name)))
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    assert written()["models"] == {"a": "org/a", "b": "hf://org/B@v1", "d": "https://host/models/d"}
    text = Path("soce.yaml").read_text()
    assert "s3://runs/c/final" in text
    assert "org/strange  # the table has no such model" in text
    soce_init("--overwrite", "--models", "models", "--models", "org/d")
    assert written()["models"] == {**{name: f"models/{name}" for name in "abc"}, "d": "org/d"}
    soce_init("--overwrite", "--models", "models", "--models", "models/a+hf://org/d")
    assert written()["models"]["d"] == "models/a+hf://org/d"


def test_checkpoints_that_do_not_fit_are_told_at_once(folder: Path) -> None:
    checkpoint(folder / "models" / "d", width=3)
    result = soce_init()
    assert result.exit_code == 0
    assert "`models/d/model.safetensors`: tensor `weight`: expected" in " ".join(result.stderr.split())


def test_without_a_table_all_checkpoints_are_candidates() -> None:
    Path("scores.csv").unlink()
    assert "EDIT" in soce_init().stderr
    assert written()["models"] == {"a": "models/a", "b": "models/b", "c": "models/c"}
    assert not {"scores", "select"} & written().keys()


def test_a_table_that_needs_an_option_has_a_place_for_it() -> None:
    Path("odd.csv").write_text("model,category,score,split\na,math,1,dev\na,math,2,test\n")
    result = soce_init("--scores", "odd.csv")
    assert result.exit_code == 0
    assert "warning: `odd.csv`" in result.stderr
    assert written()["scores"] == {"tables": "odd.csv"}


def test_several_tables_are_joined() -> None:
    Path("one.csv").write_text("model,math\na,1\nb,2\nc,4\n")
    Path("two, too.csv").write_text("model,code\na,3\nb,2\nc,2\n")
    assert soce_init("--scores", "one.csv", "--scores", "two, too.csv").exit_code == 0
    assert written()["scores"] == ["one.csv", "two, too.csv"]
    assert "3 models and 2 categories, math, code" in Path("soce.yaml").read_text()


def test_two_models_cannot_be_correlated_so_every_category_gets_an_expert() -> None:
    Path("scores.csv").write_text("model,math,code\na,74,54\nb,51,75\n")
    assert soce_init().exit_code == 0
    assert written()["select"] == {"rule": "explicit", "categories": ["math", "code"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scores", "gone.csv"], "gone.csv"),
        (["--models", "gone"], "gone"),
        (["--models", "tasks.jsonl"], "neither a directory of checkpoints nor a YAML file"),
        (["--tasks", "gone.jsonl"], "gone.jsonl"),
        (["--tasks", "odd"], "`odd` is no evaluator"),
    ],
)
def test_what_is_named_and_is_not_there_is_refused(arguments: list[str], told: str) -> None:
    result = soce_init(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert not Path("soce.yaml").exists()


def test_other_tasks_of_the_same_categories_are_the_example_to_report_on() -> None:
    Path("a.jsonl").write_text('{"category": "other", "prompt": "x", "answer": "y", "kind": "exact_match"}\n')
    Path("b.jsonl").write_text("damaged")
    Path("test.jsonl").write_text(Path("tasks.jsonl").read_text())
    soce_init()
    assert "\n# report_on: {tasks: test.jsonl}\n" in Path("soce.yaml").read_text()


def test_tasks_of_other_categories_and_too_few_items_are_told() -> None:
    items = [{"category": "sums", "prompt": str(n), "answer": "x", "kind": "exact_match"} for n in range(9)]
    Path("few.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    told = " ".join(soce_init("--tasks", "few.jsonl").stderr.split())
    assert "has no items of `chat`, `code`, `math` and has `sums`, which the table lacks" in told
    assert "fewer than 40 items in `sums`" in told


def test_the_file_of_the_page_is_one_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "experiment.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    Path("soce.yaml").write_text(shown)
    for name in ("math", "code", "chat"):
        checkpoint(Path("path") / name)
    said = read_experiment("soce.yaml", (), keys_of(run)).said
    assert {"scores.tables", "models", "evaluate.batch-size", "report_on.share", "merge.dtype"} <= said.keys()


def test_the_page_has_every_key_that_is_declared() -> None:
    root = Path(__file__).parents[2]
    renewal = runpy.run_path(str(root / ".ci" / "experiment_keys.py"))["renewed"]
    page = (root / "docs" / "experiment.md").read_text()
    assert renewal(page) == page, "`make keys` renews it"
    assert "| `select.threshold` |" in page
