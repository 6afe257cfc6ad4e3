"""Rows and columns of text, from CSV, TSV, JSON or Parquet. Does not know what is a score."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.scores.formats.text import Refusals, WrittenFloat, parse_json, read_bytes, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUFFIXES: Final = (".csv", ".tsv", ".json", ".parquet")

_MAX_CELLS: Final = 50_000_000
_SHAPES: Final = (
    'write {"model": {"category": 0.5}} or [{"model": "a", "category": 0.5}]; a missing score is null'
)


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """A table of trimmed text."""

    path: str
    header: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    """One for each name in the header, all of one length; "" where there is nothing."""
    places: tuple[int, ...]
    """Where each row stands: its line, or its number from 1."""
    unit: str
    """What `places` counts: ``line``, ``entry`` or ``row``."""

    def where(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self.unit} {self.places[row]}"


def read_grid(path: str) -> Grid:
    """Read a file by its suffix: ``.tsv``, ``.json``, ``.parquet``; anything else is CSV.

    Raises
    ------
    ScoreTableError
        Not such a file; no header, no rows, rows of different lengths, a name twice in the header.
    OSError
        It cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path)
    text = read_text(path)
    if suffix == ".json":
        return grid_of_json(parse_json(text, path), path)
    return _read_delimited(text, path, "\t" if suffix == ".tsv" else ",")


def _read_delimited(text: str, path: str, delimiter: str) -> Grid:
    refusals = Refusals(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        refusals.refuse(f"line {line}: {error}")
    header = rows[0]
    if len(header) == 1:
        other = next((mark for mark in ("\t", ";", ",", "|") if mark in header[0]), None)
        hint = f"the header has `{shown(other)}`: is that what separates the columns?" if other else None
        what = "commas" if delimiter == "," else "tabs"
        refusals.refuse(f"line {lines[0]}: the header has one column; columns are separated by {what}", hint)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            refusals.add(f"line {line}: {len(row)} cells, the header has {len(header)}")
    refusals.check()
    return _grid(path, header, rows[1:], lines[1:], "line")


def _grid(path: str, header: Iterable[str], rows: list[list[str]], places: Iterable[int], unit: str) -> Grid:
    refusals = Refusals(path)
    names = tuple(name.strip() for name in header)
    first: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name and place > 1:
            refusals.add(f"column {place} has no name in the header")
        if name in first and name:
            refusals.add(f"column `{shown(name)}` is there twice: columns {first[name]} and {place}")
        first.setdefault(name, place)
    if not rows:
        refusals.add("the file has a header and no rows")
    refusals.check()
    columns = tuple(tuple(map(str.strip, cells)) for cells in zip(*rows, strict=True))
    return Grid(path, names, columns, tuple(places), unit)


def grid_of_json(held: object, path: str) -> Grid:
    """Return the grid of ``{"model": {"category": number}}`` or of a list of flat objects.

    Raises
    ------
    ScoreTableError
        Another shape, nested or no cells.
    """
    refusals = Refusals(path)
    if isinstance(held, dict):
        if not held or not all(isinstance(scores, dict) for scores in held.values()):
            refusals.refuse("the JSON is not a score table: its values are not objects", _SHAPES)
        header = ["model", *_keys(held.values())]
        rows = [
            [model, *_cells(refusals, f"model `{shown(model)}`", scores, header[1:])]
            for model, scores in held.items()
        ]
    elif isinstance(held, list):
        if not held or not all(isinstance(entry, dict) for entry in held):
            refusals.refuse("the JSON is not a score table: its entries are not objects", _SHAPES)
        header = _keys(held)
        rows = [_cells(refusals, f"entry {i}", entry, header) for i, entry in enumerate(held, 1)]
    else:
        refusals.refuse("the JSON is not a score table: it is neither an object nor a list", _SHAPES)
    refusals.check()
    if len(header) < 2:
        refusals.refuse("the JSON is not a score table: it has no scores", _SHAPES)
    return _grid(path, header, rows, range(1, len(rows) + 1), "entry")


def _keys(entries: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for entry in entries for key in entry))


def _cells(refusals: Refusals, where: str, entry: Mapping[str, object], header: list[str]) -> list[str]:
    cells = []
    for name in header:
        value = entry.get(name)
        if isinstance(value, (dict, list)):
            refusals.add(f"{where}, column `{shown(name)}`: a score cannot be nested", _SHAPES)
        cells.append(_cell(value))
    return cells


def _cell(value: Any) -> str:  # noqa: ANN401 (whatever JSON or Parquet hold)
    if value is None:
        return ""
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _read_parquet(path: str) -> Grid:
    refusals = Refusals(path)
    content = read_bytes(path)
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        refusals.refuse("reading Parquet needs pyarrow", "run `pip install 'soce[parquet]'`")
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows * file.metadata.num_columns > _MAX_CELLS:
            refusals.refuse(f"the table has more than {_MAX_CELLS} cells")
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        # pyarrow calls damaged files OSError; the system had no part in it, the bytes are here already.
        refusals.refuse(f"the file is not Parquet that can be read: {shown(str(error).splitlines()[0])}")
    header = list(table.column_names)
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    # pandas writes its index last; it is the first column of the frame, and names the models.
    index = [name for name in (table.schema.pandas_metadata or {}).get("index_columns", ()) if name in header]
    if len(index) == 1:
        place = header.index(index[0])
        header.insert(0, header.pop(place))
        columns.insert(0, columns.pop(place))
    rows = [list(row) for row in zip(*columns, strict=True)]
    return _grid(path, header, rows, range(1, len(rows) + 1), "row")
