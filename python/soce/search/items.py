"""Which items soups are chosen on, and which they are reported on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.items import Tasks, shared_items
from soce.exceptions import shown
from soce.files.words import listed
from soce.search.split import Split, split_items

if TYPE_CHECKING:
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluator
    from soce.search.pool import Pool
    from soce.search.scoring import Scorer
    from soce.search.strategies.space import Items


@dataclass(frozen=True, slots=True)
class SearchItems:
    """The items of a search."""

    selection: Items | None
    """Those that soups are chosen on; None: all, by an evaluator that tells none apart."""
    report: Items | None = None
    """Those that the arms are reported on, if they are others."""
    split: Split | None = None
    """How the items of one evaluator were divided."""
    is_held_out: bool = False
    """Whether the arms are reported on other items than those that they were chosen on."""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, chooser: Scorer, reporter: Scorer, pool: Pool, *, share: Fraction | None, seed: int
    ) -> SearchItems:
        """Ask the evaluators, or one evaluation where they cannot say beforehand, and split.

        Two task sets are both tried on one model: those that do not go together are found before the search.
        """
        selection, notes = _selection_items(chooser, pool)
        if reporter is not chooser:
            report = reporter.evaluator.item_ids()
            _try_both(chooser, selection, reporter, report, pool)
            shared = _shared(chooser.evaluator, reporter.evaluator)
            return cls(selection, report, is_held_out=True, notes=(*notes, *shared))
        if selection is None or share is None:
            optimistic = "selected and reported on the same items: optimistic"
            return cls(selection, notes=(*notes, optimistic))
        split = split_items(selection, share=share, seed=seed)
        return cls(split.selection, split.held_out, split, is_held_out=True)


def _selection_items(chooser: Scorer, pool: Pool) -> tuple[Items | None, tuple[str, ...]]:
    """Return all items of an evaluator and what to say about them."""
    items = chooser.evaluator.item_ids()
    if items is not None:
        return items, ()
    chooser.begin("single models")
    (first,) = chooser.score([pool.recipe({min(pool.names): 1})], None)
    outcomes = first.items or {}
    without = [name for name in first.categories if not outcomes.get(name)]
    if without:
        return None, (f"no outcomes by item for {listed(without, limit=5)}",) if first.items else ()
    return {name: tuple(outcomes[name]) for name in first.categories}, ()


def _try_both(
    chooser: Scorer, selection: Items | None, reporter: Scorer, report: Items | None, pool: Pool
) -> None:
    """Score one model on both task sets, and refuse sets of other categories or another scale."""
    recipes = [pool.recipe({min(pool.names): 1})]
    chooser.begin("single models")
    (one,) = chooser.score(recipes, selection)
    reporter.begin("held-out items")
    (other,) = reporter.score(recipes, report)
    for name in sorted(set(one.categories) ^ set(other.categories)):
        which = "the tasks to choose on" if name in one.categories else "the held-out tasks"
        refuse(
            f"only {which} have the category `{shown(name)}`",
            "both task sets need the same categories",
        )
    if one.scale != other.scale:
        refuse(f"the tasks to choose on are on the scale {one.scale}, the held-out ones on {other.scale}")


def _shared(evaluator: Evaluator, other: Evaluator) -> tuple[str, ...]:
    """Return a note if the held-out tasks hold items that the search chose on."""
    one, held_out = getattr(evaluator, "tasks", None), getattr(other, "tasks", None)
    if not isinstance(one, Tasks) or not isinstance(held_out, Tasks):
        return ()
    count = shared_items(held_out, one)
    if not count:
        return ()
    return (f"{count} of the {len(held_out.items)} held-out items were also chosen on: optimistic",)
