"""Objectives: one number per model, larger is better. They are compared exactly, so no order changes a bit.

All that are named in a word are sums of columns: of w_i s_i with exact weights w_i and the fractions s_i that
scores stand for (`soce.scores.exact`), negated in columns where lower is better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from math import fsum, nan, sqrt
from operator import mul
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from soce.exceptions import ScoreTableError, shown
from soce.files.documents import ParsedFile, read_document
from soce.files.numbers import HOW_TO_WRITE, exact_number
from soce.files.words import listed, nearest
from soce.scores import bfcl
from soce.scores.exact import meant_by
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from soce.scores.table import ScoreTable

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

FORMULAS: Final[dict[str, bfcl.Version]] = {f"bfcl-{version}": version for version in bfcl.BOARDS}
OBJECTIVES: Final[dict[str, str]] = {
    "mean": "unweighted mean of the categories",
    "column:NAME": "one column of the table",
    "weights:FILE": "weighted mean; a YAML, JSON or CSV file gives the weight of each category",
    **{name: f"official overall accuracy of BFCL {version}" for name, version in FORMULAS.items()},
}
"""What `parse_objective` reads, and what it means."""
_SHAPE: Final = "write one `category: number` a line, or a CSV file with the columns `category,weight`"


@runtime_checkable
class Objective(Protocol):
    """What is maximised: a number for each model of a table."""

    @property
    def name(self) -> str:
        """How it is written on the command line and in every output."""

    def needs(self, table: ScoreTable) -> tuple[str, ...]:
        """Return the columns that it is computed from."""

    def values(self, table: ScoreTable) -> Vector:
        """Return the number for each model, larger is better; NaN where a score it needs is missing."""


class LinearObjective(ABC):
    """An objective that is a sum of columns with fixed coefficients, which all else follows from."""

    __slots__ = ()

    @abstractmethod
    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return what each needed column counts, before columns where lower is better are negated."""

    def needs(self, table: ScoreTable) -> tuple[str, ...]:
        """Return the columns that it is computed from."""
        return tuple(self.coefficients(table))

    def signed(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return what each needed column counts, negative where lower is better; refuse mixed scales."""
        coefficients = self.coefficients(table)
        _check_scales(table, coefficients)
        columns = {name: table.columns[table.place(name)] for name in coefficients}
        return {
            name: share if columns[name].higher_is_better else -share for name, share in coefficients.items()
        }

    def values(self, table: ScoreTable) -> Vector:
        """Return the number for each model, in the units of the columns; NaN where a score is missing.

        It is the exact value, rounded once.
        """
        coefficients = self.signed(table)
        scores = table.values[:, [table.place(name) for name in coefficients]]  # (n_models, n_columns)
        is_whole = ~np.isnan(scores).any(axis=1)
        exact, size = meant_by(scores[is_whole].ravel()), len(coefficients)
        values = np.full(len(scores), np.nan)
        values[is_whole] = [
            float(sum(map(mul, coefficients.values(), exact[start : start + size])))
            for start in range(0, len(exact), size)
        ]
        return values


@dataclass(frozen=True, slots=True)
class Mean(LinearObjective):
    """The unweighted mean of the categories: it orders soups as the paper's sum (Algorithm 1, line 16)."""

    name: ClassVar[str] = "mean"

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return one over the number of categories for each."""
        if not table.categories:
            table.refuse("the table has no categories to take the mean of", "choose columns as categories")
        return dict.fromkeys(table.categories, Fraction(1, len(table.categories)))


@dataclass(frozen=True, slots=True)
class NamedColumn(LinearObjective):
    """One column of the table, an aggregate or a category; negated if lower is better."""

    column: str

    @property
    def name(self) -> str:
        """``column:`` and the column's name."""
        return f"column:{self.column}"

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return one for the column."""
        table.place(self.column)
        return {self.column: Fraction(1)}


@dataclass(frozen=True, slots=True)
class Weighted(LinearObjective):
    """A weighted mean of columns; raises `ScoreTableError` if a weight is negative, or none is positive."""

    weights: Mapping[str, Fraction] = field(hash=False)
    """Of each column, in any proportion: they are divided by their sum. Zero leaves a column out."""
    source: str
    """Where they come from, for the name and messages."""

    def __post_init__(self) -> None:
        """Check the weights and keep a copy in the order of names."""
        weights = {name: Fraction(self.weights[name]) for name in sorted(self.weights)}
        object.__setattr__(self, "weights", weights)
        for name, weight in weights.items():
            if weight < 0:
                hint = "for a column where lower is better, say so and give it a positive weight"
                Refusals(self.source).refuse(f"the weight {weight} of `{shown(name)}` is negative", hint)
        if not any(weights.values()):
            Refusals(self.source).refuse("no category has a weight greater than zero")

    @property
    def name(self) -> str:
        """``weights:`` and the source."""
        return f"weights:{self.source}"

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return the weights that are not zero, divided by their sum."""
        known = [column.name for column in table.columns]
        for name in self.weights:
            if name not in known:
                message = f"the objective `{shown(self.name)}` weights `{shown(name)}`, which the table lacks"
                table.refuse(message, nearest(name, known, "columns"))
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items() if weight}


