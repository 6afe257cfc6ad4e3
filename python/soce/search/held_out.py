"""Which items of a category are held out: the first of an order by chance, and what is equal together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    Key = tuple[str, str]


def equal_items(
    items: Mapping[str, Sequence[str]], contents: Mapping[str, Mapping[str, Hashable]]
) -> dict[str, dict[str, int]]:
    """Return a number for each item whose content another one has too, of any category; equal ones share it.

    Contents are category → id → anything that is equal for equal content; what is left out is like no other.

    Examples
    --------
    >>> equal_items({"a": ["x", "y", "z"], "b": ["x"]}, {"a": {"x": "?", "y": "!"}, "b": {"x": "?"}})
    {'a': {'x': 0}, 'b': {'x': 0}}
    """
    groups: dict[Hashable, list[Key]] = {}
    for category in sorted(items):
        told = contents.get(category, {})
        for item in sorted(set(items[category])):
            if item in told:
                groups.setdefault(told[item], []).append((category, item))
    several = sorted(group for group in groups.values() if len(group) > 1)
    found: dict[str, dict[str, int]] = {}
    for number, group in enumerate(several):
        for category, item in group:
            found.setdefault(category, {})[item] = number
    return found


@dataclass(slots=True)
class Bundle:
    """Items of one category that are held out together or not at all."""

    items: list[str]
    group: int | None
    """What items of other categories share; None for an item like no other."""


def bundles_of(ranked: Iterable[str], groups: Mapping[str, int]) -> list[Bundle]:
    """Return ranked items as bundles, each in the place of its first item."""
    bundles: list[Bundle] = []
    place: dict[int, Bundle] = {}
    for item in ranked:
        group = groups.get(item)
        if group is not None and group in place:
            place[group].items.append(item)
            continue
        bundles.append(Bundle([item], group))
        if group is not None:
            place[group] = bundles[-1]
    return bundles


def hold_out(bundles: Sequence[Bundle], count: int, decided: dict[int, bool]) -> list[Bundle] | None:
    """Return bundles with `count` items in all, or as near to it as can be, the first ones where possible.

    Never all of them and never none: None if groups leave nothing else. What other categories decided about
    groups holds, and what is decided here is added to it.

    Notes
    -----
    A subset sum by bits: bit s of ``sums[-1]`` is set if the bundles of several items that are left can have
    s items together. Those of one item fill gaps as long as there are some, and need no bits of their own.
    """
    free = [bundle for bundle in bundles if bundle.group not in decided]
    held = [bundle for bundle in bundles if bundle.group is not None and decided.get(bundle.group)]
    n, fixed = (sum(len(bundle.items) for bundle in some) for some in (bundles, held))
    sums = [1]
    for bundle in reversed(free):
        if len(bundle.items) > 1:
            sums.append(sums[-1] | sums[-1] << len(bundle.items))
    singles = sum(len(bundle.items) == 1 for bundle in free)

    def can_be(total: int) -> bool:
        """Whether the bundles that are left can have so many items: large ones, and single ones between."""
        window = (1 << min(singles, total) + 1) - 1 if total >= 0 else 0
        return bool(sums[-1] >> max(total - singles, 0) & window)

    totals = sorted(range(1 - fixed, n - fixed), key=lambda total: (abs(fixed + total - count), total))
    left = next((total for total in totals if can_be(total)), None)
    if left is None:
        return None
    for bundle in free:
        size = len(bundle.items)
        if size == 1:
            singles -= 1
        else:
            sums.pop()
        is_held = can_be(left - size)
        if is_held:
            held.append(bundle)
            left -= size
        if bundle.group is not None:
            decided[bundle.group] = is_held
    return held
