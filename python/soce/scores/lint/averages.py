"""Checks on averages: wrong (S02), over missing scores (S05), standing among the categories (S12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores import bfcl
from soce.scores.lint.findings import CHECKS, DETAILED, Finding, found, joined, number, quoted
from soce.scores.lint.rounding import Deviation, broken_items, compare, means_of_others
from soce.scores.names.columns import is_average, may_be_topic, prefixes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from soce.scores.lint.copies import Pairs
    from soce.scores.table import ScoreTable

_FEWEST_PARTS: Final = 2
_FEWEST_ROWS: Final = 3
_MOST_OUTSIDE: Final = 3
_MOST_TRIED: Final = 2000
_FIRST_ROWS: Final = 8
_SLACK: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Claim:
    """How a column is said to follow from others."""

    parts: tuple[int, ...]
    words: str
    weights: tuple[Fraction, ...] | None = None
    """None: the plain mean."""


def check_averages(table: ScoreTable, copies: Pairs) -> Iterator[Finding]:
    """S02: columns named or declared as averages that are not, by more than rounding explains."""
    versions = bfcl.versions_of(column.name for column in table.columns)
    board = bfcl.BOARDS[versions.pop()] if len(versions) == 1 else None
    for place in range(len(table.columns)):
        failed: list[tuple[_Claim, Deviation]] = []
        for claim in _claims_of(table, place, board):
            compared = [compare(table, place, claim.parts, claim.weights)]
            if (by_items := _item_shares(table, claim)) is not None:
                compared.append(compare(table, place, claim.parts, by_items))
            best = min(compared, key=lambda comparison: int(comparison.beyond.sum()))
            beyond = best.beyond
            if claim.weights is not None:  # they rest on item counts that S08 may doubt
                for part in claim.parts:
                    beyond = beyond & ~broken_items(table, part)
            if not beyond.any():
                break
            failed.append((claim, replace(best, beyond=beyond)))
        else:
            if failed and (outside := _outside(table, place, failed, copies)):
                yield _not_all(table, place, outside)
            elif failed:
                claim, comparison = min(failed, key=lambda pair: int(pair[1].beyond.sum()))
                yield _not_the_mean(table, place, claim, comparison, copies)


def _claims_of(table: ScoreTable, place: int, board: bfcl.Board | None) -> list[_Claim]:
    """Return what a column may claim to be; empty if it claims nothing. One claim that holds is enough."""
    column = table.columns[place]
    form = None if board is None else board.aggregate(column.name)
    if form is None and not column.parts and not is_average(column.name):
        return []
    names = {other.name for other in table.columns}
    if board is not None and form is not None:
        leaves = [leaf for leaf in sorted(form) if form[leaf]]
        if not names.issuperset(leaves):
            return []
        words = f"what the formula of BFCL {board.version} gives"
        return [_Claim(tuple(map(table.place, leaves)), words, tuple(form[leaf] for leaf in leaves))]
    if table.kind.startswith("bfcl"):
        return []  # a board's aggregates are no plain means
    if parts := sorted(set(column.parts) - {column.name}):
        words = f"the mean of its {counted(len(parts), 'part')}"
        return [_Claim(tuple(map(table.place, parts)), words)] if names.issuperset(column.parts) else []
    if not is_average(column.name) or (column.role == "category" and may_be_topic(column.name)):
        return []
    others = sorted(name for name in {*table.categories} - {column.name} if not is_average(name))
    groups = []
    for prefix in prefixes_of(column.name):
        members = [name for name in others if name.casefold().startswith(prefix)]
        if len(members) >= _FEWEST_PARTS:
            groups.append((members, f"the mean of the {len(members)} categories `{shown(prefix)}...`"))
    if others:
        what = counted(len(others), "category", "categories")
        groups.append((others, f"the mean of the {'other ' if column.role == 'category' else ''}{what}"))
    return [_Claim(tuple(map(table.place, members)), words) for members, words in groups]


def _outside(
    table: ScoreTable, place: int, failed: Sequence[tuple[_Claim, Deviation]], copies: Pairs
) -> tuple[int, ...] | None:
    """Return the fewest columns without which an average is right, if some claim becomes so."""
    for size in range(1, _MOST_OUTSIDE + 1):
        for claim, compared in failed:
            if claim.weights is not None or len(claim.parts) - size < _FEWEST_PARTS:
                continue
            if any(set(pair) <= set(claim.parts) for pair in copies[:, :2].tolist()):
                continue  # a cell of a copy is wrong, and leaving it out may seem to mend the mean
            if compared.rows.sum() < _FEWEST_ROWS + size or comb(len(claim.parts), size) > _MOST_TRIED:
                continue
            few = np.flatnonzero(compared.rows)[:_FIRST_ROWS]
            scores = table.values[few][:, list(claim.parts)]
            # What the average leaves over, row by row, is the sum of the columns that it does not count.
            over = scores.sum(axis=1) - (len(claim.parts) - size) * table.values[few, place]
            near = len(claim.parts) * (compared.tolerance + _SLACK)
            for chosen in combinations(range(len(claim.parts)), size):
                if (np.abs(scores[:, chosen].sum(axis=1) - over) > near).any():
                    continue
                outside = tuple(claim.parts[index] for index in chosen)
                tried = compare(table, place, [part for part in claim.parts if part not in outside])
                if tried.rows.sum() >= _FEWEST_ROWS + size and not tried.beyond.any():
                    return outside
    return None


def _not_all(table: ScoreTable, place: int, outside: Sequence[int]) -> Finding:
    """S14: the average is right, so what it does not count may be no score."""
    average = table.columns[place].name
    names = [table.columns[part].name for part in outside]
    are = "is it a score" if len(names) == 1 else "are they scores"
    return found(
        "S14",
        f"`{shown(average)}` is the mean of all categories but {quoted(names)}: {are}?",
        columns=names,
        hint="leave out with `--drop` what is no score; if it is one, there is nothing to do",
        details={"average": average, "outside": names},
    )


def _item_shares(table: ScoreTable, claim: _Claim) -> list[float] | None:
    """Return the shares of the parts in the items, if all are known and the same for all models."""
    if table.counts is None or claim.weights is not None:
        return None
    counts = table.counts[:, list(claim.parts)]
    if not (np.isfinite(counts).all() and (counts >= 1).all() and (counts == counts[0]).all()):
        return None
    shares: list[float] = (counts[0] / counts[0].sum()).tolist()
    return shares


def _not_the_mean(
    table: ScoreTable, place: int, claim: _Claim, comparison: Deviation, copies: Pairs
) -> Finding:
    column, printed = table.columns[place], table.values[:, place]
    rows = np.flatnonzero(comparison.beyond).tolist()
    differences = {row: float(comparison.computed[row] - printed[row]) for row in rows}
    worst = max(rows, key=lambda row: (abs(round(differences[row], 9)), -row))
    digits = None
    if column.decimals is not None:  # as many as show that the difference is too large
        largest = abs(differences[worst])
        enough = (n for n in range(2, 7) if round(largest, column.decimals + n) > comparison.tolerance)
        digits = column.decimals + next(enough, 6)
    model, compared = table.models[worst], counted(int(comparison.rows.sum()), "model")
    message = (
        f"column `{shown(column.name)}` is not {claim.words} in {len(rows)} of {compared}: "
        f"largest difference {number(abs(differences[worst]), digits)} in `{shown(model)}` "
        f"({number(float(printed[worst]), column.decimals)} given, "
        f"{number(float(comparison.computed[worst]), digits)} computed), "
        f"rounding explains {comparison.tolerance:.3g}"
    )
    details: dict[str, object] = {
        "formula": claim.words,
        "parts": [table.columns[part].name for part in claim.parts],
        "tolerance": comparison.tolerance,
        "largest": {"model": model, "difference": round(differences[worst], 9)},
        "rows": {
            table.models[row]: {
                "given": float(printed[row]),
                "computed": round(float(comparison.computed[row]), 9),
                "difference": round(differences[row], 9),
            }
            for row in rows
        },
    }
    hint = CHECKS["S02"].advice
    if claim.weights is not None:
        hint = "either a cell is wrong, or the model was measured on another number of items (see S08)"
    if column.role == "category":
        hint = "it looks like an average: leave it out of the categories with `--columns`, or rename it"
    implied = {}
    if claim.weights is None:
        for pair in copies[:, :2].tolist():
            if set(pair) <= set(claim.parts):
                key = ", ".join(table.columns[part].name for part in pair)
                implied[key] = _implied(table, place, claim, comparison, pair)
    if implied:
        details["implied"] = implied
        hint = f"{joined([str(entry['summary']) for entry in implied.values()])}; {hint}"
    models = [table.models[row] for row in rows]
    return found("S02", message, models=models, columns=[column.name], hint=hint, details=details)


def _implied(
    table: ScoreTable, place: int, claim: _Claim, comparison: Deviation, pair: Sequence[int]
) -> dict[str, object]:
    """Return the scores in one of two copied columns that would make the mean right, row by row.

    In rows where the two differ nothing was copied there, so an implied score other than the one given
    means that the average itself is wrong: impossible.
    """
    size = len(claim.parts)
    half = size * table.columns[place].half_width
    names = [table.columns[part].name for part in pair]
    rows: dict[str, dict[str, object]] = {}
    middles, wrong = [], []
    for row in np.flatnonzero(comparison.beyond).tolist():
        model, given = table.models[row], table.values[row, list(pair)].tolist()
        shift = size * float(table.values[row, place] - comparison.computed[row])
        copied = given[0] == given[1]
        rows[model] = {"copied": copied, "impossible": not copied}
        for name, score in zip(names, given, strict=True):
            low, high = round(score + shift - half, 9), round(score + shift + half, 9)
            rows[model][name] = {"given": score, "low": low, "high": high}
        if copied:
            middles.append(given[0] + shift)
        else:
            wrong.append(model)
    if not middles:
        return {"columns": names, "suspect": None, "rows": rows, "summary": f"{quoted(names)} are copies"}
    suspect = _suspect(table, pair, min(middles), max(middles))
    digits = table.columns[pair[0]].decimals
    interval = f"{number(min(middles) - half, digits)} to {number(max(middles) + half, digits)}"
    where = f"`{shown(suspect)}`" if suspect is not None else f"one of {quoted(names)}"
    summary = f"scores of {interval} in {where} would make the mean right where the two columns are equal"
    if wrong:
        summary += f", and in {quoted(wrong)}, where they differ, the average itself must be wrong"
    return {"columns": names, "suspect": suspect, "rows": rows, "summary": summary}


def _suspect(table: ScoreTable, pair: Sequence[int], lowest: float, highest: float) -> str | None:
    """Return the column whose own scores, where the two differ, look like the implied ones, if clear."""
    scores = table.values[:, list(pair)]
    scores = scores[~np.isnan(scores).any(axis=1) & (scores[:, 0] != scores[:, 1])]
    if not len(scores):
        return None
    away = np.maximum(np.maximum(lowest - scores, scores - highest), 0.0).max(axis=0).tolist()
    nearer = 0 if away[0] < away[1] else 1
    # An inference, so only if it is clear.
    return table.columns[pair[nearer]].name if 4 * away[nearer] < away[1 - nearer] else None


def check_tainted(table: ScoreTable) -> Iterator[Finding]:
    """S05: aggregates that are there although scores below them are missing."""
    cells = {(model, name) for model, name, _ in table.blanked}
    n_blanked = len(cells)
    for place, column in enumerate(table.columns):
        if leaves := _leaves_below(table, place):
            missing = np.isnan(table.values[:, sorted(leaves)]).any(axis=1)
            tainted = np.flatnonzero(missing & ~np.isnan(table.values[:, place]))
            cells |= {(table.models[row], column.name) for row in tainted}
    if not cells:
        return
    models, columns = sorted({model for model, _ in cells}), sorted({name for _, name in cells})
    done = "was computed" if len(columns) == 1 else "were computed"
    removed = "; such cells are treated as missing" if n_blanked else ""
    yield found(
        "S05",
        f"{counted(len(columns), 'aggregate')} of {quoted(models)} {done} from missing scores: "
        f"{quoted(columns)}{removed}",
        models=models,
        columns=columns,
        details={
            "n_cells": len(cells),
            "n_blanked": n_blanked,
            "cells": [list(cell) for cell in sorted(cells)[:DETAILED]],
        },
    )


def _leaves_below(table: ScoreTable, place: int) -> set[int]:
    """Return the measured columns below an aggregate, through aggregates of aggregates."""
    places = {column.name: index for index, column in enumerate(table.columns)}
    reached: set[int] = set()
    waiting = [place]
    while waiting:
        parts = table.columns[waiting.pop()].parts
        below = {places[part] for part in parts if part in places} - reached
        reached |= below
        waiting += below
    return {index for index in reached if not table.columns[index].parts}


def check_averages_among_categories(table: ScoreTable) -> Iterator[Finding]:
    """S12: categories that are, in all rows, the mean of the others or of those sharing a name prefix."""
    places = table.category_places
    groups: dict[str, list[int]] = {"": places}
    for place in places:
        for prefix in prefixes_of(table.columns[place].name):
            groups.setdefault(prefix, []).append(place)
    means: dict[str, str] = {}
    for prefix, members in groups.items():
        # The category that is named like the group itself, without the separator.
        group = prefix.rstrip("/_-.: ")
        heads = [place for place in places if prefix and table.columns[place].name.casefold() == group]
        for inside in (members, *([*members, head] for head in heads)):
            what = (
                f"the {len(inside) - 1} categories `{shown(prefix)}...`" if prefix else "all other categories"
            )
            for place in _means_within(table, inside):
                if inside is members or place == inside[-1]:
                    means.setdefault(table.columns[place].name, what)
    if means:
        means = dict(sorted(means.items()))
        listed = joined([f"`{shown(name)}` is the mean of {what}" for name, what in means.items()])
        yield found(
            "S12",
            f"{counted(len(means), 'aggregate')} among the categories: {listed}",
            columns=means,
            details={"means": means},
        )


def _means_within(table: ScoreTable, inside: Sequence[int]) -> list[int]:
    """Return which of `inside` are the mean of the others there, in all rows that have all of them."""
    values = table.values[:, list(inside)]
    values = values[~np.isnan(values).any(axis=1)]
    if len(inside) <= _FEWEST_PARTS or len(values) < _FEWEST_ROWS:
        return []
    means = []
    for index in np.flatnonzero(means_of_others(values, [table.columns[place] for place in inside])).tolist():
        others = np.delete(values, index, axis=1)
        if (others != others[:, :1]).any():  # else they are copies of one column, as S01 says
            means.append(inside[index])
    return means
