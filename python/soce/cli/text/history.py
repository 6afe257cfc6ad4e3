"""The questions that were asked in a folder as lines of text: how they differ, and so their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.cli.text.layout import wrapped
from soce.files.words import signed
from soce.search.history import differing
from soce.search.soup import soup_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.search.history import Past

_MOST: Final = 8
"""Differences that are listed; `--json` has all."""


def history_blocks(questions: Sequence[Past], *, has_present: bool) -> list[list[str]]:
    """Return a block for each question, in the order in which they were last asked."""
    blocks = []
    for place, one in enumerate(questions):
        is_present = has_present and place == len(questions) - 1
        when = "" if one.when is None else f"   asked {one.when:%Y-%m-%d %H:%M} UTC"
        lines = [f"question {one.number}{' (now)' if is_present else ''}{when}"]
        if place:
            changes = differing(questions[place - 1], one)
            more = [f"and {len(changes) - _MOST} more"] if len(changes) > _MOST else []
            told = "; ".join([*changes[:_MOST], *more]) or "nothing that is known"
            lines += wrapped(told, "differs    ")
        blocks.append(lines + _result_lines(one))
    return blocks


def _result_lines(one: Past) -> list[str]:
    if one.result is None:
        return ["result     none: the search was not finished, or another version of soce wrote it"]
    result = one.result
    against = result.against_best
    lines = [
        *wrapped(soup_text(result.best.parts), "soup       "),
        *wrapped(result.verdict, "result     "),
    ]
    if against.interval is not None:
        low, high = (signed(end * result.times) for end in (against.interval.low, against.interval.high))
        level = f"{100 * against.interval.level:g} % interval"
        gain = f"{signed(against.difference * result.times)}{result.unit}, {level} [{low}, {high}]"
        lines += wrapped(gain, "difference ")
    return lines
