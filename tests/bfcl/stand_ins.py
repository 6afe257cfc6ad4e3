"""Served models that are none: they answer what is right, or what a test says, at once."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from soce.evaluate.served.model import ServedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.recipes.model import Recipe

BFCL_PYTHON = os.environ.get("SOCE_BFCL_PYTHON") or str(Path.home() / ".cache/soce/bfcl/bin/python")
needs_bfcl = pytest.mark.skipif(
    not Path(BFCL_PYTHON).is_file(), reason=f"there is no environment of BFCL: `{BFCL_PYTHON}`"
)

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_MESSAGE = re.compile(r"<\|(system|user|assistant|tool)\|>(.*?)<\|end\|>\n", re.DOTALL)


def save_tokenizer(folder: Path, *, max_length: int = 200_000, template: str = TEMPLATE) -> str:
    """Save what BFCL reads of a checkpoint: a tokenizer of words with a chat template, and a config."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {text: number for number, text in enumerate(["<unk>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    wrapped.chat_template = template
    wrapped.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": max_length}))
    return str(folder)


class Client:
    """Answers prompts by a function, and counts them."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.prompts: list[str] = []
        self.ending = "stop"
        self.expected: str | None = None

    def get(self, path: str) -> dict[str, Any]:
        """Say that all is well: after all requests, or one that failed, it is asked."""
        assert path == "/recipe"
        return {"state": "ready", "reason": None, "id": self.expected}

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer in the form of OpenAI's completions."""
        assert path == "/v1/completions"
        assert body["temperature"] == 0
        with self._lock:
            self.prompts.append(body["prompt"])
        text = self._answer(body["prompt"])
        choice = {"index": 0, "text": text, "finish_reason": self.ending, "logprobs": None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {
            "id": "1",
            "object": "text_completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }


class StandIn(ServedModel):
    """A served model without a server."""

    def __init__(self, ingredients: Sequence[str], answer: Callable[[str], str]) -> None:
        self.ingredients = tuple(ingredients)
        self.client = Client(answer)  # type: ignore[assignment]
        self.model, self.concurrency = "stand-in", 8
        self.base_url, self._changes = "http://stand-in/v1", None
        self.identity = {"engine": "none"}
        self.recipe: Recipe | None = None

    max_length = None  # type: ignore[assignment]

    def set(self, recipe: Recipe, *, on_progress: object = None) -> None:
        """Take note of it."""
        self.recipe = recipe
        self.client.expected = recipe.id

    def close(self) -> None:
        """Do nothing."""


def messages_of(prompt: str) -> list[tuple[str, str]]:
    """Return role and text of each message of a prompt."""
    return _MESSAGE.findall(prompt)


class Truth:
    """Answers items of BFCL with what its files say is right."""

    def __init__(self, items: Mapping[str, Sequence[str]]) -> None:
        (data,) = Path(BFCL_PYTHON).parents[1].glob("lib/python3*/site-packages/bfcl_eval/data")
        self._turns: dict[str, list[str]] = {}
        for category, chosen in items.items():
            name = category.partition("_")[0] if category.startswith("memory") else category
            told = data / "possible_answer" / f"BFCL_v4_{name}.json"
            truths = _lines(told) if told.is_file() else []
            entries = _lines(data / f"BFCL_v4_{name}.json")
            for place, entry in enumerate(entries):
                item = entry["id"].replace("memory", category) if name == "memory" else entry["id"]
                if item in chosen:
                    truth = truths[place]["ground_truth"] if truths else None
                    self._learn(category, entry["question"], truth)

    def _learn(self, category: str, question: list[list[dict[str, str]]], truth: Any) -> None:
        asked = next(message["content"] for message in question[0] if message["role"] == "user")
        if category.startswith("multi_turn"):
            turns = [f"[{', '.join(calls)}]" if calls else "I cannot." for calls in truth]
        elif category.startswith("memory"):
            turns = [f"{{'answer': {truth[0]!r}, 'context': 'told'}}"]
        elif truth is None:
            turns = ["[f(x=1)]" if category == "live_relevance" else "I cannot."]
        else:
            is_other = category in {"simple_java", "simple_javascript"}
            turns = [f"[{', '.join(_call(one, as_text=is_other) for one in truth)}]"]
        assert self._turns.setdefault(asked, turns) == turns, "two items begin alike"

    def __call__(self, prompt: str) -> str:
        """Return the calls of a turn, and then that nothing is left to do."""
        messages = messages_of(prompt)
        asked = [text for role, text in messages if role == "user"]
        if messages[-1][0] == "tool" or asked[0] not in self._turns:
            return "Done."
        return self._turns[asked[0]][len(asked) - 1]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _call(truth: dict[str, dict[str, list[Any]]], *, as_text: bool) -> str:
    """Return a call in Python; values of other languages are texts in it."""
    ((name, arguments),) = truth.items()
    given = {key: _plain(values[0]) for key, values in arguments.items() if values and values[0] != ""}
    if as_text:
        given = {
            key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()
        }
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _plain(value: Any) -> Any:
    """Return a value in which each list of what is right is replaced by the first of it."""
    if isinstance(value, dict):
        return {
            key: _plain(inner[0]) if isinstance(inner, list) and inner else inner
            for key, inner in value.items()
            if not (isinstance(inner, list) and inner and inner[0] == "")
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
