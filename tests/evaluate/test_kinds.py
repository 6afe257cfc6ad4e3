"""Evaluators by name: which kind a name is for, which options it looks at, one live model for several."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests import checkpoints
from tests.tiny_models import save_models, write_tasks

from soce.evaluate.command.evaluator import CommandEvaluator
from soce.evaluate.kinds import (
    KINDS,
    EvaluatorName,
    _task_names,
    check_evaluator,
    kind_of,
    open_evaluator,
    unused_options,
)
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError
from soce.merging.options import MergeOptions
from soce.search.items import check_categories


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tasks.jsonl", "tasks.jsonl"),
        ("my:tasks.NDJSON", "tasks.jsonl"),
        ("lm-eval:gsm8k, ifeval", "lm-eval"),
        ("my_tasks:evaluate", "function"),
        (["score.py", "{checkpoint}"], "command"),
        (["score.py", "{base_url}"], "command with {base_url}"),
        (["score.py", "--model={model}"], "command with {base_url}"),
        (["score.py", "{checkpoint}", "--name", "{model}"], "command"),
    ],
)
def test_a_name_tells_its_kind(name: EvaluatorName, kind: str) -> None:
    assert kind_of(name).name == kind


@pytest.mark.parametrize("name", ["tasks.csv", "lm-eval:", "lm-eval: ,", "evaluate"])
def test_names_of_no_kind_are_refused(name: str) -> None:
    with pytest.raises(EvaluationError, match=r"is no evaluator|names no task"):
        kind_of(name)


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("lm-eval:a", {"a": None}),
        ("lm-eval:a_test=a, b ,c_test = c", {"a_test": "a", "b": None, "c_test": "c"}),
        ("lm-eval:a=b,a=b", {"a": "b"}),
        ("lm-eval:my=tasks/x.yaml=x", {"my=tasks/x.yaml": "x"}),
        ("lm-eval:my=tasks/x.yaml", {"my=tasks/x.yaml": None}),
    ],
)
def test_a_task_may_be_given_its_category(
    name: str, tasks: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my=tasks").mkdir()
    Path("my=tasks", "x.yaml").write_text("task: x")
    assert _task_names(name) == tasks


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lm-eval:a=", "`a=` is no TASK=CATEGORY"),
        ("lm-eval:=a", "`=a` is no TASK=CATEGORY"),
        ("lm-eval:a=b,a=c", "the task `a` is given two categories"),
        ("lm-eval:a,a=c", "the task `a` is given two categories"),
    ],
)
def test_a_category_that_cannot_be_read_is_refused(name: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        kind_of(name)
    assert message in str(caught.value)


def test_a_task_of_the_harness_knows_its_category_before_it_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    pytest.importorskip("torch")
    options = EvaluatorOptions(include_path=(str(write_tasks(tmp_path / "tasks")),))
    assert check_evaluator("lm-eval:tiny_choice=quiz,tiny_said", options) == ["quiz", "tiny_said"]
    assert check_evaluator("lm-eval:tiny", options) == ["tiny_choice", "tiny_said", "tiny_shots"]
    with pytest.raises(EvaluationError, match="there is no task `tiny_choic`"):
        check_evaluator("lm-eval:tiny_choic=quiz", options)
    other = tmp_path / "tasks.jsonl"
    other.write_text('{"category": "quizz", "kind": "exact_match", "prompt": "a", "answer": "b"}\n')
    known = check_evaluator(str(other)), check_evaluator("lm-eval:tiny_choice=quiz", options)
    with pytest.raises(EvaluationError, match="only the held-out tasks have the category `quiz`") as caught:
        check_categories(*known)
    (problem,) = caught.value.problems
    assert problem.hint is not None
    assert "did you mean `quizz`?" in problem.hint


def test_every_option_is_for_some_kind() -> None:
    known = {field.name for field in fields(EvaluatorOptions)}
    assert {option for kind in KINDS for option in kind.options} == known


def test_options_that_change_nothing_are_told_with_their_kinds() -> None:
    options = EvaluatorOptions(
        merge=MergeOptions(dtype="bf16"), num_fewshot=0, metric="acc", timeout_seconds=9
    )
    unused = unused_options(["tasks.jsonl", "my:evaluate"], options)
    assert unused == {
        "num_fewshot": "it is for lm-eval",
        "metric": "it is for lm-eval and command",
        "timeout_seconds": "it is for bfcl and command",
    }
    assert not unused_options(["lm-eval:gsm8k", ["score.py"]], options)


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"engine": "vllm", "engine_python": "python", "engine_arguments": ("--seed", "1")}, {}),
        ({"engine": "http://127.0.0.1:8000", "engine_token": "token"}, {}),
        (
            {"engine_arguments": ("--seed", "1"), "engine_untried": True},
            dict.fromkeys(("engine_arguments", "engine_untried"), "no serving engine is named"),
        ),
        ({"engine": "vllm", "engine_token": "token"}, {"engine_token": "it is for a server at a URL"}),
        (
            {"engine": "https://example.org", "engine_python": "python"},
            {"engine_python": "the server at that URL runs already"},
        ),
        (
            {"engine": "vllm", "device": "cpu", "device_map": "auto", "batch_size": 8},
            dict.fromkeys(
                ("device", "device_map", "batch_size"),
                "where a serving engine runs, and what it does at once, its own arguments say",
            ),
        ),
    ],
)
def test_options_of_an_engine_need_one_and_the_right_one(
    options: dict[str, Any], reasons: dict[str, str]
) -> None:
    for name in ("tasks.jsonl", "lm-eval:gsm8k"):
        assert unused_options([name], EvaluatorOptions(**options)) == reasons


@pytest.mark.parametrize(
    ("name", "engine", "message"),
    [
        ("here_or_there:here", "vllm", "`here_or_there:here` takes a model in this process"),
        ("here_or_there:there", None, "`here_or_there:there` takes the `base_url` of a server"),
        ([sys.executable, "{base_url}"], None, "asks a server, and no serving engine is named"),
        ([sys.executable, "{base_url}", "{checkpoint}"], "vllm", "has both `{checkpoint}` and `{base_url}`"),
    ],
)
def test_what_asks_a_server_needs_one_and_what_holds_a_model_none(
    name: EvaluatorName, engine: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here_or_there.py").write_text(
        "def here(model, tokenizer): ...\ndef there(base_url, model): ...\n"
        "def both(model, tokenizer, base_url=None): ...\n"
    )
    with pytest.raises(EvaluationError) as caught:
        check_evaluator(name, EvaluatorOptions(engine=engine))
    assert message in str(caught.value)
    check_evaluator("here_or_there:both", EvaluatorOptions())
    check_evaluator("here_or_there:there", EvaluatorOptions(engine="vllm"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vlm", "did you mean `vllm`? Or"),
        ("q", "engines: `vllm`, `transformers`; or"),
        ("sglang", "engines: `vllm`, `transformers`; or"),
    ],
)
def test_an_engine_that_nobody_knows_is_refused(name: str, hint: str) -> None:
    with pytest.raises(EvaluationError, match=f"`{name}` is no serving engine") as caught:
        check_evaluator("my:evaluate", EvaluatorOptions(engine=name))
    assert caught.value.problems[0].hint == f"{hint} give the URL of a `soce serve`"


def test_a_command_is_opened_with_its_options(tmp_path: Path) -> None:
    path = str(checkpoints.directory(tmp_path / "A", 1.0, 2.0))
    command = [sys.executable, "{checkpoint}"]
    options = EvaluatorOptions(
        merge=MergeOptions(dtype="bf16"), scratch=str(tmp_path), metric="acc", timeout_seconds=9
    )
    made = open_evaluator(command, [path], options, folder=tmp_path / "runs")
    assert isinstance(made, CommandEvaluator)
    assert (made.options.scores, made.options.timeout_seconds) == ("{output}", 9)
    assert made.options.merge.dtype == "bf16"
    assert made.options.read is not None
    assert made.options.read.metric == "acc"
    assert made.folder == tmp_path / "runs"
    made.close()


def test_two_evaluators_share_one_live_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from soce.evaluate.function import FunctionEvaluator
    from soce.evaluate.tasks.evaluator import TaskEvaluator

    monkeypatch.chdir(tmp_path)
    item = {"category": "a", "kind": "teacher_forced", "prompt": "ab", "answer": "c"}
    Path("tasks.jsonl").write_text(json.dumps(item) + "\n")
    Path("kinds_function.py").write_text("def evaluate(model, tokenizer):\n    return {'a': 1}\n")
    settings = {"max_new_tokens": 7, "max_length": 20, "perplexity_per": "token"}
    options = EvaluatorOptions(device="cpu", batch_size=2, stop=("###",), **settings)  # type: ignore[arg-type]
    first = open_evaluator("tasks.jsonl", save_models(tmp_path), options)
    assert isinstance(first, TaskEvaluator)
    assert first.identity.items() >= {**settings, "stop": ["###"]}.items()
    second = open_evaluator("kinds_function:evaluate", first.soup)
    assert isinstance(second, FunctionEvaluator)
    assert second.soup is first.soup
    command = open_evaluator(
        [sys.executable, "{checkpoint}"], first.soup, EvaluatorOptions(scratch=str(tmp_path))
    )
    assert isinstance(command, CommandEvaluator)
    assert command.ingredients == first.soup.ingredients
    for made in (first, second, command):
        made.close()
