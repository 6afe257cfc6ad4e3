"""What the types of options look like as JSON schema, for editors."""

from __future__ import annotations

from typing import Any

import click

from soce.cli.options.types import UncheckedNumber


def schema_of(kind: click.ParamType[Any]) -> dict[str, object]:
    """Return the JSON schema of one value of a type."""
    if isinstance(kind, UncheckedNumber):
        kind = kind.range
    if isinstance(kind, click.Choice):
        return {"enum": list(kind.choices)}
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        ends = {"minimum": kind.min, "maximum": kind.max}
        number = "integer" if isinstance(kind, click.IntRange) else "number"
        return {"type": number, **{name: end for name, end in ends.items() if end is not None}}
    if kind is click.INT:
        return {"type": "integer"}
    if isinstance(kind, type(click.FLOAT)):
        return {"type": "number"}
    return {"type": ["string", "number"]}
