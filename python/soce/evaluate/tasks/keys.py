"""Under what outcomes of items are filed: all that they depend on besides the recipe."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from soce.evaluate.tasks.item import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.tasks.item import Item
    from soce.evaluate.tasks.items import Tasks

_ONLY_FOR: Final[Mapping[str, frozenset[str]]] = {
    "tasks": frozenset(),
    "normalise": frozenset({"multiple_choice"}),
    "perplexity_per": frozenset({"perplexity"}),
    "max_new_tokens": WRITTEN,
    "stop": frozenset({"exact_match"}),
}
"""Parts of the evaluator's identity that matter to some kinds of items only; an item's own go first."""


def item_keys(tasks: Tasks, identity: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return category → id → digest of what the item asks, how it is scored, settings, versions and engine.

    `identity` is that of a `TorchEvaluator`, of these tasks or of others: of it counts what matters to an
    item of this kind. Neither category nor id are in a key, nor are other items.
    """
    keys: dict[str, dict[str, str]] = {}
    for item in tasks.items:
        keys.setdefault(item.category, {})[item.id] = _key(item, identity)
    return keys


def _key(item: Item, identity: Mapping[str, object]) -> str:
    settings = {
        name: value
        for name, value in identity.items()
        if name not in _ONLY_FOR or (item.kind in _ONLY_FOR[name] and getattr(item, name, None) is None)
    }
    text = json.dumps([item.content[1:], settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
