"""Checks on models: near-duplicates among the candidates, and too small a population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.lint.columns import connected, in_points, places_of
from soce.lint.exact import SLACK, scale_of
from soce.lint.findings import DETAILED, LISTED, Finding, counted, joined, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores import Floats, ScoreTable

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
    pairs = _near_pairs(points[rows], near)
    if not pairs:
        return
    found = sorted(
        (width, table.models[rows[first]], table.models[rows[second]]) for width, first, second in pairs
    )
    decimals = [table.columns[place].decimals for place in places]
    digits = max((count for count in decimals if count is not None), default=None)
    same = sum(width == 0 for width, *_ in found)
    listed = joined(
        [
            f"`{shown(first)}` and `{shown(second)}` "
            + ("(identical)" if width == 0 else f"({number(width, digits)} at most)")
            for width, first, second in found[: LISTED + 1]
        ],
        total=len(found),
    )
    identical = f", {same} of them identical" if same and len(found) > 1 else ""
    groups = [
        [table.models[rows[row]] for row in sorted(group)]
        for group in connected([(a, b) for _, a, b in pairs])
    ]
    what = f"{counted(len(found), 'pair')} of candidates {'differs' if len(found) == 1 else 'differ'}"
    yield Finding(
        "S06",
        "warning",
        f"{what} by {near:g} percentage points or less in every category{identical}: {listed}",
        tuple(name for group in groups for name in group),
        (),
        "they split wins and add evaluations for nothing; keep one of each as a candidate",
        {
            "near": near,
            "n_pairs": len(found),
            "n_identical": same,
            "pairs": [
                {"models": [first, second], "largest_difference": width}
                for width, first, second in found[:DETAILED]
            ],
            "groups": groups,
        },
    )


def _near_pairs(points: Floats, near: float) -> list[tuple[float, int, int]]:
    """Return (largest difference, first, second) of all pairs of rows that are near."""
    if not points.size:
        return []
    filled = np.where(np.isnan(points), _ABSENT, points)
    spread = np.sort(filled, axis=0)
    # Columns that tell most neighbours apart come first: few pairs outlive them.
    telling = (
        np.argsort(-np.median(np.diff(spread, axis=0), axis=0), kind="stable") if len(points) > 1 else [0]
    )
    first_look = np.ascontiguousarray(filled[:, telling[:_FIRST_LOOK]])
    limit = near + SLACK * 100
    found = []
    for row in range(len(points) - 1):
        left = (
            np.flatnonzero((np.abs(first_look[row + 1 :] - first_look[row]) <= limit).all(axis=1)) + row + 1
        )
        if left.size:
            widths = np.abs(filled[left] - filled[row]).max(axis=1)
            # Differences of decimals leave digits nobody printed.
            found += [
                (round(float(width), 9), row, int(other))
                for width, other in zip(widths, left, strict=True)
                if width <= limit
            ]
    return found


def check_population(table: ScoreTable, population: Sequence[int], *, correlates: bool) -> Iterator[Finding]:
    """S07: so few models that correlations say little, or nothing."""
    from soce.correlation import critical_correlation

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
