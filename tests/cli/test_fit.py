"""`soce fit` as a user meets it: a recipe that `soce-merge` takes, a table on stdout, one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.fit_worlds import save_experts, write_items

pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.cli.fit import fit
from soce.cli.merge import merge
from soce.cli.select import select
from soce.evaluate.tasks.items import read_tasks
from soce.search.items import split_items

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
SCORES = "model,math,code\nm0,9,4\nm1,2,8\nm2,3,3\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    paths = save_experts(home / "models", 3)
    (home / "scores.csv").write_text(SCORES)
    write_items(home / "tasks.jsonl")
    chosen = [f"--candidate=m{i}={path}" for i, path in enumerate(paths)]
    words = [str(home / "scores.csv"), "--threshold", "1", *chosen, "--output", str(home / "selection.yaml")]
    made = CliRunner().invoke(select, words)
    assert made.exit_code == 0, made.stderr
    return home


def run(home: Path, *words: str, tasks: str = "tasks.jsonl") -> Result:
    given = [str(home / "selection.yaml"), "--tasks", str(home / tasks), *words]
    return CliRunner().invoke(fit, given, prog_name="soce fit")


def test_a_fit_is_told_and_merged(home: Path, tmp_path: Path) -> None:
    words = ["--steps", "3", "--batch", "4", "--split-seed", "2", "-o", str(tmp_path / "fit")]
    done = run(home, *words)
    assert done.exit_code == 0, done.stderr
    head, fitted, held = (line.split() for line in done.stdout.splitlines())
    assert head == ["nll", "items", "before", "after"]
    assert [fitted[:3], held[:3]] == [["fitted", "on", "7"], ["held", "out", "9"]]
    assert "3 steps of 4 items, each of which reads" in done.stderr
    assert f"next: soce-merge {tmp_path / 'fit' / 'recipe.yaml'}" in done.stderr
    split = split_items(
        read_tasks(home / "tasks.jsonl").item_ids(),
        seed=2,
        contents=read_tasks(home / "tasks.jsonl").item_contents(),
    )
    trace = [json.loads(line) for line in (tmp_path / "fit" / "trace.jsonl").read_text().splitlines()]
    seen = {tuple(key) for line in trace for key in line["items"]}
    assert len(trace) == 3
    assert seen <= {(name, item) for name, ids in split.selection.items() for item in ids}
    again = run(home, *words, "--json", "--quiet")
    told = json.loads(again.stdout)
    assert again.stderr == ""
    assert f"{told['held_out']['after']:.4f}" == held[-1]
    assert told["fitted"]["after"] < told["fitted"]["before"]
    merged = CliRunner().invoke(merge, [told["recipe"], "--output", str(tmp_path / "soup"), "--quiet"])
    assert merged.exit_code == 0, merged.stderr


def test_entropy_needs_no_answers_and_a_base(home: Path, tmp_path: Path) -> None:
    base, output = str(home / "models" / "model2"), str(tmp_path / "fit")
    lines = [{"category": "a", "id": f"{i}", "kind": "perplexity", "text": f"the {i} cat"} for i in range(4)]
    lines += [
        {"category": "b", "id": f"{i}", "prompt": f"{i}", "scorer": {"name": "regex", "pattern": "a"}}
        for i in range(4)
    ]
    (home / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["--objective", "entropy", "--base", base, "--by", "model", "--steps", "2", "-o", output]
    done = run(home, *words, "--held-out-share", "0", tasks="texts.jsonl")
    assert done.exit_code == 0, done.stderr
    assert "held out" not in done.stdout
    refused = run(home, "-o", str(tmp_path / "other"), tasks="texts.jsonl")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: ")
    assert "4 items have no answer, the first is item `0` of category `b`" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objective", "entropy"], "`entropy` is minimised over differences to a base, and none is named"),
        (["--base", "BASE"], "`nll` is minimised over weights of the experts alone"),
        (["--objective", "entropy", "--base", "EXPERT"], "the base is the expert `m0`"),
        (["--learning-rate", "0"], "`learning_rate` is 0.0"),
        (["--device", "nowhere"], "`nowhere` is no device"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_writes_nothing(
    home: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    places = {"BASE": str(home / "models" / "model2"), "EXPERT": str(home / "models" / "model0")}
    given = [places.get(word, word) for word in words]
    refused = run(home, *given, "-o", str(tmp_path / "fit"), "--quiet")
    assert refused.exit_code == 1
    first, *_ = refused.stderr.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert not (tmp_path / "fit").exists()


def test_without_torch_it_says_what_to_install(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom soce.cli.fit import fit\n"
        "fit.main(sys.argv[1:], prog_name='soce fit')"
    )
    words = [str(home / "selection.yaml"), "--tasks", str(home / "tasks.jsonl"), "-o", str(tmp_path / "fit")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 1
    assert "evaluating models in place needs torch and transformers" in done.stderr
    assert "Traceback" not in done.stderr
