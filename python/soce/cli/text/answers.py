"""Items with what models said to them, as lines of text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from soce.analysis.item_texts import answer_text, excerpt
from soce.cli.text.layout import shortened
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.analysis.item_texts import ItemText, ItemTexts
    from soce.analysis.side_by_side import ItemAnswers, Said

_WIDTH: Final = 80
_NAME: Final = 20
_LONGEST: Final = 360
"""Characters of a text that are printed; `--full` prints all."""


def item_blocks(items: Sequence[ItemAnswers], texts: ItemTexts, *, full: bool) -> list[list[str]]:
    """Return a block for each item: what was asked, and what each model said."""
    names = ["prompt", *(shown(one.model) for one in (items[0].said if items else ()))]
    width = min(max(map(len, names)), _NAME)
    return [_item_lines(one, texts.get((one.category, one.item)), width, full=full) for one in items]


def _item_lines(one: ItemAnswers, text: ItemText | None, width: int, *, full: bool) -> list[str]:
    lines = [shown(f"{one.category}/{one.item}")]
    if text is None:
        digest = f"of digest {one.prompt_digest}" if one.prompt_digest else "not known"
        lines += paragraph("prompt", digest, width, full=full)
    else:
        if text.prompt:
            lines += paragraph("prompt", text.prompt, width, full=full)
        lines += paragraph("wanted", text.wanted, width, full=full)
    for said in one.said:
        name = shortened(shown(said.model), _NAME)
        lines += paragraph(name, _words(said, text), width, mark=mark(said), full=full)
    return lines


def mark(said: Said) -> str:
    """Return whether a model was right: a tick, a cross, or nothing if neither can be said."""
    return {True: "\u2713", False: "\u2717", None: " "}[said.is_right]


def _words(said: Said, text: ItemText | None) -> str:
    words = (
        "(no answer is kept)"
        if said.answer is None
        else answer_text(said.answer, text).strip() or "(nothing)"
    )
    if said.outcome is not None and said.is_right is None:
        words = f"{said.outcome:.4g}: {words}"
    return f"{words}\n(cut at its length)" if said.answer is not None and said.answer.is_cut else words


def paragraph(head: str, text: str, width: int, *, mark: str = " ", full: bool = False) -> list[str]:
    """Return a text beside its name, in lines that fit; its own line breaks stay."""
    indent = " " * (width + 6)
    kept = text if full else excerpt(text, _LONGEST)
    lines = []
    for line in kept.replace("\r\n", "\n").expandtabs(4).split("\n"):
        lines += textwrap.wrap(shown(line, limit=len(line)), _WIDTH - len(indent)) or [""]
    first, *others = lines
    return [
        f"  {mark} {head.ljust(width)}  {first}".rstrip(),
        *(f"{indent}{line}".rstrip() for line in others),
    ]
