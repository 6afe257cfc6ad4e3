"""Checks on columns and pairs of them: copies, constants, small categories, columns that are no scores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores.formats.options import DROPPED
from soce.scores.lint.findings import DETAILED, LISTED, Finding, joined, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.scores.table import Floats, ScoreTable
    from soce.selection.correlation import Correlation

    Pairs: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]

EQUAL_SHARE: Final = (4, 5)
"""Two columns equal in this share of the models that have both are copies of each other."""
_DISTINCT: Final = 3
_MOST_PREFIXES: Final = 8
_REDUNDANT: Final = 0.999
_NOT_SCORES: Final = frozenset({"cost", "latency", "rank", "link", "license", "licence"})


def duplicate_pairs(table: ScoreTable) -> Pairs:
    """Return pairs of columns that are copies: indices of both, number of equal rows, rows that have both.

    Few distinct values make columns equal by chance, so the equal rows must show three at least.

    Returns
    -------
    array of shape (n_pairs, 4)
    """
    places = np.array(places_of(table), dtype=np.int64)
    values = np.ascontiguousarray(table.values[:, places].T)  # (n_categories, n_models)
    there = (~np.isnan(values)).astype(np.float64)
    both = there @ there.T
    # A pair that differs in more than a fifth of the models does so among the first quarter, mostly.
    first_rows = values.shape[1] // 4 + 1
    both_first = there[:, :first_rows] @ there[:, :first_rows].T
    found = [np.empty((0, 4), dtype=np.int64)]
    for first in range(len(places) - 1):
        equal = np.count_nonzero(values[first, :first_rows] == values[first + 1 :, :first_rows], axis=1)
        differing = both_first[first, first + 1 :] - equal
        allowed = (EQUAL_SHARE[1] - EQUAL_SHARE[0]) * both[first, first + 1 :]
        others = np.flatnonzero(EQUAL_SHARE[1] * differing <= allowed) + first + 1
        if not others.size:
            continue
        same = values[first] == values[others]  # (n_others, n_models)
        equal = np.count_nonzero(same, axis=1)
        lowest = np.min(np.where(same, values[first], np.inf), axis=1, keepdims=True)
        highest = np.max(np.where(same, values[first], -np.inf), axis=1, keepdims=True)
        between = same & (values[first] > lowest) & (values[first] < highest)  # a third value
        enough = EQUAL_SHARE[1] * equal >= EQUAL_SHARE[0] * both[first, others]
        kept = enough & between.any(axis=1)
        seconds = others[kept]
        rows = [np.full(len(seconds), places[first]), places[seconds], equal[kept], both[first, seconds]]
        found.append(np.stack(rows, axis=1).astype(np.int64))
    return np.concatenate(found)


def check_duplicates(table: ScoreTable, copies: Pairs) -> Iterator[Finding]:
    """S01: columns that are copies of each other, one finding for each connected group."""
    for group in connected(copies[:, :2]):
        within = copies[np.isin(copies[:, 0], group)]
        names = [table.columns[place].name for place in group]
        ordered = np.sort(table.values[:, group], axis=1)
        models = [table.models[row] for row in np.flatnonzero((np.diff(ordered, axis=1) == 0).any(axis=1))]
        if len(within) == 1:
            _, _, equal, both = within[0].tolist()
            absent = np.isnan(table.values[:, group]).any(axis=1)
            holes = {table.models[row] for row in np.flatnonzero(absent)}
            differ = sorted(set(table.models) - set(models) - holes)
            apart = f" (not in {quoted(differ)})" if differ else ""
            message = f"categories {quoted(names)} are equal in {equal} of {counted(both, 'model')}{apart}"
        else:
            message = f"categories {quoted(names)} are equal to each other in at least 80 % of the models"
        yield Finding(
            "S01",
            "warning",
            message,
            tuple(models),
            tuple(names),
            "one column was probably copied over another; mend the file, or leave one out with `--columns`",
            {
                "n_pairs": len(within),
                "pairs": [
                    {
                        "columns": [table.columns[first].name, table.columns[second].name],
                        "n_equal": equal,
                        "n_both": both,
                    }
                    for first, second, equal, both in within[:DETAILED].tolist()
                ],
            },
        )


def check_constant(table: ScoreTable, rows: Sequence[int], which: str) -> Iterator[Finding]:
    """S03: categories with one score for all these rows; correlations with them are undefined."""
    places = places_of(table)
    values = table.values[np.ix_(list(rows), places)]
    there = ~np.isnan(values)
    lowest = np.min(np.where(there, values, np.inf), axis=0)
    highest = np.max(np.where(there, values, -np.inf), axis=0)
    constant = {
        table.columns[places[place]].name: float(lowest[place])
        for place in np.flatnonzero((lowest == highest) & (there.sum(axis=0) >= 2))
    }
    if constant:
        listed = [
            f"`{shown(name)}` ({number(value, table.columns[table.place(name)].decimals)})"
            for name, value in constant.items()
        ]
        are = ("category", "is") if len(constant) == 1 else ("categories", "are")
        yield Finding(
            "S03",
            "warning",
            f"{are[0]} {joined(listed)} {are[1]} the same for all {len(rows)} models of the {which}",
            tuple(table.models[row] for row in rows),
            tuple(constant),
            "a constant category has no correlation, so thresholds, pairs and clusters leave it out"
            if which == "population"
            else "all candidates tie in a constant category, so tie-breaking rules choose its expert",
            {"rows": which, "values": constant},
        )


def check_small(table: ScoreTable, min_items: int) -> Iterator[Finding]:
    """S09: categories measured on few items."""
    if table.counts is None:
        return
    small = {}
    for place in places_of(table):
        counts = table.counts[:, place]
        counts = counts[np.isfinite(counts)]
        if counts.size and counts.min() < min_items:
            small[table.columns[place].name] = int(counts.min())
    if small:
        ordered = sorted(small, key=lambda name: (small[name], name))
        listed = joined([f"`{shown(name)}` ({small[name]})" for name in ordered])
        yield Finding(
            "S09",
            "warning",
            f"{counted(len(small), 'category', 'categories')} with fewer than {min_items} items: {listed}",
            (),
            tuple(small),
            "differences there are mostly noise; `--min-items` keeps such categories out of the selection",
            {"min_items": min_items, "n_items": {name: small[name] for name in ordered}},
        )


def check_redundant(table: ScoreTable, correlation: Correlation, copies: Pairs) -> Iterator[Finding]:
    """S13: pairs of categories that rank the models alike, unless S01 calls them copies."""
    names = [column.name for column in table.columns]
    known = {(names[first], names[second]) for first, second in copies[:, :2].tolist()}
    with np.errstate(invalid="ignore"):
        strong = np.argwhere(np.triu(np.abs(correlation.rho) >= _REDUNDANT, 1))
    found = []
    for row, column in strong.tolist():
        first, second = sorted((correlation.categories[row], correlation.categories[column]))
        if (first, second) not in known:
            found.append((-abs(float(correlation.rho[row, column])), first, second, row, column))
    found.sort()
    if not found:
        return
    listed = joined(
        [
            f"`{shown(first)}` and `{shown(second)}` ({correlation.rho[row, column]:.4f})"
            for _, first, second, row, column in found[: LISTED + 1]
        ],
        total=len(found),
    )
    yield Finding(
        "S13",
        "information",
        f"{counted(len(found), 'pair')} of categories with |ρ| of {_REDUNDANT} or more: {listed}",
        (),
        tuple({name for _, first, second, *_ in found for name in (first, second)}),
        "they rank the models of the population alike, so one of each pair would do",
        {
            "n_pairs": len(found),
            "pairs": [
                {
                    "columns": [first, second],
                    "rho": float(correlation.rho[row, column]),
                    "n": int(correlation.n[row, column]),
                }
                for _, first, second, row, column in found[:DETAILED]
            ],
        },
    )


def check_not_scores(table: ScoreTable, *, all_rows: bool) -> Iterator[Finding]:
    """S14: columns left out because they are no scores, and categories that do not look like any."""
    # A board's format is known, so nobody guessed which of its columns are scores.
    known = table.kind.startswith("bfcl")
    reasons = {} if known else {name: why for name, why in sorted(table.ignored) if why != DROPPED}
    if reasons:
        listed = joined([f"`{shown(name)}` ({shown(reason)})" for name, reason in reasons.items()])
        yield Finding(
            "S14",
            "warning",
            f"{counted(len(reasons), 'column')} left out as no scores: {listed}",
            (),
            tuple(reasons),
            "nothing to do if that is right; name the categories with `--columns` if it is not",
            {"ignored": reasons},
        )
    suspects = {}
    for place in places_of(table):
        name = table.columns[place].name
        if words := sorted(_NOT_SCORES & set(split_words(name))):
            suspects[name] = f"its name says {words[0]}"
        elif all_rows and _is_ranking(table, place):
            suspects[name] = f"it counts from 1 to {len(table.models)}"
    if suspects:
        listed = joined([f"`{shown(name)}` ({reason})" for name, reason in suspects.items()])
        are = ("category does", "a score") if len(suspects) == 1 else ("categories do", "scores")
        yield Finding(
            "S14",
            "warning",
            f"{len(suspects)} {are[0]} not look like {are[1]}: {listed}",
            (),
            tuple(suspects),
            "name the columns to use with `--columns`; if they are scores, there is nothing to do",
            {"suspects": suspects},
        )


def _is_ranking(table: ScoreTable, place: int) -> bool:
    values = np.sort(table.values[:, place])
    return len(values) >= _DISTINCT and bool((values == np.arange(1, len(values) + 1)).all())


def places_of(table: ScoreTable) -> list[int]:
    """Return the indices of the categories."""
    return [place for place, column in enumerate(table.columns) if column.role == "category"]


def in_points(table: ScoreTable, scales: Sequence[str | None]) -> Floats:
    """Return the categories in percentage points; a scale that nobody knows is taken as it is."""
    factors = np.array([100.0 if scale == "unit" else 1.0 for scale in scales])
    points: Floats = table.values[:, places_of(table)] * factors
    return points


def split_words(name: str) -> list[str]:
    """Return the words of a column name, in lower case.

    Examples
    --------
    >>> split_words("Latency Mean (s)"), split_words("avg_bleu")
    (['latency', 'mean', 's'], ['avg', 'bleu'])
    """
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]


def prefixes_of(name: str) -> list[str]:
    """Return what a name shares with others of its group: everything up to each separator, longest first."""
    folded = name.casefold()
    ends = [index + 1 for index, letter in enumerate(folded[:-1]) if index and letter in "/_-.: "]
    return [folded[:end] for end in reversed(ends[:_MOST_PREFIXES])]


def connected(pairs: Pairs) -> list[list[int]]:
    """Return the groups that pairs tie together, by their least members; members ascend.

    Examples
    --------
    >>> connected(np.array([[1, 5], [2, 3], [5, 7]]))
    [[1, 5, 7], [2, 3]]
    """
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
