"""Checks on how a table was read.

Columns that are no scores (S14), rows that are no models (S19), directions by name (S20).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted, in_words
from soce.scores.cells.column import are_like_ranks, is_ranking
from soce.scores.formats.options import DROPPED
from soce.scores.lint.findings import Finding, Findings, found, joined, quoted
from soce.scores.names.columns import (
    NUMBER_OF,
    contradicts,
    is_average,
    may_be_topic,
    no_score_words,
    split_marks,
)
from soce.scores.names.directions import smaller_is_better
from soce.scores.tables.model_rows import statistic_or_baseline
from soce.scores.tables.wide import EMPTY, NO_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soce.scores.table import Floats, ScoreTable

_FEWEST_RANKED: Final = 3
_MOST_NAMES: Final = 20
_PLAIN_REASONS: Final = frozenset([NO_NUMBER, EMPTY])


def lint_reading(table: ScoreTable) -> Findings:
    """Return what should be known of how a table was read, without looking for faults in its scores."""
    return Findings.of([*check_not_scores(table), *check_rows(table), *check_directions(table)])


def check_not_scores(table: ScoreTable, *, all_rows: bool = True) -> Iterator[Finding]:
    """S14: columns left out because they are no scores or about another, and categories that look alike."""
    if table.companions:
        read: dict[str, list[str]] = {}
        for name, what, of in table.companions:
            read.setdefault(what, []).append(f"`{shown(name)}` of `{shown(of)}`")
        yield found(
            "S14",
            "; ".join(f"{what} come from {joined(which)}" for what, which in read.items()),
            severity="information",
            columns=[name for name, _, _ in table.companions],
            details={"read_as": [list(one) for one in table.companions]},
        )
    # A board's format is known, so nobody guessed which of its columns are scores.
    known = table.kind.startswith("bfcl")
    reasons = {} if known else {name: why for name, why in sorted(table.ignored) if why != DROPPED}
    if reasons:
        yield found(
            "S14",
            f"{counted(len(reasons), 'column')} left out as no scores: {_by_reason(reasons)}",
            columns=reasons,
            details={"ignored": reasons},
        )
    suspects = {}
    for place in table.category_places:
        name, decimals = table.columns[place].name, table.columns[place].decimals
        values = table.values[:, place]
        if (words := no_score_words(name)) and not contradicts(words, values, decimals):
            suspects[name] = f"its name says {min(words)}"
        elif is_average(name) and may_be_topic(name):
            suspects[name] = "it may be an average of others"
        elif split_marks(name)[:1] in NUMBER_OF and not (values % 1 > 0).any():
            suspects[name] = "it may count something"
        elif all_rows and is_ranking(values, fewest=_FEWEST_RANKED):
            suspects[name] = f"it counts from 1 to {len(table.models)}"
    if suspects:
        listed = joined([f"`{shown(name)}` ({reason})" for name, reason in suspects.items()])
        does, what = ("category does", "a score") if len(suspects) == 1 else ("categories do", "scores")
        yield found(
            "S14",
            f"{len(suspects)} {does} not look like {what}: {listed}",
            columns=suspects,
            hint="leave them out with `--drop`; if they are scores, there is nothing to do",
            details={"suspects": suspects},
        )


def _by_reason(reasons: Mapping[str, str]) -> str:
    """Return all columns that were left out, those of one reason together, text and empty ones last."""
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault("by their names" if reason.startswith("its name has") else reason, []).append(name)
    told = []
    for reason, names in sorted(groups.items(), key=lambda group: group[0] in _PLAIN_REASONS):
        why = reasons[names[0]] if len(names) == 1 else reason
        listed = in_words([f"`{shown(name)}`" for name in names[:_MOST_NAMES]])
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        told.append(f"{listed}{more} ({shown(why)})")
    return ", ".join(told)


def check_rows(table: ScoreTable) -> Iterator[Finding]:
    """S19: rows that were set aside because they are no models, and models that are called like such rows."""
    asked = sorted(model for model in table.models if statistic_or_baseline(model))
    if asked:
        yield found(
            "S19",
            f"{quoted(asked)} {'is' if len(asked) == 1 else 'are'} taken for models in spite of the name",
            models=asked,
            hint="leave such a row out of the file if it is none",
            details={"models": asked},
        )
    if table.no_models:
        listed = joined([f"`{shown(name)}` ({what})" for name, what in sorted(table.no_models)])
        yield found(
            "S19",
            f"{counted(len(table.no_models), 'row')} set aside as no models: {listed}",
            details={"rows": dict(sorted(table.no_models))},
        )


def check_directions(table: ScoreTable) -> Iterator[Finding]:
    """S20: columns in which smaller is taken to be better by their names, and those where it may be."""
    by_name = sorted(column.name for column in table.columns if column.direction == "name")
    if by_name:
        its = "its name" if len(by_name) == 1 else "their names"
        yield found(
            "S20",
            f"smaller is better in {quoted(by_name)} by {its} (`--higher-is-better` if not)",
            columns=by_name,
            details={"smaller": by_name},
        )
    if asked := _of_doubtful_direction(table):
        yield found(
            "S20",
            f"larger is taken to be better in {quoted(asked)}: is it? (`--lower-is-better` if not)",
            columns=asked,
            hint="say which with `--lower-is-better` or `--higher-is-better`, and nobody asks again",
            details={"asked": asked},
        )


def _of_doubtful_direction(table: ScoreTable) -> list[str]:
    """Return where smaller may be better: by the name, or everywhere, by an average or as in ranks."""
    unsaid = {
        column.name: place
        for place, column in enumerate(table.columns)
        if column.direction == "default" and column.higher_is_better and column.metric is None
    }
    if len(table.categories) > 1 and unsaid.keys() >= {*table.categories}:
        scores = table.values[:, table.category_places]
        low, high = np.fmin.reduce(scores, axis=1), np.fmax.reduce(scores, axis=1)
        may_average_losses = any(
            column.role == "aggregate" and column.direction == "name" and ((low <= of) & (of <= high)).all()
            for column, of in zip(table.columns, table.values.T, strict=True)
        )
        if may_average_losses or _are_ranks(scores):
            return sorted(table.categories)
    return sorted(name for name in unsaid if smaller_is_better(name) is not None)


def _are_ranks(scores: Floats) -> bool:
    """Whether a table holds ranks with ties: whole numbers, most columns as a whole board ranks them."""
    whole = ~(scores[~np.isnan(scores)] % 1).any()
    return bool(whole) and 2 * sum(map(are_like_ranks, scores.T)) > scores.shape[1]
