"""Which items soups are chosen on, and which they are reported on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import counted, listed, nearest
from soce.search.held_out import bundles_of, equal_items, hold_out
from soce.search.verdict import FEWEST_ITEMS

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluator
    from soce.recipes.model import Recipe
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
    equal: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Category → id of an item whose content another one has → a number that equal ones have in common."""

    @property
    def n_repeated(self) -> int:
        """Number of items whose content another one has already."""
        numbers = [number for groups in self.equal.values() for number in groups.values()]
        return len(numbers) - len(set(numbers))

    def to_json(self) -> dict[str, object]:
        """Return the rule and the sizes, from which the parts follow."""
        found: dict[str, object] = {
            "rule": "sha256 of seed, category and item id; per category, the smallest are held out",
            "share": str(self.share),
            "seed": self.seed,
            "selection": {category: len(ids) for category, ids in self.selection.items()},
            "held_out": {category: len(ids) for category, ids in self.held_out.items()},
        }
        if self.equal:
            found["equal"] = {category: dict(groups) for category, groups in self.equal.items()}
        return found


def split_items(
    items: Mapping[str, Sequence[str]],
    *,
    share: Fraction = Fraction(1, 2),
    seed: int = 0,
    contents: Mapping[str, Mapping[str, Hashable]] | None = None,
) -> Split:
    """Return a split of each category's items that depends on ids, contents and the seed only.

    The share to hold out is rounded to the nearest number of items, at least one and not all. Items of equal
    content (category → id → anything equal for equal content), also of several categories, are on the same
    side: the sizes are then as near to the share as that allows, category by category, those with the fewest
    different items first.

    Examples
    --------
    >>> split = split_items({"math": ["q1", "q2", "q3", "q4"]}, seed=1)
    >>> sorted(split.selection["math"] + split.held_out["math"])
    ['q1', 'q2', 'q3', 'q4']
    """
    if not 0 < share < 1:
        refuse(f"the held-out share {share} is not between 0 and 1", "hold out 1/2, say")
    equal = equal_items(items, contents or {})
    bundles = {}
    for category, given in items.items():
        ranked = sorted(set(given), key=lambda item: (_hash(seed, category, item), item))
        if len(ranked) < 2:
            number = counted(len(ranked), "item")
            refuse(
                f"category `{shown(category)}` has {number}, which cannot be split in two",
                "leave the category out, or give two task sets",
            )
        bundles[category] = bundles_of(ranked, equal.get(category, {}))
    decided: dict[int, bool] = {}
    selection: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for category in sorted(bundles, key=lambda name: (len(bundles[name]), name)):
        n = sum(len(bundle.items) for bundle in bundles[category])
        count = min(max(round(n * share), 1), n - 1)
        chosen = hold_out(bundles[category], count, decided)
        if chosen is None:
            refuse(
                f"the items of category `{shown(category)}` repeat each other or those of other categories, "
                "so they cannot be split in two",
                "leave the category out, try another `--split-seed`, or give two task sets",
            )
        held = {item for bundle in chosen for item in bundle.items}
        held_out[category] = tuple(item for item in items[category] if item in held)
        selection[category] = tuple(item for item in items[category] if item not in held)
    in_order = [{name: part[name] for name in items} for part in (selection, held_out)]
    return Split(in_order[0], in_order[1], share, seed, equal)


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

    @property
    def everything(self) -> Items | None:
        """All items of the evaluator that chooses; None if it tells none apart."""
        if self.split is None:
            return self.selection
        return {name: (*ids, *self.split.held_out[name]) for name, ids in self.split.selection.items()}

    @property
    def thin(self) -> tuple[str, ...]:
        """What to say if a category keeps too few held-out items for a verdict."""
        held_out = (self.report or {}) if self.is_held_out else {}
        few = [name for name, ids in held_out.items() if len(ids) < FEWEST_ITEMS]
        names = listed(few, limit=5)
        needed = f"a verdict needs {FEWEST_ITEMS} held-out items in every category that counts"
        return (f"{needed}: there are fewer in {names}",) if few else ()

    @classmethod
    def of(
        cls, chooser: Scorer, reporter: Scorer, model: Recipe, *, share: Fraction | None, seed: int
    ) -> SearchItems:
        """Ask the evaluators, or one evaluation where they cannot say beforehand, and split.

        One model is scored for that. Two task sets are both tried on it: those that do not go together are
        found before the search.
        """
        selection, notes = _selection_items(chooser, model)
        if reporter is not chooser:
            report, left_out = _unseen(reporter.evaluator, chooser.evaluator)
            _try_both(chooser, selection, reporter, report, model)
            return cls(selection, report, is_held_out=True, notes=(*notes, *left_out))
        return cls._of_one(selection, notes, chooser.evaluator, share=share, seed=seed)

    @classmethod
    def known(
        cls,
        evaluator: Evaluator,
        held_out_evaluator: Evaluator | None,
        *,
        share: Fraction | None,
        seed: int,
        told: Items | None = None,
    ) -> SearchItems | None:
        """Return the items as far as evaluators name them before anything is scored; None if they do not.

        `told` are those of an earlier evaluation, for an evaluator that does not name its own.
        """
        selection = evaluator.item_ids() or told
        if selection is None:
            return None
        if held_out_evaluator is not None:
            report, _ = _unseen(held_out_evaluator, evaluator)
            return cls(selection, report, is_held_out=True)
        return cls._of_one(selection, (), evaluator, share=share, seed=seed)

    @classmethod
    def _of_one(
        cls,
        selection: Items | None,
        notes: tuple[str, ...],
        evaluator: Evaluator,
        *,
        share: Fraction | None,
        seed: int,
    ) -> SearchItems:
        """Split the items of one evaluator, if it has some and a share is to be held out."""
        if selection is None or share is None:
            optimistic = "selected and reported on the same items: optimistic"
            return cls(selection, notes=(*notes, optimistic))
        split = split_items(selection, share=share, seed=seed, contents=contents_of(evaluator))
        if split.n_repeated:
            repeat = counted(split.n_repeated, "item repeats", "items repeat")
            stay = "is" if split.n_repeated == 1 else "are"
            notes = (*notes, f"{repeat} the content of another, and {stay} kept on its side of the split")
        return cls(split.selection, split.held_out, split, is_held_out=True, notes=notes)


