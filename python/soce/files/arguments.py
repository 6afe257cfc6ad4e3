"""Whether callers passed what is expected: one `TypeError` that says what was expected and what was given."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from soce.exceptions import shown


def expect(value: object, kinds: type | tuple[type, ...], name: str, expected: str) -> None:
    """Raise `TypeError` if an argument is of none of these kinds.

    Examples
    --------
    >>> expect("scores.csv", dict, "table", "a mapping")
    Traceback (most recent call last):
    TypeError: `table` must be a mapping, not the text `scores.csv`
    """
    if not isinstance(value, kinds):
        raise _wrong(value, f"`{name}` must be {expected}")


def expect_path(value: object, name: str) -> None:
    """Raise `TypeError` if an argument is no path."""
    expect(value, (str, os.PathLike), name, "a path")


def expect_paths(value: object, name: str) -> None:
    """Raise `TypeError` if an argument is not several paths: a text would be one for each letter."""
    _expect_several(value, (str, os.PathLike), name, "path")


def expect_names(value: object, name: str) -> None:
    """Raise `TypeError` if an argument is not several names."""
    _expect_several(value, (str,), name, "name")


def _expect_several(value: object, kinds: tuple[type, ...], name: str, noun: str) -> None:
    if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable):
        raise _wrong(value, f"`{name}` must be a list of {noun}s")
    for one in value if isinstance(value, Collection) else ():  # what can be iterated once is left alone
        if not isinstance(one, kinds):
            raise _wrong(one, f"every entry of `{name}` must be a {noun}")


def expect_mapping(value: object, name: str, of: str) -> None:
    """Raise `TypeError` if an argument is no mapping; `of` says of what."""
    expect(value, Mapping, name, f"a mapping {of}")


def _wrong(value: object, expected: str) -> TypeError:
    kind = type(value)
    home = "" if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__.partition('.')[0]}."
    got = f"the text `{shown(value, limit=40)}`" if isinstance(value, str) else f"{home}{kind.__qualname__}"
    return TypeError(f"{expected}, not {'None' if value is None else got}")
