"""Several tables into one: a row for each model, a column for each category of any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import shown
from soce.scores import bfcl
from soce.scores.origin import joined_origin
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MAX_NAMED: Final = 3
_AGREED: Final = {
    "role": "the role",
    "scale": "the scale",
    "higher_is_better": "higher_is_better",
    "metric": "the metric",
    "parts": "the list of parts",
}
"""What tables must say alike of a column, if they say it."""


def join_tables(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Return the table of all models and all columns, in order of appearance; what no table has is missing.

    Columns of equal names are the same column. Raises `ScoreTableError` if two tables disagree on the
    metric, scale, direction, role or parts of one, or both score a model in it.
    """
    if len(tables) == 1:
        return tables[0]
    _check_benchmarks(tables)
    sources = list(dict.fromkeys(table.source for table in tables))
    more = len(sources) - _MAX_NAMED
    source = ", ".join(sources[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    models = _numbered(model for table in tables for model in table.models)
    names = _numbered(column.name for table in tables for column in table.columns)
    shape = (len(models), len(names))
    arrays = {name: np.full(shape, np.nan) for name in ("values", "counts", "stderrs")}
    said_by = np.full(shape, -1)
    for number, table in enumerate(tables):
        rows = [models[model] for model in table.models]
        places = [names[column.name] for column in table.columns]
        cut = np.ix_(rows, places)
        present = ~np.isnan(table.values)
        for row, place in np.argwhere(present & (said_by[cut] >= 0))[:1]:
            model, column = shown(table.models[row]), shown(table.columns[place].name)
            first, second = shown(tables[said_by[rows[row], places[place]]].source), shown(table.source)
            Refusals(source).refuse(
                f"model `{model}` has a score in `{column}` twice: in `{first}` and in `{second}`",
                "leave one of the files out, or name the models apart with NAME=PATH",
            )
        said_by[cut] = np.where(present, number, said_by[cut])
        for name, array in arrays.items():
            if (given := getattr(table, name)) is not None:
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
        companions=tuple(dict.fromkeys(one for table in tables for one in table.companions)),
        no_models=tuple(dict.fromkeys(row for table in tables for row in table.no_models)),
        blanked=tuple(cell for table in tables for cell in table.blanked),
        notes=tuple(f"`{shown(table.source)}`: {note}" for table in tables for note in table.notes),
        origin=joined_origin([([column.name for column in table.columns], table.origin) for table in tables]),
        no_outcomes=tuple(dict.fromkeys(pair for table in tables for pair in table.no_outcomes)),
        outcomes={
            model: {name: found for table in tables for name, found in table.outcomes.get(model, {}).items()}
            for model in models
        },
    )


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


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
        Refusals(first).refuse(
            f"{told} are of different versions of BFCL", "compare models within one version"
        )


def _column(source: str, name: str, tables: Sequence[ScoreTable]) -> Column:
    """Return the column of a name in which all tables that have it agree."""
    held = [(column, table) for table in tables for column in table.columns if column.name == name]
    agreed: dict[str, Any] = {}
    for field, what in _AGREED.items():
        for column, table in held:
            value = getattr(column, field)
            if value in (None, ()):  # this source does not say
                continue
            if field not in agreed:
                agreed[field], told_by = value, table
            elif value != agreed[field]:
                Refusals(source).refuse(
                    f"column `{shown(name)}`: {what} is {shown(str(agreed[field]))} in "
                    f"`{shown(told_by.source)}` and {shown(str(value))} in `{shown(table.source)}`",
                    "scores of one column must mean the same in all files",
                )
    known = [column.decimals for column, table in held if not np.isnan(table.oriented([name])).all()]
    rounded = [decimals for decimals in known if decimals is not None]
    decimals = max(rounded, default=None) if len(rounded) == len(known) else None
    return replace(held[0][0], decimals=decimals, **agreed)
