"""Several tables into one: a row for each model, a column for each category of any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from soce.exceptions import Problem, ScoreTableError, shown
from soce.scores import bfcl
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_Value = TypeVar("_Value")

_MAX_NAMED = 3


def join_tables(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Return the table of all models and all columns; what no table has is missing.

    Parameters
    ----------
    tables : sequence of ScoreTable
        At least one. Columns of equal names are the same column.

    Returns
    -------
    ScoreTable
        Models and columns in order of appearance. Decimals of a column: the most that a table has.

    Raises
    ------
    ScoreTableError
        Two tables disagree on the metric, scale, direction, role or parts of a column, or both score a model
        in it.
    """
    if len(tables) == 1:
        return tables[0]
    _check_benchmarks(tables)
    sources = list(dict.fromkeys(table.source for table in tables))
    more = len(sources) - _MAX_NAMED
    source = ", ".join(sources[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    models = {
        name: row for row, name in enumerate(dict.fromkeys(m for table in tables for m in table.models))
    }
    names = {
        name: place
        for place, name in enumerate(dict.fromkeys(c.name for table in tables for c in table.columns))
    }
    arrays = {name: np.full((len(models), len(names)), np.nan) for name in ("values", "counts", "stderrs")}
    said_by = np.full((len(models), len(names)), -1)
    for number, table in enumerate(tables):
        rows = [models[name] for name in table.models]
        places = [names[column.name] for column in table.columns]
        cut = np.ix_(rows, places)
        present = ~np.isnan(table.values)
        twice = np.argwhere(present & (said_by[cut] >= 0))
        if twice.size:
            i, j = twice[0]
            model, column = shown(table.models[i]), shown(table.columns[j].name)
            other = tables[said_by[rows[i], places[j]]].source
            _refuse(
                source,
                f"model `{model}` has a score in `{column}` twice: in `{shown(other)}` and in"
                f" `{shown(table.source)}`",
                "leave one of the files out, or name the models apart with NAME=PATH",
            )
        said_by[cut] = np.where(present, number, said_by[cut])
        for name, array in arrays.items():
            given: np.ndarray[tuple[int, int], np.dtype[np.float64]] | None = getattr(table, name)
            if given is not None:
                array[cut] = np.where(np.isnan(given), array[cut], given)
    return ScoreTable(
        tuple(models),
        tuple(_column(source, name, tables) for name in names),
        arrays["values"],
        None if all(table.counts is None for table in tables) else arrays["counts"],
        None if all(table.stderrs is None for table in tables) else arrays["stderrs"],
        source=source,
        kind=" + ".join(dict.fromkeys(table.kind for table in tables)),
        ignored=tuple(dict.fromkeys(pair for table in tables for pair in table.ignored)),
        blanked=tuple(cell for table in tables for cell in table.blanked),
    )


def _check_benchmarks(tables: Sequence[ScoreTable]) -> None:
    """Refuse versions of BFCL together: leaves of equal names have other items."""
    seen: dict[bfcl.Version, ScoreTable] = {}
    for table in tables:
        if table.kind.startswith("bfcl"):
            for version in bfcl.versions_of(column.name for column in table.columns):
                seen.setdefault(version, table)
    if len(seen) > 1:
        told = " and ".join(
            f"`{shown(table.source)}` of {version}" for version, table in sorted(seen.items())
        )
        first = next(iter(seen.values())).source
        _refuse(first, f"{told} are of different versions of BFCL", "compare models within one version")


def _column(source: str, name: str, tables: Sequence[ScoreTable]) -> Column:
    held = [(column, table) for table in tables for column in table.columns if column.name == name]

    def agreed(what: str, said: Sequence[tuple[_Value, ScoreTable]], *, otherwise: _Value) -> _Value:
        if not said:
            return otherwise
        first, told_by = said[0]
        for value, table in said:
            if value != first:
                _refuse(
                    source,
                    f"column `{shown(name)}`: {what} is {shown(str(first))} in `{shown(told_by.source)}` and"
                    f" {shown(str(value))} in `{shown(table.source)}`",
                    "scores of one column must mean the same in all files",
                )
        return first

    known = [
        column.decimals for column, table in held if not np.isnan(table.values[:, table.place(name)]).all()
    ]
    return replace(
        held[0][0],
        role=agreed("the role", [(c.role, table) for c, table in held], otherwise="category"),
        scale=agreed(
            "the scale", [(c.scale, table) for c, table in held if c.scale is not None], otherwise=None
        ),
        higher_is_better=agreed(
            "higher_is_better", [(c.higher_is_better, table) for c, table in held], otherwise=True
        ),
        decimals=None if None in known else max((d for d in known if d is not None), default=None),
        metric=agreed(
            "the metric", [(c.metric, table) for c, table in held if c.metric is not None], otherwise=None
        ),
        parts=agreed("the list of parts", [(c.parts, table) for c, table in held if c.parts], otherwise=()),
    )


def _refuse(source: str, message: str, hint: str) -> NoReturn:
    raise ScoreTableError.of([Problem("scores", source, None, message, hint)])
