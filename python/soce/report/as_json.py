"""A report as plain Python: what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from soce.report.document import Facts, Note, Quotes, Table

if TYPE_CHECKING:
    from soce.report.document import Block, Document

FORMAT: Final = 1
_LOOKS: Final = {"soft", "style", "is_folded", "drawing", "is_half"}
"""What only a page shows."""


def as_json(document: Document) -> dict[str, Any]:
    """Return the document's blocks and the numbers behind them; names stand there as they are."""
    return {
        "format": FORMAT,
        "soce": document.version,
        "title": document.title,
        "subtitle": document.subtitle,
        "caution": document.caution,
        "verdict": document.verdict,
        "tone": document.tone,
        "sections": [
            {
                "anchor": section.anchor,
                "title": section.title,
                "missing": list(section.missing),
                "blocks": [_block(block) for block in section.blocks],
                "data": _finite(section.data),
            }
            for section in document.sections
        ],
    }


def _block(block: Block) -> dict[str, Any]:
    kind = {"kind": type(block).__name__.lower()}
    match block:
        case Note():
            return {**kind, "severity": block.kind, "text": block.text, "hint": block.hint}
        case Facts():
            facts = [
                {"name": name, "text": found.text, "value": found.to_json(), "remark": remark}
                for name, found, remark in block.items
            ]
            return {**kind, "facts": facts}
        case Table():
            rows = [[one.to_json() for one in row] for row in block.rows]
            return {**kind, "caption": block.caption, "header": list(block.header), "rows": rows}
        case Quotes():
            return kind | block.to_json()
        case _:
            words = [one.name for one in fields(block) if one.name not in _LOOKS]
            return kind | {name: getattr(block, name) for name in words}


def _finite(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return plain Python without NaN and infinities, which JSON does not have: they become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
