"""Checks for things that are there twice: columns (S01), models (S06), categories that rank alike (S13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.lint.findings import DETAILED, LISTED, Finding, found, joined, number, quoted
from soce.scores.table import scale_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.lint.rounding import Values
    from soce.scores.table import Floats, ScoreTable

    Pairs: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]

_REDUNDANT: Final = 0.999
_FIRST_LOOK: Final = 8
_ABSENT: Final = -1e300


class Correlations(Protocol):
    """What S13 reads of correlations, which are computed elsewhere."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names, in the order of the arrays."""

    @property
    def rho(self) -> Floats:
        """Correlation of every two categories, NaN where undefined."""

    @property
    def n(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Models that have both scores."""


def copied_columns(table: ScoreTable) -> Pairs:
    """Return pairs of columns that are copies: indices of both, number of equal rows, rows that have both.

    Copies are equal in four fifths of the models that have both. Few distinct values make columns equal by
    chance, so the equal rows must show three at least.
    """
    places = np.array(table.category_places, dtype=np.int64)
    values = np.ascontiguousarray(table.values[:, places].T)  # (n_categories, n_models)
    there = (~np.isnan(values)).astype(np.float64)
    both = there @ there.T
    # A pair that differs in more than a fifth of the models does so among the first quarter, mostly.
    first_rows = values.shape[1] // 4 + 1
    both_first = there[:, :first_rows] @ there[:, :first_rows].T
    pairs = [np.empty((0, 4), dtype=np.int64)]
    for first in range(len(places) - 1):
        equal = np.count_nonzero(values[first, :first_rows] == values[first + 1 :, :first_rows], axis=1)
        differing = both_first[first, first + 1 :] - equal
        others = np.flatnonzero(5 * differing <= both[first, first + 1 :]) + first + 1
        if not others.size:
            continue
        same = values[first] == values[others]  # (n_others, n_models)
        equal = np.count_nonzero(same, axis=1)
        lowest = np.min(np.where(same, values[first], np.inf), axis=1, keepdims=True)
        highest = np.max(np.where(same, values[first], -np.inf), axis=1, keepdims=True)
        between = same & (values[first] > lowest) & (values[first] < highest)  # a third value
        kept = (5 * equal >= 4 * both[first, others]) & between.any(axis=1)
        seconds = others[kept]
        rows = [np.full(len(seconds), places[first]), places[seconds], equal[kept], both[first, seconds]]
        pairs.append(np.stack(rows, axis=1).astype(np.int64))
    return np.concatenate(pairs)


def check_copies(table: ScoreTable, copies: Pairs) -> Iterator[Finding]:
    """S01: columns that are copies of each other, one finding for each connected group."""
    for group in _connected(copies[:, :2]):
        within = copies[np.isin(copies[:, 0], group)]
        names = [table.columns[place].name for place in group]
        ordered = np.sort(table.values[:, group], axis=1)
        models = [table.models[row] for row in np.flatnonzero((np.diff(ordered, axis=1) == 0).any(axis=1))]
        message = f"categories {quoted(names)} are equal to each other in at least 80 % of the models"
        if len(within) == 1:
            _, _, equal, both = within[0].tolist()
            absent = np.isnan(table.values[:, group]).any(axis=1)
            holes = {table.models[row] for row in np.flatnonzero(absent)}
            differ = sorted(set(table.models) - set(models) - holes)
            apart = f" (not in {quoted(differ)})" if differ else ""
            message = f"categories {quoted(names)} are equal in {equal} of {counted(both, 'model')}{apart}"
        pairs = [
            {
                "columns": [table.columns[first].name, table.columns[second].name],
                "n_equal": equal,
                "n_both": both,
            }
            for first, second, equal, both in within[:DETAILED].tolist()
        ]
        details = {"n_pairs": len(within), "pairs": pairs}
        yield found("S01", message, models=models, columns=names, details=details)


def check_near_models(table: ScoreTable, candidates: Sequence[str], near: float) -> Iterator[Finding]:
    """S06: candidates whose scores differ by at most `near` percentage points in every category.

    A category that only one of the two has is a difference nobody knows, so such pairs are not near.
    """
    columns = [table.columns[place] for place in table.category_places]
    points = table.values[[table.row(model) for model in candidates]][:, table.category_places]
    whole = table.values[:, table.category_places]
    scales = [column.scale or scale_of(whole[:, i]) for i, column in enumerate(columns)]
    points = points * np.array([100.0 if scale == "unit" else 1.0 for scale in scales])
    there = np.flatnonzero(~np.isnan(points).all(axis=1)).tolist()
    names = [candidates[row] for row in there]
    widths, pairs = _near_pairs(points[there], near)
    if not len(pairs):
        return
    order = np.lexsort((pairs[:, 1], pairs[:, 0], widths))[:DETAILED]
    closest = [
        (names[first], names[second], width)
        for (first, second), width in zip(pairs[order].tolist(), widths[order].tolist(), strict=True)
    ]
    digits = max((column.decimals for column in columns if column.decimals is not None), default=None)
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
    groups = [[names[row] for row in group] for group in _connected(pairs)]
    what = f"{counted(len(pairs), 'pair')} of candidates {'differs' if len(pairs) == 1 else 'differ'}"
    yield found(
        "S06",
        f"{what} by {near:g} percentage points or less in every category{identical}: {listed}",
        models=[name for group in groups for name in group],
        details={
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
    limit = near + 1e-7  # differences of decimals have digits that nobody printed
    for row in range(len(points) - 1):
        close = (np.abs(first_look[row + 1 :] - first_look[row]) <= limit).all(axis=1)
        left = np.flatnonzero(close) + row + 1
        if left.size:
            width = np.round(np.abs(filled[left] - filled[row]).max(axis=1), 9)
            left, width = left[width <= limit], width[width <= limit]
            widths.append(width)
            pairs.append(np.stack([np.full(len(left), row), left], axis=1))
    return np.concatenate(widths), np.concatenate(pairs)


def check_redundant(table: ScoreTable, correlation: Correlations, copies: Pairs) -> Iterator[Finding]:
    """S13: pairs of categories that rank the models alike, unless S01 calls them copies."""
    names = [column.name for column in table.columns]
    known = {(names[first], names[second]) for first, second in copies[:, :2].tolist()}
    with np.errstate(invalid="ignore"):
        strong = np.argwhere(np.triu(np.abs(correlation.rho) >= _REDUNDANT, 1))
    alike = []
    for row, column in strong.tolist():
        first, second = sorted((correlation.categories[row], correlation.categories[column]))
        if (first, second) not in known:
            rho, n = float(correlation.rho[row, column]), int(correlation.n[row, column])
            alike.append((first, second, rho, n))
    if not alike:
        return
    alike.sort(key=lambda pair: (-abs(pair[2]), pair))
    closest = alike[: LISTED + 1]
    listed = joined(
        [f"`{shown(first)}` and `{shown(second)}` ({rho:.4f})" for first, second, rho, _ in closest],
        total=len(alike),
    )
    yield found(
        "S13",
        f"{counted(len(alike), 'pair')} of categories with |ρ| of {_REDUNDANT} or more: {listed}",
        columns={name for pair in alike for name in pair[:2]},
        details={
            "n_pairs": len(alike),
            "pairs": [
                {"columns": [first, second], "rho": rho, "n": n} for first, second, rho, n in alike[:DETAILED]
            ],
        },
    )


def _connected(pairs: Pairs) -> list[list[int]]:
    """Return the groups that pairs tie together, by their least members; members ascend."""
    if not len(pairs):
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    members, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(pairs.shape)
    shape = (len(members), len(members))
    edges = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=shape)
    _, labels = connected_components(edges, directed=False)
    groups: dict[int, list[int]] = {}
    for member, label in zip(members.tolist(), labels.tolist(), strict=True):
        groups.setdefault(label, []).append(member)
    return list(groups.values())