@dataclass(frozen=True, slots=True)
class Formula(LinearObjective):
    """The official overall accuracy of the Berkeley Function Calling Leaderboard, from its leaves."""

    name: Literal["bfcl-v3", "bfcl-v4"]

    def __post_init__(self) -> None:
        """Refuse other names."""
        if self.name not in FORMULAS:
            hint = nearest(self.name, FORMULAS, "formulas")
            Refusals(None).refuse(f"there is no formula `{shown(self.name)}`", hint)

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return the exact weight of each leaf that counts."""
        version = FORMULAS[self.name]
        overall = bfcl.BOARDS[version].overall
        there = {column.name for column in table.columns}
        if missing := [leaf for leaf in overall if leaf not in there]:
            hint = "it needs every leaf that counts: read the whole board, or choose another objective"
            for other in bfcl.versions_of(there) - {version}:
                hint = f"these are scores of BFCL {other}: use `bfcl-{other}`"
            names = listed(missing, limit=len(overall))
            table.refuse(f"the objective `{self.name}` needs {names}, which the table lacks", hint)
        return overall


def _check_scales(table: ScoreTable, columns: Mapping[str, Fraction]) -> None:
    """Refuse to add shares of 1 to percent."""
    by_scale = {table.columns[table.place(name)].scale: shown(name) for name in reversed([*columns])}
    if {"unit", "percent"} <= by_scale.keys():
        unlike = f"`{by_scale['unit']}` is a share of 1 and `{by_scale['percent']}` a percentage"
        table.refuse(f"{unlike}, so the objective cannot add them", "write all scores on one scale")


def objective_stderr(table: ScoreTable, objective: Objective) -> Vector:
    """Return the standard error of an objective for each model, scores taken as independent.

    The square root of the sum of (c_i se_i)^2 with coefficients c_i and the standard errors of the scores, in
    the objective's units; NaN where one is unknown, or the objective is not linear.
    """
    if not isinstance(objective, LinearObjective):
        return np.full(len(table.models), nan)
    coefficients = objective.coefficients(table)
    _check_scales(table, coefficients)
    shares = np.array([float(share) for share in coefficients.values()])
    errors = table.standard_errors(list(coefficients)) * shares  # (n_models, n_columns)
    return np.array([sqrt(fsum(error * error for error in row)) for row in errors.tolist()])


def parse_objective(text: str) -> Objective:
    """Return the objective that a text names, see `OBJECTIVES`; raises `ScoreTableError` if it names none.

    Examples
    --------
    >>> parse_objective("column:Overall Acc")
    NamedColumn(column='Overall Acc')
    """
    kind, colon, rest = (part.strip() for part in text.partition(":"))
    hint = f"objectives: {listed(OBJECTIVES)}"
    match kind + colon:
        case "mean":
            return Mean()
        case "bfcl-v3" | "bfcl-v4" as name:
            return Formula(name)
        case "column:":
            if rest:
                return NamedColumn(rest)
            hint = "write `column:NAME`"
        case "weights:":
            if rest:
                return Weighted(read_weights(rest), source=rest)
            hint = "write `weights:FILE`"
    Refusals(None).refuse(f"`{shown(text)}` is not an objective", hint)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Fraction]:
    """Return the weight of each category that a file gives; no float ever holds one.

    A YAML or JSON mapping of category to number, or a ``.csv`` file with the columns ``category,weight``.
    Numbers are integers, decimals or fractions (``1/3``).
    """
    from soce.files.validation import read_by, validate

    name = str(path)
    if name.lower().endswith(".csv"):
        document = _csv_document(name)
    else:
        document = read_document(name, error=ScoreTableError)
    given = validate(document, dict[str, Annotated[Fraction, read_by(_exact_weight)]])
    weights: dict[str, Fraction] = {}
    for key, weight in given.items():
        category = key.strip()
        if not category:
            document.refuse((), "a weight has no category", _SHAPE)
        if category in weights:
            document.refuse((key,), f"`{shown(category)}` is given twice", "give each category one weight")
        weights[category] = weight
    if not weights:
        document.refuse((), "the file gives no weights", _SHAPE)
    return weights


def _csv_document(path: str) -> ParsedFile:
    from soce.scores.formats.options import ReadOptions
    from soce.scores.grids.grid import read_grid

    read = read_grid(path, ReadOptions())
    if read.notes:
        Refusals(path).refuse(read.notes[0], "weights are UTF-8 and separated by commas")
    grid = read.cells
    if list(grid.columns) != ["category", "weight"]:
        header = shown(",".join(grid.columns))
        Refusals(path).refuse(f"the first line is `{header}`, expected `category,weight`", _SHAPE)
    if (twice := grid["category"].duplicated()).any():
        category = shown(grid["category"][twice].iloc[0])
        Refusals(path).refuse(f"`{category}` is given twice", "give each category one weight")
    return ParsedFile(path, "", dict(zip(grid["category"], grid["weight"], strict=True)), ScoreTableError)


def _exact_weight(text: str) -> Fraction:
    try:
        return exact_number(text, signed=True)
    except ValueError as error:
        Refusals(None).refuse(f"the weight `{shown(text)}` {error}", HOW_TO_WRITE)
