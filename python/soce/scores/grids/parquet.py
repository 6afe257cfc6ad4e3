"""Score tables in Parquet files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.files.extras import install
from soce.scores.grids.lines import Rows

if TYPE_CHECKING:
    from soce.scores.refusals import Refusals

_MAX_CELLS: Final = 50_000_000


def read_parquet(content: bytes, refusals: Refusals) -> Rows:
    """Return the rows of a Parquet file; an index that somebody kept comes first."""
    try:
        import pandas as pd
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        refusals.refuse("reading Parquet needs pyarrow", install("excel"))
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
    return Rows(header, columns, places)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever Arrow holds
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
