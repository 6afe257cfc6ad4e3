"""Text whose lines are rows, with something between their columns: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce.scores.formats.options import Decimal, ReadOptions
    from soce.scores.refusals import Refusals

    Cells = np.ndarray[tuple[int, int], np.dtype[np.object_]]

_NAMES: Final = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_WRITTEN: Final = {"tab": "\t", r"\t": "\t"}
_NO_DELIMITER: Final = re.compile(r"[\w\s\"]")
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
"""What Excel writes above the header, and reads."""
_WITH_COMMA: Final = re.compile(r"(?<![0-9.,])[0-9]+,[0-9]+(?![0-9.,])")
_WITH_POINT: Final = re.compile(r"(?<![0-9.,])[0-9]*\.[0-9]+(?![0-9.,])")
_MOST_TOLD: Final = 10
_THOUSANDS: Final = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")
_NUMBER: Final = re.compile(r"\s*[+-]?[0-9.,]+%?\s*")
_MARKS: Final = ",;\t| "
_MARK: Final = re.compile(r"[,;\t|]")
_MOST_ABOVE: Final = 20
_LETTER: Final = re.compile(r"[^\W\d_]")


class Rows(NamedTuple):
    """The cells of a table as they stand in a file."""

    header: Sequence[str]
    columns: Iterable[Sequence[str]]
    places: Sequence[str]
    """Where each row stands, such as ``line 3``."""
    decimal: Decimal | None = None
    """What separates decimals, where that is certain."""
    notes: Sequence[str] = ()
    """What was decided that the file does not say outright."""


def read_lines(text: str, usual: str, options: ReadOptions, refusals: Refusals) -> Rows:
    """Return the rows of a text whose columns are usually separated by `usual`.

    Another separator counts where the user says so or every line has it as often as the header, which has
    none of the usual ones. With another one than a comma, decimals have commas if some can have nothing else
    and none has a point.
    """
    body = text.lstrip("\r\n")
    first = 1 + len(_LINE_BREAK.findall(text[: len(text) - len(body)]))
    said = _SEPARATOR_LINE.match(body)
    if said is not None:
        body, first = body[said.end() :], first + 1
    titles, n_above = _above_header(body)
    notes = [
        f"line {first + place} (`{shown(text, limit=40)}`) is above the header and not read"
        for place, text in titles.items()
    ]
    if n_above:
        body, first = _LINE_BREAK.split(body, maxsplit=n_above)[-1], first + n_above
    separator = _said(options, refusals) or (said[1] if said else _certain(body, usual, refusals))
    cells, lengths, lines = _split(body, separator, first, refusals)
    header, *places = (f"line {line}" for line in lines)
    names = cells[0, : lengths[0]].tolist()
    if len(names) == 1:
        other = next((mark for mark in ("\t", ";", ",", "|") if mark in names[0]), None)
        asked = f"the header has `{shown(other)}`: say `--delimiter` if it separates them" if other else None
        what = _NAMES.get(separator, f"`{shown(separator)}`")
        refusals.refuse(f"{header}: the header has one column; columns are separated by {what}", asked)
    check_lengths(lengths[1:], places, len(names), refusals)
    found: Decimal | None = None
    if separator != "," and options.decimal is None and _has_decimal_commas(cells[1:]):
        found = ","
    if separator != usual and options.delimiter is None:
        notes.append(f"columns are separated by {_NAMES.get(separator, shown(separator))}")
    if found:
        notes.append("decimals are written with commas")
    return Rows(names, cells[1:].T, places, found, notes)


def _above_header(body: str) -> tuple[dict[int, str], int]:
    """Return the titles above the header, by their lines from 0, and how many lines are above it."""
    lines = [line.strip(_MARKS) for line in _LINE_BREAK.split(body, maxsplit=_MOST_ABOVE)[:_MOST_ABOVE]]
    titles: dict[int, str] = {}
    header = 0
    for place, following in pairwise(place for place, line in enumerate(lines) if line):
        if not is_title(_MARK.split(lines[place]), _MARK.split(lines[following])):
            break
        titles[place], header = lines[place], following
    return titles, header


def check_lengths(lengths: Iterable[int], places: Sequence[str], expected: int, refusals: Refusals) -> None:
    """Refuse rows that have fewer or more cells than the header."""
    for place, length in zip(places, lengths, strict=True):
        if length != expected:
            refusals.add(f"{place}: {counted(length, 'cell')}, the header has {expected}")
    refusals.check()


def is_title(row: Sequence[str], following: Sequence[str]) -> bool:
    """Whether a row stands above the header: it has one cell, the one below several, and no number in them.

    What is above numbers is a header, though the index that pandas writes has no name in it.
    """
    filled = [cell for cell in following if cell]
    return sum(map(bool, row)) == 1 < len(filled) and not any(map(_NUMBER.fullmatch, filled))


def choose(names: Sequence[str], wanted: str | None, what: str, refusals: Refusals) -> int:
    """Return which of several tables is wanted: the one of that name or number, or else the only one."""
    told = listed((f"{number} {name}".strip() for number, name in enumerate(names, 1)), limit=_MOST_TOLD)
    if wanted is None:
        if len(names) > 1:
            refusals.refuse(f"the file has {len(names)} {what}s: {told}", "say which one, with `--sheet`")
        return 0
    same = [place for place, name in enumerate(names) if name.casefold() == wanted.strip().casefold()]
    if len(same) == 1:
        return same[0]
    if wanted.isdecimal() and 1 <= int(wanted[:9]) <= len(names):
        return int(wanted) - 1
    refusals.refuse(f"there is no {what} `{shown(wanted)}`", f"{what}s: {told}")


def has_equal_lines(text: str) -> bool:
    """Whether it is certain that a text is a table: two lines or more with one separator equally often."""
    body = text.strip("\r\n")
    return len(_LINE_BREAK.findall(body)) > 0 and len(_fitting(body, _NAMES)) == 1


def _said(options: ReadOptions, refusals: Refusals) -> str | None:
    if options.delimiter is None:
        return None
    separator = _WRITTEN.get(options.delimiter, options.delimiter)
    if len(separator) != 1 or (_NO_DELIMITER.match(separator) and separator not in "\t "):
        refusals.refuse(
            f"`{shown(options.delimiter)}` cannot separate columns",
            "name one character, such as `;`, or `tab`",
        )
    return separator


def _certain(body: str, usual: str, refusals: Refusals) -> str:
    header = (_LINE_BREAK.split(body, maxsplit=1) or [""])[0]
    there = [mark for mark in _NAMES if mark in header]
    if there in ([], [usual]):
        return usual
    fitting = _fitting(body, there)
    if usual in fitting and len(fitting) > 1:
        marks = " and ".join(_NAMES[mark] for mark in fitting)
        refusals.refuse(f"{marks} both could separate the columns", "say which, with `--delimiter`")
    return fitting[0] if len(fitting) == 1 else usual


def _fitting(body: str, marks: Iterable[str]) -> list[str]:
    """Return the marks that cut all lines into equally many cells, two at least."""
    return [mark for mark in marks if _fits(body, mark)]


def _fits(body: str, mark: str) -> bool:
    expected = None
    try:
        for row in csv.reader(io.StringIO(body, newline=""), delimiter=mark, strict=True):
            if expected is None:
                expected = len(row)
            if row and (len(row) != expected or len(row) < 2):
                return False
    except csv.Error:
        return False
    return expected is not None


def _split(body: str, separator: str, first: int, refusals: Refusals) -> tuple[Cells, list[int], list[int]]:
    """Return the cells of all lines that are not blank, how many each has, and the lines' numbers."""
    import pandas as pd

    try:
        rows = pd.read_csv(
            io.StringIO(body, newline=""),
            sep=re.escape(separator) if separator == "|" else separator,
            header=None,
            dtype=object,
            keep_default_na=False,
            skip_blank_lines=False,
            engine="python",  # the one that tells a cell that is not there (NaN) from an empty one
        )
    except pd.errors.ParserError as error:
        hint = "every row needs as many cells as the header, every opened quote its end"
        form = "TSV" if separator == "\t" else "CSV"
        refusals.refuse(f"not valid {form}: {shown(str(error))}", hint)
    cells = rows.to_numpy()
    lines = first + np.arange(len(cells))
    if '"' in body:  # a quoted cell may hold line breaks
        breaks = [sum(len(_LINE_BREAK.findall(str(cell))) for cell in row) for row in cells]
        lines[1:] += np.cumsum(breaks[:-1], dtype=lines.dtype)
    lengths = np.sum(~pd.isna(cells), axis=1)
    filled = lengths > 0
    return cells[filled], lengths[filled].tolist(), lines[filled].tolist()


def _has_decimal_commas(cells: Cells) -> bool:
    certain = False
    for text in cells.ravel():
        if ("," in text or "." in text) and not _LETTER.search(text):
            if _WITH_POINT.search(text):
                return False
            certain = certain or any(not _THOUSANDS.fullmatch(number) for number in _WITH_COMMA.findall(text))
    return certain
