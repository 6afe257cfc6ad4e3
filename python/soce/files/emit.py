"""Trees of plain values to YAML and JSON that read back the same, whatever the names contain."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Tree: TypeAlias = "str | int | float | bool | Sequence[Tree] | Mapping[str, Tree] | None"

_WIDTH: Final = 100
_LONG_KEY: Final = 1000
"""YAML takes a key without `?` only up to 1024 characters."""
_BARE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./()-]*(?: [A-Za-z0-9(][A-Za-z0-9_./()-]*)*", re.ASCII)
_WORDS: Final = frozenset(
    {"null", "none", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"}
)
_ESCAPED: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def to_yaml(tree: Mapping[str, Tree]) -> str:
    """Return a mapping as YAML of the subset that recipes are read in.

    Examples
    --------
    >>> print(to_yaml({"ingredients": {"a: b": "path/A", "c": "no"}, "recipes": [[5, 2], [1, 1]]}), end="")
    ingredients:
      "a: b": path/A
      c: "no"
    recipes:
      - [5, 2]
      - [1, 1]
    """
    return "".join(f"{line}\n" for line in _mapping(tree, ""))


def to_json(tree: Mapping[str, Tree]) -> str:
    """Return a mapping as JSON."""
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def n_values(tree: Tree) -> int:
    """Return how many values a tree has as the recipe reader counts them: keys, lists, mappings, scalars."""
    if isinstance(tree, Mapping):
        return 1 + len(tree) + sum(n_values(value) for value in tree.values())
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return 1 + sum(n_values(value) for value in tree)
    return 1


def quoted(text: str) -> str:
    """Return a text as a YAML scalar: bare where no reader could take it for anything else."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return printable(json.dumps(text, ensure_ascii=False))  # its escapes are YAML's


def printable(text: str) -> str:
    """Return a line with characters that YAML forbids or a terminal hides written as escapes."""
    return "".join(_escape(char) if unicodedata.category(char) in _ESCAPED else char for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _scalar(value: Tree) -> str:
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def _mapping(tree: Mapping[str, Tree], indent: str) -> list[str]:
    lines = []
    for name, value in tree.items():
        key = quoted(name)
        start = f"{indent}{key}:" if len(key) < _LONG_KEY else f"{indent}? {key}\n{indent}:"
        lines += _entry(start, value, indent)
    return lines


def _entry(start: str, value: Tree, indent: str) -> list[str]:
    """Return the lines of a value that stands behind `start`."""
    if isinstance(value, Mapping):
        return [start, *_mapping(value, indent + "  ")] if value else [f"{start} {{}}"]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(_is_scalar(item) for item in value):
            return _flow(f"{start} [", [_scalar(item) for item in value], indent + "    ")
        return [start, *(line for item in value for line in _item(item, indent + "  "))]
    return [f"{start} {_scalar(value)}"]


def _item(value: Tree, indent: str) -> list[str]:
    """Return the lines of an item of a list: a mapping starts behind the dash."""
    if isinstance(value, Mapping) and value:
        first, *rest = _mapping(value, indent + "  ")
        return [f"{indent}- {first[len(indent) + 2 :]}", *rest]
    return _entry(f"{indent}-", value, indent)


def _is_scalar(value: Tree) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _flow(start: str, items: Sequence[str], indent: str) -> list[str]:
    """Return a list between brackets, broken where it gets long."""
    lines, line = [], start
    for place, item in enumerate(items):
        text = item if place == len(items) - 1 else f"{item},"
        if len(line) + len(text) >= _WIDTH and line.strip() and place:
            lines.append(line.rstrip())
            line = indent
        line += text if line.endswith(("[", indent)) else f" {text}"
    return [*lines, f"{line}]"]
