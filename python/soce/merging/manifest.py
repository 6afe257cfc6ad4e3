"""The JSON Schema of the manifest that every soup carries."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, cast


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
