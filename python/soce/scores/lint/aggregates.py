"""Checks on aggregates: computed from missing scores, and standing among the categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.lint.columns import places_of, prefixes_of
from soce.scores.lint.exact import means_of_others
from soce.scores.lint.findings import DETAILED, LISTED, Finding, joined, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.table import ScoreTable

_FEWEST_ROWS: Final = 3
_FEWEST_PARTS: Final = 2


def check_tainted(table: ScoreTable) -> Iterator[Finding]:
    """S05: aggregates that are there although scores below them are missing."""
    cells = {(model, name) for model, name, _ in table.blanked}
    n_blanked = len(cells)
    for place in range(len(table.columns)):
        leaves = _leaves(table, place)
        if leaves:
            missing = np.isnan(table.values[:, sorted(leaves)]).any(axis=1)
            for row in np.flatnonzero(missing & ~np.isnan(table.values[:, place])):
                cells.add((table.models[row], table.columns[place].name))
    if not cells:
        return
    models, columns = sorted({model for model, _ in cells}), sorted({name for _, name in cells})
    what = counted(len(columns), "aggregate")
    done = "was computed" if len(columns) == 1 else "were computed"
    removed = "; such cells are treated as missing" if n_blanked else ""
    yield Finding(
        "S05",
        "warning",
        f"{what} of {quoted(models)} {done} from missing scores: {quoted(columns)}{removed}",
        tuple(models),
        tuple(columns),
        "the source counts what was not measured as 0 or leaves it out; do not compare such values",
        {
            "n_cells": len(cells),
            "n_blanked": n_blanked,
            "cells": [list(cell) for cell in sorted(cells)[:DETAILED]],
        },
    )


def _leaves(table: ScoreTable, place: int) -> set[int]:
    """Return the categories below an aggregate, through aggregates of aggregates."""
    if not table.columns[place].parts:
        return set()
    names = {column.name: index for index, column in enumerate(table.columns)}
    leaves: set[int] = set()
    seen, waiting = {place}, [place]
    while waiting:
        column = table.columns[waiting.pop()]
        below = [names[part] for part in column.parts if part in names]
        for index in below:
            if not table.columns[index].parts:
                leaves.add(index)
            elif index not in seen:
                seen.add(index)
                waiting.append(index)
    return leaves - {place}


def check_means_among_categories(table: ScoreTable) -> Iterator[Finding]:
    """S12: categories that are, in all rows, the mean of the others or of those sharing a name prefix."""
    places = places_of(table)
    found: dict[str, str] = {}
    groups: dict[str, list[int]] = {"": places}
    for place in places:
        for prefix in prefixes_of(table.columns[place].name):
            groups.setdefault(prefix, []).append(place)
    for prefix, members in groups.items():
        for place in _means_within(table, members):
            _note(found, table, place, prefix, len(members) - 1)
        for place in _named(table, places, prefix):
            if place in _means_within(table, [*members, place]):
                _note(found, table, place, prefix, len(members))
    if found:
        ordered = sorted(found)
        listed = joined(
            [f"`{shown(name)}` is the mean of {found[name]}" for name in ordered[: LISTED + 1]],
            total=len(ordered),
        )
        yield Finding(
            "S12",
            "warning",
            f"{counted(len(found), 'aggregate')} among the categories: {listed}",
            (),
            tuple(found),
            "it counts its parts twice; leave it out with `--columns`, or declare it with `--aggregate`",
            {"means": {name: found[name] for name in ordered}},
        )


def _note(found: dict[str, str], table: ScoreTable, place: int, prefix: str, n_parts: int) -> None:
    what = f"the {n_parts} categories `{shown(prefix)}...`" if prefix else "all other categories"
    found.setdefault(table.columns[place].name, what)


def _named(table: ScoreTable, places: Sequence[int], prefix: str) -> list[int]:
    """Return the category that is named like the group itself, without the separator."""
    group = prefix.rstrip("/_-.: ")
    return [place for place in places if prefix and table.columns[place].name.casefold() == group]


def _means_within(table: ScoreTable, inside: Sequence[int]) -> list[int]:
    """Return which of `inside` are the mean of the others there, in all rows that have all of them."""
    values = table.values[:, list(inside)]
    values = values[~np.isnan(values).any(axis=1)]
    if len(inside) <= _FEWEST_PARTS or len(values) < _FEWEST_ROWS:
        return []
    found = means_of_others(values, [table.columns[place] for place in inside])
    means = []
    for index in np.flatnonzero(found).tolist():
        others = np.delete(values, index, axis=1)
        if (others != others[:, :1]).any():  # else they are copies of one column, as S01 says
            means.append(inside[index])
    return means
