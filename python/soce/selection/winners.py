"""Who is best in a category: candidates compared, ties resolved without looking at any input order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from soce.exceptions import shown
from soce.files.arguments import expect
from soce.scores.exact import exact_sum, meant_by
from soce.scores.objective import Mean
from soce.scores.table import expect_table
from soce.selection.options import SelectionOptions
from soce.selection.record import Record
from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.table import ScoreTable

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
    Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float64]]

DecidedBy: TypeAlias = Literal["score", "objective", "wins", "name"]
NOISE: Final = 2.0
"""A margin below this many of its standard errors is called uncertain."""


@dataclass(frozen=True, slots=True)
class Winner(Record):
    """The best candidate of a category or a cluster, and how clearly it is the best."""

    categories: tuple[str, ...]
    """What it won: one category, or the categories of a cluster."""
    model: str
    score: float
    """As read; of a cluster, the mean of its scores, negated where lower is better."""
    tied: tuple[str, ...]
    """Other candidates that count as equally good, by name."""
    decided_by: DecidedBy
    """What chose among tied candidates: larger objective, more categories won alone, smaller name."""
    runner_up: str | None
    """The best other candidate; None if no other has a score."""
    margin: float | None
    """How much better than the runner-up, in the column's units; negative where `tie_within` overruled it."""
    margin_stderr: float | None
    """Standard error of the margin, the two scores taken as independent; None if unknown."""

    @property
    def uncertain(self) -> bool:
        """Whether the margin is known to be below two of its standard errors, or none at all."""
        if self.margin is None or self.margin_stderr is None:
            return False
        # Two models that solve every item have standard errors of 0, and nothing between them.
        return self.margin <= 0 or self.margin < NOISE * self.margin_stderr


class Contest:
    """Candidates of a table, ready to be compared category by category.

    Ties go to (1) the larger objective, (2) the candidate that is the only best one in more categories of the
    table, (3) the smaller name by code point.
    """

    def __init__(self, table: ScoreTable, options: SelectionOptions) -> None:
        expect_table(table)
        expect(options, SelectionOptions, "options", "SelectionOptions")
        self.table = table
        self.tie_within = options.tie_within
        self.categories = tuple(sorted(table.categories))
        self.candidates = _checked_candidates(table, options.candidates)
        asked = options.objective if options.objective is not None else Mean()
        self.objective = asked.name
        among = table.take(models=self.candidates)
        overall = np.asarray(asked.values(among), dtype=np.float64)  # (n_candidates,)
        self.overall = tuple(None if math.isnan(value) else float(value) for value in overall)
        ranks = np.where(np.isnan(overall), -np.inf, overall)
        least = options.min_overall
        allowed = np.ones(len(ranks), dtype=bool) if least is None else ranks >= least
        self.eligible = tuple(name for name, ok in zip(self.candidates, allowed, strict=True) if ok)
        self.ineligible = tuple(name for name in self.candidates if name not in set(self.eligible))
        if not self.eligible:
            best = "undefined for all of them" if np.isinf(ranks).all() else f"at most {ranks.max():g}"
            refuse(f"no candidate reaches an objective of {least}", f"{shown(self.objective)} is {best}")
        self.min_items = options.min_items
        self.small, self.unknown_items = _by_items(among, self.categories, options.min_items)
        self._places = {name: place for place, name in enumerate(self.categories)}
        taken = among.take(models=self.eligible)
        # The floats nearest to what scores stand for: equal scores are equal floats, whoever computed them.
        self._oriented = _cleared(taken.oriented(self.categories))  # (n_eligible, n_categories)
        self._errors: Matrix = taken.standard_errors(self.categories)
        self._objective: Vector = ranks[allowed]
        self._wins = _wins_alone(self._oriented)
        order = np.lexsort((np.arange(len(self.eligible)), -self._wins, -self._objective))
        self._rank = np.empty(len(order), dtype=np.int64)  # 0 is the first choice in a tie
        self._rank[order] = np.arange(len(order))

    def winner(self, categories: Sequence[str]) -> Winner | None:
        """Return the winner of these categories together; None if no eligible candidate has all scores."""
        places = [self._places[name] for name in categories]
        scores, errors = self._mean(places)
        present = np.flatnonzero(~np.isnan(scores))
        if not present.size:
            return None
        best = scores[present].max()
        at_best = present[scores[present] == best]
        tied = at_best
        if self.tie_within:
            error = np.hypot(errors[at_best].max(), errors[present])  # NaN if any of them is unknown
            with np.errstate(invalid="ignore"):
                within = (best - scores[present] <= self.tie_within * error) | (scores[present] == best)
            tied = present[within]
        chosen = int(tied[self._rank[tied].argmin()])
        runner_up, margin, margin_stderr = None, None, math.nan
        if (others := present[present != chosen]).size:
            level = others[scores[others] == scores[others].max()]
            next_best = int(level[self._rank[level].argmin()])
            runner_up = self.eligible[next_best]
            margin = float(scores[chosen] - scores[next_best])
            margin_stderr = float(np.hypot(errors[chosen], errors[next_best]))
        rivals = sorted(int(other) for other in tied if other != chosen)
        return Winner(
            categories=tuple(categories),
            model=self.eligible[chosen],
            score=self._as_read(categories, float(scores[chosen])),
            tied=tuple(self.eligible[rival] for rival in rivals),
            decided_by=self._decided_by(chosen, rivals),
            runner_up=runner_up,
            margin=margin,
            margin_stderr=None if math.isnan(margin_stderr) else margin_stderr,
        )

    def lacks_errors(self, category: str) -> bool:
        """Whether a standard error of an eligible candidate's score is unknown there."""
        place = self._places[category]
        return bool((np.isnan(self._errors[:, place]) & ~np.isnan(self._oriented[:, place])).any())

    def _mean(self, places: Sequence[int]) -> tuple[Vector, Vector]:
        """Return mean score and its standard error, each (n_eligible,); NaN where a score is missing."""
        if len(places) == 1:
            return self._oriented[:, places[0]], self._errors[:, places[0]]
        count = len(places)
        # Exact sums, rounded once: means that are equal are equal floats.
        scores = np.array(
            [
                math.nan if any(map(math.isnan, row)) else float(exact_sum(row) / count)
                for row in self._oriented[:, places].tolist()
            ]
        )
        errors = np.array(
            [math.sqrt(math.fsum(e * e for e in row)) for row in self._errors[:, places].tolist()]
        )
        return scores, errors / count

    def _as_read(self, categories: Sequence[str], score: float) -> float:
        if len(categories) > 1:
            return score
        return score if self.table.columns[self.table.place(categories[0])].higher_is_better else -score

    def _decided_by(self, chosen: int, rivals: Sequence[int]) -> DecidedBy:
        if not rivals:
            return "score"
        rival = min(rivals, key=lambda other: int(self._rank[other]))
        if self._objective[rival] != self._objective[chosen]:
            return "objective"
        return "wins" if self._wins[rival] != self._wins[chosen] else "name"


