"""Tables in Markdown, with whatever text around them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.scores.grids.lines import Rows, check_lengths, choose

if TYPE_CHECKING:
    from soce.scores.refusals import Refusals

_RULE: Final = re.compile(r"[ \t]*[|+]?[ \t]*:?-+:?[ \t]*(?:[|+][ \t]*:?-+:?[ \t]*)*[|+]?[ \t]*")
_ANY_RULE: Final = re.compile(r"^[ \t]*[|+]?[ \t]*:?-+:?[ \t]*[|+]", re.MULTILINE)
_HEADING: Final = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*")
_BAR: Final = re.compile(r"(?<!\\)\|")
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")


class _Table(NamedTuple):
    heading: str
    line: int
    """Of its header, from 1."""
    header: list[str]
    rows: list[list[str]]


def has_tables(text: str) -> bool:
    """Whether there is a table in a text: a line of dashes and bars below a line with as many cells."""
    return _ANY_RULE.search(text) is not None and bool(_tables(text))


def read_markdown(text: str, wanted: str | None, refusals: Refusals) -> Rows:
    """Return the table of a text; of several the one below the heading `wanted`, or of that number."""
    tables = _tables(text)
    if not tables:
        refusals.refuse("there is no table in it", "a table has a line such as `|---|---|` below its header")
    table = tables[choose([table.heading for table in tables], wanted, "table", refusals)]
    places = [f"line {table.line + 2 + row}" for row in range(len(table.rows))]
    check_lengths(map(len, table.rows), places, len(table.header), refusals)
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.header)
    return Rows(table.header, columns, places)


def _tables(text: str) -> list[_Table]:
    lines = text.splitlines()
    found = []
    heading = ""
    at = 0
    while at < len(lines):
        if (title := _HEADING.fullmatch(lines[at])) is not None:
            heading = title[1]
        header = _cells(lines[at])
        if len(header) > 1 and at + 1 < len(lines) and _is_rule(lines[at + 1], len(header)):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            found.append(_Table(heading, at + 1, header, [_cells(line) for line in lines[at + 2 : end]]))
            at = end
        else:
            at += 1
    return found


def _is_rule(line: str, n_cells: int) -> bool:
    return _RULE.fullmatch(line) is not None and len(re.findall("-+", line)) == n_cells


def _cells(line: str) -> list[str]:
    """Return the cells of a line, without the bars at its ends and the backslashes of Markdown."""
    line = line.strip()
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [_ESCAPE.sub(r"\1", cell.strip()) for cell in _BAR.split(line)]
