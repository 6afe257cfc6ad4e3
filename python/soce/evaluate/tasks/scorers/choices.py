"""The scorer of choices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from soce.evaluate.tasks.item import AnswerScorer

if TYPE_CHECKING:
    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceScorer(AnswerScorer):
    """1 if the right one of the item's `choices` is the last that the text names, as words of their own.

    An answer that is no text but a choice, as `multiple_choice` items have it, is right if that is.
    """

    name: ClassVar[str] = "choice"
    ignore_case: bool = False

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        if answer.text is None and answer.log_likelihoods:
            return float(answer.choice is not None and item.choices[answer.choice] == item.answer)
        # The longest first: `AB` is named by `AB`, not `A`.
        names = sorted((choice.strip() for choice in item.choices), key=len, reverse=True)
        pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)"
        flags = re.IGNORECASE if self.ignore_case else 0
        found = re.findall(pattern, self.said(item, answer), flags)
        last, right = (found[-1] if found else ""), item.answer.strip()
        return float(last.casefold() == right.casefold() if self.ignore_case else last == right)
