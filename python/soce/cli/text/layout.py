"""Numbers and tables as people read them on a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 80
_NAME: Final = 22
"""A name is not made shorter than this while there is a column to leave out."""
_LEAST: Final = 8


def size(count: int) -> str:
    """Return bytes in powers of 1000.

    Examples
    --------
    >>> size(999), size(2_470_000_000)
    ('999 B', '2.47 GB')
    """
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> duration(42.4), duration(600), duration(9_000)
    ('42 s', '10 min', '2 h 30 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def named(names: Sequence[str], limit: int = 6) -> str:
    """Return names in a row, the first `limit` of them and how many more there are."""
    listed = ", ".join(shown(name) for name in names[:limit])
    return f"{listed} and {len(names) - limit} more" if len(names) > limit else listed


def names_within(head: str, names: Sequence[str]) -> str:
    """Return a line of `head` and as many names as fit, at least one, and how many more there are."""
    for limit in range(len(names), 1, -1):
        line = head + named(names, limit)
        if len(line) <= _WIDTH:
            return line
    return head + named(names, 1)


def shortened(name: str, limit: int) -> str:
    """Return a name of at most `limit` characters: what is left out of its middle is three dots.

    Examples
    --------
    >>> shortened("mistral-7b-sft-math-epoch-3", 16)
    'mistral...poch-3'
    """
    if len(name) <= limit:
        return name
    kept = max(limit - 3, 2)
    return f"{name[: (kept + 1) // 2]}...{name[-(kept // 2) :]}"


def wrapped(text: str, head: str = "") -> list[str]:
    """Return a text in lines that fit, `head` before the first one and as much space before the others.

    A word that is longer, such as a path, stays whole.
    """
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,
    )


def fitted(rows: Sequence[Sequence[str]], sides: str, *, spare: Sequence[int] = ()) -> list[str]:
    """Return rows as aligned lines that fit.

    Columns with nothing below their head are left out. Names, in the first one, are shortened, then the
    columns `spare` are left out one by one; a number is never broken.
    """
    kept = [place for place in range(len(sides)) if not place or any(row[place] for row in rows[1:])]
    for left_out in (None, *spare):
        kept = [place for place in kept if place != left_out]
        others = sum(2 + max(len(row[place]) for row in rows) for place in kept[1:])
        room = _WIDTH - 2 - others
        if room >= min(_NAME, max(len(row[0]) for row in rows)):
            break
    named_rows = [[shortened(row[0], max(room, _LEAST)), *(row[place] for place in kept[1:])] for row in rows]
    return columns(named_rows, "".join(sides[place] for place in kept))


def columns(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as aligned lines; `sides` has an r or l per column."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(sides))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in rows
    ]


def filled_columns(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as aligned lines, without columns that have nothing below their head."""
    filled = [place for place in range(len(sides)) if any(row[place] for row in rows[1:])]
    return columns([[row[place] for place in filled] for row in rows], "".join(sides[i] for i in filled))
