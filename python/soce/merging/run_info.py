"""What a manifest records of the run that made a soup."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import soce._core as _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe, RecipeFile
    from soce.recipes.names import RemoteName


def run_info_of(
    source: RecipeFile | None,
    options: MergeOptions,
    recipes: Sequence[tuple[Path | RemoteName, Recipe]],
    origins: Mapping[str, str],
    methods: Sequence[Mapping[str, object]],
) -> str:
    """Return what the manifest records of this run, as JSON."""
    run: dict[str, object] = {
        "soce": _core.build_info()["version"],
        "python": platform.python_version(),
        "recipe_text": None if source is None else source.text,
        "command": None if options.command is None else [_utf8(word) for word in options.command],
    }
    rounded = [
        {"output": str(output), **row} for output, recipe in recipes for row in recipe.rounded_weights()
    ]
    if rounded:
        run["rounded_weights"] = rounded
    if methods:
        run["methods"] = list(methods)
    if origins:
        run["origins"] = dict(origins)
    if options.notes is not None:
        run["notes"] = dict(options.notes)
    return _utf8(json.dumps(run, allow_nan=False))


def _utf8(text: str) -> str:
    """Return `text` with unpaired surrogates (names that are not UTF-8) spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()
