"""What the averages of a plain table say: which columns are some, and which way is better in their parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.scores.names.columns import may_be_topic, split_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import ScoreTable

_SLACK: Final = 1e-6
_MOST_TRIED: Final = 200


def settle_averages(table: ScoreTable) -> ScoreTable:
    """Return a table that was read by names with what only its scores can tell of its averages.

    What is called like an average and like a subject, as `mean_reversion` is, is a category unless it is the
    mean of others. If smaller is better in an average of all categories, it is in these (`Average WER`).
    """
    columns = list(table.columns)
    plain = table.category_places
    for place, column in enumerate(columns):
        if column.role == "aggregate" and may_be_topic(column.name):
            words = {*split_words(column.name)}
            related = [part for part in plain if words & {*split_words(columns[part].name)}]
            neighbours = _run_beside(table, place, plain)
            if not any(_is_mean(table, place, parts) for parts in (plain, related, neighbours)):
                columns[place] = replace(column, role="category")
    if columns != [*table.columns]:
        table = table.with_columns(columns)
    parts = table.category_places
    losses = [
        place
        for place, column in enumerate(columns)
        if column.role == "aggregate" and column.direction == "name" and _is_mean(table, place, parts)
    ]
    if not losses or any(columns[part].direction != "default" for part in parts):
        return table
    for part in parts:
        columns[part] = replace(columns[part], higher_is_better=False, direction="name")
    note = (
        f"smaller is better in all categories, as in `{shown(columns[losses[0]].name)}`, which is their mean"
    )
    return replace(table.with_columns(columns), notes=(*table.notes, note))


def _run_beside(table: ScoreTable, place: int, plain: Sequence[int]) -> Sequence[int]:
    """Return the categories one after the other of which a column may be the mean, by its first full row."""
    scores = table.values[:, plain]
    full = np.flatnonzero(~np.isnan(scores).any(axis=1) & ~np.isnan(table.values[:, place]))
    if not full.size or len(plain) < 2:
        return []
    sums = np.concatenate([[0.0], np.cumsum(scores[full[0]])])
    given, near = table.values[full[0], place], _rounding(table, place, plain)
    ends = range(len(plain) + 1)
    runs = (
        plain[start:end]
        for start in ends[:_MOST_TRIED]
        for end in ends[start + 2 : start + _MOST_TRIED]
        if abs((sums[end] - sums[start]) / (end - start) - given) <= near
    )
    return next((run for run in runs if _is_mean(table, place, run)), [])


def _is_mean(table: ScoreTable, place: int, parts: Sequence[int]) -> bool:
    """Whether a column is the mean of others in every row that has all, within what rounding explains."""
    if len(parts) < 2:
        return False
    given, values = table.values[:, place], table.values[:, list(parts)]
    means = values.mean(axis=1)
    rows = ~np.isnan(given) & ~np.isnan(means)
    return bool(rows.any() and (np.abs(given - means)[rows] <= _rounding(table, place, parts)).all())


def _rounding(table: ScoreTable, place: int, parts: Sequence[int]) -> float:
    """Return by how much a mean of these may differ from what a column says."""
    half_widths = table.columns[place].half_width + max(table.columns[part].half_width for part in parts)
    return half_widths + _SLACK * float(np.nanmax(np.abs(table.values[:, list(parts)]), initial=1.0))
