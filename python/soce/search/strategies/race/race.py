"""The race: the grid's best soup for a part of its evaluations, with a certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from soce.evidence.per_item import full_marks
from soce.exceptions import shown
from soce.files.words import listed
from soce.scores.objective import LinearObjective
from soce.search.refusal import refuse
from soce.search.scoring import score_weights
from soce.search.strategies.grid import points
from soce.search.strategies.race.certificate import Certificate
from soce.search.strategies.race.elimination import Elimination, rung_sizes
from soce.search.strategies.space import ScoredSoup, Strategy, StrategyOutcome, best_of, preference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from soce.evaluate.evaluation import Evaluation
    from soce.search.soup import Parts
    from soce.search.strategies.space import Items, Space

_ELSE = "take another strategy, such as grid, or cmaes for a smaller budget"


@dataclass(frozen=True, slots=True)
class Race(Strategy):
    """Scores all points of the grid on more and more items in random order, and drops who is proved worse.

    With the confidence, over the order of the items, no point is better than the winner by more than epsilon
    on the selection items. It asks for no outcome that the grid would not ask for. See docs/search.md.
    """

    name: ClassVar[str] = "race"

    epsilon: Fraction = Fraction(0)
    """What may be missed, as a share of full marks; 0 means the grid's own winner."""
    confidence: Fraction = Fraction(19, 20)
    fewest: int = 50
    """Items of the first rung, at least."""
    budget: int | None = None
    """Most points of the grid."""
    seed: int = 0
    """Of the order of the items."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.epsilon < 1:
            told = f"{float(100 * self.epsilon):g} percentage points"
            refuse(f"`--epsilon` is {told}", "give what may be missed, such as 0.5pp, or 0 for nothing")
        if not 0 < self.confidence < 1:
            told = f"{float(self.confidence):g}"
            refuse(f"`--confidence` is {told}, which is not between 0 and 1", "give 0.95, say")
        if self.fewest < 1:
            refuse(f"the first rung has {self.fewest} items", "1 is the least")

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        return {
            "name": self.name,
            "epsilon": str(self.epsilon),
            "confidence": str(self.confidence),
            "fewest": self.fewest,
            "budget": self.budget,
            "seed": self.seed,
        }

    def check(self, space: Space) -> None:
        """Refuse what no bet is fair on: by a single model, where only an evaluation tells."""
        _check_items(space)
        ItemWeights.of(space)

    def rungs(self, items: Items) -> list[list[tuple[str, str]]]:
        """Return the items (category, id) that are new on each rung: pieces of one random order."""
        ordered = [(category, item) for category, ids in items.items() for item in ids]
        ordered.sort(key=lambda one: (_digest(self.seed, *one), one))
        sizes = rung_sizes(len(ordered), self.fewest)
        return [ordered[start:end] for start, end in pairwise([0, *sizes])]

    def run(self, space: Space) -> StrategyOutcome:
        """Go from rung to rung until the winner is known well enough."""
        rungs = self.rungs(_check_items(space))
        experts = space.pool.experts
        course = _Course(
            self, space, sorted(points(space, self.budget), key=lambda one: preference(one, experts))
        )
        for rung in rungs[:-1]:  # after the last one everything is known
            if course.is_decided:
                break
            course.hear(rung)
        return course.finish()


class _Course:
    """A race that is being run."""

    def __init__(self, race: Race, space: Space, soups: Sequence[Parts]) -> None:
        self._race, self._space, self._soups = race, space, soups
        self._n_items = sum(map(len, (space.items or {}).values()))
        self._elimination: Elimination | None = None
        self._weights: ItemWeights | None = None
        self._history: list[dict[int, Fraction]] = [{} for _ in soups]
        """Of each soup: number of items → what its objective seemed to be."""
        self._n_seen = self._n_outcomes = 0
        self._rungs: list[dict[str, object]] = []

    @property
    def is_decided(self) -> bool:
        """Whether the winner is known well enough."""
        return len(self._soups) == 1 if self._elimination is None else self._elimination.is_decided

    @property
    def _alive(self) -> list[int]:
        return [*range(len(self._soups))] if self._elimination is None else self._elimination.alive

    def hear(self, rung: Sequence[tuple[str, str]]) -> None:
        """Ask for the outcomes of a rung, and drop who is proved worse."""
        entrants = self._alive if self._elimination is None else self._elimination.order
        found = self._space.evaluations([self._soups[one] for one in entrants], items=_by_category(rung))
        # Known by now: a part of the items need not have all categories, of which the weights are.
        weights = self._weights = self._weights or ItemWeights.of(self._space)
        elimination = self._elimination = self._elimination or self._begin(weights)
        rows = dict(zip(entrants, found, strict=True))
        values = np.array([weights.values(rows[one], rung) for one in elimination.alive])
        dropped = elimination.hear(values * self._n_items)
        self._n_seen += len(rung)
        self._n_outcomes += len(entrants) * len(rung)
        for one in entrants:
            self._history[one][self._n_seen] = Fraction(elimination.mean(one)) * weights.full
        for one in dropped:
            self._space.leave_out(self._soups[one], self._history[one])
        self._note(len(entrants), len(elimination.alive))

    def _begin(self, weights: ItemWeights) -> Elimination:
        return Elimination(
            shares_of(self._soups, self._space.pool.experts),
            n_items=self._n_items,
            bound=self._n_items * max(map(abs, weights.each.values())),
            epsilon=float(self._race.epsilon),
            delta=float(1 - self._race.confidence),
        )

    def _note(self, n_soups: int, n_kept: int) -> None:
        self._rungs.append({"items": self._n_seen, "soups": n_soups, "kept": n_kept})

    def finish(self) -> StrategyOutcome:
        """Score the winner on all items; all that are in, if it takes all items to tell."""
        last, n_used = self._alive, self._n_items
        if self.is_decided:
            # Soups are in the order of preference, so the first that is proved wins.
            elimination = self._elimination
            last = [next(one for one in last if elimination is None or elimination.is_near_all(one))]
            n_used = self._n_seen
        values = self._space.values(
            [self._soups[one] for one in last], rungs=[self._history[one] for one in last]
        )
        tried = tuple(ScoredSoup(self._soups[one], value) for one, value in zip(last, values, strict=True))
        best, tied = best_of(tried, self._space.pool.experts)
        others = [one for one in self._alive if one not in last]
        for one in others:
            self._space.leave_out(self._soups[one], self._history[one])
        self._n_outcomes += len(last) * (self._n_items - self._n_seen)
        self._n_seen = self._n_items
        self._note(len(last), 1)
        certificate = Certificate(
            confidence=float(self._race.confidence),
            epsilon=float(self._race.epsilon),
            n_soups=len(self._soups),
            n_items=self._n_items,
            n_used=n_used,
            n_outcomes=self._n_outcomes,
            seed=self._race.seed,
            survivors=(*(one.parts for one in tied), *(self._soups[one] for one in others)),
        )
        trace = {"rungs": self._rungs, "certificate": certificate.to_json()}
        return StrategyOutcome(tried, best, tied, len(self._soups), trace)


@dataclass(frozen=True, slots=True)
class ItemWeights:
    """What an outcome of each category counts in the objective of the selection items."""

    each: Mapping[str, float]
    """Category → what one outcome of 1 adds to the objective, as a share of full marks."""
    full: int
    """Full marks: 1 or 100."""

    @classmethod
    def of(cls, space: Space) -> ItemWeights:
        """Return those of a space; refuse scores that are no fair game."""
        if not isinstance(space.objective, LinearObjective):
            name = shown(space.objective.name)
            refuse(f"a race needs an objective that is a sum of categories, which `{name}` is not", _ELSE)
        one = space.first()
        weights = score_weights(space.objective, one) or {}
        geometric = sorted(weights.keys() & one.geometric)
        if geometric:
            refuse(f"a race needs outcomes from 0 to 1; geometric means: {listed(geometric)}", _ELSE)
        without = sorted(weights.keys() - (one.items or {}).keys())
        if without:
            refuse(f"a race needs outcomes by item; without any: {listed(without)}", _ELSE)
        if one.scale is None:
            refuse("a race needs outcomes from 0 to 1, and the evaluator's are on no scale", _ELSE)
        counts = {name: len(ids) for name, ids in (space.items or {}).items()}
        each = {name: float(weights.get(name, Fraction(0)) / count) for name, count in counts.items()}
        return cls(each, full_marks(one, next(iter(weights))))

    def values(self, evaluation: Evaluation, items: Sequence[tuple[str, str]]) -> list[float]:
        """Return what each item adds to the objective."""
        found = evaluation.items or {}
        return [self.each[name] * found[name][item] if self.each[name] else 0.0 for name, item in items]


def race_items(items: Items, n_soups: int) -> tuple[int, int]:
    """Return how many outcomes a race asks for at least, if its first rung decides, and at most.

    Examples
    --------
    >>> race_items({"math": range(600), "code": range(400)}, 36)
    (2925, 36000)
    """
    n_items = sum(map(len, items.values()))
    first = rung_sizes(n_items, Race().fewest)[0]
    return n_soups * first + n_items - first, n_soups * n_items


def shares_of(soups: Sequence[Parts], experts: Sequence[str]) -> NDArray[np.float64]:
    """Return the weights of soups, shape (n_soups, n_experts)."""
    return np.array([[soup.get(name, 0) / sum(soup.values()) for name in sorted(experts)] for soup in soups])


def _check_items(space: Space) -> Items:
    if space.items is None:
        refuse("a race needs an evaluator that can score a part of its items", _ELSE)
    return space.items


def _by_category(items: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for category, item in items:
        found.setdefault(category, []).append(item)
    return found


def _digest(seed: int, category: str, item: str) -> bytes:
    # Lengths first, so that no two (category, item) read the same.
    text = f"race:{seed}:{len(category)}:{category}:{item}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
