"""Checkpoints in a folder, and which model of a score table each of them is."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from soce.merging.origins.naming import identity_of
from soce.recipes.checkpoint_paths import cached_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_DEEPEST: Final = 3
"""Folders below the one that is named: ``runs/math/checkpoint-500``."""
_ADAPTER: Final = "adapter_config.json"


def find_checkpoints(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the checkpoints in a folder by name, and the names of adapters, whose bases nobody knows.

    A checkpoint is a directory with safetensors files, or a folder ``models--org--name`` of the cache of the
    Hugging Face Hub; its name is its path below `folder`, or its id on the Hub. Nothing is read.
    """
    found: dict[str, Path] = {}
    adapters: list[str] = []

    def look(place: Path, depth: int) -> None:
        name = place.relative_to(folder).as_posix() if place != folder else folder.resolve().name
        repository, _ = cached_repository(str(place / "snapshots" / "any"))
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except PermissionError:
            return
        if repository is not None:
            found[repository] = place
        elif any(entry.name == _ADAPTER for entry in entries):
            adapters.append(name)
        elif any(entry.name.endswith(".safetensors") for entry in entries):
            found[name] = place
        elif depth < _DEEPEST:
            for entry in entries:
                if entry.is_dir() and not entry.name.startswith("."):
                    look(place / entry.name, depth + 1)

    look(folder, 0)
    return found, tuple(adapters)


def match_names(models: Sequence[str], checkpoints: Sequence[str]) -> dict[str, str]:
    """Return model of a table → name of the checkpoint that is it, where there is no doubt.

    The names are equal, or their last parts are, or the words of these: case, separators and such words as
    ``hf`` do not count. One of two that may be meant is never taken.

    Examples
    --------
    >>> match_names(["math", "Llama-3.1-8B", "x"], ["runs/Math", "org/Meta-Llama-3.1-8B", "a/x", "b/x"])
    {'math': 'runs/Math', 'Llama-3.1-8B': 'org/Meta-Llama-3.1-8B'}
    """
    keys: tuple[Callable[[str], Hashable], ...] = (
        str.casefold,
        lambda name: PurePosixPath(name).name.casefold(),
        lambda name: identity_of(PurePosixPath(name).name) or name,
    )
    found: dict[str, str] = {}
    for key in keys:
        groups: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for model in models:
            if model not in found:
                groups[key(model)][0].append(model)
        for name in checkpoints:
            if name not in found.values():
                groups[key(name)][1].append(name)
        for ours, theirs in groups.values():
            if len(ours) == len(theirs) == 1:
                found[ours[0]] = theirs[0]
    return {model: found[model] for model in models if model in found}
