"""Objectives that are sums of columns: what they need, their values and their standard errors.

The value is the sum of p_i s_i over q with integers p_i and q, where the sum is
rounded once (`math.fsum`) and columns where lower is better are negated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import fsum, isnan, lcm, nan, sqrt
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from soce.exceptions import Problem, ScoreTableError, shown
from soce.files.words import nearest
from soce.scores import bfcl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from soce.scores.table import ScoreTable

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

FORMULAS: Final[dict[str, bfcl.Version]] = {f"bfcl-{version}": version for version in bfcl.BOARDS}


class Objective(Protocol):
    """What is maximised: a number for each model of a table."""

    @property
    def name(self) -> str:
        """How it is written on the command line and in every output."""

    def needs(self, table: ScoreTable) -> tuple[str, ...]:
        """Return the columns that it is computed from."""

    def values(self, table: ScoreTable) -> Vector:
        """Return the number for each model, larger is better; NaN where a score it needs is missing."""


@runtime_checkable
class LinearObjective(Objective, Protocol):
    """An objective that is a sum of columns with fixed coefficients."""

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return what each needed column counts, before columns where lower is better are negated."""


class _Linear:
    """What follows from the coefficients."""

    __slots__ = ()

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        raise NotImplementedError

    def needs(self, table: ScoreTable) -> tuple[str, ...]:
        """Return the columns that it is computed from.

        Raises
        ------
        ScoreTableError
            The table lacks one.
        """
        return tuple(self.coefficients(table))

    def values(self, table: ScoreTable) -> Vector:
        """Return the number for each model, larger is better; NaN where a score it needs is missing.

        Returns
        -------
        array of shape (n_models,)
            In the units of the columns.

        Raises
        ------
        ScoreTableError
            The table lacks a column that is needed, or mixes shares of 1 with percent.
        """
        coefficients = self.coefficients(table)
        _check_scales(table, coefficients)
        whole = lcm(*(share.denominator for share in coefficients.values()))
        parts = np.array([float(share * whole) for share in coefficients.values()])
        scores = table.oriented(list(coefficients)) * parts  # (n_models, n_columns)
        return np.array([nan if any(map(isnan, row)) else fsum(row) / whole for row in scores.tolist()])


@dataclass(frozen=True, slots=True)
class Mean(_Linear):
    """The unweighted mean of the table's categories: the same order of soups as the paper's sum.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254, Algorithm 1, line 16.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> table = ScoreTable.of({"math": [50, 60], "code": [70, None]}, models=["a", "b"])
    >>> Mean().values(table).tolist()
    [60.0, nan]
    """

    @property
    def name(self) -> str:
        """``mean``."""
        return "mean"

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return one over the number of categories for each."""
        if not table.categories:
            table.refuse("the table has no categories to take the mean of", "choose columns as categories")
        return dict.fromkeys(table.categories, Fraction(1, len(table.categories)))


@dataclass(frozen=True, slots=True)
class NamedColumn(_Linear):
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
class Weighted(_Linear):
    """A weighted mean of columns.

    Parameters
    ----------
    weights : mapping of str to Fraction
        Weight of each column, in any proportion: they are divided by their sum. Zero leaves a column out.
    source : str
        Where they come from, for the name and messages.

    Raises
    ------
    ScoreTableError
        No weights, a negative one, or all zero.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> table = ScoreTable.of({"math": [50, 60], "code": [70, 90]}, models=["a", "b"])
    >>> Weighted({"math": Fraction(3), "code": Fraction(1)}, source="here").values(table).tolist()
    [55.0, 67.5]
    """

    weights: Mapping[str, Fraction] = field(hash=False)
    source: str

    def __post_init__(self) -> None:
        """Check the weights and keep a copy in the order of names."""
        object.__setattr__(
            self, "weights", {name: Fraction(self.weights[name]) for name in sorted(self.weights)}
        )
        for name, weight in self.weights.items():
            if weight < 0:
                hint = "for a column where lower is better, say so and give it a positive weight"
                self._refuse(f"the weight {weight} of `{shown(name)}` is negative", hint)
        if not any(self.weights.values()):
            self._refuse("no category has a weight greater than zero")

    def _refuse(self, message: str, hint: str | None = None) -> NoReturn:
        raise ScoreTableError.of([Problem("scores", self.source, None, message, hint)])

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
class Formula(_Linear):
    """The official overall accuracy of the Berkeley Function Calling Leaderboard, from its leaves.

    Parameters
    ----------
    name : "bfcl-v3" or "bfcl-v4"
    """

    name: Literal["bfcl-v3", "bfcl-v4"]

    def __post_init__(self) -> None:
        """Refuse other names."""
        if self.name not in FORMULAS:
            message = f"there is no formula `{shown(self.name)}`"
            raise ScoreTableError.of(
                [Problem("scores", None, None, message, nearest(self.name, list(FORMULAS), "formulas"))]
            )

    def coefficients(self, table: ScoreTable) -> dict[str, Fraction]:
        """Return the exact weight of each leaf that counts."""
        version = FORMULAS[self.name]
        overall = bfcl.BOARDS[version].overall
        names = [column.name for column in table.columns]
        missing = [leaf for leaf in overall if leaf not in names]
        if missing:
            listed = ", ".join(f"`{leaf}`" for leaf in missing)
            hint = "it needs every leaf that counts: read the whole board, or choose another objective"
            for other in bfcl.versions_of(names) - {version}:
                hint = f"these are scores of BFCL {other}: use `bfcl-{other}`"
            table.refuse(f"the objective `{self.name}` needs {listed}, which the table lacks", hint)
        return overall


def _check_scales(table: ScoreTable, columns: Mapping[str, Fraction]) -> None:
    """Refuse to add shares of 1 to percent."""
    examples: dict[str, str] = {}
    for name in columns:
        scale = table.columns[table.place(name)].scale
        if scale is not None:
            examples.setdefault(scale, name)
    if len(examples) > 1:
        table.refuse(
            f"`{shown(examples['unit'])}` is a share of 1 and `{shown(examples['percent'])}` a percentage, "
            "so the objective cannot add them",
            "write all scores on one scale",
        )


def objective_stderr(table: ScoreTable, objective: Objective) -> Vector:
    """Return the standard error of an objective for each model, scores taken as independent.

    The square root of the sum of (c_i se_i)^2 with coefficients c_i and the standard errors of the scores.

    Parameters
    ----------
    table : ScoreTable
        With standard errors, or with the numbers of items that they follow from.
    objective : Objective

    Returns
    -------
    array of shape (n_models,)
        In the objective's units; NaN where a standard error is unknown, or the objective is not linear.
    """
    if not isinstance(objective, LinearObjective):
        return np.full(len(table.models), nan)
    coefficients = objective.coefficients(table)
    _check_scales(table, coefficients)
    shares = np.array([float(share) for share in coefficients.values()])
    errors = table.standard_errors(list(coefficients)) * shares  # (n_models, n_columns)
    return np.array([sqrt(fsum(error * error for error in row)) for row in errors.tolist()])
