"""Whether experts, or soups before, were chosen on the items that soups are reported on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.exceptions import shown
from soce.files.digests import digest_of
from soce.files.words import listed
from soce.search.items import contents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from soce.evaluate.evaluation import Evaluator
    from soce.scores.origin import ScoreOrigin
    from soce.search.items import SearchItems
    from soce.search.scoring import Scorer
    from soce.search.strategies.space import Items
    from soce.search.verdict import ExpertsSaw


def mark_chosen(chooser: Scorer, items: SearchItems) -> None:
    """Keep in the store on which items soups are chosen."""
    if items.selection is not None:
        found = _marks_in_store(chooser, items.selection)
        chooser.store.mark_chosen(mark for marks in found for mark in marks)


def chosen_before(reporter: Scorer, items: SearchItems) -> int:
    """Return how many of the held-out items soups were ever chosen on in this store, by item or content.

    0 where nothing is held out, and where the evaluator tells no items apart.
    """
    if not items.is_held_out or items.report is None:
        return 0
    found = _marks_in_store(reporter, items.report)
    chosen = reporter.store.chosen(mark for marks in found for mark in marks)
    return sum(not chosen.isdisjoint(marks) for marks in found)


def chosen_before_note(n_chosen: int, items: SearchItems) -> tuple[str, ...]:
    """Return what to say of held-out items that soups were chosen on before."""
    total = sum(map(len, (items.report or {}).values()))
    told = (
        f"{n_chosen} of the {total} held-out items were chosen on before, by another question in this "
        "folder: what led to this one may have seen them"
    )
    return (told,) if n_chosen else ()


def _marks_in_store(scorer: Scorer, items: Items) -> list[tuple[str, ...]]:
    """Return for each item what the store may know it by: its key, and what it asks."""
    scorer.store.refresh()
    keys, contents = scorer.store.item_keys(items), contents_of(scorer.evaluator) or {}
    found = []
    for category, item in _keys(items):
        content = contents.get(category, {}).get(item)
        key = keys.get(category, {}).get(item)
        asks = () if content is None else (f"content {content}",)
        found.append((*(() if key is None else (key,)), *asks))
    return found


def experts_saw(
    origin: ScoreOrigin,
    items: SearchItems,
    evaluator: Evaluator,
    held_out_evaluator: Evaluator | None = None,
) -> tuple[ExpertsSaw, tuple[str, ...]]:
    """Return on which items the experts were chosen, and what to say about it.

    Parameters
    ----------
    origin : ScoreOrigin
        Of the scores that chose them.
    items : SearchItems
        Of the search.
    evaluator, held_out_evaluator : Evaluator
        What chooses, and what reports if that is another.

    Notes
    -----
    Ids mean something among the items of one evaluator only. Those of a table are an evaluator's if soce
    measured the scores with it, or else if it has all of them, or at least some, and no other of the two has.
    A table of which it has only some may stand on these under other names too: it saw the reported items that
    it names, and what else it saw is not known. The tasks of another evaluator are other items, except those
    with the content of one that was seen.
    """
    chooser = _Tasks.of(evaluator, items.everything)
    reporter = chooser
    if held_out_evaluator is not None:
        reporter = _Tasks.of(held_out_evaluator, items.report)
    reported = items.report if items.is_held_out else items.selection
    owner = _owner(origin, chooser, reporter)
    if owner is not None:
        if origin.items is None or reported is None:  # nobody tells items apart: all of them were scored
            return ("these items" if owner is reporter else "other items"), ()
        seen = {mark for key in _keys(origin.items) for mark in owner.marks(*key)}
        keys = list(_keys(reported))
        n_seen = sum(any(mark in seen for mark in reporter.marks(*key)) for key in keys)
        if n_seen:
            note = f"the scores that chose the experts stand on {n_seen} of the {len(keys)} reported items"
            return "these items", (note,)
        is_known = origin.evaluator == owner.digest or owner.has(origin.items, all)
        if is_known and reported.keys() <= origin.items.keys():
            return "other items", ()
    if origin.stated is not None:
        return ("stated" if origin.stated == "other" else "these items"), ()
    return "unknown", _too_many(origin, items)


@dataclass(frozen=True, slots=True, eq=False)
class _Tasks:
    """The items of an evaluator."""

    digest: str
    ids: Items | None
    contents: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, evaluator: Evaluator, ids: Items | None) -> _Tasks:
        return cls(digest_of(dict(evaluator.identity)), ids, contents_of(evaluator) or {})

    def marks(self, category: str, item: str) -> Iterator[tuple[str, ...]]:
        """Yield what the item has in common with itself, and with those of equal content anywhere."""
        yield self.digest, category, item
        if content := self.contents.get(category, {}).get(item):
            yield (content,)

    def has(self, items: Items, quantifier: Callable[[Iterable[bool]], bool]) -> bool:
        """Whether all or any of some items, in the categories that it has, are its own."""
        known = {name: set(ids) for name, ids in (self.ids or {}).items() if name in items}
        return bool(known) and quantifier(item in known[name] for name in known for item in items[name])


def _keys(items: Items) -> Iterator[tuple[str, str]]:
    return ((category, item) for category, ids in items.items() for item in ids)


def _owner(origin: ScoreOrigin, chooser: _Tasks, reporter: _Tasks) -> _Tasks | None:
    """Return whose items the ids of a table are; None if nobody can tell."""
    for one in (chooser, reporter):
        if origin.evaluator == one.digest:
            return one
    for quantifier in (all, any):
        fitting = [one for one in {chooser, reporter} if one.has(origin.items or {}, quantifier)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _too_many(origin: ScoreOrigin, items: SearchItems) -> tuple[str, ...]:
    """Return a note if scores stand on more items than soups are chosen on."""
    if items.split is None:
        return ()
    chosen = {name: len(ids) for name, ids in items.split.selection.items()}
    more = [name for name in sorted(chosen) if origin.counts.get(name, 0) > chosen[name]]
    if not more:
        return ()
    first, others = more[0], f"; so with {listed(more[1:], limit=5)}" if more[1:] else ""
    return (
        f"scores of `{shown(first)}` stand on {origin.counts[first]} items, of which {chosen[first]} are "
        f"chosen on: they include reported ones, unless they are of other tasks{others}",
    )
