"""The README.md of a model: its head, in YAML between two lines ``---``, and what it says of origins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soce.files.parsing import MalformedError, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from soce.files.parsing import Value

README: Final = "README.md"
LONGEST_TEXT: Final = 1 << 20
"""Bytes of a README or a licence that is read."""
_LONGEST_VALUE: Final = 1 << 14
"""Characters of a key of the head with its value."""
_HEAD: Final = re.compile(r"\A\s*---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
_KEYS: Final = frozenset(
    {"license", "license_name", "license_link", "base_model", "base_model_relation", "tags"}
)
"""Keys that tell where a model comes from."""


def read_text(path: Path, *, longest: int = LONGEST_TEXT) -> str | None:
    """Return the text of a regular file of at most `longest` bytes, or None."""
    try:
        if not path.is_file() or path.stat().st_size > longest:
            return None
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None


def split_head(text: str) -> tuple[str, str]:
    """Return what stands between the first two lines ``---``, and the rest; empty if there are none."""
    found = _HEAD.match(text)
    return ("", text) if found is None else (found[1] or "", text[found.end() :])


def read_front_matter(folder: Path) -> Mapping[str, Value]:
    """Return what the head of a model's README.md says under the keys that tell where the model comes from.

    Each key is read for itself: damage elsewhere silences none, and tables of scores, which can be long, are
    passed over. A key that is given twice says nothing, like one whose value is no plain YAML or too long.
    """
    head, _ = split_head(read_text(folder / README) or "")
    blocks: dict[str, list[str]] = {}
    for block in re.split(r"^(?=[A-Za-z_])", head, flags=re.MULTILINE):
        blocks.setdefault(block.partition(":")[0].rstrip(), []).append(block)
    found = {}
    for key in sorted(_KEYS & blocks.keys()):
        if len(blocks[key]) == 1 and len(blocks[key][0]) <= _LONGEST_VALUE:
            try:
                tree, _ = parse_yaml(blocks[key][0])
            except MalformedError:
                continue
            if isinstance(tree, dict) and key in tree:  # `license::` has another key
                found[key] = tree[key]
    return found


def texts_in(value: Value) -> tuple[str, ...]:
    """Return the texts of a value that is one, or a list of some."""
    given = value if isinstance(value, list) else [value]
    return tuple(one.strip() for one in given if isinstance(one, str) and one.strip())
