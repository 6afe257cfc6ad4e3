"""Names with a ``+`` in them that are no base with an adapter: which half is missing, or empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from soce.exceptions import CheckpointError, Problem, shown
from soce.recipes.names import is_url, remote_name, split_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_halves(paths: Iterable[str]) -> None:
    """Refuse names of ingredients that look like a base and an adapter, and lack one of them.

    A name of which no half is known is left to whoever opens it: it may be a path that is written wrong.
    """
    problems = [found for path in dict.fromkeys(paths) if (found := _lacking(path)) is not None]
    if problems:
        raise CheckpointError.of(problems)


def _lacking(path: str) -> Problem | None:
    if "+" not in path or os.path.lexists(path):
        return None
    _, top = split_adapter(path)
    if top is not None:
        hint = "check what stands behind the `+`"
        return None if _is_known(top) else _problem(path, f"no adapter `{shown(top)}` is here", hint)
    if is_url(path):
        return None
    base, _, adapter = path.rpartition("+")
    base = base.rstrip("+")
    if not adapter and _is_known(base):
        return _problem(path, "no adapter after the `+`", f"write `{shown(base)}+ADAPTER`, or the base alone")
    if not _is_known(adapter):
        return None
    hint = f"the base comes first: write `BASE+{shown(adapter)}`"
    if not base or base.endswith("/"):
        return _problem(path, "no base before the `+`", hint)
    if _is_known(base):
        return _problem(path, "nothing between one `+` and the next", f"write `{shown(f'{base}+{adapter}')}`")
    return _problem(path, f"there is no base `{shown(base)}`", f"{hint}, with a path or `org/model` for BASE")


def _is_known(name: str) -> bool:
    """Whether something is here by this name, or it is one of the Hub, a store or the web."""
    return os.path.lexists(name) or is_url(name) or remote_name(name) is not None


def _problem(path: str, message: str, hint: str) -> Problem:
    return Problem("checkpoint", path, None, message, hint)
