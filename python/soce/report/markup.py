"""Pieces of Markdown that say what is meant, whatever a name contains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    r"""Return text as a code span, in which Markdown and HTML mean nothing, also within a table.

    Examples
    --------
    >>> print(code("model-7B"), code("<b>"), code("a`|b"))
    `model-7B` <code>&#60;b&#62;</code> <code>a&#96;&#124;b</code>
    """
    safe = shown(text)
    if safe.strip() == safe != "" and not re.search(r"[`|\\<>&]", safe):
        return f"`{safe}`"
    # A backtick ends a span, a bar ends a cell of a table, a backslash may hide the bar's own, and some
    # readers take HTML for HTML even within a span: as numbers they are only characters, for all of them.
    numbers = (c if c.isalnum() or ord(c) > 127 else f"&#{ord(c)};" for c in safe or " ")
    return f"<code>{''.join(numbers)}</code>"


def plain(text: str) -> str:
    r"""Return text with everything escaped that Markdown or HTML would take as its own.

    Examples
    --------
    >>> print(plain("[a](b) <i>"))
    \[a\]\(b\) &lt;i&gt;
    """
    safe = shown(text, limit=2_000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#|~!])", r"\\\1", safe)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], sides: Iterable[str]) -> list[str]:
    """Return a table; cells are Markdown without bars of their own; `sides` has an r or l per column."""
    lines = [header, ["---:" if side == "r" else "---" for side in sides], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
