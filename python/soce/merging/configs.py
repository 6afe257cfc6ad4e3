"""What the configs of checkpoints disagree on: equal shapes do not make equal models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_BYTES = 16 << 20
_LISTED = 6
_SHOWN = 40
# Where a checkpoint came from, and dtypes, which its tensors tell.
_NOT_THE_MODEL = frozenset({"_commit_hash", "_name_or_path", "dtype", "torch_dtype", "transformers_version"})


def config_differences(paths: Sequence[str], *, follow_links: bool = False) -> list[str]:
    """Return a sentence for each checkpoint whose `config.json` says something else than the first one's.

    Those without a config that can be read are left out. Only keys that both have are compared: what a
    missing one means depends on the version of a library.
    """
    configs = [
        (path, config)
        for path in paths
        if (config := _read(Path(path), follow_links=follow_links)) is not None
    ]
    if not configs:
        return []
    (first, expected), *others = configs
    found = []
    for path, config in others:
        differing = [key for key in sorted(config) if key in expected and config[key] != expected[key]]
        if differing:
            said = [f"{shown(key)} ({_short(expected[key])} and {_short(config[key])})" for key in differing]
            more = f" and {len(said) - _LISTED} more keys" if len(said) > _LISTED else ""
            file = shown(str(Path(path, "config.json")))
            listed = ", ".join(said[:_LISTED]) + more
            found.append(f"`{file}` differs from the one in `{shown(first)}`, which the soup gets: {listed}")
    return found


def _read(path: Path, *, follow_links: bool) -> dict[str, object] | None:
    """Return the config's values by dotted key; None if there is none. A plan says what is wrong."""
    file = path / "config.json"
    try:
        if not follow_links and not file.resolve(strict=True).is_relative_to(path.resolve()):
            return None
        if not file.is_file() or file.stat().st_size > _MAX_BYTES:
            return None
        config = json.loads(file.read_bytes())
        return dict(_flat(config)) if isinstance(config, dict) else None
    except (OSError, ValueError, RecursionError):
        return None


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in config.items():
        if key in _NOT_THE_MODEL:
            continue
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: object) -> str:
    text = shown(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
