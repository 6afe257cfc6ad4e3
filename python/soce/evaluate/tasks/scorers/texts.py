"""Scorers that look for a text."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from soce.evaluate.tasks.item import AnswerScorer

if TYPE_CHECKING:
    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item

_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactScorer(AnswerScorer):
    """1 if the text is one of the answers, spaces around them apart."""

    name: ClassVar[str] = "exact"
    ignore_case: bool = False
    ignore_punctuation: bool = False
    """Whether ASCII punctuation is left out of both."""

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        said = self._folded(self.said(item, answer))
        return float(any(said == self._folded(right) for right in item.answers))

    def _folded(self, text: str) -> str:
        text = text.casefold() if self.ignore_case else text
        return (text.translate(_NO_PUNCTUATION) if self.ignore_punctuation else text).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainsScorer(AnswerScorer):
    """1 if one of the answers stands in the text, spaces around it apart."""

    name: ClassVar[str] = "contains"
    ignore_case: bool = False

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        said = self.said(item, answer)
        if self.ignore_case:
            return float(any(right.strip().casefold() in said.casefold() for right in item.answers))
        return float(any(right.strip() in said for right in item.answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexScorer(AnswerScorer):
    r"""1 if what a pattern of Python's `re` finds is one of the answers; without any, if it finds something.

    The last match counts: ``{"name": "regex", "pattern": "The answer is (\\w+)"}``.
    """

    name: ClassVar[str] = "regex"
    needs_answer: ClassVar[bool] = False
    pattern: str
    group: int | str | None = None
    """What is compared; the first group, or the whole match if there is none."""
    take: str = "last"
    """Which match, ``last`` or ``first``."""

    def __post_init__(self) -> None:
        """Raise ValueError for a pattern that is none, or that has no such group."""
        try:
            found = re.compile(self.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            message = f"the `pattern` of `regex` is not one of Python's: {error}"
            raise ValueError(message) from None
        groups = {*range(found.groups + 1), *found.groupindex}
        if self.group is not None and self.group not in groups:
            message = f"the `pattern` of `regex` has no group {self.group}"
            raise ValueError(message)
        if self.take not in {"first", "last"}:
            message = "`take` of `regex` is `first` or `last`"
            raise ValueError(message)

    def score(self, item: Item, answer: Answer) -> float:
        """Return 0 or 1."""
        pattern = re.compile(self.pattern)
        matches = [*pattern.finditer(self.said(item, answer))]
        if not matches:
            return 0.0
        match = matches[0 if self.take == "first" else -1]
        group = min(pattern.groups, 1) if self.group is None else self.group
        found = match.group(group) or ""
        return float(not item.answers or any(found.strip() == right.strip() for right in item.answers))
