"""Commands inside an experiment: its file is what their options say by default."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory
from tests.landscapes import Landscape

from soce.cli.analyze import analyze
from soce.cli.options.experiment import keys_of
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.report import report
from soce.cli.run import run as run_command
from soce.cli.search import search
from soce.cli.select import select
from soce.evaluate.evaluation import Evaluator

SCORES = """model,math,code,chat
math,74,54,64
code,51,75,63
chat,42,48,76
d,57,53,47
e,48,55,44
f,50,54,59
"""
FILE = """\
scores: scores.csv
models: {math: path/math, code: path/code}
select: {threshold: 0.9}
evaluate: {tasks: tasks.jsonl}
output: run/
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text(SCORES)
    (tmp_path / "tasks.jsonl").write_text("")
    for name in ("math", "code"):
        (tmp_path / "path" / name).mkdir(parents=True)
    (tmp_path / "soce.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Returns what `soce run` is told, in the place of running it."""
    values: dict[str, object] = {}
    monkeypatch.setattr(run_command, "callback", values.update)
    return values


def invoke(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), prog_name=f"soce {command.name}")


def run(*arguments: str) -> Result:
    return invoke(run_command, *arguments)


def ok(*arguments: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 0, found.stderr


def test_the_file_says_what_flags_would(here: Path, told: dict[str, object]) -> None:
    ok()
    from_file = dict(told)
    (here / "models.yaml").write_text("math: path/math\ncode: path/code\n")
    (here / "soce.yaml").unlink()
    ok("scores.csv", "--models", "models.yaml", "--threshold", "0.9", "-e", "tasks.jsonl", "-o", "run/")
    for name in told.keys() - {"candidates", "evaluating", "merging"}:
        assert told[name] == from_file[name], name
    for part in ("choose", "report", "options"):
        assert getattr(told["evaluating"], part) == getattr(from_file["evaluating"], part)
    assert from_file["candidates"].paths() == told["candidates"].paths()  # type: ignore[attr-defined]


def test_flags_and_changes_come_before_the_file(here: Path, told: dict[str, object]) -> None:
    ok("--threshold", "0.5", "--set", "search.strategy=greedy", "--set", "report_on.share=1/3", "-o", "other")
    assert told["ruling"].threshold == 0.5  # type: ignore[attr-defined]
    assert told["searching"].strategy.name == "greedy"  # type: ignore[attr-defined]
    assert str(told["searching"].share) == "1/3"  # type: ignore[attr-defined]
    assert told["output"] == "other"
    ok("-e", "mine:evaluate")
    assert told["evaluating"].choose == "mine:evaluate"  # type: ignore[attr-defined]


def test_every_kind_of_evaluator_can_be_named(here: Path, told: dict[str, object]) -> None:
    for said, name in (
        ("evaluate.lm-eval=[gsm8k, ifeval]", "lm-eval:gsm8k,ifeval"),
        ("evaluate.lm-eval={flores_dev: flores}", "lm-eval:flores_dev=flores"),
        ("evaluate.function=mine:evaluate", "mine:evaluate"),
        ("evaluate.command=python 'my score.py' {checkpoint}", ("python", "my score.py", "{checkpoint}")),
        ("evaluate.command=[python, my score.py]", ("python", "my score.py")),
    ):
        ok("--set", said)
        assert told["evaluating"].choose == name  # type: ignore[attr-defined]
        assert told["evaluating"].report is None  # type: ignore[attr-defined]
    ok("--set", "report_on.tasks=tasks.jsonl")
    assert told["evaluating"].report == "tasks.jsonl"  # type: ignore[attr-defined]


def test_an_engine_is_named_with_what_it_is_started_with(here: Path, told: dict[str, object]) -> None:
    engine = "evaluate: {tasks: tasks.jsonl, engine: vllm, engine-python: python, engine-arguments: %s}"
    (here / "python").touch()
    for arguments in ("--seed 1", "[--seed, 1]"):
        (here / "soce.yaml").write_text(FILE.replace("evaluate: {tasks: tasks.jsonl}", engine % arguments))
        ok()
        options = told["evaluating"].options  # type: ignore[attr-defined]
        assert (options.engine, options.engine_python) == ("vllm", "python")
        assert options.engine_arguments == ("--seed", "1")


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (
            "engine: vlm",
            "`vlm` is no serving engine: did you mean `vllm`? Or give the URL of a `soce serve`",
        ),
        ("engine-python: nowhere", "there is no `nowhere`"),
        ("engine: http://127.0.0.1:1, engine-token: nowhere", "there is no `nowhere`"),
        ("engine-untried: true", "`evaluate.engine-untried` has no effect here: no serving engine is named"),
        ("engine: vllm, device: cpu", "has no effect here: where a serving engine runs"),
    ],
)
def test_what_is_wrong_with_an_engine_is_told_before_anything_is_loaded(
    here: Path, engine: str, message: str
) -> None:
    evaluate = f"evaluate: {{tasks: tasks.jsonl, {engine}}}"
    (here / "soce.yaml").write_text(FILE.replace("evaluate: {tasks: tasks.jsonl}", evaluate))
    found = run()
    assert found.exit_code in {1, 2}
    assert message in " ".join(found.stderr.split())


