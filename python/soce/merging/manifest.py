"""The manifest that every soup carries: its JSON Schema, and which rows of its recipe take tensors."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from soce._core import matches

if TYPE_CHECKING:
    from collections.abc import Mapping


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``soce.json``, whose keys docs/manifest.md explains.

    Every part is strict but ``run``, which later versions may extend.

    Examples
    --------
    >>> manifest_schema()["title"]
    'soce.json'
    """
    path = resources.files("soce.merging").joinpath("schema", "soce.schema.json")
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def taking_rows(manifest: Mapping[str, Any]) -> set[int]:
    """Return the places of the rows that make tensors taken from one ingredient, and no averaged ones."""
    patterns = [row["pattern"] for row in manifest["result"]["recipe"]["rows"]]
    made: dict[str, set[int]] = {"averaged": set(), "taken": set()}
    for name, tensor in manifest["result"]["tensors"].items():
        if tensor["fate"] in made:
            places = (place for place, pattern in enumerate(patterns) if matches(pattern, name))
            made[tensor["fate"]].update([next(places)])
    return made["taken"] - made["averaged"]
