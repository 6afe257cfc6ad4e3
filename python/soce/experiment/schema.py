"""The JSON schema of an experiment, for editors; `schema.json` beside this file is made by it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.experiment.keys import Key, Keys

SCHEMA: Final = Path(__file__).with_name("schema.json")
_TEXT: Final = {"type": ["string", "number"]}
_ANY: Final = {"type": ["string", "number", "boolean"]}
"""In mappings to what another program is told."""
_CALL: Final = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {"type": "object", "additionalProperties": _ANY},
}


def experiment_schema(keys: Keys) -> dict[str, Any]:
    """Return what an experiment may say as JSON schema.

    Editors complete and explain by it. It cannot say everything: files, models and categories that are not
    there are told when the experiment is read.
    """
    sections = dict(keys.sections)
    alone = sections.pop("", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of soce",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: _section(there, keys.short(name)) for name, there in sections.items()},
            **{name: _value(key) for name, key in alone.items()},
        },
    }


def _section(keys: Mapping[str, Key], short: Key | None) -> dict[str, Any]:
    mapping: dict[str, Any] = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: _value(key) for name, key in keys.items()},
    }
    pairs = [
        {"not": {"required": [one.name, other.name]}}
        for one, other in combinations(keys.values(), 2)
        if one.either is not None and one.either == other.either
    ]
    if pairs:
        mapping["allOf"] = pairs
    return mapping if short is None else {"anyOf": [_value(short), mapping]}


def _value(key: Key) -> dict[str, Any]:
    one = dict(key.schema()) or _TEXT
    kinds = {
        "value": one,
        "switch": {"type": "boolean"},
        "list": {"type": "array", "items": one},
        "calls": {"type": "array", "items": {"anyOf": [one, _CALL]}},
        "pairs": {"type": "object", "additionalProperties": _ANY},
        "lists": {
            "type": "object",
            "additionalProperties": {"anyOf": [_ANY, {"type": "array", "items": _ANY}]},
        },
    }
    told = {"description": key.help} if key.help else {}
    wider = {"pairs": "lists", "list": "calls"}
    shapes = [kinds[shape] for shape in key.shapes if wider.get(shape) not in key.shapes]
    return {**told, **(shapes[0] if len(shapes) == 1 else {"anyOf": shapes})}
