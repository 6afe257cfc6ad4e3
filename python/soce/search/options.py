"""All that can be chosen about a search, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from soce.files.arguments import expect
from soce.merging.options import MergeOptions
from soce.scores.objective import Objective
from soce.search.executors.executor import Executor
from soce.search.making import Making
from soce.search.named_arms import NamedArm
from soce.search.strategies.space import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How `search_soups` proposes weights, splits items and keeps scores."""

    strategy: Strategy | str = "grid"
    """What proposes weights, by its name in `soce.search.strategies.registry.STRATEGIES` or as an object."""
    objective: Objective | str | None = None
    """What is maximised; that of the selection file, the mean of the categories for a pool."""
    share: Fraction | None = Fraction(1, 2)
    """Share of each category's items that is held out; None reports on the items that were chosen on."""
    split_seed: int = 0
    """Another seed, another split; also that of the sign-flip test."""
    storage: str | None = None
    """URL of an Optuna storage; otherwise a database in the folder."""
    merge: MergeOptions = MergeOptions()
    """The merge that the evaluator's soups are of; its decisions are recorded, to publish the best one."""
    draws: int = 10_000
    """Of the sign-flip test, where not all signs can be counted."""
    executor: Executor | str = "inline"
    """What evaluates, by its name (``"processes:4"``) or as an object, which stays open; no score depends on
    it."""
    arms: tuple[NamedArm, ...] = ()
    """Methods that are tried on the experts, and compared beside what every search compares."""
    base: str | None = None
    """What methods take differences to: a candidate, or the path of another checkpoint."""

    making: Making | None = None
    """What is made of the experts, and searched; their averages if left out."""

    def __post_init__(self) -> None:
        """Check types."""
        expect(self.strategy, (str, Strategy), "strategy", "a name or a Strategy")
        expect(self.objective, (str, Objective, type(None)), "objective", "a name or an Objective")
        expect(self.merge, MergeOptions, "merge", "MergeOptions")
        expect(self.making, (Making, type(None)), "making", "a Making")
        for arm in self.arms:
            expect(arm, NamedArm, "arms", "of what `soce.search.named_arms.parse_arm` returns")
        expect(self.executor, (str, Executor), "executor", "a name or an Executor")
