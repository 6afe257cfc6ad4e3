"""What an engine's replies say: log-likelihoods of prompts that it echoes, texts, and why they ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn


def log_likelihood(reply: Mapping[str, Any], *, n_tokens: int, n_scored: int) -> tuple[float, bool]:
    """Return the log-likelihood of the last tokens of a prompt, and whether each of them is the likeliest.

    The engine was asked to echo a prompt of `n_tokens` with the likeliest token at each place.
    """
    try:
        told = _only_choice(reply)["logprobs"]
        places = slice(n_tokens - n_scored, n_tokens)  # behind them is what it generated
        logs, likeliest = told["token_logprobs"][places], told["top_logprobs"][places]
        highest = [max(found.values()) for found in likeliest]
        is_whole = len(logs) == len(highest) == n_scored and all(map(_is_log, logs))
    except (AttributeError, KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        _refuse_reply(reply, f"no log-probabilities of {counted(n_scored, 'token')} of the prompt")
    return math.fsum(logs), all(log == most for log, most in zip(logs, highest, strict=True))


def tokens_written(reply: Mapping[str, Any]) -> tuple[list[int], bool]:
    """Return the tokens that an engine generated, and whether there had to be no more of them."""
    tokens = _only_choice(reply).get("token_ids")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        _refuse_reply(reply, "no tokens of its text")
    return tokens, _is_cut(reply)


def message_written(reply: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what an engine answered in a chat, and whether there had to be no more of it.

    There is no text if all of it was reasoning, which the engine tells apart.
    """
    message = _only_choice(reply).get("message")
    text = message.get("content") if isinstance(message, dict) else message
    if not (isinstance(message, dict) and isinstance(text, str | None)):
        _refuse_reply(reply, "no message")
    return text or "", _is_cut(reply)


def _is_log(value: object) -> bool:
    return isinstance(value, float | int) and value < math.inf  # no NaN


def _is_cut(reply: Mapping[str, Any]) -> bool:
    reason = _only_choice(reply).get("finish_reason")
    if reason not in {"stop", "length"}:  # such as `abort`: its text is no answer
        _refuse_reply(reply, f"a text that ended by `{shown(str(reason))}`")
    return bool(reason == "length")


def _only_choice(reply: Mapping[str, Any]) -> dict[str, Any]:
    choices = reply.get("choices")
    if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)):
        _refuse_reply(reply, "no single choice")
    choice: dict[str, Any] = choices[0]
    return choice


def _refuse_reply(reply: Mapping[str, Any], found: str) -> NoReturn:
    text = str(reply)
    cut = f"{text[:300]}…" if len(text) > 300 else text
    refuse(f"the engine's reply has {found}: {shown(cut)}")
