"""Items to choose on and items to report on, kept apart by a seeded hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.exceptions import EvaluationError, Problem, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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

    Parameters
    ----------
    items : mapping of category to item ids
        In any order.
    share : Fraction in (0, 1)
        Share to hold out, rounded to the nearest number of items, at least one and not all.
    seed : int
        Another seed, another split.

    Raises
    ------
    EvaluationError
        A share outside (0, 1), or a category with fewer than two items.

    Examples
    --------
    >>> split = split_items({"math": ["q1", "q2", "q3", "q4"]}, seed=1)
    >>> sorted(split.selection["math"] + split.held_out["math"])
    ['q1', 'q2', 'q3', 'q4']
    """
    if not 0 < share < 1:
        _refuse(f"the held-out share {share} is not between 0 and 1", "hold out 1/2, say")
    selection: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for category, given in items.items():
        ids = sorted(set(given), key=lambda item: (_hash(seed, category, item), item))
        if len(ids) < 2:
            _refuse(
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


def _refuse(message: str, hint: str) -> None:
    raise EvaluationError.of([Problem("evaluation", None, None, message, hint)])
