"""What the name of a column says about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from soce.scores.table import Role

_AGGREGATES: Final = frozenset({"avg", "average", "mean", "overall", "total", "summary"})
_NOT_SCORES: Final = frozenset({"rank", "cost", "latency", "link", "license", "licence", "url"})


def _words(name: str) -> list[str]:
    return re.split(r"[\W_]+", name.casefold())


def role_by_name(name: str) -> Role:
    """Return the role that the name of a column suggests.

    ``aggregate`` if one of its words is avg, average, mean, overall, total or summary, or if the whole name
    is ``score``; ``math_score`` is a category like any other.

    Examples
    --------
    >>> [role_by_name(name) for name in ("avg_bleu", "Score", "math_score")]
    ['aggregate', 'aggregate', 'category']
    """
    found = not _AGGREGATES.isdisjoint(_words(name)) or name.casefold() in {"score", "scores"}
    return "aggregate" if found else "category"


def why_no_score(name: str) -> str | None:
    """Return why a column of numbers is not one of scores, by its name; None if nothing says so.

    Examples
    --------
    >>> why_no_score("Latency Mean (s)")
    'its name has `latency`'
    """
    found = [word for word in _words(name) if word in _NOT_SCORES]
    return f"its name has `{found[0]}`" if found else None
