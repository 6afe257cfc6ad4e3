"""Answers that harnesses leave beside scores: samples of lm-evaluation-harness, logs of Inspect."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from soce.evaluate.answers import Answer, prompt_digest
from soce.evaluate.command.scores import read_evaluation
from soce.scores.formats.options import ReadOptions

RESULTS = Path(__file__).parent.parent / "results"
METRIC = "acc exact_match,first word_perplexity"


def read(source, metric=None):
    return read_evaluation(source, log=source / "log.txt", options=ReadOptions(metric=metric))


@pytest.fixture
def samples(tmp_path):
    """A copy of what lm-eval left, to be changed."""
    return Path(shutil.copytree(RESULTS / "lm_eval" / "answers", tmp_path / "left"))


def change(folder, task, edit):
    """Change each line of a task's samples; None removes it."""
    (path,) = folder.rglob(f"samples_{task}_*.jsonl")
    lines = [edit(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def test_samples_of_lm_eval_hold_texts_and_log_likelihoods(samples):
    found = read(samples, METRIC)
    assert {name: len(said) for name, said in found.answers.items()} == {
        "tiny_choice": 4,
        "tiny_said": 4,
        "tiny_surprise": 4,
    }
    assert found.answers["tiny_said"]["0"] == Answer(prompt_digest("hb="), " ce"), "before the filter"
    assert found.answers["tiny_said"]["1"].text == "002", "a text of digits is a text"
    first = found.answers["tiny_choice"]["0"]
    logs = (-12.03308391571045, -14.07292366027832, -26.92340850830078)
    assert first == Answer(prompt_digest("ggaeih="), choice=0, log_likelihoods=logs)
    (said,) = found.answers["tiny_surprise"]["0"].log_likelihoods
    assert said < 0
    right = {
        item: float(answer.choice == int(item) % 3) for item, answer in found.answers["tiny_choice"].items()
    }
    assert found.items["tiny_choice"] == right


def test_the_option_is_not_told_where_lengths_decide(samples):
    found = read(samples, "acc_norm exact_match,first acc").answers["tiny_choice"]
    assert {answer.choice for answer in found.values()} == {None}
    assert all(len(answer.log_likelihoods) == 3 for answer in found.values())


@pytest.mark.parametrize(
    "edit",
    [
        lambda held: {name: held[name] for name in held if name != "resps"},
        lambda held: {name: held[name] for name in held if name != "arguments"},
        lambda held: held | {"resps": held["resps"][:-1]},
        lambda held: held | {"resps": [[] for _ in held["resps"]]},
        lambda held: held | {"resps": [[["x", "False"]] for _ in held["resps"]]},
        lambda held: held | {"arguments": {"gen_args_0": "x", "gen_args_1": "y", "gen_args_2": "z"}},
        lambda held: held | {"resps": "said", "arguments": []},
    ],
)
def test_samples_without_answers_have_outcomes_all_the_same(samples, edit):
    before = read(samples, METRIC)
    change(samples, "tiny_choice", edit)
    found = read(samples, METRIC)
    assert found.items == before.items
    assert found.answers == {name: said for name, said in before.answers.items() if name != "tiny_choice"}


def test_the_files_say_what_the_evaluator_in_process_says(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("lm_eval")
    import datasets
    from tests.tiny_models import save_models, write_tasks

    from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator
    from soce.evaluate.lm_eval.options import LmEvalOptions
    from soce.recipes.model import Recipe

    home = tmp_path_factory.mktemp("same")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        (model,) = save_models(home, 1)
        options = LmEvalOptions(
            include_path=write_tasks(home / "tasks"), metric=METRIC, limit=4, batch_size=4
        )
        evaluator = LmEvalEvaluator([model], ["tiny_choice", "tiny_said", "tiny_surprise"], options)
        own = evaluator.score(Recipe.of([model]))
    files = read(RESULTS / "lm_eval" / "answers", METRIC)
    for name, said in own.answers.items():
        for item, answer in said.items():
            other = files.answers[name][item]
            assert (answer.prompt, answer.text, answer.choice) == (other.prompt, other.text, other.choice)
            assert answer.log_likelihoods == pytest.approx(other.log_likelihoods, rel=1e-4)
        assert own.items[name] == files.items[name]


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_logs_of_inspect_hold_texts_and_why_they_ended(kind):
    found = read(RESULTS / "inspect" / "answers" / kind)
    assert found.items == {"toy": dict.fromkeys(["q0", "q1", "q2", "q3"], 0.5)}, "of two epochs"
    said = found.answers["toy"]
    assert {item: answer.ending for item, answer in said.items()} == {
        "q0": "stop",
        "q1": "stop",
        "q2": "length",
        "q3": "stop",
    }
    assert said["q0"] == Answer(prompt_digest("be brief\nsay 0"), "The answer is 0. xxx", ending="stop")
    assert said["q1"].text == f"The answer is 1. {'x' * 200}"


def test_logs_that_keep_no_outputs_have_none(tmp_path):
    (path,) = (RESULTS / "inspect" / "answers" / "eval").iterdir()
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(tmp_path / path.name, "w") as kept:
        for name in given.namelist():
            content = given.read(name)
            if name == "samples/q0_epoch_1.json":
                content = json.dumps(json.loads(content) | {"output": {"choices": []}}).encode()
            if name != "samples/q1_epoch_1.json":
                kept.writestr(name, content)
    said = read(tmp_path).answers["toy"]
    assert said["q0"].text == "The answer is 1. xxx", "of the second epoch"
    assert said["q1"].ending == "length"
    (reductions,) = (RESULTS / "inspect" / "reductions").glob("*graded*")
    log = shutil.copy(reductions, tmp_path / "graded.json")
    assert read_evaluation(log, log=tmp_path / "log.txt").answers == {}
