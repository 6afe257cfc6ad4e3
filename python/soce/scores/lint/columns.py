"""Checks on whole columns: constant (S03), of few items (S09), or no scores at all (S14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.column_names import no_score_words
from soce.scores.formats.options import DROPPED
from soce.scores.lint.findings import Finding, found, joined, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.table import ScoreTable

_FEWEST_RANKED: Final = 3


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
    if table.counts is None:
        return
    small = {}
    for place in table.category_places:
        counts = table.counts[np.isfinite(table.counts[:, place]), place]
        if counts.size and counts.min() < min_items:
            small[table.columns[place].name] = int(counts.min())
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


def check_not_scores(table: ScoreTable, *, all_rows: bool) -> Iterator[Finding]:
    """S14: columns left out because they are no scores, and categories that do not look like any."""
    # A board's format is known, so nobody guessed which of its columns are scores.
    known = table.kind.startswith("bfcl")
    reasons = {} if known else {name: why for name, why in sorted(table.ignored) if why != DROPPED}
    if reasons:
        listed = joined([f"`{shown(name)}` ({shown(reason)})" for name, reason in reasons.items()])
        yield found(
            "S14",
            f"{counted(len(reasons), 'column')} left out as no scores: {listed}",
            columns=reasons,
            details={"ignored": reasons},
        )
    suspects = {}
    for place in table.category_places:
        name = table.columns[place].name
        if words := no_score_words(name):
            suspects[name] = f"its name says {min(words)}"
        elif all_rows and _is_ranking(table, place):
            suspects[name] = f"it counts from 1 to {len(table.models)}"
    if suspects:
        listed = joined([f"`{shown(name)}` ({reason})" for name, reason in suspects.items()])
        does, what = ("category does", "a score") if len(suspects) == 1 else ("categories do", "scores")
        yield found(
            "S14",
            f"{len(suspects)} {does} not look like {what}: {listed}",
            columns=suspects,
            hint="name the columns to use with `--columns`; if they are scores, there is nothing to do",
            details={"suspects": suspects},
        )


def _is_ranking(table: ScoreTable, place: int) -> bool:
    values = np.sort(table.values[:, place])
    return len(values) >= _FEWEST_RANKED and bool((values == np.arange(1, len(values) + 1)).all())
