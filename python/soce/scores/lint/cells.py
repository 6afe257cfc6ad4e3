"""Checks on single cells: scales, ranges, item counts, gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.lint.columns import places_of
from soce.scores.lint.exact import FULL, is_whole, scale_of, whole_items
from soce.scores.lint.findings import DETAILED, LISTED, Finding, joined, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.scores.table import ScoreTable

_NEIGHBOURS: Final = 8


def check_scales(table: ScoreTable) -> Iterator[Finding]:
    """S04: some categories run from 0 to 1, others from 0 to 100."""
    found: dict[str, list[str]] = {"unit": [], "percent": []}
    for place in places_of(table):
        scale = scale_of(table.columns[place], table.values[:, place])
        if scale is not None:
            found[scale].append(table.columns[place].name)
    if found["unit"] and found["percent"]:
        yield Finding(
            "S04",
            "error",
            f"mixed scales: {quoted(found['unit'])} from 0 to 1, {quoted(found['percent'])} from 0 to 100",
            (),
            (*found["unit"], *found["percent"]),
            "bring all categories to one scale, or a mean over them counts some a hundred times",
            {scale: list(names) for scale, names in found.items()},
        )


def check_ranges(table: ScoreTable) -> Iterator[Finding]:
    """S10: scores below 0 or above the end of their scale, and impossible item counts.

    Where lower is better and no scale is stated, a column is no accuracy and has no range.
    """
    outside = []
    for place, column in enumerate(table.columns):
        values = table.values[:, place]
        scale = scale_of(column, values)
        if column.scale is None and not column.higher_is_better:
            continue
        highest = FULL[scale or "unit"]
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero((values < 0) | (values > highest))
        outside += [(column.name, table.models[row], float(values[row]), highest) for row in rows]
    if outside:
        outside.sort()
        listed = joined(
            [
                f"{number(value, table.columns[table.place(name)].decimals)} in `{shown(name)}` of "
                f"`{shown(model)}` (0 to {highest:g})"
                for name, model, value, highest in outside[: LISTED + 1]
            ],
            total=len(outside),
        )
        yield Finding(
            "S10",
            "error",
            f"{counted(len(outside), 'score')} out of range: {listed}",
            tuple({model for _, model, *_ in outside}),
            tuple({name for name, *_ in outside}),
            "mend the file, or leave columns that are no accuracies out with `--columns`",
            {
                "n_cells": len(outside),
                "cells": [
                    {"column": name, "model": model, "score": value, "highest": highest}
                    for name, model, value, highest in outside[:DETAILED]
                ],
            },
        )
    if table.counts is None:
        return
    with np.errstate(invalid="ignore"):
        wrong = ~np.isnan(table.counts) & ~((table.counts >= 1) & (table.counts == np.rint(table.counts)))
        wrong |= np.isinf(table.counts)
    if wrong.any():
        cells = sorted(
            (table.columns[place].name, table.models[row], repr(float(table.counts[row, place])))
            for row, place in np.argwhere(wrong)
        )
        listed = joined(
            [f"{count} in `{shown(name)}` of `{shown(model)}`" for name, model, count in cells[: LISTED + 1]],
            total=len(cells),
        )
        yield Finding(
            "S10",
            "error",
            f"{counted(len(cells), 'item count')} not a whole number of one or more: {listed}",
            tuple({model for _, model, _ in cells}),
            tuple({name for name, *_ in cells}),
            "mend the file, or leave the counts out",
            {"n_cells": len(cells), "cells": [list(cell) for cell in cells[:DETAILED]]},
        )


def check_counts(table: ScoreTable) -> Iterator[Finding]:
    """S08: models measured on different numbers of items, as stated or as the scores show."""
    if table.counts is None:
        return
    ranges = {}
    for place in places_of(table):
        counts = table.counts[np.isfinite(table.counts[:, place]), place]
        if counts.size and counts.min() < counts.max():
            ranges[table.columns[place].name] = (int(counts.min()), int(counts.max()))
    if ranges:
        listed = joined(
            [
                f"`{shown(name)}` ({low} to {high})"
                for name, (low, high) in list(ranges.items())[: LISTED + 1]
            ],
            total=len(ranges),
        )
        what = counted(len(ranges), "category", "categories")
        yield Finding(
            "S08",
            "warning",
            f"{what} measured on different numbers of items: {listed}",
            (),
            tuple(ranges),
            "measure all models on the same items, or differences between them are not theirs alone",
            {"n_items": {name: list(span) for name, span in ranges.items()}},
        )
    impossible = {}
    for place in places_of(table):
        checked, broken = whole_items(table, place)
        # A column where most scores fail is no share of right answers, such as F1 or BLEU.
        if broken.any() and 2 * broken.sum() <= checked.sum():
            impossible[place] = np.flatnonzero(broken).tolist()
    if impossible:
        yield _impossible(table, impossible)


def _impossible(table: ScoreTable, impossible: Mapping[int, Sequence[int]]) -> Finding:
    """Return the finding for scores, rows by column, that the stated numbers of items cannot give."""
    details: dict[str, dict[str, Any]] = {}
    listed: list[str] = []
    total = sum(map(len, impossible.values()))
    for place, rows in impossible.items():
        column = table.columns[place]
        scores = {table.models[row]: float(table.values[row, place]) for row in rows}
        n_items, fits = _items_that_fit(table, place, rows)
        details[column.name] = {"n_items": n_items, "fits": fits, "scores": scores}
        listed += [
            f"`{shown(model)}` ({number(score, column.decimals)}"
            + (")" if len(impossible) == 1 else f" in `{shown(column.name)}`)")
            for model, score in list(scores.items())[: LISTED + 1]
        ]
    names = list(details)
    where = f"`{shown(names[0])}`" if len(names) == 1 else f"{len(names)} categories"
    only = details[names[0]] if len(names) == 1 else None
    items, instead = "the stated numbers of items", ""
    if only is not None and len(only["n_items"]) == 1:
        items = counted(only["n_items"][0], "item")
        instead = "" if only["fits"] is None else f" and {only['fits']} can"
    return Finding(
        "S08",
        "warning",
        f"{counted(total, 'score')} in {where} that {items} cannot give{instead}: "
        f"{joined(listed[: LISTED + 1], total=total)}",
        tuple({table.models[row] for rows in impossible.values() for row in rows}),
        tuple(names),
        "these models were probably measured on other items; mistrust small differences to the rest",
        {"n_scores": total, "columns": details},
    )


def _items_that_fit(table: ScoreTable, place: int, rows: Sequence[int]) -> tuple[list[int], int | None]:
    """Return the stated numbers of items, and the nearest that could give all these scores."""
    stated = [] if table.counts is None else sorted({int(table.counts[row, place]) for row in rows})
    scores = {float(table.values[row, place]) for row in rows}
    if len(stated) != 1:
        return stated, None
    near = [stated[0] + sign * step for step in range(1, _NEIGHBOURS + 1) for sign in (-1, 1)]
    column = table.columns[place]
    fits = (n for n in near if n > 1 and all(is_whole(score, n, column) for score in scores))
    return stated, next(fits, None)


def check_gaps(table: ScoreTable, population: Sequence[int]) -> Iterator[Finding]:
    """S16: missing scores, by row and by column."""
    places = places_of(table)
    missing = np.isnan(table.values[:, places])
    if not missing.any():
        return
    by_model = {table.models[row]: int(missing[row].sum()) for row in np.flatnonzero(missing.any(axis=1))}
    by_column = {
        table.columns[places[index]].name: int(missing[:, index].sum())
        for index in np.flatnonzero(missing.any(axis=0))
    }
    dropped = [table.models[row] for row in population if missing[row].any()]
    worst = sorted(by_model, key=lambda model: (-by_model[model], model))
    listed = joined(
        [f"`{shown(model)}` ({by_model[model]})" for model in worst[: LISTED + 1]], total=len(worst)
    )
    total = int(missing.sum())
    cells = f"{total} of {missing.size} scores missing"
    where = f"{counted(len(by_model), 'model')} and {counted(len(by_column), 'category', 'categories')}"
    yield Finding(
        "S16",
        "warning",
        f"{cells}, in {where}: {listed}",
        tuple(by_model),
        tuple(by_column),
        f"a model without a score cannot be expert there; `--missing complete` would drop "
        f"{len(dropped)} of the {counted(len(population), 'model')} of the population",
        {
            "n_missing": total,
            "models": {model: by_model[model] for model in worst},
            "columns": by_column,
            "dropped": dropped,
        },
    )