def _selection_items(chooser: Scorer, model: Recipe) -> tuple[Items | None, tuple[str, ...]]:
    """Return all items of an evaluator and what to say about them."""
    items = chooser.evaluator.item_ids()
    if items is not None:
        return items, ()
    chooser.begin("single models")
    (first,) = chooser.score([model], None)
    told = first.item_ids() or {}
    without = [name for name in first.categories if name not in told]
    if without:
        return None, (f"no outcomes by item for {listed(without, limit=5)}",) if told else ()
    return told, ()


def _try_both(
    chooser: Scorer, selection: Items | None, reporter: Scorer, report: Items | None, model: Recipe
) -> None:
    """Score one model on both task sets, and refuse sets of other categories or another scale."""
    check_categories(selection, report)  # before anything is scored
    chooser.begin("single models")
    (one,) = chooser.score([model], selection)
    reporter.begin("held-out items")
    (other,) = reporter.score([model], report)
    check_categories(one.categories, other.categories)
    told = one.item_ids() or {}, other.item_ids() or {}
    for name in one.categories:
        metrics = [str(found.corpora[name].metric) if name in found.corpora else "" for found in (one, other)]
        if all(name in ids for ids in told) and metrics[0] != metrics[1]:
            kinds = [f"by `{metric}`" if metric else "by the mean of outcomes" for metric in metrics]
            message = f"category `{shown(name)}` is chosen on {kinds[0]} and reported {kinds[1]}"
            refuse(message, "choose and report by one metric")
    # BLEU in percent is on no scale by its sentences, and may be in percent as a program's number.
    if one.scale != other.scale and {one.scale, other.scale} != {"percent", None}:
        refuse(f"the tasks to choose on are on the scale {one.scale}, the held-out ones on {other.scale}")


def check_categories(chosen: Collection[str] | None, reported: Collection[str] | None = None) -> None:
    """Refuse other categories to report on than those to choose on, if both are known."""
    if chosen is None or reported is None:
        return
    for name in sorted(set(chosen) ^ set(reported), key=lambda name: (name in chosen, name)):
        which, others = (
            ("the tasks to choose on", reported) if name in chosen else ("the held-out tasks", chosen)
        )
        refuse(
            f"only {which} have the category `{shown(name)}`",
            "both task sets need the same categories; `lm-eval:TASK=CATEGORY` is a task under another name: "
            f"{nearest(name, sorted(others), 'the others have')}",
        )


def refuse_same_tasks(chosen_by: Evaluator, reported_by: Evaluator | None) -> None:
    """Refuse held-out tasks that are the tasks to choose on."""
    if reported_by is not None and dict(reported_by.identity) == dict(chosen_by.identity):
        refuse(
            "the held-out tasks are the tasks to choose on",
            "name other tasks to report on, or none: the items are then split",
        )


def contents_of(evaluator: Evaluator) -> Mapping[str, Mapping[str, str]] | None:
    """Return category → id → digest of what an item asks; None if the evaluator does not say."""
    item_contents = getattr(evaluator, "item_contents", None)
    return None if item_contents is None else item_contents()


def _unseen(evaluator: Evaluator, chooser: Evaluator) -> tuple[Items | None, tuple[str, ...]]:
    """Return the held-out items that ask nothing that is chosen on, and what to say of the others.

    All of them where one of the evaluators does not say what its items ask. None if they are not known yet.
    """
    items, asked, seen = evaluator.item_ids(), contents_of(evaluator), contents_of(chooser)
    if asked is None or seen is None:
        return items, ()
    chosen_on = {content for told in seen.values() for content in told.values()}
    repeated = {name: {item for item in told if told[item] in chosen_on} for name, told in asked.items()}
    count = sum(map(len, repeated.values()))
    if not count:
        return items, ()
    of = f"{count} of the {sum(map(len, asked.values()))} held-out items"
    if items is None:
        return None, (f"{of} were also chosen on: optimistic",)
    kept = {
        name: tuple(item for item in ids if item not in repeated.get(name, ())) for name, ids in items.items()
    }
    for name, ids in kept.items():
        if not ids:
            refuse(
                f"every held-out item of category `{shown(name)}` is also chosen on",
                "name other tasks to report on, or none: the items are then split",
            )
    return kept, (f"{of} ask what is also chosen on, and are left out",)
