"""Which items soups are chosen on, and which they are reported on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.items import Tasks, shared_items
from soce.exceptions import shown
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluator
    from soce.search.pool import Pool
    from soce.search.scoring import Scorer
    from soce.search.strategies.space import Items


@dataclass(frozen=True, slots=True)
class Split:
    """Two disjoint parts of the items of every category.

    A search sees only `selection`; results are reported on `held_out`. The paper chose and reported on the
    same items (section 7.1), which is optimistic.
    """

    selection: Mapping[str, tuple[str, ...]]
    """Category → ids of the items that recipes are chosen on."""
    held_out: Mapping[str, tuple[str, ...]]
    """Category → ids of the items that are only reported on."""
    share: Fraction
    """Share of the items that is held out."""
    seed: int

    def to_json(self) -> dict[str, object]:
        """Return the rule and the sizes, from which the parts follow."""
        return {
            "rule": "sha256 of seed, category and item id; per category, the smallest are held out",
            "share": str(self.share),
            "seed": self.seed,
            "selection": {category: len(ids) for category, ids in self.selection.items()},
            "held_out": {category: len(ids) for category, ids in self.held_out.items()},
        }


def split_items(
    items: Mapping[str, Sequence[str]], *, share: Fraction = Fraction(1, 2), seed: int = 0
) -> Split:
    """Return a split of each category's items that depends on their ids and the seed only.

    The share to hold out is rounded to the nearest number of items, at least one and not all.

    Examples
    --------
    >>> split = split_items({"math": ["q1", "q2", "q3", "q4"]}, seed=1)
    >>> sorted(split.selection["math"] + split.held_out["math"])
    ['q1', 'q2', 'q3', 'q4']
    """
    if not 0 < share < 1:
        refuse(f"the held-out share {share} is not between 0 and 1", "hold out 1/2, say")
    selection: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for category, given in items.items():
        ids = sorted(set(given), key=lambda item: (_hash(seed, category, item), item))
        if len(ids) < 2:
            refuse(
                f"category `{shown(category)}` has {len(ids)} item(s), which cannot be split in two",
                "leave the category out, or give two task sets",
            )
        count = min(max(round(len(ids) * share), 1), len(ids) - 1)
        held = set(ids[:count])
        held_out[category] = tuple(item for item in given if item in held)
        selection[category] = tuple(item for item in given if item not in held)
    return Split(selection, held_out, share, seed)


def _hash(seed: int, category: str, item: str) -> bytes:
    # Lengths first, so that no two (category, item) read the same.
    text = f"{seed}:{len(category)}:{category}:{item}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


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
    told = first.item_ids() or {}
    without = [name for name in first.categories if name not in told]
    if without:
        return None, (f"no outcomes by item for {listed(without, limit=5)}",) if told else ()
    return told, ()


def _try_both(
    chooser: Scorer, selection: Items | None, reporter: Scorer, report: Items | None, pool: Pool
) -> None:
    """Score one model on both task sets, and refuse sets of other categories or another scale."""
    check_categories(selection, report)  # before anything is scored
    recipes = [pool.recipe({min(pool.names): 1})]
    chooser.begin("single models")
    (one,) = chooser.score(recipes, selection)
    reporter.begin("held-out items")
    (other,) = reporter.score(recipes, report)
    check_categories(one.categories, other.categories)
    if one.scale != other.scale:
        refuse(f"the tasks to choose on are on the scale {one.scale}, the held-out ones on {other.scale}")


def check_categories(chosen: Collection[str] | None, reported: Collection[str] | None = None) -> None:
    """Refuse other categories to report on than those to choose on, if both are known."""
    if chosen is None or reported is None:
        return
    for name in sorted(set(chosen) ^ set(reported)):
        which = "the tasks to choose on" if name in chosen else "the held-out tasks"
        refuse(
            f"only {which} have the category `{shown(name)}`",
            "both task sets need the same categories",
        )


def _shared(evaluator: Evaluator, other: Evaluator) -> tuple[str, ...]:
    """Return a note if the held-out tasks hold items that the search chose on."""
    one, held_out = getattr(evaluator, "tasks", None), getattr(other, "tasks", None)
    if not isinstance(one, Tasks) or not isinstance(held_out, Tasks):
        return ()
    count = shared_items(held_out, one)
    if not count:
        return ()
    return (f"{count} of the {len(held_out.items)} held-out items were also chosen on: optimistic",)
