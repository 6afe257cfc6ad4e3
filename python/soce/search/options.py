"""All that can be chosen about a search, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.merging.options import MergeOptions

if TYPE_CHECKING:
    from soce.scores.objective import Objective
    from soce.search.identity import Digests
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
    """Another seed, another split; also that of the bootstrap."""
    storage: str | None = None
    """URL of an Optuna storage; otherwise a database in the folder."""
    digests: Digests = "files"
    """How ingredients are told apart, see `soce.search.identity.ingredient_identity`."""
    merge: MergeOptions = MergeOptions()
    """The merge that the evaluator's soups are of; its decisions are recorded, to publish the best one."""
    draws: int = 10_000
    """Resamples of the paired bootstrap."""
