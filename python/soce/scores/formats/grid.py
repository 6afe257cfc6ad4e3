"""The cells of CSV, TSV, JSON and Parquet files as trimmed text. Does not know what is a score."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import shown
from soce.scores.formats.pandas_json import as_records
from soce.scores.formats.printed import clean_names
from soce.scores.formats.text import WrittenFloat, parse_json, read_bytes, read_text
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from soce.scores.formats.options import Decimal, ReadOptions

SUFFIXES: Final = (".csv", ".tsv", ".json", ".parquet")

_MAX_CELLS: Final = 50_000_000
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_SHAPES: Final = (
    'write {"model": {"category": 0.5}} or [{"model": "a", "category": 0.5}]; a missing score is null'
)


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
    """Read a file by its suffix: ``.tsv``, ``.json``, ``.parquet``; anything else is CSV.

    Raises `ScoreTableError` for what is no such file, has no header or rows, rows of different
    lengths, or a name twice in the header.
    """
    refusals = Refusals(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        return CellGrid(_of_parquet(read_bytes(path), refusals), options.decimal)
    text = read_text(path)
    if suffix == ".json":
        return CellGrid(grid_of_json(parse_json(text, path), path), options.decimal)
    return CellGrid(_of_lines(text, refusals, "\t" if suffix == ".tsv" else ","), options.decimal)


def _of_lines(text: str, refusals: Refusals, separator: str) -> pd.DataFrame:
    import pandas as pd

    body = text.lstrip("\r\n")
    try:
        rows = pd.read_csv(
            io.StringIO(body, newline=""),
            sep=separator,
            header=None,
            dtype=object,
            keep_default_na=False,
            skip_blank_lines=False,
            engine="python",  # the one that tells a cell that is not there (NaN) from an empty one
        )
    except pd.errors.ParserError as error:
        hint = "every row needs as many cells as the header, every opened quote its end"
        refusals.refuse(f"not valid {'CSV' if separator == ',' else 'TSV'}: {shown(str(error))}", hint)
    cells = rows.to_numpy()
    first = 1 + len(_LINE_BREAK.findall(text[: len(text) - len(body)]))
    lines = first + np.arange(len(cells))
    if '"' in body:  # a quoted cell may hold line breaks
        breaks = [sum(len(_LINE_BREAK.findall(str(cell))) for cell in row) for row in cells]
        lines[1:] += np.cumsum(breaks[:-1])
    n_cells = np.sum(~pd.isna(cells), axis=1)
    blank = n_cells == 0
    cells, n_cells, places = cells[~blank], n_cells[~blank], [f"line {line}" for line in lines[~blank]]
    header = cells[0].tolist()
    if len(header) == 1:
        other = next((mark for mark in ("\t", ";", ",", "|") if mark in header[0]), None)
        asked = f"the header has `{shown(other)}`: is that what separates the columns?" if other else None
        what = "commas" if separator == "," else "tabs"
        refusals.refuse(f"{places[0]}: the header has one column; columns are separated by {what}", asked)
    for row in np.flatnonzero(n_cells < len(header)):
        refusals.add(f"{places[row]}: {n_cells[row]} cells, the header has {len(header)}")
    refusals.check()
    return _grid(header, cells[1:].T, places[1:], refusals)


def _grid(
    header: Iterable[str], columns: Iterable[Iterable[str]], places: Sequence[str], refusals: Refusals
) -> pd.DataFrame:
    """Return the trimmed cells under the names of the header, the places as index."""
    import pandas as pd

    names = clean_names([name.strip() for name in header])
    first: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name and place > 1:
            refusals.add(f"column {place} has no name in the header")
        if name in first and name:
            refusals.add(f"column `{shown(name)}` is there twice: columns {first[name]} and {place}")
        first.setdefault(name, place)
    if not places:
        refusals.add("the file has a header and no rows")
    refusals.check()
    trimmed = {name: [cell.strip() for cell in cells] for name, cells in zip(names, columns, strict=True)}
    return pd.DataFrame(trimmed, index=pd.Index(places), dtype=object)


def grid_of_json(held: object, path: str) -> pd.DataFrame:
    """Return the grid of ``{"model": {"category": number}}`` or of a list of flat objects."""
    refusals = Refusals(path)
    held = as_records(held, refusals)
    if isinstance(held, dict):
        what, entries, places = "values", list(held.values()), [f"model `{shown(model)}`" for model in held]
    elif isinstance(held, list):
        what, entries, places = "entries", held, [f"entry {i}" for i in range(1, len(held) + 1)]
    else:
        refusals.refuse("the JSON is not a score table: it is neither an object nor a list", _SHAPES)
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        refusals.refuse(f"the JSON is not a score table: its {what} are not objects", _SHAPES)
    for place, entry in zip(places, entries, strict=True):
        for name, value in entry.items():
            if isinstance(value, (dict, list)):
                refusals.add(f"{place}, column `{shown(name)}`: a score cannot be nested", _SHAPES)
    refusals.check()
    names = dict.fromkeys(name for entry in entries for name in entry)
    columns = [[_text(entry.get(name)) for entry in entries] for name in names]
    header = [*names]
    if isinstance(held, dict):
        header, columns = ["", *header], [list(held), *columns]
    if len(header) < 2:
        refusals.refuse("the JSON is not a score table: it has no scores", _SHAPES)
    return _grid(header, columns, places, refusals)


def _text(value: Any) -> str:  # noqa: ANN401 (whatever JSON or Parquet hold)
    if value is None:
        return ""
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _of_parquet(content: bytes, refusals: Refusals) -> pd.DataFrame:
    try:
        import pandas as pd
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        refusals.refuse("reading Parquet needs pyarrow", "run `pip install 'soce[parquet]'`")
    header: list[str] = []
    columns: list[list[str]] = []
    try:
        size = pq.read_metadata(io.BytesIO(content))
        n_cells = size.num_rows * size.num_columns
        if n_cells <= _MAX_CELLS:
            # Of Arrow's types, because integers with holes would become floats in pandas' own.
            rows = pd.read_parquet(io.BytesIO(content), dtype_backend="pyarrow")
            if not isinstance(rows.index, pd.RangeIndex):  # an index that somebody kept names the models
                rows = rows.reset_index()
            header = [*map(str, rows.columns)]
            cells = (rows.iloc[:, place].to_numpy(dtype=object) for place in range(len(header)))
            columns = [["" if value is pd.NA else _text(value) for value in column] for column in cells]
    except Exception as error:  # damaged files make pyarrow and pandas raise nearly anything
        told = shown(str(error).partition("\n")[0])
        refusals.refuse(f"the file is not Parquet that can be read: {told}")
    if n_cells > _MAX_CELLS:
        refusals.refuse(f"the table has more than {_MAX_CELLS} cells")
    places = [f"row {number}" for number in range(1, len(columns[0]) + 1)] if columns else []
    return _grid(header, columns, places, refusals)
