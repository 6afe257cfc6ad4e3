"""Outcomes by item beside scores: read cell by cell, and kept where their mean is the score."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, isclose, isnan, nan
from typing import TYPE_CHECKING, Final

from soce.exceptions import ScoreTableError
from soce.files.words import counted, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from soce.scores.table import ScoreTable

_NO_MEAN: Final = "the score is not the mean of the items' outcomes"


def with_outcomes(table: ScoreTable, read: Callable[[str, str], Mapping[str, float]]) -> ScoreTable:
    """Return the table with the outcomes by item that `read` gives of a model in a category.

    Where `read` raises `ScoreTableError`, and where the score is something else than the mean of the outcomes
    or has another number of items, there are none, for a reason that names no path: items are known or not,
    never guessed.
    """
    outcomes: dict[str, dict[str, Mapping[str, float]]] = {}
    reasons: dict[tuple[str, str], None] = {}
    for row, model in enumerate(table.models):
        for place in table.category_places:
            name, score = table.columns[place].name, float(table.values[row, place])
            if isnan(score):
                continue
            count = nan if table.counts is None else float(table.counts[row, place])
            try:
                found = read(model, name)
                reason = _difference(found, score, count)
            except ScoreTableError as error:
                problem = error.problems[0]
                reason = problem.message if problem.hint is None else f"{problem.message}; {problem.hint}"
            if reason is None:
                outcomes.setdefault(model, {})[name] = found
            else:
                reasons[name, reason] = None
    return standing_on_items(replace(table, outcomes=outcomes, no_outcomes=tuple(reasons)))


def standing_on_items(table: ScoreTable) -> ScoreTable:
    """Return the table with the items of each category of whose scores all outcomes are known."""
    items = {}
    for place in table.category_places:
        name = table.columns[place].name
        scored = [model for model in table.models if not isnan(table.score(model, name))]
        outcomes = [table.outcomes.get(model, {}).get(name) for model in scored]
        known = [found for found in outcomes if found is not None]
        if known and len(known) == len(scored):
            items[name] = tuple(dict.fromkeys(item for found in known for item in found))
    return table.with_origin(replace(table.origin, items=items)) if items else table


def notes_on(no_outcomes: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return a sentence for each reason why categories have no outcomes by item."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in no_outcomes:
        by_reason.setdefault(reason, []).append(name)
    return tuple(
        f"no outcomes by item in {listed(names, limit=4)}: {reason}" for reason, names in by_reason.items()
    )


def _difference(outcomes: Mapping[str, float], score: float, count: float) -> str | None:
    """Return what keeps outcomes from being those behind a score."""
    if not outcomes:
        return "there are none"
    if not isnan(count) and len(outcomes) != count:
        return f"there are outcomes of {counted(len(outcomes), 'item')}, and the score is of {count:.0f}"
    mean = fsum(outcomes.values()) / len(outcomes)
    return None if isclose(mean, score, rel_tol=1e-9, abs_tol=1e-12) else _NO_MEAN
