"""Texts that ended only because they had as many tokens as they may: a difference may come from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.exceptions import shown
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Truncation(Plain):
    """The texts of one model in one category.

    Examples
    --------
    >>> str(Truncation(n_cut=3, n_texts=40))
    '3 of 40'
    """

    n_cut: int
    """How many ended by length."""
    n_texts: int
    """How many were written, of those of which it is known why they ended."""

    @property
    def share(self) -> float:
        """The part of the texts that was cut."""
        return self.n_cut / self.n_texts

    def __str__(self) -> str:
        """Return both numbers."""
        return f"{self.n_cut} of {self.n_texts}"


def truncation_of(evaluation: Evaluation) -> dict[str, Truncation]:
    """Return category → how many texts were cut, for categories that have texts."""
    found = {}
    for category, answers in evaluation.answers.items():
        endings = [answer.ending for answer in answers.values() if answer.ending is not None]
        if endings:
            found[category] = Truncation(endings.count("length"), len(endings))
    return found


def truncation_note(told: Mapping[str, Truncation]) -> str | None:
    """Return in which categories texts of a soup ended by length; None if in none.

    Examples
    --------
    >>> truncation_note({"math": Truncation(2, 40), "chat": Truncation(0, 9), "code": Truncation(5, 9)})
    'texts of the soup that ended by length: 5 of 9 in `code`, 2 of 40 in `math`'
    """
    cut = sorted((-one.share, name) for name, one in told.items() if one.n_cut)
    where = [f"{told[name]} in `{shown(name)}`" for _, name in cut]
    more = [f"some in {len(where) - 4} more"] if len(where) > 5 else where[4:]
    return f"texts of the soup that ended by length: {', '.join([*where[:4], *more])}" if cut else None


def truncation_caution(soup: str, arms: Mapping[str, Mapping[str, Truncation]]) -> str | None:
    """Return what a reader of differences to the soup must know first; None if texts were cut alike.

    `arms` are all that is compared, by name, with what `truncation_of` says of each. Named is the first of
    them, the soup aside, that was cut more or less often than the soup, in the category where that differs
    most.

    Examples
    --------
    >>> arms = {"soce": {"math": Truncation(2, 40)}, "lang": {"math": Truncation(18, 40)}}
    >>> str(truncation_caution("soce", arms)).partition(":")[0]
    'In `math` 18 of 40 texts of `lang` ended by length, and 2 of 40 of `soce`'
    """
    own = arms[soup]
    for name, other in arms.items():
        gaps = {category: abs(own[category].share - other[category].share) for category in own.keys() & other}
        differing = sorted(category for category, gap in gaps.items() if gap)
        if not differing:
            continue
        widest = max(differing, key=gaps.__getitem__)
        more = f" (and other numbers in {len(differing) - 1} more)" if differing[1:] else ""
        return (
            f"In `{shown(widest)}` {other[widest]} texts of `{shown(name)}` ended by length, and "
            f"{own[widest]} of `{shown(soup)}`{more}: part of a difference may be theirs, so give more new "
            "tokens"
        )
    return None
