"""Wide tables: a row for each model, a column for each category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import nearest
from soce.scores.column_names import no_score_words, role_by_name
from soce.scores.formats.cells import is_ranking, notes_on_cells, parse_column
from soce.scores.formats.options import DROPPED
from soce.scores.formats.printed import clean_names
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from soce.scores.formats.cells import Parsed, Vector
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import Floats

NUMBER_HINT: Final = "write a decimal number such as 78.5; leave the cell empty if there is no score"

# With fewer rows, scores that happen to be 1 to n are too likely.
_FEWEST_RANKED: Final = 5


def wide_table(grid: pd.DataFrame, path: str, options: ReadOptions) -> ScoreTable:
    """Return the score table of a wide grid that was read at `path`.

    A column is not one of scores if its name says rank, cost, latency, link, url or license; if no cell of
    it is a number or was meant as one; or if its cells are the ranks 1 to n in any order, n at least 5. A
    name in the options makes any column one of scores (`apply_options` checks these names). Where some
    cells are numbers, all others must be numbers or missing: every other cell is in the `ScoreTableError`.
    """
    refusals = Refusals(path)
    model_column = _model_column(grid, options, refusals)
    grid = grid.assign(**{model_column: clean_names(grid[model_column].tolist())})
    check_models(grid[model_column], refusals)
    declared = {*(options.columns or ()), *options.lower_is_better, *options.aggregates}
    declared.update(part for parts in options.aggregates.values() for part in parts)
    columns: list[Column] = []
    held: list[Parsed] = []
    ignored: dict[str, str] = {}
    for name in grid.columns.drop(model_column):
        if name in options.drop:
            ignored[name] = DROPPED
            continue
        if name not in declared and (words := no_score_words(name)):
            ignored[name] = f"its name has `{words[0]}`"
            continue
        parsed = parse_column(grid[name].tolist(), options.decimal)
        if name not in declared and (reason := _why_no_score(parsed)):
            ignored[name] = reason
            continue
        for bad in parsed.bad:
            refusals.add(
                f"{grid.index[bad.row]}, column `{shown(name)}`: {bad.message}", bad.hint or NUMBER_HINT
            )
        columns.append(Column(name, role_by_name(name), parsed.scale, decimals=parsed.decimals))
        held.append(parsed)
    refusals.check()
    if not columns:
        found = ", ".join(f"`{shown(name)}` ({reason})" for name, reason in [*ignored.items()][:10])
        refusals.refuse("no column holds scores", f"columns: {found}" if found else None)
    return ScoreTable(
        tuple(grid[model_column]),
        tuple(columns),
        np.array([parsed.values for parsed in held]).T,
        _side_by_side([parsed.counts for parsed in held]),
        _side_by_side([parsed.stderrs for parsed in held]),
        source=path,
        kind="wide",
        ignored=tuple(ignored.items()),
        notes=notes_on_cells(path, dict(zip([column.name for column in columns], held, strict=True))),
    )


def _side_by_side(columns: Sequence[Vector | None]) -> Floats | None:
    """Return columns as an array, NaN in those that are not there; None if none is."""
    there = next((column for column in columns if column is not None), None)
    if there is None:
        return None
    return np.array([np.full(len(there), np.nan) if column is None else column for column in columns]).T


def _why_no_score(parsed: Parsed) -> str | None:
    if parsed.is_text:
        return "no cell is a number"
    if is_ranking(parsed.values, fewest=_FEWEST_RANKED):
        return f"its values are the ranks 1 to {len(parsed.values)}"
    return None


def _model_column(grid: pd.DataFrame, options: ReadOptions, refusals: Refusals) -> str:
    """Return which column holds the models: the first, unless the user names one."""
    if options.model_column is not None:
        if options.model_column not in grid.columns:
            hint = nearest(options.model_column, grid.columns, "columns")
            refusals.refuse(f"there is no column `{shown(options.model_column)}` for the models", hint)
        return options.model_column
    first, *others = grid.columns
    other = next((name for name in others if name.casefold() == "model"), None)
    if other is not None and first.casefold() != "model":
        refusals.refuse(
            f"the first column is `{shown(first)}`, but there is also `{shown(other)}`",
            f"say which one names the models, for example `--model-column {shown(other)}`",
        )
    return str(first)


def check_models(models: pd.Series[str], refusals: Refusals) -> None:
    """Note models without a name and models that are there twice, by their rows."""
    first: dict[str, tuple[str, str]] = {}
    for where, model in zip(models.index, models, strict=True):
        if not model:
            refusals.add(f"{where}: the model has no name")
            continue
        before, other = first.setdefault(model.casefold(), (where, model))
        if before != where:
            same = "" if other == model else f" as `{shown(other)}`"
            refusals.add(
                f"{where}: the model `{shown(model)}` is also in {before}{same}",
                "every model needs one row and a name of its own, different also when case is ignored",
            )
