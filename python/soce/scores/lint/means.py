"""S02: columns that are named or declared as averages, and are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores import bfcl
from soce.scores.lint.columns import prefixes_of, split_words
from soce.scores.lint.exact import Comparison, compare, whole_items
from soce.scores.lint.findings import Finding, joined, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from soce.scores.lint.columns import Pairs
    from soce.scores.lint.exact import Mask
    from soce.scores.table import ScoreTable

_AVERAGES: Final = frozenset({"avg", "average", "mean", "overall", "total", "summary"})
_FEWEST_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Formula:
    """How a column is said to follow from others."""

    parts: tuple[int, ...]
    weights: tuple[Fraction, ...] | None
    """None: the plain mean."""
    words: str


def is_average(name: str) -> bool:
    """Whether a column is named like an average: avg, average, mean, overall, total, summary, or score alone.

    Examples
    --------
    >>> is_average("avg_bleu"), is_average("AST Summary"), is_average("Score"), is_average("math_score")
    (True, True, True, False)
    """
    words = split_words(name)
    return words == ["score"] or bool(words and {words[0], words[-1]} & _AVERAGES)


def formulas_of(table: ScoreTable, place: int, board: bfcl.Board | None) -> list[Formula]:
    """Return the formulas that a column may follow; empty if it claims none. One that fits is enough."""
    column = table.columns[place]
    form = None if board is None else board.aggregate(column.name)
    if board is not None and form is not None:
        leaves = [leaf for leaf in sorted(form) if form[leaf]]
        if not {other.name for other in table.columns}.issuperset(leaves):
            return []
        places, weights = tuple(map(table.place, leaves)), tuple(form[leaf] for leaf in leaves)
        return [Formula(places, weights, f"what the formula of BFCL {board.version} gives")]
    if table.kind.startswith("bfcl"):
        return []  # a board's aggregates are no plain means
    if set(column.parts) - {column.name}:
        if not {other.name for other in table.columns}.issuperset(column.parts):
            return []
        places = tuple(table.place(part) for part in sorted(set(column.parts) - {column.name}))
        return [Formula(places, None, f"the mean of its {counted(len(places), 'part')}")]
    if not is_average(column.name):
        return []
    categories, found = set(table.categories), []
    for group in prefixes_of(column.name):
        members = [name for name in categories - {column.name} if name.casefold().startswith(group)]
        members = sorted(name for name in members if not is_average(name))
        if len(members) >= _FEWEST_PARTS:
            found.append((members, f"the mean of the {len(members)} categories `{shown(group)}...`"))
    others = sorted(name for name in categories - {column.name} if not is_average(name))
    if others:
        what = counted(len(others), "category", "categories")
        found.append((others, f"the mean of the {'other ' if column.role == 'category' else ''}{what}"))
    return [Formula(tuple(map(table.place, members)), None, words) for members, words in found]


def _item_weighted(table: ScoreTable, formula: Formula) -> tuple[Fraction, ...] | None:
    """Return the shares of the parts in the items, if all are known and the same for all models."""
    from fractions import Fraction

    if table.counts is None or formula.weights is not None:
        return None
    counts = table.counts[:, list(formula.parts)]
    if not (np.isfinite(counts).all() and (counts >= 1).all() and (counts == counts[0]).all()):
        return None
    items = [Fraction(count) for count in counts[0].tolist()]
    return tuple(count / sum(items) for count in items)


def check_means(table: ScoreTable, copies: Pairs) -> Iterator[Finding]:
    """S02: columns named or declared as averages that are not, by more than rounding explains."""
    versions = bfcl.versions_of(column.name for column in table.columns)
    board = bfcl.BOARDS[versions.pop()] if len(versions) == 1 else None
    for place in range(len(table.columns)):
        failed: tuple[int, Formula, Comparison] | None = None
        for formula in formulas_of(table, place, board):
            compared = [compare(table, place, formula.parts, formula.weights)]
            if (weights := _item_weighted(table, formula)) is not None:
                compared.append(compare(table, place, formula.parts, weights))
            best = min(compared, key=lambda comparison: int(comparison.beyond.sum()))
            beyond = best.beyond & ~_doubtful(table, formula)
            if not beyond.any():
                break
            best = Comparison(best.rows, best.computed, beyond, best.tolerance)
            if failed is None or beyond.sum() < failed[0]:
                failed = int(beyond.sum()), formula, best
        else:
            if failed is not None:
                yield _not_the_mean(table, place, failed[1], failed[2], copies)


def _doubtful(table: ScoreTable, formula: Formula) -> Mask:
    """Return the rows where S08 doubts the item counts that a weighted formula rests on."""
    doubtful = np.zeros(len(table.models), dtype=np.bool_)
    if formula.weights is not None:
        for part in formula.parts:
            checked, broken = whole_items(table, part)
            if 2 * broken.sum() <= checked.sum():
                doubtful |= broken
    return doubtful


def _not_the_mean(
    table: ScoreTable,
    place: int,
    formula: Formula,
    comparison: Comparison,
    copies: Pairs,
) -> Finding:
    column = table.columns[place]
    rows = np.flatnonzero(comparison.beyond).tolist()
    printed = table.values[:, place]
    differences = {row: float(comparison.computed[row] - printed[row]) for row in rows}
    worst = max(rows, key=lambda row: (abs(round(differences[row], 9)), -row))
    digits = None
    if column.decimals is not None:  # as many as show that the difference is too large
        largest = abs(differences[worst])
        enough = (n for n in range(2, 7) if round(largest, column.decimals + n) > comparison.tolerance)
        digits = column.decimals + next(enough, 6)
    compared = int(comparison.rows.sum())
    message = (
        f"column `{shown(column.name)}` is not {formula.words} "
        f"in {len(rows)} of {counted(compared, 'model')}: "
        f"largest difference {number(abs(differences[worst]), digits)} in `{shown(table.models[worst])}` "
        f"({number(float(printed[worst]), column.decimals)} given, "
        f"{number(float(comparison.computed[worst]), digits)} computed), "
        f"rounding explains {comparison.tolerance:.3g}"
    )
    details: dict[str, object] = {
        "formula": formula.words,
        "parts": [table.columns[part].name for part in formula.parts],
        "tolerance": comparison.tolerance,
        "largest": {"model": table.models[worst], "difference": round(differences[worst], 9)},
        "rows": {
            table.models[row]: {
                "given": float(printed[row]),
                "computed": round(float(comparison.computed[row]), 9),
                "difference": round(differences[row], 9),
            }
            for row in rows
        },
    }
    hint = "find out which of the cells are wrong; the column is not used unless the objective names it"
    if formula.weights is not None:
        hint = "either a cell is wrong, or the model was measured on another number of items (see S08)"
    if column.role == "category":
        hint = "it looks like an average: leave it out of the categories with `--columns`, or rename it"
    implied = {}
    parts = set(formula.parts)
    if formula.weights is None:
        for first, second in copies[:, :2].tolist():
            if {first, second} <= parts:
                key = f"{table.columns[first].name}, {table.columns[second].name}"
                implied[key] = _implied(table, place, formula, comparison, (first, second))
    if implied:
        details["implied"] = implied
        texts = [str(entry["summary"]) for entry in implied.values()]
        hint = f"{joined(texts)}; {hint}"
    return Finding(
        "S02", "warning", message, tuple(table.models[row] for row in rows), (column.name,), hint, details
    )


def _implied(
    table: ScoreTable,
    place: int,
    formula: Formula,
    comparison: Comparison,
    pair: tuple[int, int],
) -> dict[str, object]:
    """Return the scores in one of two copied columns that would make the mean right, row by row.

    In rows where the two differ nothing was copied there, so an implied score other than the one given
    means that the average itself is wrong: impossible.
    """
    first, second = pair
    size = len(formula.parts)
    values: dict[str, dict[str, object]] = {}
    middles = []
    for row in np.flatnonzero(comparison.beyond):
        copied = bool(table.values[row, first] == table.values[row, second])
        shift = size * float(table.values[row, place] - comparison.computed[row])
        half = size * table.columns[place].half_width
        values[table.models[row]] = {
            "copied": copied,
            "impossible": not copied,
            **{
                table.columns[of].name: {
                    "given": float(table.values[row, of]),
                    "low": round(float(table.values[row, of]) + shift - half, 9),
                    "high": round(float(table.values[row, of]) + shift + half, 9),
                }
                for of in pair
            },
        }
        if copied:
            middles.append(float(table.values[row, first]) + shift)
    names = [table.columns[of].name for of in pair]
    if not middles:
        return {"columns": names, "suspect": None, "rows": values, "summary": f"{quoted(names)} are copies"}
    lowest, highest = min(middles), max(middles)
    suspect = _suspect(table, pair, (lowest, highest))
    digits = table.columns[first].decimals
    half = size * table.columns[place].half_width
    interval = f"{number(lowest - half, digits)} to {number(highest + half, digits)}"
    where = f"`{shown(suspect)}`" if suspect is not None else f"one of {quoted(names)}"
    summary = f"scores of {interval} in {where} would make the mean right where the two columns are equal"
    wrong = [name for name, entry in values.items() if entry["impossible"]]
    if wrong:
        summary += f", and in {quoted(wrong)}, where they differ, the average itself must be wrong"
    return {"columns": names, "suspect": suspect, "rows": values, "summary": summary}


def _suspect(table: ScoreTable, pair: tuple[int, int], implied: tuple[float, float]) -> str | None:
    """Return the column whose own scores, where the two differ, look like the implied ones, if clear."""
    first, second = pair
    rows = np.flatnonzero(table.values[:, first] != table.values[:, second])
    scores = table.values[rows][:, [first, second]]
    scores = scores[~np.isnan(scores).any(axis=1)]
    if not len(scores):
        return None
    away = np.maximum(np.maximum(implied[0] - scores, scores - implied[1]), 0.0).max(axis=0).tolist()
    nearer = 0 if away[0] < away[1] else 1
    # An inference, so only if it is clear.
    return table.columns[pair[nearer]].name if 4 * away[nearer] < away[1 - nearer] else None
