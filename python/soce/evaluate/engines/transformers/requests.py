"""Requests in the shape of OpenAI's API and vLLM's: what is asked, or why it cannot be answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.engines.transformers.asked import Ask
from soce.evaluate.engines.transformers.engine import MODEL
from soce.evaluate.http.handler import RequestRefused
from soce.evaluate.tasks.chat import template_text
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

_MOST_GUESSES: Final = 20
_USUAL_TOKENS: Final = 16
"""Of a completion that names no number, as everywhere."""
_MOST_PROMPTS: Final = 1024

_READ: Final = frozenset(
    {
        *("model", "prompt", "messages", "max_tokens", "max_completion_tokens", "temperature"),
        *("stop", "stop_token_ids", "ignore_eos", "skip_special_tokens", "add_special_tokens"),
        *("echo", "logprobs", "top_logprobs", "prompt_logprobs", "return_token_ids"),
        *(
            "stream",
            "stream_options",
            "tools",
            "tool_choice",
            "add_generation_prompt",
            "continue_final_message",
        ),
    }
)
_WITHOUT_EFFECT: Final = frozenset(
    {
        *("user", "seed", "top_p", "top_k", "min_p", "request_id", "session_id", "metadata", "store"),
        *("service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls", "priority"),
        "stream_interval",
    }
)
"""What changes no answer that is always the likeliest."""
_ONLY: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "use_beam_search": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "logit_bias": ({},),
    "bad_words": ([],),
    "include_stop_str_in_output": (False,),
    "spaces_between_special_tokens": (True,),
    "response_format": ({"type": "text"},),
    "return_tokens_as_token_ids": (False,),
    "suffix": ("",),
}
"""What may be said as long as it asks for nothing; None may be said of everything."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that can be answered."""

    asks: tuple[Ask, ...]
    is_chat: bool = False
    echo: bool = False
    """Whether the prompt is part of the answer."""
    token_ids: bool = False
    stream: bool = False
    stream_usage: bool = False


