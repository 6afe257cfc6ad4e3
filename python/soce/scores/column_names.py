"""What the name of a column says about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from soce.scores.table import Role

_AVERAGES: Final = frozenset({"avg", "average", "mean", "overall", "total", "summary"})
_NOT_SCORES: Final = frozenset({"rank", "cost", "latency", "link", "license", "licence", "url"})
_MOST_PREFIXES: Final = 8


def split_words(name: str) -> list[str]:
    """Return the words of a column name, in lower case."""
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]


def role_by_name(name: str) -> Role:
    """Return the role that a name suggests; ``math_score`` is a category like any other."""
    found = not _AVERAGES.isdisjoint(split_words(name)) or name.casefold() in {"score", "scores"}
    return "aggregate" if found else "category"


def is_average(name: str) -> bool:
    """Whether a column is a mean by its name: the first or last word says so, or ``score`` alone."""
    words = split_words(name)
    return words == ["score"] or bool(words and {words[0], words[-1]} & _AVERAGES)


def no_score_words(name: str) -> list[str]:
    """Return the words of a name that say its column is not one of scores."""
    return [word for word in split_words(name) if word in _NOT_SCORES]


def prefixes_of(name: str) -> list[str]:
    """Return what a name shares with others of its group: everything up to each separator, longest first.

    Examples
    --------
    >>> prefixes_of("Math_hard/algebra")
    ['math_hard/', 'math_']
    """
    folded = name.casefold()
    ends = [index + 1 for index, letter in enumerate(folded[:-1]) if index and letter in "/_-.: "]
    return [folded[:end] for end in reversed(ends[:_MOST_PREFIXES])]
