"""Data frames of pandas as grids, cell for cell: no number loses a digit."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from soce.exceptions import shown
from soce.files.words import listed
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    import pandas as pd

    from soce.scores.table import ScoreTable

SOURCE = "DataFrame"
"""What messages, and `ScoreTable.source`, call a data frame."""


def is_frame(value: object) -> TypeGuard[pd.DataFrame]:
    """Whether this is a data frame of pandas, which is not imported for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def grid_of_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells as text: of the index, unless it only counts, and of the columns.

    Raises `ScoreTableError` for columns of several levels, names that are there twice, and no cells.
    """
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    refusals = Refusals(SOURCE)
    if frame.columns.nlevels > 1:
        refusals.refuse(
            f"the columns have {frame.columns.nlevels} levels: {listed(frame.columns.names)}",
            "take one level, or join them: `frame.columns = frame.columns.map('/'.join)`",
        )
    if frame.empty:
        refusals.refuse(f"there are no scores: {len(frame)} rows, {len(frame.columns)} columns")
    index = frame.index
    counts = isinstance(index, pd.RangeIndex) and index.name is None
    if index.nlevels > 1 and None in index.names:
        refusals.refuse("a level of the index has no name", "name them: `frame.rename_axis([...])`")
    if counts and all(is_numeric_dtype(kind) for kind in frame.dtypes):
        refusals.refuse("nothing names the models", "let the index do it: `frame.index = [...]`")
    levels = [] if counts else [index.get_level_values(level) for level in range(index.nlevels)]
    held: list[Any] = [*levels, *(frame.iloc[:, place] for place in range(len(frame.columns)))]
    names = ["" if one.name is None else str(one.name).strip() for one in held]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        refusals.add(f"column `{shown(name)}` is there twice")
    refusals.check()
    cells = {name: [_text(value) for value in one] for name, one in zip(names, held, strict=True)}
    places = [f"row {number}" for number in range(1, len(frame) + 1)]
    return pd.DataFrame(cells, index=pd.Index(places), dtype=object)


def _text(value: object) -> str:
    import numpy as np
    import pandas as pd

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    return repr(value) if isinstance(value, float) else str(value).strip()


def unrounded(table: ScoreTable, frame: pd.DataFrame) -> ScoreTable:
    """Return the table without decimals where the scores were numbers and not text, which is printed."""
    from pandas.api.types import infer_dtype

    is_text = {
        str(name).strip(): infer_dtype(frame.iloc[:, place].astype(object)) == "string"
        for place, name in enumerate(frame.columns)
    }
    all_text = all(is_text.values())
    return table.with_columns(
        column if is_text.get(column.name, all_text) else replace(column, decimals=None)
        for column in table.columns
    )
