"""What a demo found, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.cli.text.layout import wrapped
from soce.cli.text.search import result_lines, verdict_lines
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.search.result import SearchResult


def demo_lines(result: SearchResult, machine: str) -> list[str]:
    """Return what a search prints, and the machine on which another demo would find the same."""
    where = f"{shown(machine)}: elsewhere models and scores differ a little"
    return [*result_lines(result), *wrapped(where, "trained on "), "", *verdict_lines(result)]
