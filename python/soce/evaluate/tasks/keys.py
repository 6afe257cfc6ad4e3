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

    `identity` is that of a `TaskEvaluator`, of these tasks or of others: of it counts what matters to an
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


def answer_keys(tasks: Tasks, identity: Mapping[str, object]) -> dict[tuple[str, str], str]:
    """Return `Item.key` → digest of all that the answer to an item depends on under these settings.

    Neither what is right nor how it is scored is in it. Items whose outcome does not follow from an answer
    are left out.
    """
    keys = {}
    for item in tasks.items:
        asked: list[object] = [item.prompt, list(item.messages), list(item.tools)]
        if item.is_written:
            # A `generation` item ends where it says, and not where the evaluator does.
            usual = identity.get("stop") if item.kind == "exact_match" else []
            stop = usual if item.stop is None else list(item.stop)
            asked += ["written", item.max_new_tokens or identity.get("max_new_tokens"), stop]
        elif item.kind == "multiple_choice":
            asked += ["chosen", list(item.choices)]
        else:
            continue
        keys[item.key] = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return keys
