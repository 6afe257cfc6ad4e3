"""Checks on columns and their cells.

Constant (S03), mixed scales (S04), item counts that differ (S08) or are few (S09), out of range (S10), gaps
(S16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.lint.findings import CHECKS, DETAILED, LISTED, Finding, found, joined, number, quoted
from soce.scores.lint.rounding import broken_items, not_whole
from soce.scores.table import FULL, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.table import ScoreTable

_NEIGHBOURS: Final = 8
_LEAST_PERCENTAGE: Final = 10


def check_scales(table: ScoreTable) -> Iterator[Finding]:
    """S04: some categories or cells run from 0 to 1, others from 0 to 100; or losses stand beside scores."""
    unscaled = []
    cells = []
    names: dict[str, list[str]] = {"unit": [], "percent": []}
    for place in table.category_places:
        column = table.columns[place]
        if column.scale is None and not column.higher_is_better:
            unscaled.append(column.name)
            continue
        scale = column.scale or scale_of(table.values[:, place])
        if scale is not None:
            names[scale].append(column.name)
        cells += [
            (column.name, table.models[row], float(table.values[row, place]))
            for row in _shares_among_percentages(table, place)
        ]
    if names["unit"] and names["percent"]:
        yield found(
            "S04",
            f"mixed scales: {quoted(names['unit'])} from 0 to 1, {quoted(names['percent'])} from 0 to 100",
            columns=[*names["unit"], *names["percent"]],
            details=names,
        )
    if cells:
        listed = [f"{value:g} in `{shown(name)}` of `{shown(model)}`" for name, model, value in cells]
        yield found(
            "S04",
            f"what looks like shares of 1 among percentages: {joined(listed)}",
            severity="warning",
            models={model for _, model, _ in cells},
            columns={name for name, _, _ in cells},
            hint="bring a category to one scale; nothing to do if these are percentages too",
            details={"cells": [list(cell) for cell in cells[:DETAILED]]},
        )
    if unscaled and (names["unit"] or names["percent"]):
        are, them = ("is", "it") if len(unscaled) == 1 else ("are", "them")
        yield found(
            "S04",
            f"{quoted(unscaled)}, where smaller is better, {are} on no scale: a mean over the categories "
            f"subtracts {them} from shares",
            severity="warning",
            columns=unscaled,
            hint=f"leave {them} out with `--drop`, or say what each counts with `--objective weights:FILE`",
            details={"unscaled": unscaled},
        )


def _shares_among_percentages(table: ScoreTable, place: int) -> list[int]:
    """Return the rows with at most 1 in a column whose other scores are what these would be in percent."""
    values = table.values[:, place]
    small = np.flatnonzero((values > 0) & (values <= 1))
    large = values[values > 1]
    if table.columns[place].scale != "percent" or not small.size or not large.size:
        return []
    alike = (100 * values[small] >= large.min() / 2) & (100 * values[small] <= 1.5 * large.max())
    return small.tolist() if alike.all() and large.min() >= _LEAST_PERCENTAGE else []


def check_ranges(table: ScoreTable) -> Iterator[Finding]:
    """S10: scores below 0 or above the end of their scale, and impossible item counts.

    Where lower is better and no scale is stated, a column is no accuracy and has no range.
    """
    outside = []
    for place, column in enumerate(table.columns):
        if column.scale is None and not column.higher_is_better:
            continue
        values = table.values[:, place]
        highest = FULL[column.scale or scale_of(values) or "unit"]
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero((values < 0) | (values > highest))
        outside += [(column.name, table.models[row], float(values[row]), highest) for row in rows]
    if outside:
        outside.sort()
        listed = [
            f"{number(value, table.columns[table.place(name)].decimals)} in `{shown(name)}` of "
            f"`{shown(model)}` (0 to {highest:g})"
            for name, model, value, highest in outside[: LISTED + 1]
        ]
        keys = ("column", "model", "score", "highest")
        yield found(
            "S10",
            f"{counted(len(outside), 'score')} out of range: {joined(listed, total=len(outside))}",
            models={model for _, model, *_ in outside},
            columns={name for name, *_ in outside},
            details={
                "n_cells": len(outside),
                "cells": [dict(zip(keys, cell, strict=True)) for cell in outside[:DETAILED]],
            },
        )
    if table.counts is None:
        return
    with np.errstate(invalid="ignore"):
        possible = (table.counts >= 1) & (table.counts == np.rint(table.counts)) & (table.counts < np.inf)
    wrong = ~np.isnan(table.counts) & ~possible
    if wrong.any():
        cells = sorted(
            (table.columns[place].name, table.models[row], repr(float(table.counts[row, place])))
            for row, place in np.argwhere(wrong)
        )
        first = cells[: LISTED + 1]
        listed = [f"{count} in `{shown(name)}` of `{shown(model)}`" for name, model, count in first]
        where = joined(listed, total=len(cells))
        yield found(
            "S10",
            f"{counted(len(cells), 'item count')} not a whole number of one or more: {where}",
            models={model for _, model, _ in cells},
            columns={name for name, *_ in cells},
            hint="mend the file, or leave the counts out",
            details={"n_cells": len(cells), "cells": [list(cell) for cell in cells[:DETAILED]]},
        )


def check_counts(table: ScoreTable) -> Iterator[Finding]:
    """S08: models measured on different numbers of items, as stated or as the scores show."""
    if table.counts is None:
        return
    ranges = {name: (low, high) for name, (low, high) in _item_ranges(table).items() if low < high}
    if ranges:
        listed = joined([f"`{shown(name)}` ({low} to {high})" for name, (low, high) in ranges.items()])
        what = counted(len(ranges), "category", "categories")
        yield found(
            "S08",
            f"{what} measured on different numbers of items: {listed}",
            columns=ranges,
            details={"n_items": {name: list(span) for name, span in ranges.items()}},
        )
    broken = {place: np.flatnonzero(broken_items(table, place)).tolist() for place in table.category_places}
    if impossible := {place: rows for place, rows in broken.items() if rows}:
        yield _impossible(table, impossible)


def _item_ranges(table: ScoreTable) -> dict[str, tuple[int, int]]:
    """Return the least and the largest number of items of each category that has them."""
    ranges: dict[str, tuple[int, int]] = {}
    if table.counts is None:
        return ranges
    for place in table.category_places:
        counts = table.counts[np.isfinite(table.counts[:, place]), place]
        if counts.size:
            ranges[table.columns[place].name] = (int(counts.min()), int(counts.max()))
    return ranges


def _impossible(table: ScoreTable, impossible: dict[int, list[int]]) -> Finding:
    """Return the finding for scores, rows by column, that the stated numbers of items cannot give."""
    details: dict[str, dict[str, Any]] = {}
    listed: list[str] = []
    for place, rows in impossible.items():
        column = table.columns[place]
        scores = {table.models[row]: float(table.values[row, place]) for row in rows}
        n_items, fits = _items_that_fit(table, place, rows)
        details[column.name] = {"n_items": n_items, "fits": fits, "scores": scores}
        where = "" if len(impossible) == 1 else f" in `{shown(column.name)}`"
        listed += [
            f"`{shown(model)}` ({number(score, column.decimals)}{where})"
            for model, score in list(scores.items())[: LISTED + 1]
        ]
    total = sum(map(len, impossible.values()))
    where, items, instead = f"{len(details)} categories", "the stated numbers of items", ""
    if len(details) == 1:
        ((name, only),) = details.items()
        where = f"`{shown(name)}`"
        if len(only["n_items"]) == 1:
            items = counted(only["n_items"][0], "item")
            instead = "" if only["fits"] is None else f" and {only['fits']} can"
    scores_there = joined(listed, total=total)
    return found(
        "S08",
        f"{counted(total, 'score')} in {where} that {items} cannot give{instead}: {scores_there}",
        models={table.models[row] for rows in impossible.values() for row in rows},
        columns=details,
        hint="these models were probably measured on other items; mistrust small differences to the rest",
        details={"n_scores": total, "columns": details},
    )


def _items_that_fit(table: ScoreTable, place: int, rows: Sequence[int]) -> tuple[list[int], int | None]:
    """Return the stated numbers of items, and the nearest that could give all these scores."""
    assert table.counts is not None
    stated = sorted({int(table.counts[row, place]) for row in rows})
    if len(stated) != 1:
        return stated, None
    near = [stated[0] + sign * step for step in range(1, _NEIGHBOURS + 1) for sign in (-1, 1)]
    scores, column = table.values[list(rows), place], table.columns[place]
    fits = (n for n in near if n > 1 and not not_whole(scores, float(n), column)[1].any())
    return stated, next(fits, None)


def check_gaps(table: ScoreTable, population: Sequence[str]) -> Iterator[Finding]:
    """S16: missing scores, by row and by column."""
    places = table.category_places
    missing = np.isnan(table.values[:, places])
    if not missing.any():
        return
    by_model = {table.models[row]: int(missing[row].sum()) for row in np.flatnonzero(missing.any(axis=1))}
    by_model = dict(sorted(by_model.items(), key=lambda item: (-item[1], item[0])))
    by_column = {
        table.columns[places[index]].name: int(missing[:, index].sum())
        for index in np.flatnonzero(missing.any(axis=0))
    }
    dropped = [model for model in population if model in by_model]
    total = int(missing.sum())
    where = f"{counted(len(by_model), 'model')} and {counted(len(by_column), 'category', 'categories')}"
    listed = joined([f"`{shown(model)}` ({n_missing})" for model, n_missing in by_model.items()])
    lost = f"{len(dropped)} of the {counted(len(population), 'model')} of the population"
    yield found(
        "S16",
        f"{total} of {missing.size} scores missing, in {where}: {listed}",
        models=by_model,
        columns=by_column,
        hint=f"{CHECKS['S16'].advice}; `--missing complete` would drop {lost}",
        details={"n_missing": total, "models": by_model, "columns": by_column, "dropped": dropped},
    )


def check_constant(table: ScoreTable, models: Sequence[str], which: str) -> Iterator[Finding]:
    """S03: categories with one score for all these models; correlations with them are undefined."""
    places = table.category_places
    values = table.values[np.ix_([table.row(model) for model in models], places)]
    there = ~np.isnan(values)
    lowest = np.min(np.where(there, values, np.inf), axis=0)
    highest = np.max(np.where(there, values, -np.inf), axis=0)
    constant = {
        table.columns[places[i]].name: float(lowest[i])
        for i in np.flatnonzero((lowest == highest) & (there.sum(axis=0) >= 2))
    }
    if not constant:
        return
    listed = [
        f"`{shown(name)}` ({number(value, table.columns[table.place(name)].decimals)})"
        for name, value in constant.items()
    ]
    what, verb = ("category", "is") if len(constant) == 1 else ("categories", "are")
    tie = "all candidates tie in a constant category, so tie-breaking rules choose its expert"
    yield found(
        "S03",
        f"{what} {joined(listed)} {verb} the same for all {len(models)} models of the {which}",
        models=models,
        columns=constant,
        hint=tie if which == "candidates" else None,
        details={"rows": which, "values": constant},
    )


def check_small(table: ScoreTable, min_items: int) -> Iterator[Finding]:
    """S09: categories measured on few items."""
    small = {name: low for name, (low, _) in _item_ranges(table).items() if low < min_items}
    if small:
        ordered = dict(sorted(small.items(), key=lambda item: (item[1], item[0])))
        listed = joined([f"`{shown(name)}` ({n_items})" for name, n_items in ordered.items()])
        what = counted(len(small), "category", "categories")
        yield found(
            "S09",
            f"{what} with fewer than {min_items} items: {listed}",
            columns=small,
            details={"min_items": min_items, "n_items": ordered},
        )
