"""Cells as boards print them: what stands around a number and beside it. Only text; knows no column.

What a cell can be read as in one way only is taken apart. Anything else is `Unclear`, or no number at all.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from soce.scores.cells.markup import ARROWS, LONGEST, RAISED_DIGITS, is_struck, undressed

_WHOLE: Final = r"(?:[1-9][0-9]{0,2}(?:[,\u00a0\u2009\u202f'\u2019][0-9]{3})+|[0-9]+)"
_SIZE: Final = rf"(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?"
_NUMBER: Final = rf"[+-]?{_SIZE}"
_MARKS: Final = (
    rf"(?:\s?(?:[*†‡§¶]|\[\^[^\[\]\s]{{1,20}}\]|\[(?:[0-9]{{1,2}}|[a-z])\]|[{RAISED_DIGITS}ᵃ-ᶻ]))*"
)
_ERROR: Final = rf"(?:±|\+/-|\+-)\s*(?:(?P<stderr>{_SIZE})\s*(?P<percent_after>%)?|(?i:n/?a|nan))"
# Brackets that say what is in them: `(± 0.3)` and `(SE 0.3)` are errors, `(n=200)` is a number of items.
_ERROR_IN_BRACKETS: Final = re.compile(
    rf"(?<=\S)\s*\(\s*(?:(?:±|\+/-|\+-)|(?i:se|s\.e\.|std\.?\s?err(?:or)?)\s?[:=]?)\s*({_SIZE}\s*%?)\s*\)"
)
_COUNT: Final = r"\(\s*[nN]\s*=\s*(?P<n_items>[0-9]{1,15})\s*\)"
_BESIDE: Final = "|".join((
    rf"\(\s*[+\-{ARROWS}]\s*{_SIZE}\s*%?\s*[{ARROWS}]?\s*\)",  # a change
    rf"[{ARROWS}]\s*(?:{_SIZE}\s*%?)?",
    rf"\(\s*(?i:sd|std|st\.?dev|σ)\.?\s?[:=]?\s*{_SIZE}\s*%?\s*\)",  # of runs, not of the mean
    rf"\(?\+\s*{_SIZE}\s*/\s*-\s*{_SIZE}\)?",  # an interval
    rf"[\[(]\s*(?:95\s*%\s*CI:?\s*)?(?P<low>{_NUMBER})\s*%?\s*(?:,|;|-|–|—|to)\s*(?P<high>{_NUMBER})\s*%?\s*[\])]",
))  # fmt: skip
_SCORE: Final = re.compile(
    rf"(?P<marks>[*†‡§¶]?)\s?(?P<score>{_NUMBER})\s*(?P<percent>%)?"
    rf"(?P<more_marks>{_MARKS})(?:\s*{_ERROR})?(?P<last_marks>{_MARKS})"
    rf"\s*(?P<beside>{_BESIDE})?(?:\s*{_COUNT})?",
)
_BRACKETED: Final = re.compile(r"\(([^()]*(?:±|\+/-|\+-)[^()]*)\)\s*(%?)")
_SHARE: Final = re.compile(r"([0-9]{1,15})\s*(?:/|(?:out )?of)\s*([0-9]{1,15})")
_SCORE_AND_SHARE: Final = re.compile(
    rf"(?P<score>{_SIZE})\s*(?P<percent>%)?\s*\(\s*(?P<part>[0-9]{{1,15}})\s*/\s*(?P<whole>[0-9]{{1,15}})\s*\)"
    rf"|(?P<part2>[0-9]{{1,15}})\s*/\s*(?P<whole2>[0-9]{{1,15}})\s*[(=]\s*(?P<score2>{_SIZE})\s*(?P<percent2>%)?\s*\)?",
)

# Neither may begin where the other could end, or long cells would be tried in exponentially many ways.
_ONE: Final = rf"{_NUMBER}(?:\s*%)?(?:\s*(?:±|\+/-|\+-)\s*{_SIZE}(?:\s*%)?)?"
_BETWEEN: Final = r"(?:\s*[/|;&·]\s*|, +)"
_SECOND: Final = re.compile(rf"{_ONE}\s*[(\[]\s*{_NUMBER}\s*%?\s*[)\]].*")
_SEVERAL: Final = re.compile(rf"{_ONE}(?:{_BETWEEN}{_ONE})+")
_DATES: Final = re.compile(r"[0-9]{1,4}\s?/\s?[0-9]{1,2}\s?/\s?[0-9]{1,4}")
# Something that is said of one number or several: a label before, an "about" or a remark beside.
_LIKE_A_SCORE: Final = re.compile(
    rf"(?:[A-Za-z][\w@ .-]{{0,30}}[:=]\s*)?[~≈<>≤≥=(\[{ARROWS}]*\s*{_ONE}[)\]]*"
    rf"(?:(?:{_BETWEEN}| +){_ONE})*(?:\s*[(\[±].*)?"
)
# A decimal or a percentage, but no part of a version, a date or a name.
_ALONE: Final = re.compile(r"(?<![\w.$€£¥/-])[0-9]{1,4}(?:\.[0-9]+(?![\w.]|-[A-Za-z]|\s*[$€£¥])|\s?[%‰])")
_WITH_WORD: Final = re.compile(r"[0-9]{1,3}\.[0-9]+ ?[A-Za-z]{1,12}|[0-9]+ ?/ ?[0-9]+ [A-Za-z]+")
_SIZED: Final = re.compile(
    r"[~≈<>]?[0-9.,]+\s?(?:[kmgtbx]|bn|[kmgt]i?b|[nmu]?s|[mgt]?hz|[gtp]?flops|w|kw|k?wh|v|usd|eur|licen[cs]e|alpha|beta"
    r"|(?:h|d|w|y|secs?|mins?|hrs?|hours?|days?|weeks?|months?|years?)"
    r"|(?:tokens?|params|parameters|billion|million|trillion|bits?|bytes))(?![A-Za-z])",
    re.IGNORECASE,
)
_ANY_MARKUP: Final = re.compile(r"<[^<>]*>|\\[A-Za-z]+(?:\{[^{}]*\})?")
_WORDS: Final = re.compile(r"[A-Za-z][\w ./()-]*", re.ASCII)
"""What most cells of columns of text are, told from scores without a closer look."""
_GROUPED: Final = re.compile(r"[,\u00a0\u2009\u202f'\u2019]")


class Printed(NamedTuple):
    """The parts of a cell; numbers as plain text, with a comma where it may be one of decimals."""

    score: str
    percent: bool = False
    stderr: str | None = None
    n_items: int | None = None
    has_more: bool = False
    """Whether something else stood beside it: a footnote mark, a change, an interval."""
    is_surely_grouped: bool = False
    """Whether commas in it can only be between thousands."""


class Share(NamedTuple):
    """A cell such as ``12/20``."""

    part: str
    whole: str


class Unclear(NamedTuple):
    """Why a cell that holds numbers could be read in two ways, to stand behind its text."""

    reason: str
    hint: str


_STRUCK_OUT: Final = Unclear(
    "is struck out", "empty the cell if that score does not count; otherwise take the marks away"
)
_SECOND_NUMBER: Final = Unclear(
    "has a second number in brackets",
    "write `78.5 ± 0.3` if it is a standard error; otherwise give it a column of its own",
)
_SEVERAL_SCORES: Final = Unclear("holds several scores", "give every score a column of its own")
_POWER: Final = Unclear("could have a footnote or be a power", "take the raised digit away")
_WHOSE_PERCENT: Final = Unclear(
    "could be a share with an error in percent", "write both in percent or neither"
)
_CONTRADICTS: Final = Unclear("is a score beside a share that is not the same", "leave one of them out")


def take_apart(text: str) -> Printed | Share | Unclear | None:
    """Return what a printed cell holds; None if it is no number with something around it.

    Examples
    --------
    >>> take_apart("**78.5** ± 0.3%")
    Printed(score='78.5', percent=True, stderr='0.3', n_items=None, has_more=False, is_surely_grouped=False)
    >>> take_apart("12/20"), take_apart("Apache 2.0")
    (Share(part='12', whole='20'), None)
    """
    if len(text) > LONGEST or _WORDS.fullmatch(text):
        return None
    bare = undressed(text)
    if (match := _BRACKETED.fullmatch(bare)) is not None:
        bare = f"{match[1].strip()}{match[2]}"
    bare = _ERROR_IN_BRACKETS.sub(r" ± \1", bare)
    if not any(character.isdecimal() for character in bare):
        return Printed(bare) if bare and bare != text.strip() else None  # a word for a missing score, in bold
    if (match := _SHARE.fullmatch(bare)) is not None:
        found: Printed | Share | Unclear | None = Share(match[1], match[2])
    elif (match := _SCORE_AND_SHARE.fullmatch(bare)) is not None:
        found = _score_and_share(match)
    elif (match := _SCORE.fullmatch(bare)) is not None:
        found = _score(match)
    elif _SECOND.fullmatch(bare):
        found = _SECOND_NUMBER
    elif _SEVERAL.fullmatch(bare) and not _DATES.fullmatch(bare):
        found = _SEVERAL_SCORES
    else:
        return None
    return _STRUCK_OUT if is_struck(text) else found


def is_like_score(text: str) -> bool:
    """Whether a cell that cannot be taken apart looks like a score, not like a word, a size or a date."""
    if _WORDS.fullmatch(text):
        return False
    bare = _ANY_MARKUP.sub("", undressed(text[:LONGEST])).strip()
    if _SIZED.match(bare) or _DATES.fullmatch(bare):
        return False
    if _LIKE_A_SCORE.fullmatch(bare) or _WITH_WORD.fullmatch(bare):
        return True
    return not bare[:1].isalpha() and _ALONE.search(bare) is not None


def is_like_date(share: Share) -> bool:
    """Whether ``03/24`` or ``5/2024`` is a month sooner than a share."""
    padded = any(len(number) == 2 and number.startswith("0") for number in share)
    return padded or (1990 <= int(share.whole) < 2100 and int(share.part) <= 12)


def _score(match: re.Match[str]) -> Printed | Unclear | None:
    marks = match["more_marks"] + match["last_marks"]
    percent = match["percent"] is not None or match["percent_after"] is not None
    raised = any(mark in RAISED_DIGITS for mark in marks)
    if raised and not percent and "." not in match["score"]:
        return _POWER
    if match["percent_after"] and not match["percent"] and float(ungrouped(match["score"])) <= 1:
        return _WHOSE_PERCENT
    if match["low"] is not None:
        low, middle, high = (float(ungrouped(match[name])) for name in ("low", "score", "high"))
        if not low <= middle <= high:
            return _SECOND_NUMBER
    stderr = None if match["stderr"] is None else _certain(match["stderr"])
    more = bool(match["marks"] or marks.strip() or match["beside"])
    score = _certain(match["score"])
    n_items = None if match["n_items"] is None else int(match["n_items"])
    return Printed(score, percent, stderr, n_items, more, "," in match["score"] and "," not in score)


def _score_and_share(match: re.Match[str]) -> Printed | Unclear:
    score, percent, part, whole = (
        match[name] or match[f"{name}2"] for name in ("score", "percent", "part", "whole")
    )
    places = len(score.partition(".")[2])
    scales = (100,) if percent else (100, 1)
    if int(whole) == 0 or not any(
        abs(float(ungrouped(score)) - scale * int(part) / int(whole)) <= 0.51 * 10.0**-places
        for scale in scales
    ):
        return _CONTRADICTS
    return Printed(ungrouped(score), bool(percent), None, int(whole))


def _certain(number: str) -> str:
    """Return a number without what groups its thousands, unless that may be a comma before decimals."""
    return number if re.fullmatch(r"[+-]?[0-9]{1,3},[0-9]{3}", number) else ungrouped(number)


def ungrouped(number: str) -> str:
    """Return a number without what groups its thousands."""
    return _GROUPED.sub("", number)
