"""Answers in the shape of OpenAI's API, with what vLLM tells beyond it."""

from __future__ import annotations

import json
import math
import time
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.transformers.engine import MODEL
from soce.evaluate.http.handler import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.engines.transformers.asked import Ask, Guesses, Reply
    from soce.evaluate.engines.transformers.requests import Wanted

_LEAST: float = -9999.0
"""Stands for a probability of zero, of which JSON has no logarithm."""


class ResponseWriter:
    """Writes answers with the texts of one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer: Any = tokenizer
        self._token = lru_cache(maxsize=1 << 16)(lambda token: str(self._tokenizer.decode([token])))

    def whole(self, wanted: Wanted, said: Sequence[Reply]) -> dict[str, Any]:
        """Return the answer to a request in one piece."""
        choice = self._chat_choice if wanted.is_chat else self._completion_choice
        pairs = zip(wanted.asks, said, strict=True)
        answer = {
            **self._head(wanted, "chat.completion" if wanted.is_chat else "text_completion"),
            "choices": [choice(i, wanted, ask, one) for i, (ask, one) in enumerate(pairs)],
            "usage": _usage(wanted, said),
        }
        if wanted.is_chat:
            first = wanted.asks[0]
            answer["prompt_logprobs"] = self._prompt_guesses(said[0])
            answer["prompt_token_ids"] = list(first.tokens) if wanted.token_ids else None
        return answer

    def events(self, wanted: Wanted, said: Sequence[Reply]) -> Iterator[bytes]:
        """Yield the same as events: a batch is done as a whole, so each text comes in one."""
        head = self._head(wanted, "chat.completion.chunk" if wanted.is_chat else "text_completion")
        for choice in self.whole(wanted, said)["choices"]:
            if wanted.is_chat:
                message = choice.pop("message")
                begun = {"index": choice["index"], "delta": {"role": "assistant", "content": ""}}
                yield _event({**head, "choices": [{**begun, "logprobs": None, "finish_reason": None}]})
                choice["delta"] = {"content": message["content"]}
            yield _event({**head, "choices": [choice]})
        if wanted.stream_usage:
            yield _event({**head, "choices": [], "usage": _usage(wanted, said)})
        yield b"data: [DONE]\n\n"

    def _head(self, wanted: Wanted, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if wanted.is_chat else "cmpl"
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": MODEL,
        }

    def _completion_choice(self, i: int, wanted: Wanted, ask: Ask, said: Reply) -> dict[str, Any]:
        guesses: list[Guesses | None] = list(said.guesses)
        tokens, text = said.tokens, said.text
        if wanted.echo:
            guesses = [*(said.prompt_guesses or ()), *guesses]
            tokens = (*ask.tokens, *tokens)
            text = (self._tokenizer.decode(list(ask.tokens)) if ask.text is None else ask.text) + text
        return {
            "index": i,
            "text": text,
            "logprobs": None if ask.top is None else self._token_logs(tokens, guesses, ask.top),
            "finish_reason": said.ending,
            "stop_reason": said.ended_by,
            "token_ids": list(said.tokens) if wanted.token_ids else None,
            "prompt_logprobs": self._prompt_guesses(said),
            "prompt_token_ids": list(ask.tokens) if wanted.token_ids else None,
        }

    def _chat_choice(self, i: int, wanted: Wanted, ask: Ask, said: Reply) -> dict[str, Any]:
        logs = (
            None if ask.top is None else {"content": [self._chat_log(one, ask.top) for one in said.guesses]}
        )
        return {
            "index": i,
            "message": {"role": "assistant", "content": said.text, "refusal": None},
            "logprobs": logs,
            "finish_reason": said.ending,
            "stop_reason": said.ended_by,
            "token_ids": list(said.tokens) if wanted.token_ids else None,
        }

    def _token_logs(
        self, tokens: Sequence[int], guesses: Sequence[Guesses | None], top: int
    ) -> dict[str, Any]:
        texts = list(map(self._token, tokens))
        offsets = [0]
        for text in texts[:-1]:
            offsets.append(offsets[-1] + len(text))
        own = [
            None if one is None else _log(one[token].log) for token, one in zip(tokens, guesses, strict=True)
        ]
        best = [
            None
            if one is None
            else {self._token(k): _log(guess.log) for k, guess in [*one.items()][: 1 + top]}
            for one in guesses
        ]
        return {"text_offset": offsets, "token_logprobs": own, "tokens": texts, "top_logprobs": best}

    def _chat_log(self, guesses: Guesses, top: int) -> dict[str, Any]:
        (token, guess), *_ = guesses.items()
        likeliest = sorted(guesses.items(), key=lambda pair: pair[1].rank)[:top]
        best = [self._one_log(other, one.log) for other, one in likeliest]
        return {**self._one_log(token, guess.log), "top_logprobs": best}

    def _one_log(self, token: int, log: float) -> dict[str, Any]:
        text = self._token(token)
        return {"token": text, "logprob": _log(log), "bytes": list(text.encode("utf-8", "replace"))}

    def _prompt_guesses(self, said: Reply) -> list[dict[str, Any] | None] | None:
        if said.prompt_guesses is None:
            return None
        return [None if one is None else self._ranked(one) for one in said.prompt_guesses]

    def _ranked(self, guesses: Guesses) -> dict[str, Any]:
        return {
            str(token): {"logprob": _log(one.log), "rank": one.rank, "decoded_token": self._token(token)}
            for token, one in guesses.items()
        }


def _usage(wanted: Wanted, said: Sequence[Reply]) -> dict[str, int]:
    given = sum(len(ask.tokens) for ask in wanted.asks)
    written = sum(len(one.tokens) for one in said)
    return {"prompt_tokens": given, "total_tokens": given + written, "completion_tokens": written}


def _log(value: float) -> float:
    if math.isnan(value):
        raise RequestRefused(500, "the model gives NaN as a probability", "are its weights finite?")
    return max(value, _LEAST)


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content, allow_nan=False)}\n\n".encode()
