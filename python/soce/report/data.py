"""A report as plain Python: what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from soce.report.document import Code, Facts, Figure, Note, Table, Text

if TYPE_CHECKING:
    from soce.report.document import Block, Report

FORMAT: Final = 1


def data(report: Report) -> dict[str, Any]:
    """Return the report's blocks and the numbers behind them; names stand there as they are."""
    return {
        "format": FORMAT,
        "soce": report.version,
        "title": report.title,
        "subtitle": report.subtitle,
        "verdict": report.verdict,
        "tone": report.tone,
        "sections": [
            {
                "anchor": section.anchor,
                "title": section.title,
                "missing": list(section.missing),
                "blocks": [_block(block) for block in section.blocks],
                "data": finite(section.data),
            }
            for section in report.sections
        ],
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            return {"kind": "text", "text": block.text}
        case Note():
            return {"kind": "note", "severity": block.kind, "text": block.text, "hint": block.hint}
        case Facts():
            facts = [
                {"name": name, "text": found.text, "value": found.to_json(), "remark": remark}
                for name, found, remark in block.items
            ]
            return {"kind": "facts", "facts": facts}
        case Table():
            return {
                "kind": "table",
                "caption": block.caption,
                "header": list(block.header),
                "rows": [[one.to_json() for one in row] for row in block.rows],
            }
        case Figure():
            return {
                "kind": "figure",
                "name": block.name,
                "title": block.title,
                "description": block.description,
                "caption": block.caption,
            }
        case Code():
            return {"kind": "code", "caption": block.caption, "text": block.text}


def finite(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return plain Python without NaN and infinities, which JSON does not have: they become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
