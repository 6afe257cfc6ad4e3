"""What is read from an engine's replies for lm-evaluation-harness, and how it is asked: no reply is taken on trust."""

import math

import pytest

from soce.evaluate.lm_eval.replies import log_likelihood, message_written, tokens_written
from soce.evaluate.lm_eval.sampling import Sampling
from soce.exceptions import EvaluationError


def echoed(logs, tops):
    return {
        "choices": [{"logprobs": {"token_logprobs": logs, "top_logprobs": tops}, "finish_reason": "length"}]
    }


def test_a_log_likelihood_is_that_of_the_last_tokens_of_the_prompt():
    reply = echoed(
        [None, -1.0, -2.0, -0.5, -9.0], [None, {"a": -1.0}, {"b": -2.0, "c": -0.1}, {"d": -0.5}, {"e": -9}]
    )
    assert log_likelihood(reply, n_tokens=4, n_scored=1) == (-0.5, True), "not what was written after it"
    assert log_likelihood(reply, n_tokens=4, n_scored=2) == (-2.5, False)
    assert log_likelihood(reply, n_tokens=4, n_scored=3) == (-3.5, False)
    assert log_likelihood(echoed([None, -math.inf], [None, {"a": -1.0}]), n_tokens=2, n_scored=1) == (
        -math.inf,
        False,
    )


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": []},
        {"choices": [{}, {}]},
        {"choices": [None]},
        {"choices": [{"logprobs": None}]},
        {"error": "no"},
        echoed([None, -1.0], [None, {"a": -1.0}]),
        echoed([None, -1.0, None], [None, {"a": -1.0}, {"a": -1.0}]),
        echoed([None, -1.0, math.nan], [None, {"a": -1.0}, {"a": -1.0}]),
        echoed([None, -1.0, math.inf], [None, {"a": -1.0}, {"a": -1.0}]),
        echoed([None, -1.0, "-1"], [None, {"a": -1.0}, {"a": -1.0}]),
        echoed([None, -1.0, -1.0], [None, {"a": -1.0}, {}]),
        echoed([None, -1.0, -1.0], [None, {"a": -1.0}, None]),
        echoed([None, -1.0, -1.0], None),
    ],
)
def test_a_reply_without_the_log_probabilities_that_were_asked_for_is_no_answer(reply):
    with pytest.raises(EvaluationError, match="the engine's reply has no"):
        log_likelihood(reply, n_tokens=3, n_scored=2)


def written(**choice):
    return {
        "choices": [{"token_ids": [5, 6], "message": {"content": "ab"}, "finish_reason": "stop", **choice}]
    }


def test_a_text_is_read_with_whether_it_was_full():
    assert tokens_written(written()) == ([5, 6], False)
    assert tokens_written(written(finish_reason="length")) == ([5, 6], True)
    assert message_written(written()) == ("ab", False)
    assert message_written(written(message={"content": None}, finish_reason="length")) == ("", True), (
        "all of it was thought"
    )


@pytest.mark.parametrize("reason", [None, "abort", "error", "tool_calls"])
def test_a_text_that_ended_in_another_way_is_no_answer(reason):
    for read in (tokens_written, message_written):
        with pytest.raises(EvaluationError, match=f"a text that ended by `{reason}`"):
            read(written(finish_reason=reason))


@pytest.mark.parametrize("choice", [{"token_ids": None}, {"token_ids": ["a"]}, {"token_ids": "ab"}])
def test_a_text_without_its_tokens_is_no_answer(choice):
    with pytest.raises(EvaluationError, match="no tokens of its text"):
        tokens_written(written(**choice))


@pytest.mark.parametrize("message", [None, "ab", {"content": 3}])
def test_a_chat_without_a_message_is_no_answer(message):
    with pytest.raises(EvaluationError, match="no message"):
        message_written(written(message=message))


def test_what_a_reply_says_is_shown_on_one_short_line():
    with pytest.raises(EvaluationError) as caught:
        tokens_written({"choices": "\n" * 9000})
    assert len(str(caught.value)) < 800
    assert len(str(caught.value).splitlines()) == 1


def test_arguments_of_generation_go_by_the_names_of_endpoints():
    pytest.importorskip("lm_eval")
    usual = Sampling.of({"until": ["a", ""], "do_sample": False, "temperature": 0.7}, "t")
    assert usual == Sampling(256, ("a",), {"temperature": 0.0}), "as the harness's command line takes them"
    assert usual.arguments_of(7, "q") == {"temperature": 0.0}, "nothing is drawn"
    given = {
        "until": "x",
        "max_tokens": 9,
        "temperature": 0.5,
        "do_sample": True,
        "top_p": 0.9,
        "min_new_tokens": 2,
    }
    drawn = Sampling.of(given, "t")
    assert (drawn.most, drawn.stops) == (9, ("x",))
    assert drawn.arguments == {"temperature": 0.5, "top_p": 0.9, "min_tokens": 2}


def test_texts_that_are_drawn_depend_on_what_is_asked_and_on_nothing_else():
    pytest.importorskip("lm_eval")
    drawn = Sampling.of({"temperature": 1.0}, "t")
    seeds = {
        drawn.arguments_of(seed, *asked)["seed"]
        for seed in (1, 2)
        for asked in (("q", 0), ("q", 1), ("p", 0))
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert drawn.arguments_of(1, "q", 0) == drawn.arguments_of(1, "q", 0)
    assert "seed" not in drawn.arguments_of(None, "q", 0), "nobody wants the same ones again"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_beams": 4}, "task `t` generates with `num_beams`, which engines do not know"),
        ({"suppress_tokens": [1]}, "task `t` generates with `suppress_tokens`"),
        ({"do_sample": True}, "task `t` samples without a temperature"),
    ],
)
def test_arguments_that_engines_would_leave_out_in_silence_are_refused(given, message):
    pytest.importorskip("lm_eval")
    with pytest.raises(EvaluationError, match=message):
        Sampling.of(given, "t")
