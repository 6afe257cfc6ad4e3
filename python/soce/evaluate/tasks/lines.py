"""A line of a task file: which fields it may have, and what they are, read strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.tasks.item import WRITTEN
from soce.evaluate.tasks.scorers.choices import ChoiceScorer
from soce.evaluate.tasks.scorers.functions import FunctionScorer
from soce.evaluate.tasks.scorers.registry import read_scorer
from soce.exceptions import shown
from soce.files.parsing import no_constant, unique_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from soce.evaluate.tasks.item import AnswerScorer

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "multiple_choice": ("prompt", "choices", "answer"),
    "exact_match": ("prompt", "answer"),
    "teacher_forced": ("prompt", "answer"),
    "perplexity": ("text",),
    "generation": ("prompt", "scorer", "answer"),
}
"""Kinds of items with the fields that each must have. All have ``category`` and may have ``id``, ``kind`` and
``meta``, which is for the author and for scorers that are functions. ``messages``, with ``tools`` or without,
may stand for ``prompt``. An item with a ``scorer`` is `generation` if it does not say."""

_ALL: Final = ("category", "id", "kind", "meta")


def read_line(line: bytes, kind: str | None) -> dict[str, Any]:
    """Return the fields of `Item` that a line gives, its id None if it has none.

    `kind` is that of lines that do not state theirs. Raises ValueError without the line's number.
    """
    data = _object(line)
    kind = data.get("kind") or ("generation" if "scorer" in data else kind)
    if kind is None:
        _wrong(f"has no `kind`, and there is no default; kinds: {', '.join(FIELDS)}")
    if not isinstance(kind, str) or kind not in FIELDS:
        _wrong(f"`kind` is {_value(kind)}; kinds: {', '.join(FIELDS)}")
    scorer = None
    if kind == "generation" and data.get("scorer") is not None:
        scorer = read_scorer(data["scorer"])
    _check_names(data, kind, scorer)
    found: dict[str, Any] = {"kind": kind, "scorer": scorer, "prompt": ""}
    if data.get("messages") is not None:
        found["messages"] = _messages(data["messages"])
        if data.get("tools") is not None:
            found["tools"] = _objects(data["tools"], "tools")
    elif "prompt" in FIELDS[kind]:
        found["prompt"] = _text(data["prompt"], "prompt", empty=True)
    if kind in WRITTEN:
        found |= _length(data)
    if isinstance(scorer, FunctionScorer):
        found["meta"] = data.get("meta")
    given = data.get(FIELDS[kind][-1])
    if kind == "multiple_choice" or isinstance(scorer, ChoiceScorer):
        found["choices"], found["answer"] = _choices(data["choices"], given)
    elif scorer is not None:
        answers = ("",) if given is None else scorer.answers(given)
        found["answer"], *rest = (_text(one, "answer", empty=True) for one in answers)
        found["alternatives"] = tuple(rest)
    else:
        found["answer"] = _text(given, FIELDS[kind][-1], stripped=kind == "exact_match")
    found["category"] = _text(data["category"], "category", stripped=True)
    own = data.get("id")
    if own is not None:
        own = _text(str(own) if type(own) is int else own, "id", stripped=True)
    return {**found, "id": own}


def _check_names(data: Mapping[str, Any], kind: str, scorer: AnswerScorer | None) -> None:
    """Refuse a line that lacks fields, or has some that its kind does not have."""
    needed = list(FIELDS[kind])
    may: set[str] = {*_ALL, *needed}
    if "prompt" in needed:
        may |= {"messages", "tools"}
        if data.get("messages") is not None:
            needed.remove("prompt")
    if kind in WRITTEN:
        may |= {"max_new_tokens", "stop"}
    if isinstance(scorer, ChoiceScorer):
        needed.insert(-1, "choices")
        may.add("choices")
    if scorer is not None and not scorer.needs_answer:
        needed.remove("answer")
    missing = [f"`{name}`" for name in ("category", *needed) if data.get(name) is None]
    if missing:
        _wrong(f"has no {' and no '.join(missing)}")
    strangers = sorted(data.keys() - may)
    if strangers:
        _wrong(f"has a field `{shown(strangers[0])}`, which {kind} items do not have; notes go into `meta`")
    if data.get("messages") is not None and data.get("prompt") is not None:
        _wrong("has a `prompt` and `messages`: leave one out")
    if data.get("tools") is not None and data.get("messages") is None:
        _wrong("has `tools`, which need `messages`")


def _object(line: bytes) -> dict[str, Any]:
    if not line.strip():
        _wrong("is empty")
    try:
        data = json.loads(line.decode(), object_pairs_hook=unique_keys, parse_constant=no_constant)
    except UnicodeDecodeError:
        _wrong("is not UTF-8")
    except json.JSONDecodeError as error:
        _wrong(f"is not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        _wrong("is nested too deeply")
    if not isinstance(data, dict):
        _wrong(f"is {_value(data)}, not an object")
    return data


def _messages(given: object) -> tuple[Mapping[str, Any], ...]:
    messages = _objects(given, "messages")
    for i, message in enumerate(messages):
        _text(message.get("role"), f"messages[{i}].role", stripped=True)
        if message.get("content") is None and message.get("tool_calls") is None:
            _wrong(f"`messages[{i}]` has no `content`")
    return messages


def _objects(given: object, name: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        _wrong(f"`{name}` is not a list of objects")
    _text(json.dumps(given, ensure_ascii=False), name)
    return tuple(given)


def _length(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return how long a text may be and what ends it, where the line says so."""
    found: dict[str, Any] = {}
    most, stop = data.get("max_new_tokens"), data.get("stop")
    if most is not None:
        if type(most) is not int or most < 1:
            _wrong(f"`max_new_tokens` is {_value(most)}, not a number of tokens")
        found["max_new_tokens"] = most
    if stop is not None:
        stops = [stop] if isinstance(stop, str) else stop
        if not isinstance(stops, list):
            _wrong(f"`stop` is {_value(stop)}, not a text or a list of texts")
        found["stop"] = tuple(_text(one, "stop") for one in stops)
    return found


def _choices(given: object, right: object) -> tuple[tuple[str, ...], str]:
    if not isinstance(given, list) or len(given) < 2:
        _wrong("`choices` is not a list of at least two texts")
    choices = tuple(_text(choice, f"choices[{i}]") for i, choice in enumerate(given))
    if len(set(choices)) < len(choices):
        _wrong("`choices` has the same text twice")
    if type(right) is not int or not 0 <= right < len(choices):
        _wrong(f"`answer` is {_value(right)}, not the index of a choice (0 to {len(choices) - 1})")
    return choices, choices[right]


def _text(value: object, name: str, *, empty: bool = False, stripped: bool = False) -> str:
    if not isinstance(value, str):
        _wrong(f"`{name}` is {_value(value)}, not a text")
    if not empty and not (value.strip() if stripped else value):
        _wrong(f"`{name}` is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        _wrong(f"`{name}` has half of a surrogate pair")
    return value


def _value(value: object) -> str:
    return f"`{shown(json.dumps(value))}`"


def _wrong(message: str) -> NoReturn:
    raise ValueError(message)
