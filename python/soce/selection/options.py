"""How experts are selected, as one value that commands and functions hand on whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from soce.files.arguments import expect
from soce.scores.objective import Objective
from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.selection.correlation import Missing
    from soce.selection.weights import Share, WeightGrid


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """How `select_experts` and `sweep_thresholds` choose; the defaults are the paper's.

    Parameters
    ----------
    candidates : sequence of str, optional
        Models that may become experts, 2 or more; all models if left out.
    population : sequence of str, optional
        Models that the correlations run over; all models if left out.
    objective : Objective, optional
        The first to decide a tie; the mean of the categories if left out.
    max_experts : int, optional
        The walk stops at this many; not in the paper.
    min_items : int, optional
        Keep categories out in which a candidate's score is known to stand for fewer items. They still take
        part in the correlations; unknown counts keep nothing out. Not in the paper.
    min_overall : float, optional
        Candidates whose objective is below this, or undefined, win nothing. Not in the paper.
    tie_within : float
        Candidates within this many standard errors of the difference from the best are tied. Not in the
        paper.
    min_overlap, missing
        See `correlate_categories`.
    step, minimum, maximum : str, int, Fraction or Decimal
        The grid of weights, see `soce.selection.weights.WeightGrid`.

    Raises
    ------
    ScoreTableError
        A number out of its range, or a text where a list of names belongs.
    """

    candidates: Sequence[str] | None = None
    population: Sequence[str] | None = None
    objective: Objective | None = None
    max_experts: int | None = None
    min_items: int | None = None
    min_overall: float | None = None
    tie_within: float = 0.0
    min_overlap: int = 3
    missing: Missing = "pairwise"
    step: Share = "0.1"
    minimum: Share | None = None
    maximum: Share | None = None

    def __post_init__(self) -> None:
        """Check what needs no table."""
        for what, names in (("candidates", self.candidates), ("population", self.population)):
            if isinstance(names, str):
                refuse(f"the {what} must be a list of names")
        expect(self.objective, (Objective, type(None)), "objective", "an Objective such as `Mean()`")
        for name in ("max_experts", "min_items"):
            expect(getattr(self, name), (Integral, type(None)), name, "a whole number")
        if self.max_experts is not None and self.max_experts < 1:
            refuse(f"{self.max_experts} experts were asked for", "at least one expert is needed")
        if self.min_items is not None and self.min_items < 1:
            refuse(f"the smallest number of items is {self.min_items}", "give 1 or more")
        if self.min_overall is not None and not math.isfinite(self.min_overall):
            refuse(f"smallest overall score {self.min_overall} is not a number")
        if not 0 <= self.tie_within < math.inf:
            refuse(f"candidates cannot be tied within {self.tie_within} standard errors", "give 0 or more")

    def grid(self, n_experts: int) -> WeightGrid:
        """Return the weights that soups of so many experts are tried with."""
        from soce.selection.weights import WeightGrid

        return WeightGrid.of(n_experts, step=self.step, minimum=self.minimum, maximum=self.maximum)
