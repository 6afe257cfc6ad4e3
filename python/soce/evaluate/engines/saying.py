"""What a model says to a fixed text, by an engine or by transformers, and how far two of them are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.engines.unix_http import ask
from soce.evaluate.evaluation import refuse, told
from soce.evaluate.http.refusals import refusal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.engines.engine import Engine
    from soce.evaluate.live.soup_model import SoupModel

_TEXT: Final = """\
A soup of models is an average: each number in it is the mean of the numbers that stand in the same place
of its ingredients, and nothing else of them is kept. Whether it tastes better than the best of them is a
question for a benchmark, not for a proof. In 1906 some 800 visitors of a fair guessed the weight of an
ox; the mean of their guesses, 1197 pounds, was one pound off, although hardly anybody had been near it.
What is averaged there are answers. What is averaged here are the parameters of networks that began as
one and were trained apart, to write code, to call functions, to count, to speak Finnish: `def add(a, b):
return a + b`, {"name": "weather", "arguments": {"city": "Turku"}}, 12 * 12 = 144, hyvää huomenta. Every
expert is good at something and forgets a little of the rest. The question of which weights serve all of
it is asked anew for each set of experts; it is answered by trying.
"""
_TOKENS: Final = 256
"""Of the text: several blocks of any engine's cache, where the window has room for them."""
_WRITTEN: Final = 4
_ANSWER_SECONDS: Final = 1800.0
"""How long an answer may take: an engine may compile for the first one."""

Written = tuple[tuple[int, float], ...]
"""Tokens, each with the natural logarithm of its probability."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What a model says to the text."""

    prompt: tuple[float, ...]
    """Natural logarithms of the probabilities of its tokens after the first."""
    written: Written
    """What the model goes on with."""
    rewritten: Written
    """The same, asked for together with those of the prompt, where a cache of prompts is of no use."""


def text_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the tokens of the text; any tokens where it is too short or cannot be read, as a last resort."""
    try:
        tokens = tokenizer(_TEXT)["input_ids"]
    except Exception:
        tokens = []
    n_words = tokenizer.vocab_size or len(tokenizer)
    return (*tokens, *(7919 * i % n_words for i in range(1, _TOKENS + 1)))[:_TOKENS]


def asked_engine(engine: Engine, tokens: Sequence[int]) -> Saying:
    """Return what an engine says to as many of the tokens as fit into its window.

    What it writes is asked for first, when the text may be in its cache, but ought not.
    """
    models = _ask(engine, "/v1/models", None)
    window = models["data"][0].get("max_model_len")
    given = list(_fitting(tokens, window))
    body = {"model": engine.model, "prompt": given, "max_tokens": _WRITTEN, "temperature": 0}
    body |= {"logprobs": 0, "return_token_ids": True}
    written = _ask(engine, "/v1/completions", body)["choices"][0]
    both = _ask(engine, "/v1/completions", {**body, "prompt_logprobs": 0})["choices"][0]
    told_of = zip(given, both["prompt_logprobs"], strict=True)
    prompt = tuple(float(held[str(token)]["logprob"]) for token, held in told_of if held is not None)
    return Saying(prompt, _written(written), _written(both))


def _written(choice: dict[str, Any]) -> Written:
    return tuple(zip(choice["token_ids"], map(float, choice["logprobs"]["token_logprobs"]), strict=True))


def _ask(engine: Engine, route: str, body: object) -> Any:  # noqa: ANN401 - JSON
    try:
        status, answer = ask(str(engine.socket), route, body, timeout_seconds=_ANSWER_SECONDS)
    except (OSError, HTTPException) as error:
        engine.check()
        refuse(f"{engine.name} does not answer its canary: {told(error)}", cause=error)
    if status != 200:
        raise refusal_of(answer, status, route)
    return answer


def asked_model(model: SoupModel, tokens: Sequence[int], *, n_written: int) -> Saying:
    """Return what a model of transformers says to as many of the tokens as fit into its window.

    It writes a few tokens, each by a whole pass: how a model is given its cache is not the same everywhere.
    """
    import torch

    config = model.model.config.get_text_config()
    given = _fitting(tokens, getattr(config, "max_position_embeddings", None))
    prompt: list[float] = []
    written: list[tuple[int, float]] = []
    with torch.inference_mode():
        while len(written) < n_written:
            ids = torch.tensor([given + tuple(token for token, _ in written)], device=model.device)
            logs = model.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
            prompt = prompt or logs[range(len(given) - 1), given[1:]].tolist()  # logs: (tokens, words)
            token = int(logs[-1].argmax())
            written.append((token, float(logs[-1, token])))
    return Saying(tuple(prompt), tuple(written), tuple(written))


def _fitting(tokens: Sequence[int], window: int | None) -> tuple[int, ...]:
    return tuple(tokens[: _TOKENS if window is None else max(2, min(_TOKENS, window - _WRITTEN))])


def distance(one: Saying, other: Saying) -> float:
    """Return the root mean square of differences, in nats.

    What was written counts as far as it is the same, and the first token that is not: likeliest tokens are as
    far apart as distributions, at most. It is not looked at if one of them saw less of the text.
    """
    pairs = list(zip(one.prompt, other.prompt, strict=False))
    if len(one.prompt) == len(other.prompt):
        for (token, log), (another, its_log) in zip(one.written, other.written, strict=False):
            pairs.append((log, its_log))
            if token != another:
                break
    apart = [0.0 if first == second else abs(first - second) for first, second in pairs]
    return math.sqrt(math.fsum(gap * gap for gap in apart) / len(apart))
