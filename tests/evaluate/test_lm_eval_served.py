"""Tasks of lm-evaluation-harness asked of a serving engine: the model in process and the engine say the same."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests.lm_eval_pair import Pair, assert_agree
from tests.tiny_models import save_models, write_tasks

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.kinds import EvaluatorOptions, check_evaluator, unused_options
from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.exceptions import EngineLostError, EvaluationError

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    import datasets
    import torch

    home = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        made = Pair(home, save_models(home), "transformers", EngineOptions())
        yield made
        made.served.close()
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"apply_chat_template": True, "system_instruction": "be brief"},
        {"gen_kwargs": {"until": ["a", "b0", "e", "7"], "max_gen_toks": 9}, "num_fewshot": 1},
        {"gen_kwargs": {"until": ["<pad>", "<unk>"], "max_gen_toks": 40}},
        {"settings": {"max_length": 12}, "gen_kwargs": "max_gen_toks=5"},
        {"settings": {"add_bos_token": False, "prefix_token_id": 7}},
    ],
    ids=["plain", "chat", "stops", "special stops", "small window", "no beginning"],
)
def test_an_engine_says_what_the_model_in_process_says(shared, options):
    # In a batch a row that met a special token goes on, and its text shows neither that token nor its end.
    here = shared.make(shared.here, batch_size=1, **options)
    served = shared.make(shared.served, **options)
    assert served.item_ids() == here.item_ids()
    assert served.item_contents() == here.item_contents()
    found = served.score(shared.recipe)
    assert_agree(here.score(shared.recipe), found)
    assert found.notes == ()


def test_some_documents_are_asked_with_progress_and_filed_as_the_engines(shared):
    evaluator = shared.make(shared.served)
    everything = evaluator.score(shared.recipe)
    seen = []
    some = {"tiny_shots": ["4", "3"], "tiny_said": ["0"], "tiny_text": ["2"]}
    found = evaluator.score(shared.recipe, items=some, on_progress=lambda *told: seen.append(told))
    assert_agree(everything.restricted(some), found)
    assert seen == sorted(seen)
    assert seen[-1] == (8, 8), "two documents of three choices each, and two more"
    keys, others = evaluator.item_keys(), shared.make(shared.here).item_keys()
    assert {name: tuple(held) for name, held in keys.items()} == evaluator.item_ids()
    assert not {*keys["tiny_choice"].values()} & {*others["tiny_choice"].values()}

    class StopNowError(Exception):
        pass

    def stop(*_):
        raise StopNowError

    with pytest.raises(StopNowError):
        evaluator.score(shared.recipe, on_progress=stop)
    assert_agree(evaluator.score(shared.recipe, items=some), found)


def test_of_an_engine_not_yet_started_the_identity_is_known(shared):
    from soce.evaluate.served.outline import ServedOutline

    outline = shared.make(ServedOutline(shared.models, "transformers", EngineOptions()))
    served = shared.make(shared.served)
    assert outline.identity == served.identity
    assert outline.item_keys() == served.item_keys()
    assert json.loads(json.dumps(served.identity))["engine"]
    assert served.identity != shared.make(shared.here).identity
    with pytest.raises(EvaluationError, match="cannot be scored"):
        outline.score(shared.recipe)


def test_an_engine_makes_the_prompts_of_chats_if_it_is_asked_to(shared):
    names, given = ["tiny_said", "tiny_translation"], {"apply_chat_template": True, "num_fewshot": 0}
    here = shared.make(shared.here, names, **given)
    served = shared.make(shared.served, names, **given, chat_completions=True)
    found, expected = served.score(shared.recipe), here.score(shared.recipe)
    for category, answers in expected.answers.items():
        for item, answer in answers.items():
            other = found.answers[category][item]
            assert (other.text, other.ending) == (answer.text, answer.ending)
    assert found.items == expected.items
    assert served.identity["requests"] == "chat completions"
    (request, *_), *_ = served.tasks[0].requests
    assert [turn["role"] for turn in json.loads(request.arguments[0])] == ["user"]


def test_an_answer_that_is_begun_is_gone_on_with(shared, tmp_path):
    tasks = write_tasks(tmp_path / "tasks")
    held = json.loads((tasks / "tiny_translation.yaml").read_text()) | {"gen_prefix": "the"}
    (tasks / "tiny_translation.yaml").write_text(json.dumps(held))
    given = {"apply_chat_template": True, "include_path": tasks}
    here = shared.make(shared.here, ["tiny_translation"], **given).score(shared.recipe)
    served = shared.make(shared.served, ["tiny_translation"], **given, chat_completions=True).score(
        shared.recipe
    )
    texts = [[one.text for one in found.answers["tiny_translation"].values()] for found in (here, served)]
    assert texts[0] == texts[1]


def test_chats_are_for_engines_and_for_tasks_that_write(shared):
    chat = EvaluatorOptions(
        include_path=(str(shared.tasks),), apply_chat_template=True, chat_completions=True, engine="vllm"
    )
    with pytest.raises(EvaluationError, match="task `tiny_choice` needs log-likelihoods") as caught:
        check_evaluator("lm-eval:tiny", chat)
    assert "leave `chat_completions` out" in caught.value.problems[0].hint
    assert check_evaluator("lm-eval:tiny_said", chat) == ["tiny_said"]
    with pytest.raises(EvaluationError, match="task `tiny_choice` needs log-likelihoods"):
        shared.make(
            shared.served,
            [str(shared.tasks / "tiny_choice.yaml")],
            apply_chat_template=True,
            chat_completions=True,
        )
    with pytest.raises(EvaluationError, match="`chat_completions` is for serving engines"):
        shared.make(shared.here, ["tiny_said"], apply_chat_template=True, chat_completions=True)
    with pytest.raises(EvaluationError, match="`chat_completions` needs `apply_chat_template`"):
        LmEvalOptions(chat_completions=True)
    assert unused_options(["lm-eval:tiny"], EvaluatorOptions(chat_completions=True)) == {
        "chat_completions": "no serving engine is named"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4}, "`batch_size` means nothing to an engine"),
        ({"settings": {"backend": "causal"}}, "the setting `backend` means nothing to an engine"),
        (
            {"settings": {"softmax_dtype": "float32"}},
            "the setting `softmax_dtype` means nothing to an engine",
        ),
        ({"settings": {"enable_thinking": True}}, "`enable_thinking` needs `think_end_token`"),
        ({"settings": {"enable_thinking": True, "think_end_token": "e"}}, "leave no room to think"),
        (
            {"gen_kwargs": "num_beams=3"},
            "task `tiny_said` generates with `num_beams`, which engines do not know",
        ),
    ],
)
def test_options_that_mean_nothing_to_an_engine_are_refused(shared, options, message):
    with pytest.raises(EvaluationError) as caught:
        shared.make(shared.served, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gen_kwargs": "repetition_penalty=1.3"}, "this engine cannot do `repetition_penalty` = `1.3`"),
        ({"gen_kwargs": "max_gen_toks=128"}, "texts may have 128 tokens, the whole window of 128"),
        ({"settings": {"max_length": 999}}, "`max_length` is 999, but the engine's window has 128 tokens"),
    ],
)
def test_what_an_engine_refuses_is_an_error_and_no_answer(shared, options, message):
    evaluator = shared.make(shared.served, ["tiny_said"], **options)
    with pytest.raises(EvaluationError, match=message):
        evaluator.score(shared.recipe)
    assert shared.make(shared.served, ["tiny_said"]).score(shared.recipe).items["tiny_said"]


def test_what_does_not_fit_into_an_engine_is_cut_and_told(shared, monkeypatch):
    names = ["tiny_shots", "tiny_text"]  # of 28 tokens, and of 11 to 15
    monkeypatch.setitem(shared.served.__dict__, "max_length", 16)
    found = shared.make(shared.served, names).score(shared.recipe)
    (note,) = found.notes
    n_texts = sum(10 + item + 1 > 14 for item in range(5))
    assert (
        note == f"{15 + n_texts} requests saw the last 15 tokens, for which the engine has room, and not 17"
    )
    here = shared.make(shared.here, names, settings={"max_length": 14}).score(shared.recipe)
    assert_agree(here, found)
    assert shared.make(shared.served, names, settings={"max_length": 14}).score(shared.recipe).notes == ()


def test_texts_become_the_tokens_that_they_become_in_process(shared):
    texts = ["ab c", "<s>ab", "", " a", "a ", "</s>x", "é"]
    for settings in ({}, {"add_bos_token": True}, {"add_bos_token": False}, {"prefix_token_id": 9}):
        here, served = (
            shared.make(model, ["tiny_said"], settings=settings)._model
            for model in (shared.here, shared.served)
        )
        for text in texts:
            assert served.tok_encode(text) == here.tok_encode(text), (settings, text)
            assert served.tok_encode(text, add_special_tokens=False) == here.tok_encode(
                text, add_special_tokens=False
            )
            assert served.prompt_tokens(text) == here.tok_batch_encode([text])[0].tolist()[0]
        for pair in [("ab", " c"), ("ab ", "c"), ("a", "")]:
            assert served._encode_pair(*pair) == here._encode_pair(*pair)
        assert served.prefix_token_id == here.prefix_token_id
        assert served.max_length == here.max_length == 128


def test_the_stops_of_a_model_that_thinks_are_looked_for_after_its_thought(shared):
    given = {"settings": {"think_end_token": "e"}, "gen_kwargs": {"until": ["a", "7"], "max_gen_toks": 30}}
    model = shared.make(shared.served, ["tiny_translation"], **given)._model
    asked = []
    ask_all = shared.served.client.ask_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            shared.served.client,
            "ask_all",
            lambda *told, **more: (asked.append(told[1]), ask_all(*told, **more))[1],
        )
        found = shared.make(shared.served, ["tiny_translation"], **given).score(shared.recipe)
    assert not any("stop" in body for bodies in asked for body in bodies)
    for answer in found.answers["tiny_translation"].values():
        assert not {"a", "7", "e"} & {*answer.text}
    assert model._written(
        ["a"], {"choices": [{"token_ids": model.tok_encode("xabcde yab"), "finish_reason": "length"}]}
    ) == ("y", "stop")
    assert model._written(
        ["a"], {"choices": [{"token_ids": model.tok_encode("xabcde yzb"), "finish_reason": "length"}]}
    ) == ("yzb", "length")


def test_an_engine_that_dies_among_the_documents_ends_the_evaluation(shared):
    """Last, as the engine is gone then."""
    evaluator = shared.make(shared.served)
    watchdog = shared.served._server.service.engine._process._process.pid
    processes = Path(f"/proc/{watchdog}/task/{watchdog}/children").read_text().split()

    def kill(done, total):
        if done == 7:
            for process in map(int, processes):
                os.kill(process, signal.SIGKILL)

    with pytest.raises(EngineLostError, match="SIGKILL"):
        evaluator.score(shared.recipe, on_progress=kill)
    with pytest.raises(EngineLostError, match="SIGKILL"):
        evaluator.score(shared.recipe)
