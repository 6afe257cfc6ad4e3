"""Wide tables: a row for each model, a column for each category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import nearest
from soce.scores.formats.cells import Parsed, parse_column
from soce.scores.formats.grid import Grid, read_grid
from soce.scores.formats.names import role_by_name, why_no_score
from soce.scores.formats.options import DROPPED
from soce.scores.formats.text import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from soce.scores.formats.options import ReadOptions

NUMBER_HINT: Final = "write a decimal number such as 78.5; leave the cell empty if there is no score"

# With fewer rows, scores that happen to be 1 to n are too likely.
_FEWEST_RANKED: Final = 5


def read_wide(path: str | os.PathLike[str], options: ReadOptions) -> ScoreTable:
    """Read a wide table from CSV, TSV, JSON or Parquet.

    Parameters
    ----------
    path : path-like
        ``.tsv``, ``.json`` and ``.parquet`` are read as such, anything else as CSV.
    options : ReadOptions
        `model_column`; `columns`, `aggregates` and `lower_is_better` say which columns are scores, `drop`
        which are not looked at. Their names are checked by `apply_options`.

    Returns
    -------
    ScoreTable
        Columns that are not scores are in `ignored`, each with the reason.

    Raises
    ------
    ScoreTableError
        With every cell that is not a number, and whatever else is wrong.
    OSError
        The file cannot be read.
    """
    return wide_table(read_grid(str(path)), options)


def wide_table(grid: Grid, options: ReadOptions) -> ScoreTable:
    """Return the score table of a wide grid; see `read_wide`.

    Notes
    -----
    A column is not one of scores if its name says rank, cost, latency, link, url or license; if no cell of
    it is a number or was meant as one; or if its cells are the ranks 1 to n in any order, n at least 5. A
    name in the options makes any column one of scores. Where some cells are numbers, all others must be
    numbers or missing.
    """
    refusals = Refusals(grid.path)
    place = _model_place(grid, options, refusals)
    models = grid.columns[place]
    check_models(grid, models, refusals)
    declared = {*(options.columns or ()), *options.lower_is_better, *options.aggregates}
    declared.update(part for parts in options.aggregates.values() for part in parts)
    columns: list[Column] = []
    values = []
    ignored: list[tuple[str, str]] = []
    for i, (name, cells) in enumerate(zip(grid.header, grid.columns, strict=True)):
        if i == place:
            continue
        reason = DROPPED if name in options.drop else None if name in declared else why_no_score(name)
        parsed = parse_column(cells) if reason is None else None
        if parsed is not None and name not in declared:
            reason = _why_not(parsed)
        if reason is not None or parsed is None:
            ignored.append((name, reason or DROPPED))
            continue
        for bad in parsed.bad:
            refusals.add(f"{grid.where(bad.row)}, column `{shown(name)}`: {bad.message}", NUMBER_HINT)
        columns.append(Column(name, role_by_name(name), parsed.scale, decimals=parsed.decimals))
        values.append(parsed.values)
    refusals.check()
    if not columns:
        found = ", ".join(f"`{shown(name)}` ({reason})" for name, reason in ignored[:10])
        refusals.refuse("no column holds scores", f"columns: {found}" if found else None)
    return ScoreTable(
        models,
        tuple(columns),
        np.array(values).T,
        source=grid.path,
        kind="wide",
        ignored=tuple(ignored),
    )


def _why_not(parsed: Parsed) -> str | None:
    if parsed.is_text:
        return "no cell is a number"
    n_rows = len(parsed.values)
    if n_rows >= _FEWEST_RANKED and np.array_equal(np.sort(parsed.values), np.arange(1, n_rows + 1)):
        return f"its values are the ranks 1 to {n_rows}"
    return None


def _model_place(grid: Grid, options: ReadOptions, refusals: Refusals) -> int:
    """Return which column holds the models: the first, unless the user names one."""
    if options.model_column is not None:
        if options.model_column not in grid.header:
            hint = nearest(options.model_column, grid.header, "columns")
            refusals.refuse(f"there is no column `{shown(options.model_column)}` for the models", hint)
        return grid.header.index(options.model_column)
    other = next((name for name in grid.header[1:] if name.casefold() == "model"), None)
    if other is not None and grid.header[0].casefold() != "model":
        refusals.refuse(
            f"the first column is `{shown(grid.header[0])}`, but there is also `{shown(other)}`",
            f"say which one names the models, for example `--model-column {shown(other)}`",
        )
    return 0


def check_models(grid: Grid, models: Sequence[str], refusals: Refusals) -> None:
    """Note models without a name and models that are there twice."""
    first: dict[str, int] = {}
    for row, model in enumerate(models):
        if not model:
            refusals.add(f"{grid.where(row)}: the model has no name")
            continue
        before = first.setdefault(model.casefold(), row)
        if before != row:
            same = "" if models[before] == model else f" as `{shown(models[before])}`"
            refusals.add(
                f"{grid.where(row)}: the model `{shown(model)}` is also in {grid.where(before)}{same}",
                "every model needs one row and a name of its own, different also when case is ignored",
            )
