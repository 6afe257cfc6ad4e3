"""What the types of options look like as JSON schema, for editors."""

from __future__ import annotations

from typing import Any

import click


def schema_of(kind: click.ParamType[Any]) -> dict[str, object]:
    """Return the JSON schema of one value of a type."""
    if isinstance(kind, click.Choice):
        return {"enum": list(kind.choices)}
    if isinstance(kind, click.IntRange):
        return {"type": "integer", **({} if kind.min is None else {"minimum": kind.min})}
    if kind is click.INT:
        return {"type": "integer"}
    if isinstance(kind, type(click.FLOAT)):
        return {"type": "number"}
    return {"type": ["string", "number"]}
