"""The JSON Schema of the manifest that every soup carries."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, cast


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``soce.json``.

    Returns
    -------
    dict
        A new one at each call. Every part is strict but ``run``, which later versions may extend.

    Notes
    -----
    docs/manifest.md explains the keys. The schema says what a manifest looks like; whether it is true of the
    files beside it is another question.

    Examples
    --------
    >>> from soce.merging.manifest import manifest_schema
    >>> manifest_schema()["title"]
    'soce.json'
    """
    path = resources.files("soce.merging").joinpath("schema", "soce.schema.json")
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