def _checked_candidates(table: ScoreTable, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the candidates by name, or refuse them."""
    names = table.models if given is None else tuple(given)
    for name in names:
        table.row(name)  # refuses unknown names, with the nearest ones
    ordered = tuple(sorted(names))
    if twice := [name for name, following in pairwise(ordered) if name == following]:
        table.refuse(f"the candidate `{shown(twice[0])}` is given twice", "name each candidate once")
    if len(names) < 2:
        count = "one candidate is" if names else "no candidates are"
        table.refuse(f"{count} given, at least two are needed", "a soup needs models to choose from")
    present = (~np.isnan(table.take(models=ordered).oriented())).sum(axis=1).tolist()
    for name, count in zip(ordered, present, strict=True):
        if not count:
            message = f"the candidate `{shown(name)}` has no score in any category"
            table.refuse(message, "leave it out of the candidates")
    return ordered


def _by_items(
    table: ScoreTable, categories: Sequence[str], min_items: int | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the categories with fewer items than asked for, and those whose counts are unknown."""
    if min_items is None:
        return (), ()
    if table.counts is None:
        return (), tuple(categories)
    counts = table.counts[:, [table.place(name) for name in categories]]
    smallest = np.where(np.isnan(counts), np.inf, counts).min(axis=0)  # (n_categories,)
    small = tuple(name for name, count in zip(categories, smallest, strict=True) if count < min_items)
    unknown = tuple(name for name, count in zip(categories, smallest, strict=True) if np.isinf(count))
    return small, unknown


def _cleared(scores: Matrix) -> Matrix:
    """Return scores without the rounding errors of whoever computed them, see `meant_by`."""
    cleared: Matrix = scores.copy()
    is_known = ~np.isnan(scores)
    cleared[is_known] = [float(exact) for exact in meant_by(scores[is_known])]
    return cleared


def _wins_alone(oriented: Matrix) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return in how many categories each row is the only best one."""
    scores = np.where(np.isnan(oriented), -np.inf, oriented)
    at_best = (scores == scores.max(axis=0)) & np.isfinite(scores)  # (n_eligible, n_categories)
    wins: np.ndarray[tuple[int], np.dtype[np.int64]] = (at_best & (at_best.sum(axis=0) == 1)).sum(axis=1)
    return wins
