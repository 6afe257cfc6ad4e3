"""The scorer of JSON, which calls of tools and records are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from soce.evaluate.tasks.item import AnswerScorer, written
from soce.files.parsing import no_constant, unique_keys

if TYPE_CHECKING:
    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item

_FENCED: Final = re.compile(r"```(?:[a-zA-Z]*\s*\n)?(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonScorer(AnswerScorer):
    """1 if the text is the same JSON as the answer: spaces, order of keys and writing of numbers apart.

    Of a text with fenced blocks the last one counts.
    """

    name: ClassVar[str] = "json"

    def answers(self, given: object) -> tuple[str, ...]:
        """Return the answer as JSON: a text is JSON itself."""
        text = given if isinstance(given, str) else json.dumps(given, sort_keys=True)
        try:
            _parsed(text)
        except (ValueError, RecursionError):
            message = f"`answer` is {written(given)}, which is no JSON, as `json` needs"
            raise ValueError(message) from None
        return (text,)

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        said = self.said(item, answer)
        blocks = _FENCED.findall(said)
        try:
            return float(_same(_parsed(blocks[-1] if blocks else said), _parsed(item.answer)))
        except (ValueError, RecursionError):
            return 0.0


def _parsed(text: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(
        text,
        parse_float=Decimal,
        parse_int=Decimal,
        parse_constant=no_constant,
        object_pairs_hook=unique_keys,
    )


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell whether values are equal, of which `true` and 1 are not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
