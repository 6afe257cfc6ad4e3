"""The cells of a file of any kind as trimmed text. Does not know what is a score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from soce.exceptions import ScoreTableError, shown
from soce.scores.cells.markup import clean_names
from soce.scores.grids.json_rows import is_json, read_json
from soce.scores.grids.lines import has_equal_lines, read_lines
from soce.scores.grids.markdown import has_tables, read_markdown
from soce.scores.grids.parquet import read_parquet
from soce.scores.grids.text import decode, encoding_of, read_bytes, refuse_other_kinds
from soce.scores.grids.workbook import is_workbook, read_workbook
from soce.scores.refusals import Refusals
from soce.scores.tables.companions import with_subjects

if TYPE_CHECKING:
    import pandas as pd

    from soce.scores.formats.options import Decimal, ReadOptions
    from soce.scores.grids.lines import Rows

_JSON_LINES: Final = (".jsonl", ".ndjson")
_MARKDOWN: Final = (".md", ".markdown")
_WORKBOOKS: Final = (".xlsx", ".xlsm")
_SUFFIXES: Final = (".csv", ".tsv", ".json", ".parquet", *_JSON_LINES, *_MARKDOWN, *_WORKBOOKS)
_ENCODINGS: Final = {
    "utf-16": "read as UTF-16",
    "cp1252": "read as Windows-1252, because it is not UTF-8; save it as UTF-8 if names look wrong",
}


@dataclass(frozen=True, eq=False, slots=True)
class CellGrid:
    """The cells of a file."""

    cells: pd.DataFrame
    """Trimmed text, "" where there is nothing; the index says where a row stands: ``line 3``, ``entry 2``."""
    decimal: Decimal | None = None
    """What separates the decimals of all cells, where that is certain or was said."""
    notes: tuple[str, ...] = ()
    """What was decided that the file does not say outright."""


def read_grid(path: str, options: ReadOptions) -> CellGrid:
    """Read a file by its suffix, and by its content where that is certain.

    Raises `ScoreTableError` for what is no table, has no header or rows, rows of different lengths, or a name
    twice in the header; and for a file of an unknown suffix whose content is not certain, unless the user
    named a format.
    """
    refusals = Refusals(path)
    suffix = Path(path).suffix.lower()
    known = suffix in _SUFFIXES or options.format is not None
    if not known and not _is_certain(path, refusals):
        _refuse_unknown(suffix, refusals)
    content = read_bytes(path)
    encoding = "utf-8-sig"
    if suffix == ".parquet" or content.startswith(b"PAR1"):
        rows = read_parquet(content, refusals)
    elif suffix in _WORKBOOKS or is_workbook(content):
        rows = read_workbook(content, options.sheet, refusals)
    else:
        encoding = encoding_of(content)
        rows = _rows_of_text(decode(content, encoding, refusals), path, options, refusals)
    notes = tuple(note for note in (_ENCODINGS.get(encoding), *rows.notes) if note)
    return CellGrid(_cells(rows, refusals), options.decimal or rows.decimal, notes)


def _rows_of_text(text: str, path: str, options: ReadOptions, refusals: Refusals) -> Rows:
    suffix = Path(path).suffix.lower()
    if suffix in {".json", *_JSON_LINES} or (suffix not in _SUFFIXES and is_json(text)):
        return read_json(text, path, as_lines=suffix in _JSON_LINES)
    if suffix in _MARKDOWN or has_tables(text):
        return read_markdown(text, options.sheet, refusals)
    return read_lines(text, "\t" if suffix == ".tsv" else ",", options, refusals)


def _is_certain(path: str, refusals: Refusals) -> bool:
    """Whether the content of a file alone leaves no doubt that it is a table."""
    try:
        content = read_bytes(path)
    except ScoreTableError:
        return False
    if content.startswith(b"PAR1") or is_workbook(content):
        return True
    encoding = "utf-16" if encoding_of(content) == "utf-16" else "utf-8-sig"
    refuse_other_kinds(content, encoding, refusals)
    try:
        text = decode(content, encoding, Refusals(path))
    except ScoreTableError:
        return False
    return is_json(text) or has_tables(text) or has_equal_lines(text)


def _refuse_unknown(suffix: str, refusals: Refusals) -> NoReturn:
    from soce.scores.formats.registry import NAME_THE_FORMAT

    has = f"the suffix `{shown(suffix)}`" if suffix else "no suffix"
    refusals.refuse(f"the file is of no known format and has {has}", NAME_THE_FORMAT)


def _cells(rows: Rows, refusals: Refusals) -> pd.DataFrame:
    """Return the trimmed cells under the names of the header, the places as index.

    Nameless columns without a cell, and empty rows at the end, are what spreadsheet programs leave; nameless
    ones of marks alone (``±``, ``↑``), what harnesses print.
    """
    import pandas as pd

    names = with_subjects(clean_names([name.strip() for name in rows.header]))
    columns = [[cell.strip() for cell in cells] for cells in rows.columns]
    n_rows = len(rows.places)
    while n_rows and not any(column[n_rows - 1] for column in columns):
        n_rows -= 1
    first: dict[str, int] = {}
    for place, (name, column) in enumerate(zip(names, columns, strict=True), 1):
        if not name and not any(letter.isalnum() for cell in column for letter in cell):
            continue
        if not name and place > 1:
            hint = "the first row names all columns; delete what stands above it"
            refusals.add(f"column {place} has no name in the header", hint)
        if name in first and name:
            hint = "give each column a name of its own, and the file one row of names"
            refusals.add(f"column `{shown(name)}` is there twice: columns {first[name]} and {place}", hint)
        first.setdefault(name, place)
    if not n_rows:
        refusals.add("the file has a header and no rows")
    refusals.check()
    cells = {name: columns[place - 1][:n_rows] for name, place in first.items()}
    return pd.DataFrame(cells, index=pd.Index(list(rows.places[:n_rows])), dtype=object)
