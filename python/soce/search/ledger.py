"""What is known of an evaluator's scores: counts what would have to be scored, and scores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soce.recipes.model import same_path_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe
    from soce.search.pace import Pace
    from soce.search.strategies.space import Items
    from soce.store.evaluations import EvaluationStore


@dataclass(slots=True)
class Count:
    """What some soups ask for."""

    soups: int = 0
    """Different ones."""
    missing: int = 0
    """Evaluations to be made."""
    items: int | None = 0
    """Outcomes, one for each soup and item; None if nobody knows."""
    missing_items: int | None = 0

    def plus(self, other: Count, *, soups: int) -> Count:
        """Return both together, which are of so many different soups."""
        return Count(
            soups,
            self.missing + other.missing,
            _plus(self.items, other.items),
            _plus(self.missing_items, other.missing_items),
        )


@dataclass(eq=False, slots=True)
class Ledger:
    """What is known of an evaluator's scores, and what would be by now."""

    evaluator: Evaluator
    """Asked for its items only."""
    store: EvaluationStore | None
    """None if nothing was ever scored."""
    sizes: Mapping[str, int]
    """Path of each checkpoint, as `same_path_key` has it → its bytes."""
    pace: Pace | None = None
    """What evaluations took so far: those of this evaluator, else of any."""
    read_bytes: int = 0
    """What is read of them for all that was missing."""
    _made: dict[str, dict[str, set[str]] | None] = field(default_factory=dict)
    """Recipe → items that would have been scored; None: all there are."""

    def told(self, recipe: Recipe) -> Items | None:
        """Return the items that an evaluation gave outcomes for, if the recipe was scored."""
        known = None if self.store is None else self.store.known(recipe)
        return None if known is None else known.item_ids()

    def look(self, recipes: Sequence[Recipe], items: Items | None) -> Count:
        """Count what is asked for; what is missing will be known the next time."""
        count = Count()
        for recipe in {recipe.id: recipe for recipe in recipes}.values():
            count.soups += 1
            asked = None if items is None else sum(map(len, items.values()))
            lacks = self._lacks(recipe, items)
            count.items = _plus(count.items, asked)
            if lacks == 0:
                continue
            count.missing += 1
            count.missing_items = _plus(count.missing_items, lacks)
            self.read_bytes += sum(self.sizes[same_path_key(path)] for path in _used(recipe))
        return count

    def _lacks(self, recipe: Recipe, items: Items | None) -> int | None:
        """Return how many items are not known; None if all are not, and nobody knows how many there are."""
        if recipe.id in self._made and self._made[recipe.id] is None:
            return 0
        if items is None:
            if self.store is not None and self.store.find(recipe, None) is not None:
                return 0
            self._made[recipe.id] = None
            return None
        missing: Mapping[str, Sequence[str]] = items
        if self.store is not None:
            missing = self.store.missing(recipe, items)
        made = self._made.get(recipe.id) or {}
        new = {name: {*ids} - made.get(name, set()) for name, ids in missing.items()}
        lacks = sum(map(len, new.values()))
        if lacks and getattr(self.evaluator, "scores_whole", self.evaluator.item_ids() is None):
            self._made[recipe.id] = None
        elif lacks:
            self._made[recipe.id] = {
                name: made.get(name, set()) | new.get(name, set()) for name in {*made, *new}
            }
        return lacks

    def found(self, recipes: Sequence[Recipe], items: Items | None) -> list[Evaluation] | None:
        """Return the evaluations, if all are known."""
        if self.store is None:
            return None
        found = []
        for recipe in recipes:
            known = self.store.find(recipe, items, with_answers=False)
            if known is None:
                return None
            found.append(known)
        return found


def _plus(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _used(recipe: Recipe) -> set[str]:
    """Return the paths of the ingredients that have a part."""
    base = set() if recipe.base is None else {recipe.base.path}
    return base | {one.path for one in recipe.taking}
