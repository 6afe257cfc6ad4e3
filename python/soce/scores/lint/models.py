"""Checks on models: near-duplicates among the candidates, and too small a population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.lint.columns import connected, in_points, places_of
from soce.scores.lint.exact import SLACK, scale_of
from soce.scores.lint.findings import DETAILED, LISTED, Finding, joined, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.lint.columns import Pairs
    from soce.scores.lint.exact import Values
    from soce.scores.table import Floats, ScoreTable

FEW_MODELS: Final = 8
FEWEST_MODELS: Final = 3
_FIRST_LOOK: Final = 8
_ABSENT: Final = -1e300


def check_near(table: ScoreTable, candidates: Sequence[int], near: float) -> Iterator[Finding]:
    """S06: candidates whose scores differ by at most `near` percentage points in every category.

    A category that only one of the two has is a difference nobody knows, so such pairs are not near.
    """
    places = places_of(table)
    points = in_points(table, [scale_of(table.columns[place], table.values[:, place]) for place in places])
    rows = [row for row in candidates if not np.isnan(points[row]).all()]
    widths, pairs = _near_pairs(points[rows], near)
    if not len(pairs):
        return
    order = np.lexsort((pairs[:, 1], pairs[:, 0], widths))[:DETAILED]
    names = [table.models[row] for row in rows]
    closest = [
        (names[first], names[second], width)
        for (first, second), width in zip(pairs[order].tolist(), widths[order].tolist(), strict=True)
    ]
    decimals = [table.columns[place].decimals for place in places]
    digits = max((count for count in decimals if count is not None), default=None)
    same = int((widths == 0).sum())
    listed = joined(
        [
            f"`{shown(first)}` and `{shown(second)}` "
            + ("(identical)" if width == 0 else f"({number(width, digits)} at most)")
            for first, second, width in closest[: LISTED + 1]
        ],
        total=len(pairs),
    )
    identical = f", {same} of them identical" if same and len(pairs) > 1 else ""
    groups = [[names[row] for row in group] for group in connected(pairs)]
    what = f"{counted(len(pairs), 'pair')} of candidates {'differs' if len(pairs) == 1 else 'differ'}"
    yield Finding(
        "S06",
        "warning",
        f"{what} by {near:g} percentage points or less in every category{identical}: {listed}",
        tuple(name for group in groups for name in group),
        (),
        "they split wins and add evaluations for nothing; keep one of each as a candidate",
        {
            "near": near,
            "n_pairs": len(pairs),
            "n_identical": same,
            "pairs": [
                {"models": [first, second], "largest_difference": width} for first, second, width in closest
            ],
            "groups": groups,
        },
    )


def _near_pairs(points: Floats, near: float) -> tuple[Values, Pairs]:
    """Return the pairs of rows that are near, and the largest difference of each."""
    widths, pairs = [np.empty(0)], [np.empty((0, 2), dtype=np.int64)]
    filled = np.where(np.isnan(points), _ABSENT, points)
    # Columns that tell most neighbours apart come first: few pairs outlive them.
    gaps = np.median(np.diff(np.sort(filled, axis=0), axis=0), axis=0) if len(points) > 1 else np.empty(0)
    first_look = np.ascontiguousarray(filled[:, np.argsort(-gaps, kind="stable")[:_FIRST_LOOK]])
    limit = near + SLACK * 100
    for row in range(len(points) - 1):
        left = (
            np.flatnonzero((np.abs(first_look[row + 1 :] - first_look[row]) <= limit).all(axis=1)) + row + 1
        )
        if left.size:
            # Differences of decimals leave digits that nobody printed.
            width = np.round(np.abs(filled[left] - filled[row]).max(axis=1), 9)
            left, width = left[width <= limit], width[width <= limit]
            widths.append(width)
            pairs.append(np.stack([np.full(len(left), row), left], axis=1))
    return np.concatenate(widths), np.concatenate(pairs)


def check_population(table: ScoreTable, population: Sequence[int], *, correlates: bool) -> Iterator[Finding]:
    """S07: so few models that correlations say little, or nothing."""
    from soce.selection.correlation import critical_correlation

    n_models = len(population)
    if n_models >= FEW_MODELS:
        return
    names = tuple(table.models[row] for row in population)
    if n_models < FEWEST_MODELS:
        why = (
            "two points always lie on a line" if n_models == 2 else "a correlation needs two points at least"
        )
        yield Finding(
            "S07",
            "error" if correlates else "warning",
            f"correlations over {counted(n_models, 'model')} ({quoted(names)}) mean nothing: {why}",
            names,
            (),
            "take more models into the population, such as all of a leaderboard, or name the categories",
            {"n_models": n_models, "critical_correlation": None},
        )
        return
    critical = critical_correlation(n_models)
    yield Finding(
        "S07",
        "warning",
        f"the population has {n_models} models: |ρ| below {critical:.3f} cannot be told from 0 (5 %)",
        names,
        (),
        "take more models into the population, such as all of a leaderboard; they need not be candidates",
        {"n_models": n_models, "critical_correlation": critical},
    )
