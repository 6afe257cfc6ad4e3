"""The sweep over thresholds: which categories and experts each one gives, from one sorted list."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from soce.exceptions import ScoreTableError
from soce.selection.experts import correlations_of
from soce.selection.options import SelectionOptions
from soce.selection.winners import Contest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation


@dataclass(frozen=True, slots=True)
class SweepStep:
    """What thresholds up to the next step give."""

    threshold: float
    """It holds for thresholds above this."""
    entering: tuple[str, ...]
    """Categories that enter here, by name; the two of a mutually weakest pair enter together."""
    n_categories: int
    """How many categories are chosen."""
    experts: tuple[str, ...]
    """Models, in the order in which the walk meets them."""
    n_evaluations: int | None
    """Points of the grid of weights; None if it has no room for this many experts."""

    @property
    def enough(self) -> float:
        """The smallest threshold of four decimals that is above."""
        return min(math.floor(10_000 * self.threshold + 1) / 10_000, 1.0)


def sweep_thresholds(
    table: ScoreTable,
    options: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    *,
    signed: bool = False,
    correlation: Correlation | None = None,
) -> tuple[SweepStep, ...]:
    """Return every threshold at which the categories of `Threshold` change, ascending.

    Parameters
    ----------
    table, options, correlation
        As for `select_experts`.
    signed : bool
        Compare rho, not |rho|.

    Returns
    -------
    tuple of SweepStep
        The last threshold is the saturation point: above it every category with a correlation is chosen.

    Raises
    ------
    ScoreTableError
        As `select_experts`, but neither for too many experts nor for thresholds that choose nothing.

    Notes
    -----
    A category is chosen exactly for thresholds above its smallest |rho| with any other, and its winner
    depends on no threshold; so one sort and one walk give all selections.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "chat": [70, 71, 71, 70]}
    >>> table = ScoreTable.of(columns, models=["a", "b", "c", "d"])
    >>> [(round(s.threshold, 2), s.entering, s.experts) for s in sweep_thresholds(table)]
    [(0.0, ('chat', 'math'), ('c', 'd')), (0.69, ('code',), ('c', 'd'))]
    """
    contest = Contest(table, options)
    found = correlations_of(table, options, correlation)
    left_out = set(contest.small)
    walk = [weak for weak in found.weakest(signed=signed) if weak.category not in left_out]
    steps: list[SweepStep] = []
    experts: tuple[str, ...] = ()
    n_categories = 0
    n_evaluations: int | None = 0
    for value, entering in groupby(walk, key=lambda weak: weak.value):
        names = tuple(weak.category for weak in entering)
        before = len(experts)
        for name in names:
            winner = contest.winner([name])
            full = options.max_experts is not None and len(experts) >= options.max_experts
            if winner is not None and winner.model not in experts and not full:
                experts = (*experts, winner.model)
        n_categories += len(names)
        if len(experts) != before:
            n_evaluations = _count(len(experts), options)
        steps.append(SweepStep(value, names, n_categories, experts, n_evaluations))
    return tuple(steps)


def threshold_for(steps: Sequence[SweepStep], *, n_experts: int = 2) -> float | None:
    """Return the smallest threshold, of four decimals, that gives so many experts; None if none does.

    Examples
    --------
    >>> two = SweepStep(0.25, ("code", "math"), 2, ("a", "b"), 9)
    >>> threshold_for([two]), threshold_for([two], n_experts=3)
    (0.2501, None)
    """
    return next((step.enough for step in steps if len(step.experts) >= n_experts), None)


def _count(n_experts: int, options: SelectionOptions) -> int | None:
    try:
        return options.grid(n_experts).count
    except ScoreTableError:
        options.grid(1)  # raises if the options are wrong
        return None
