"""The items of BFCL's categories, as its own code loads them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Entry: TypeAlias = dict[str, Any]


def described(category: str) -> dict[str, tuple[str, str]]:
    """Return id → digest of what is asked, digest of what is right, of every item of a category.

    What must be talked about before a question of memory belongs to what is asked.
    """
    from bfcl_eval.utils import is_memory_prereq, load_dataset_entry

    entries = load_dataset_entry(category)
    before: dict[str, list[object]] = {}
    for entry in entries:
        if is_memory_prereq(entry["id"]):
            before.setdefault(entry["scenario"], []).append(_asked(entry))
    asked = [entry for entry in entries if not is_memory_prereq(entry["id"])]
    return {
        entry["id"]: (_digest([_asked(entry), before.get(entry.get("scenario", ""))]), _digest(truth))
        for entry, truth in zip(asked, truths(category, len(asked)), strict=True)
    }


def truths(category: str, count: int) -> list[Any]:
    """Return what is right for each item, in their order; None where no call, or any, is."""
    from bfcl_eval.utils import is_relevance_or_irrelevance, load_ground_truth_entry

    if is_relevance_or_irrelevance(category):
        return [None] * count
    return [found["ground_truth"] for found in load_ground_truth_entry(category)]


def to_generate(chosen: dict[str, list[str]], folder: Path) -> list[Entry]:
    """Return the entries to ask about these items, those first that others depend on.

    Questions of memory need the conversations before them, which leave what they remember in `folder`.
    """
    from bfcl_eval.utils import load_dataset_entry, populate_initial_settings_for_memory_test_cases, sort_key

    found: list[Entry] = []
    for category, items in chosen.items():
        entries = {entry["id"]: entry for entry in load_dataset_entry(category)}
        wanted = dict.fromkeys(items)
        for item in items:
            wanted.update(dict.fromkeys(entries[item].get("depends_on", ())))
        found += [entry for name, entry in entries.items() if name in wanted]
    return sorted(populate_initial_settings_for_memory_test_cases(found, folder), key=sort_key)


def to_check(category: str, items: Iterable[str]) -> list[tuple[Entry, Any]]:
    """Return each of these items as BFCL's checkers want it, with what is right."""
    from bfcl_eval.utils import load_dataset_entry

    entries = load_dataset_entry(category, include_prereq=False, include_language_specific_hint=False)
    chosen = frozenset(items)
    pairs = zip(entries, truths(category, len(entries)), strict=True)
    return [(entry, truth) for entry, truth in pairs if entry["id"] in chosen]


def _asked(entry: Entry) -> object:
    """Return an entry without what only names it; how a prompt is to be written is said in its id alone."""
    rest = {name: value for name, value in entry.items() if name not in {"id", "depends_on"}}
    return [rest, entry["id"].split(":")[1:2]]


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
