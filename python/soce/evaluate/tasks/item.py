"""One item, and what scores the answer to it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn, Self, TypeAlias, get_type_hints

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.answers import Answer

Kind: TypeAlias = Literal["multiple_choice", "exact_match", "teacher_forced", "perplexity", "generation"]

WRITTEN: Final = frozenset({"exact_match", "generation"})
"""Kinds whose text the model writes; they may have ``max_new_tokens`` and ``stop``."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question, or one text."""

    category: str
    id: str
    kind: Kind
    prompt: str
    """What the model is given; empty for ``perplexity`` and where there are `messages`."""
    answer: str
    """What it must say: the right choice, the answer, or the text whose perplexity is taken; empty if nobody
    says, which some scorers allow."""
    choices: tuple[str, ...] = ()
    """What it chooses from, for ``multiple_choice`` and the scorer ``choice``."""
    alternatives: tuple[str, ...] = ()
    """Other answers that are as right, or other references."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """What the model is given by its chat template."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """The tools that the chat template tells of, as JSON schemas."""
    scorer: AnswerScorer | None = None
    """What scores a text, for ``generation``."""
    max_new_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    """How long a text may be and what it ends before; None: as the evaluator says."""
    meta: Any = None
    """What is noted in the line, for scorers that are functions; no others read it."""

    @property
    def key(self) -> tuple[str, str]:
        """What no other item of its tasks has."""
        return self.category, self.id

    @property
    def answers(self) -> tuple[str, ...]:
        """Everything that is right to say."""
        return (self.answer, *self.alternatives) if self.answer else self.alternatives

    @property
    def is_written(self) -> bool:
        """Whether the model writes a text, instead of judging given ones."""
        return self.kind in WRITTEN

    @property
    def content(self) -> tuple[object, ...]:
        """Everything but the id."""
        more = {
            "alternatives": list(self.alternatives),
            "messages": list(self.messages),
            "tools": list(self.tools),
            "scorer": None if self.scorer is None else self.scorer.identity,
            "max_new_tokens": self.max_new_tokens,
            "stop": None if self.stop is None else list(self.stop),
            "meta": self.meta,
        }
        given = {name: value for name, value in more.items() if value not in (None, [])}
        if self.stop is not None:
            given["stop"] = list(self.stop)
        plain = (self.category, self.kind, self.prompt, self.answer, list(self.choices))
        return (*plain, given) if given else plain

    @property
    def asked(self) -> str:
        """Digest of what is asked, or of the text: equal for one question under two ids or in two categories.

        Spacing and the order of choices make no other question, nor does another answer.
        """
        question = self.question
        text = " ".join((question if question.strip() or self.choices else self.answer).split())
        return hashlib.sha256(json.dumps([text, sorted(self.choices)]).encode()).hexdigest()[:16]

    @property
    def question(self) -> str:
        """What is asked, as people read it: the prompt, or the texts of the messages."""
        return self.prompt or "\n\n".join(map(_text_of, self.messages))


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else json.dumps({**message}, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScorer(ABC):
    """Scores what was said to an item. Its fields are its settings; it raises ValueError for wrong ones."""

    name: ClassVar[str]
    needs_answer: ClassVar[bool] = True
    """Whether an item must say what is right."""
    after: str | None = None
    """What counts is the text after the last of these, such as ``</think>``; all of it if there is none."""

    @abstractmethod
    def score(self, item: Item, answer: Answer) -> float:
        """Return the outcome, 0 to 1."""

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        """Return the scorer of these settings as JSON gave them; raises ValueError."""
        hints = _settings(cls)
        for name, value in settings.items():
            if name not in hints:
                hint = nearest(name, hints, "settings")
                _wrong(f"`{cls.name}` has no setting `{shown(name)}`; {hint}")
            kind = hints[name]
            is_number = kind is float and type(value) is int
            if not is_number and (not isinstance(value, kind) or (type(value) is bool) != (kind is bool)):
                _wrong(f"`{cls.name}` cannot have a `{name}` of {written(value)}")
        return cls(**settings)

    def answers(self, given: object) -> tuple[str, ...]:
        """Return all that is right, from the item's `answer` as JSON gave it; raises ValueError.

        A list of texts is one of which each is right.
        """
        texts = given if isinstance(given, list) else [given]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            _wrong(f"`answer` is {written(given)}, not a text or a list of texts, which `{self.name}` needs")
        return tuple(texts)

    def said(self, item: Item, answer: Answer) -> str:
        """Return the text that counts, without spaces around it."""
        if answer.text is None:
            which = f"category `{shown(item.category)}`, item `{shown(item.id)}`"
            refuse(f"{which}: its answer has no text, which the scorer `{self.name}` needs")
        text = answer.text
        return (text if self.after is None else text.rpartition(self.after)[2]).strip()

    @property
    def identity(self) -> dict[str, object]:
        """All that the outcome of an answer depends on besides the item, as JSON."""
        return {"name": self.name, **asdict(self)}


@cache
def _settings(kind: type[AnswerScorer]) -> dict[str, Any]:
    """Return the settings of a kind of scorers with their types; every line of a task file asks."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def written(value: object) -> str:
    """Return a value of JSON as it was written, safe to show."""
    return f"`{shown(json.dumps(value))}`"


def _wrong(message: str) -> NoReturn:
    raise ValueError(message)
