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
class Unit:
    """Items of one category that are held out together or not at all."""

    items: list[str]
    group: int | None
    """What items of other categories share; None for an item like no other."""


def units_of(ranked: Iterable[str], groups: Mapping[str, int]) -> list[Unit]:
    """Return ranked items as units, each in the place of its first item."""
    units: list[Unit] = []
    place: dict[int, Unit] = {}
    for item in ranked:
        group = groups.get(item)
        if group is not None and group in place:
            place[group].items.append(item)
            continue
        units.append(Unit([item], group))
        if group is not None:
            place[group] = units[-1]
    return units


def hold_out(units: Sequence[Unit], count: int, decided: dict[int, bool]) -> list[Unit] | None:
    """Return units with `count` items in all, or as near to it as units allow, the first ones where possible.

    Never all of them and never none: None if groups leave nothing else. What other categories decided about
    groups holds, and what is decided here is added to it.

    Notes
    -----
    A subset sum by bits: bit s of ``sums[-1]`` is set if the units of several items that are left can have s
    items together. Those of one item fill gaps as long as there are some, and need no bits of their own.
    """
    free = [unit for unit in units if unit.group not in decided]
    held = [unit for unit in units if unit.group is not None and decided.get(unit.group)]
    n, fixed = (sum(len(unit.items) for unit in some) for some in (units, held))
    sums = [1]
    for unit in reversed(free):
        if len(unit.items) > 1:
            sums.append(sums[-1] | sums[-1] << len(unit.items))
    singles = sum(len(unit.items) == 1 for unit in free)

    def can_be(total: int) -> bool:
        """Whether the units that are left can have so many items: large ones, and single ones between."""
        window = (1 << min(singles, total) + 1) - 1 if total >= 0 else 0
        return bool(sums[-1] >> max(total - singles, 0) & window)

    totals = sorted(range(1 - fixed, n - fixed), key=lambda total: (abs(fixed + total - count), total))
    left = next((total for total in totals if can_be(total)), None)
    if left is None:
        return None
    for unit in free:
        size = len(unit.items)
        if size == 1:
            singles -= 1
        else:
            sums.pop()
        is_held = can_be(left - size)
        if is_held:
            held.append(unit)
            left -= size
        if unit.group is not None:
            decided[unit.group] = is_held
    return held