class RequestReader:
    """Reads requests for one tokenizer and one model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, window: int, vocabulary: int) -> None:
        self._tokenizer: Any = tokenizer
        self._window = window
        self._vocabulary = vocabulary

    def completion(self, body: Any) -> Wanted:  # noqa: ANN401 - JSON
        """Return what ``/v1/completions`` is asked."""
        given = _Fields(body, without={"messages", "tools"})
        echo = given.flag("echo")
        top = given.number("logprobs", None, most=_MOST_GUESSES)
        prompt_top = given.number("prompt_logprobs", top if echo else None, most=_MOST_GUESSES)
        most = given.number("max_tokens", _USUAL_TOKENS)
        assert most is not None
        if most == 0 and not echo and prompt_top is None:
            _refuse("`max_tokens` is 0, so there is nothing to answer", "ask for `echo` or `prompt_logprobs`")
        asks = [
            self._ask(given, Ask(tokens, text, most, top=top, prompt_top=prompt_top))
            for tokens, text in self._prompts(given, special=given.flag("add_special_tokens", usual=True))
        ]
        return _wanted(given, asks, is_chat=False, echo=echo)

    def chat(self, body: Any) -> Wanted:  # noqa: ANN401 - JSON
        """Return what ``/v1/chat/completions`` is asked."""
        given = _Fields(body, without={"prompt", "suffix"})
        top = given.number("top_logprobs", 0, most=_MOST_GUESSES) if given.flag("logprobs") else None
        if given.flag("echo"):
            _refuse("`echo` is not supported for chats")
        text = self._chat_text(given)
        special = given.flag("add_special_tokens")
        tokens = tuple(self._tokenizer(text, add_special_tokens=special)["input_ids"])
        left = self._window - len(tokens)
        most = given.number("max_completion_tokens", given.number("max_tokens", left))
        if not most or most < 1:
            _refuse(f"the chat is {len(tokens)} tokens long, and the model sees {self._window}")
        prompt_top = given.number("prompt_logprobs", None, most=_MOST_GUESSES)
        ask = self._ask(given, Ask(tokens, text, most, top=top, prompt_top=prompt_top))
        return _wanted(given, [ask], is_chat=True)

    def _ask(self, given: _Fields, ask: Ask) -> Ask:
        """Return a prompt with how its answer is to be written."""
        if not ask.tokens:
            _refuse("a prompt has no tokens")
        stranger = next((token for token in ask.tokens if not 0 <= token < self._vocabulary), None)
        if stranger is not None:
            _refuse(f"the model has no token {stranger}: it knows {self._vocabulary}")
        if len(ask.tokens) + ask.most > self._window:
            what = f"{len(ask.tokens)} tokens of a prompt and {ask.most} new ones"
            hint = "shorten the prompt, or lower `max_tokens`"
            _refuse(f"{what} are more than the {self._window} that the model sees", hint)
        if ask.most and given.get("temperature") != 0:
            hint = "send `temperature` 0, or serve the soups with vLLM"
            _refuse("this engine always takes the likeliest token and draws none", hint)
        return replace(
            ask,
            stop=given.texts("stop"),
            stop_tokens=frozenset(given.numbers("stop_token_ids")),
            ignore_ends=given.flag("ignore_eos"),
            shows_special=not given.flag("skip_special_tokens", usual=True),
        )

    def _prompts(self, given: _Fields, *, special: bool) -> list[tuple[tuple[int, ...], str | None]]:
        prompt = given.get("prompt")
        several = prompt if isinstance(prompt, list) and not _is_tokens(prompt) else [prompt]
        if len(several) > _MOST_PROMPTS:
            _refuse(f"there are {len(several)} prompts, at most {_MOST_PROMPTS} are possible")
        found: list[tuple[tuple[int, ...], str | None]] = []
        for one in several:
            if isinstance(one, str):
                found.append((tuple(self._tokenizer(one, add_special_tokens=special)["input_ids"]), one))
            elif _is_tokens(one):
                found.append((tuple(one), None))
            else:
                _refuse("`prompt` must be a text, a list of token ids, or a list of such")
        if not found:
            _refuse("there is no `prompt`")
        return found

    def _chat_text(self, given: _Fields) -> str:
        messages, tools = given.get("messages"), given.get("tools") or []
        is_list = isinstance(messages, list) and isinstance(tools, list)
        if not is_list or not messages or not all(isinstance(one, dict) for one in [*messages, *tools]):
            _refuse("`messages` must be a list of messages, and `tools` one of functions")
        if not all(isinstance(one.get("role"), str) for one in messages):
            _refuse("every message must have a `role`")
        if tools and given.get("tool_choice") != "none":
            hint = 'send `"tool_choice": "none"`: the model is told of the tools, and its text comes as it is'
            _refuse("this engine does not read calls of tools out of what the model writes", hint)
        goes_on = messages[-1]["role"] == "assistant"
        if given.flag("add_generation_prompt", usual=not goes_on) == goes_on:
            _refuse("`add_generation_prompt` is true unless the last message is the assistant's")
        if given.flag("continue_final_message", usual=goes_on) != goes_on:
            _refuse(
                "`continue_final_message` must be true if the last message is the assistant's, else false"
            )
        return template_text(self._tokenizer, list(map(_plain_message, messages)), tools)


class _Fields:
    """The fields of a request, none of which is left unread without a word."""

    def __init__(self, body: Any, *, without: set[str]) -> None:  # noqa: ANN401 - JSON
        if not isinstance(body, dict):
            _refuse("the body must be a JSON object")
        self._given = {name: value for name, value in body.items() if value is not None}
        known = (_READ | _WITHOUT_EFFECT | _ONLY.keys()) - without
        for name, value in self._given.items():
            if name not in known:
                hint = nearest(name, sorted(known), "fields")
                _refuse(f"this engine has no field `{shown(name)}`", hint)
            if name in _ONLY and value not in _ONLY[name]:
                what = shown(str(value))
                _refuse(
                    f"this engine cannot do `{name}` = `{what}`", f"leave it out, or send {_ONLY[name][0]!r}"
                )
        if self.get("model", MODEL) != MODEL:
            message = f"there is no model `{shown(str(self.get('model')))}`"
            raise RequestRefused(404, message, f"this one is called `{MODEL}`")

    def get(self, name: str, usual: object = None) -> Any:  # noqa: ANN401 - JSON
        return self._given.get(name, usual)

    def flag(self, name: str, *, usual: bool = False) -> bool:
        value = self.get(name, usual)
        if not isinstance(value, bool):
            _refuse(f"`{name}` must be true or false")
        return value

    def number(self, name: str, usual: int | None, *, most: int = 1 << 24) -> int | None:
        value = self.get(name, usual)
        if value is None or (_is_count(value) and value <= most):
            return value  # type: ignore[no-any-return] # it was looked at
        _refuse(f"`{name}` must be an integer from 0 to {most}")

    def numbers(self, name: str) -> list[int]:
        value = self.get(name, [])
        if not isinstance(value, list) or not all(map(_is_count, value)):
            _refuse(f"`{name}` must be a list of token ids")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.get(name, [])
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not all(isinstance(one, str) and one for one in several):
            _refuse(f"`{name}` must be a text or a list of texts, none of them empty")
        return tuple(several)


def _plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as templates take it: parts of text as one text, arguments of calls as mappings."""
    plain = {name: value for name, value in message.items() if value is not None}
    content = plain.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            _refuse("a message has a part that is no text", "this engine takes text only")
        plain["content"] = "\n".join(part["text"] for part in content)
    calls = plain.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = list(map(_plain_call, calls))
    return plain


def _plain_call(call: Any) -> Any:  # noqa: ANN401 - JSON
    try:
        function = call["function"]
        if isinstance(function["arguments"], str):
            return {**call, "function": {**function, "arguments": json.loads(function["arguments"] or "{}")}}
    except (KeyError, TypeError, ValueError):
        _refuse("a call of a tool has no `function` with `arguments` in JSON")
    return call


def _wanted(given: _Fields, asks: list[Ask], *, is_chat: bool, echo: bool = False) -> Wanted:
    stream, options = given.flag("stream"), given.get("stream_options", {})
    if not isinstance(options, dict) or (options and not stream):
        _refuse("`stream_options` is a mapping, and belongs to `stream`")
    usage = options.get("include_usage") is True
    return Wanted(tuple(asks), is_chat, echo, given.flag("return_token_ids"), stream, usage)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_count, value))


def _refuse(message: str, hint: str | None = None) -> NoReturn:
    raise RequestRefused(400, message, hint)
