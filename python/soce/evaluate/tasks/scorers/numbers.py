"""The scorer of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from soce.evaluate.tasks.item import AnswerScorer, written

if TYPE_CHECKING:
    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item

# A sign belongs to a number unless something stands before it that it is subtracted from: `7-3` ends in 3.
_NUMBER: Final = re.compile(
    r"(?:(?<![\w)\]])[-+−])?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+|(?<![0-9])(?=\.[0-9]))"
    r"(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,9})?"
)
_EXACT: Final = Context(prec=60, traps=[])
"""Digits enough for what people write; nothing overflows into an exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberScorer(AnswerScorer):
    """1 if the last number of the text is the answer; commas between thousands, `$` and `%` do not matter."""

    name: ClassVar[str] = "number"
    tolerance: float = 0.0
    """By how much it may be off."""

    def __post_init__(self) -> None:
        """Raise ValueError for a tolerance that is none."""
        if not 0 <= self.tolerance < float("inf"):
            message = f"`number` cannot have a `tolerance` of {self.tolerance}"
            raise ValueError(message)

    def answers(self, given: object) -> tuple[str, ...]:
        """Return the number as a text."""
        text = str(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else given
        if not isinstance(text, str) or len(found := numbers(text)) != 1:
            message = f"`answer` is {written(given)}, not a number, which `number` needs"
            raise ValueError(message)
        return (str(found[0]),)

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        found = numbers(self.said(item, answer))
        if not found:
            return 0.0
        off = _EXACT.abs(_EXACT.subtract(found[-1], Decimal(item.answer)))
        return float(off <= Decimal(repr(self.tolerance)))


def numbers(text: str) -> list[Decimal]:
    """Return the numbers of a text.

    Examples
    --------
    >>> [str(one) for one in numbers("7-3 of -1,234.50, or .5 and 2e3. Step 1,2:")]
    ['7', '3', '-1234.50', '0.5', '2E+3', '1', '2']
    """
    found = (match.group().replace(",", "").replace("−", "-") for match in _NUMBER.finditer(text))
    return [Decimal(one) for one in found]