def test_mappings_and_lists_reach_the_options(here: Path, told: dict[str, object]) -> None:
    (here / "soce.yaml").write_text(
        FILE.replace(
            "scores: scores.csv",
            "scores:\n"
            "  tables: [scores.csv]\n"
            "  rename: {'a=b': c}\n"
            "  aggregates: {overall: [math, 'code, all'], mean: []}\n"
            "  columns: [math, 'a,b']\n"
            "  transpose: false\n",
        )
        + "merge: {take: {'lm_head.*': math}, leave-out: 'mtp.*', copy-code: true, dtype: bf16}\n"
    )
    ok()
    reading, merging = told["reading"], told["merging"]
    assert reading.rename == {"a=b": "c"}  # type: ignore[attr-defined]
    assert reading.aggregates == {"overall": ("math", "code, all"), "mean": ()}  # type: ignore[attr-defined]
    assert reading.columns == ("math", "a,b")  # type: ignore[attr-defined]
    assert reading.transpose is False  # type: ignore[attr-defined]
    assert merging.take == {"lm_head.*": "math"}  # type: ignore[attr-defined]
    assert merging.leave_out == ("mtp.*",)  # type: ignore[attr-defined]
    assert merging.copy_code is True  # type: ignore[attr-defined]


def test_paths_begin_in_the_folder_of_the_file(
    here: Path, told: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    ok("../soce.yaml")
    assert told["tables"] == ("../scores.csv",)
    assert told["output"] == "../run"
    assert told["evaluating"].choose == "../tasks.jsonl"  # type: ignore[attr-defined]
    assert told["candidates"].paths() == {  # type: ignore[attr-defined]
        "math": "../path/math",
        "code": "../path/code",
    }


def test_a_table_of_the_command_line_has_nothing_of_the_files(here: Path, told: dict[str, object]) -> None:
    (here / "soce.yaml").write_text(FILE.replace("scores.csv", "{tables: scores.csv, drop: [chat]}"))
    (here / "other.csv").write_text(SCORES)
    ok("other.csv", "--set", "scores.level=group")
    assert told["tables"] == ("other.csv",)
    assert told["reading"].drop == ()  # type: ignore[attr-defined]
    assert told["reading"].level == "group"  # type: ignore[attr-defined]


def test_what_is_wrong_is_told_before_anything_else(here: Path) -> None:
    (here / "soce.yaml").write_text(
        "scores: none.csv\n"
        "models: {math: path/math, code: nowhere}\n"
        "select: {rule: thresold, threshold: x}\n"
        "evaluate: {tasks: none.jsonl}\n"
        "report_on: {share: 2}\n"
        "ouput: run\n"
    )
    found = run()
    assert found.exit_code == 1
    errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    ends = [
        "`scores.tables`: there is no `none.csv`",
        "`models.code`: there is no `nowhere`",
        "`select.rule`: `thresold` is not one of `threshold`, `pairs`, `clusters`, `explicit`",
        "`select.threshold`: `x` is not a valid float",
        "`evaluate.tasks`: there is no `none.jsonl`",
        "`report_on.share`: 2 is not between 0 and 1",
        "unknown key `ouput`",
    ]
    assert len(errors) == len(ends)
    for number, (error, end) in enumerate(zip(errors, ends, strict=True), 1):
        assert error.startswith(f"error: `soce.yaml`: line {min(number, 3) if number < 4 else number - 1}, ")
        assert error.endswith(end)
    assert sorted(path.name for path in here.iterdir()) == ["path", "scores.csv", "soce.yaml", "tasks.jsonl"]


def test_messages_call_options_as_they_were_said(here: Path) -> None:
    found = run("--set", "select.pairs=2")
    assert "error: select.pairs does not go with --rule threshold\n" in found.stderr
    (here / "soce.yaml").write_text(FILE.replace("{threshold", "{rule: pairs, threshold"))
    told = "error: select.threshold (line 3) does not go with select.rule (line 3) pairs\n"
    assert told in run().stderr
    (here / "soce.yaml").write_text(FILE.replace("{threshold: 0.9", "{threshold: -2"))
    assert "line 3" in run().stderr, "what no correlation can be is told with its line"


def test_every_option_has_one_place(here: Path) -> None:
    keys = keys_of(run_command)
    assert len(keys.places) == len(set(keys.places))
    assert keys.top == ("scores", "select", "evaluate", "report_on", "search", "merge", "models", "output")
    for option in run_command.params:
        if isinstance(option, click.Option) and getattr(option, "file_only", False):
            assert option.place in keys.places  # type: ignore[attr-defined]


def test_without_a_file_the_command_line_is_all(here: Path, told: dict[str, object]) -> None:
    (here / "soce.yaml").unlink()
    assert run("--follow-links").stderr.startswith(
        "error: `--follow-links` is no flag here: it is `merge.follow-links` in `soce.yaml`, "
        "or `--set merge.follow-links=true`\n"
    )
    ok("-o", "run", "--set", "evaluate.tasks=tasks.jsonl", "--set", "models={math: path/math}")
    assert told["tables"] == ()
    assert told["candidates"].paths() == {"math": "path/math"}  # type: ignore[attr-defined]


def test_an_experiment_that_is_not_there_is_an_error(here: Path) -> None:
    found = run("missing.yaml")
    assert found.exit_code == 1
    assert found.stderr == "error: `missing.yaml`: no such file or directory\n"


def test_lm_eval_is_set_as_on_its_own_command_line(here: Path, told: dict[str, object]) -> None:
    (here / "soce.yaml").write_text(
        FILE.replace(
            "evaluate: {tasks: tasks.jsonl}",
            """evaluate:
  lm-eval: gsm8k
  engine: vllm
  apply-chat-template: true
  chat-completions: true
  max-length: 4096
  fewshot-as-multiturn: false
  system-instruction: Answer with a number.
  limit: 0.5
  gen-kwargs: {max_gen_toks: 768, do_sample: true, until: ["Q:", "</s>"]}""",
        )
    )
    ok("--set", "evaluate.limit=20")
    options = told["evaluating"].options  # type: ignore[attr-defined]
    assert options.apply_chat_template is True
    assert options.chat_completions is True
    assert options.max_length == 4096
    assert options.fewshot_as_multiturn is False
    assert options.system_instruction == "Answer with a number."
    assert options.limit == 20
    assert options.gen_kwargs == (
        ("max_gen_toks", "768"),
        ("do_sample", "true"),
        ("until", ("Q:", "</s>")),
    )
    ok("--set", "evaluate.gen-kwargs=max_gen_toks=64", "--set", "evaluate.fewshot-as-multiturn=true")
    options = told["evaluating"].options  # type: ignore[attr-defined]
    assert ("max_gen_toks", "64") in options.gen_kwargs
    assert options.fewshot_as_multiturn is True
    assert run("--set", "evaluate.limit=-1").stderr.startswith("error: ")


def test_steps_go_on_from_each_other_without_a_word(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a folder: each finds what the one before it has left."""

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[tuple[Evaluator, None]]:
        yield Landscape(optimum={"math": 0.6, "code": 0.4}), None

    monkeypatch.setattr(NamedEvaluators, "opened", opened)
    for name, seed in (("math", 1), ("code", 2)):
        directory(here / "path" / name, seed, 2, 3)
    assert invoke(analyze).exit_code == 0
    assert "soce search\n" in invoke(select).stderr
    assert (here / "run" / "selection.yaml").is_file()
    searched = invoke(search)
    assert searched.exit_code == 0, searched.stderr
    assert "next: soce report\n" in searched.stderr
    assert {"search", "soup", "selection.yaml", "scores.csv"} <= {
        path.name for path in (here / "run").iterdir()
    }
    again = run()
    assert "0 evaluations in this run" in again.stderr
    assert invoke(report, "--output", "-", "--format", "json").exit_code == 0


def test_names_that_the_table_does_not_have_are_told_with_the_rest(here: Path) -> None:
    text = FILE.replace("{threshold: 0.9}", "{threshold: 0.9, population: [math, d, nobody]}")
    (here / "soce.yaml").write_text(text)
    for command in (select, run_command):
        (told,) = [line for line in invoke(command).stderr.splitlines() if line.startswith("error: ")]
        assert told.endswith("`select.population`: there is no model `nobody` in the scores")
        assert "line 3, column 48 " in told
    (here / "soce.yaml").write_text(text + "ouput: run\n")
    errors = [line for line in invoke(select).stderr.splitlines() if line.startswith("error: ")]
    assert [error.rpartition(": ")[2] for error in errors] == [
        "there is no model `nobody` in the scores",
        "unknown key `ouput`",
    ]


def test_a_selection_needs_no_checkpoints(here: Path) -> None:
    (here / "soce.yaml").write_text(FILE.replace("path/code", "path/away"))
    assert invoke(select).exit_code == 0
    assert "`models.code`: there is no `path/away`" in run().stderr


def test_the_file_says_nothing_of_another_run(here: Path) -> None:
    found = invoke(report, "other")
    assert found.stderr == "error: `other`: no such file or directory\n"
    found = invoke(report)
    assert found.stderr.splitlines() == [
        "information: the experiment is `soce.yaml`",
        "error: `run`: no such file or directory",
    ]


def test_a_step_that_comes_too_early_says_which_one_is_first(here: Path) -> None:
    assert "there is no `run/selection.yaml` yet: `soce select` chooses" in invoke(search).stderr
    (here / "soce.yaml").write_text(FILE.replace("scores: scores.csv\n", ""))
    assert "`soce run` has not measured `run/scores.csv` yet" in invoke(select).stderr


def test_programs_and_functions_are_where_the_file_is(
    here: Path, told: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "score.py").write_text("")
    (here / "elsewhere").mkdir()
    ok("--set", "evaluate.function=mine:evaluate")
    assert told["evaluating"].options.directory is None  # type: ignore[attr-defined]
    for said in ("function: mine:evaluate", "command: './score.sh {checkpoint}'"):
        (here / "soce.yaml").write_text(FILE.replace("tasks: tasks.jsonl", said))
        monkeypatch.chdir(here / "elsewhere")
        ok("../soce.yaml")
        assert told["evaluating"].options.directory == ".."  # type: ignore[attr-defined]
        ok("../soce.yaml", "-e", "other:evaluate")
        assert told["evaluating"].options.directory is None  # type: ignore[attr-defined]


def test_changes_come_before_flags(here: Path, told: dict[str, object]) -> None:
    ok(
        "-e",
        "mine:evaluate",
        "--set",
        "evaluate.tasks=tasks.jsonl",
        "--threshold",
        "0.1",
        "--set",
        "select.threshold=0.7",
    )
    assert told["evaluating"].choose == "tasks.jsonl"  # type: ignore[attr-defined]
    assert told["ruling"].threshold == 0.7  # type: ignore[attr-defined]
    (here / "other.csv").write_text(SCORES)
    ok("scores.csv", "--set", "scores=other.csv")
    assert told["tables"] == ("other.csv",)


def test_categories_that_are_no_tasks_are_told_before_a_model_is_loaded(here: Path) -> None:
    item = (
        '{"category": "math", "kind": "multiple_choice", "prompt": "1", "choices": ["a", "b"], "answer": 0}\n'
    )
    (here / "tasks.jsonl").write_text(item.replace("}", ', "id": "1"}') + item.replace("}", ', "id": "2"}'))
    for name, value in (("math", 1), ("code", 2)):
        directory(here / "path" / name, value, 2, 3)
    rule = "{rule: explicit, categories: [math, chemistry]}"
    (here / "soce.yaml").write_text(
        FILE.replace("{threshold: 0.9}", rule).replace("scores: scores.csv\n", "")
    )
    found = run()
    assert found.exit_code == 1
    assert "line 2, column 45 " in found.stderr
    assert "`select.categories`: there is no category `chemistry` in the scores\n" in found.stderr
    assert "loading" not in found.stderr
    assert not (here / "run").exists()


def test_help_reads_no_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("soce.yaml").write_text("serch: {}\n")
    for flag in ("--help", "-h"):
        done = CliRunner().invoke(run_command, [flag])
        assert done.exit_code == 0
        assert done.stderr == ""


def test_help_of_a_command_that_takes_experiments_is_light() -> None:
    told = "from soce.cli import main; import atexit, sys; "
    told += "atexit.register(lambda: print(*{'numpy', 'pandas', 'torch', 'optuna'} & sys.modules.keys(), "
    told += "file=sys.stderr)); sys.argv = ['soce', 'run', '--help']; main()"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("step", ["big", "0.3", "0", "1/0"])
def test_a_step_that_is_none_is_told_with_its_line(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("soce.yaml").write_text(f"select:\n  step: {step}\n  treshold: 1\n")
    done = CliRunner().invoke(run_command, [])
    assert done.exit_code == 1
    assert "line 2, column 3" in done.stderr or "line 2, column 9" in done.stderr
    assert "`select.step`" in done.stderr
    assert "line 3" in done.stderr, "all that is wrong is told at once"
