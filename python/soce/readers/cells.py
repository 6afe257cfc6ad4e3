"""Numbers in the cells of score files, read strictly. Knows no format.

A number that two programs could read differently is refused: ``1_000``, ``0x10``, ``12,5``, ``inf``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.exceptions import ScoreTableError, shown

if TYPE_CHECKING:
    from typing import NoReturn

_MAX_DIGITS: Final = 64
_MISSING: Final = frozenset({"", "n/a", "na", "nan", "null", "none", "-"})
_NUMBER: Final = re.compile(
    r"[+-]?(?P<whole>[0-9]*)(?:\.(?P<places>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?", re.ASCII
)
# What a column of scores may hold by mistake: somebody meant a number. Anything else is just text.
_NEARLY_NUMBERS: Final = (
    (r"(?i:[-+]?\.?inf(inity)?)", "is infinite"),
    (r"(?i:[-+]\.?nan)", "is not a number"),
    (r"[-+]?0[xX][0-9a-fA-F]*", "is hexadecimal"),
    (r"[-+]?[0-9.]*_[0-9._]*", "has an underscore"),
    (r"[-+]?[0-9.]*,[0-9.,]*", "has a comma"),
    (r"[-+]?[0-9]*\.?[0-9]*[eE][+-]?[0-9]{4,}", "is out of range"),
    (r"[\u2212\uff0d][0-9.]+", "has a minus sign that is not `-`"),
)


class Number(NamedTuple):
    """A score as it was written."""

    value: float
    """NaN if missing. In percent if `percent`."""
    percent: bool
    """Whether a percent sign followed."""
    decimals: int
    """Decimals written; 0 if missing."""
    digits: int
    """Significant digits written; 0 if missing."""


class NotANumberError(ScoreTableError):
    """The text of a cell is not a finite decimal number."""

    meant: bool
    """Whether somebody meant a number (``0x10``, ``1_000``, ``inf``), not text."""


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no score.

    Examples
    --------
    >>> [is_missing(text) for text in ("", "N/A", "nan", " - ", "0")]
    [True, True, True, True, False]
    """
    return text.strip().casefold() in _MISSING


def parse_score(text: str) -> Number:
    """Return the number that a cell holds.

    Parameters
    ----------
    text : str
        A finite decimal number with an optional percent sign, or a word for a missing score: empty, ``N/A``,
        ``NA``, ``NaN``, ``null``, ``none``, ``-`` in any case.

    Returns
    -------
    Number

    Raises
    ------
    NotANumberError
        Anything else. The message is what follows the place: "`0x10` is hexadecimal".

    Examples
    --------
    >>> parse_score("78.50%")
    Number(value=78.5, percent=True, decimals=2, digits=4)
    >>> parse_score("n/a").value
    nan
    """
    text = text.strip()
    if text.casefold() in _MISSING:
        return Number(math.nan, percent=False, decimals=0, digits=0)
    bare = text[:-1].rstrip() if text.endswith("%") else text
    match = _NUMBER.fullmatch(bare) if len(bare) <= _MAX_DIGITS else None
    digits = (match["whole"] + (match["places"] or "")) if match else ""
    if match is None or not digits:
        _refuse_number(text, bare)
    value = float(bare)
    significant = digits.lstrip("0")
    if math.isinf(value) or (value == 0 and significant):
        _refuse(text, "is out of range", meant=True)
    decimals = max(0, len(match["places"] or "") - int(match["exponent"] or 0))
    return Number(value, percent=bare is not text, decimals=decimals, digits=len(significant))


def _refuse_number(text: str, bare: str) -> NoReturn:
    for pattern, reason in _NEARLY_NUMBERS:
        if re.fullmatch(pattern, bare, re.ASCII):
            _refuse(text, reason, meant=True)
    if re.fullmatch(r"[-+]?[0-9.]+", bare, re.ASCII) and len(bare) > _MAX_DIGITS:
        _refuse(text, f"has {len(bare)} characters, at most {_MAX_DIGITS} are read", meant=True)
    _refuse(text, "is not a number", meant=False)


def _refuse(text: str, reason: str, *, meant: bool) -> NoReturn:
    error = NotANumberError(f"`{shown(text)}` {reason}")
    error.meant = meant
    raise error
