"""JSON and JSON Lines that hold a table: objects of objects, or flat objects one after the other."""

from __future__ import annotations

import re
from typing import Any, Final

from soce.exceptions import ScoreTableError, shown
from soce.scores.grids.lines import Rows
from soce.scores.grids.pandas_json import as_records
from soce.scores.grids.text import WrittenFloat, parse_json
from soce.scores.refusals import Refusals

_SHAPES: Final = (
    'write {"model": {"category": 0.5}} or [{"model": "a", "category": 0.5}]; a missing score is null'
)
_OBJECT: Final = re.compile(r"\s*\{.*\}\s*")


def is_json(text: str) -> bool:
    """Whether all of a text is a JSON object or list, or a JSON object in each line."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        held = _parse_lines(text, "")[0] if has_object_lines(text) else parse_json(text, "")
    except ScoreTableError:
        return False
    return isinstance(held, (dict, list))


def has_object_lines(text: str) -> bool:
    """Whether there are several lines that are not blank, each with an object of its own."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) > 1 and all(map(_OBJECT.fullmatch, lines))


def read_json(text: str, path: str, *, as_lines: bool) -> Rows:
    """Return the rows of ``{"model": {"category": number}}``, or of flat objects in a list or in lines."""
    refusals = Refusals(path)
    if as_lines or has_object_lines(text):
        entries, lines = _parse_lines(text, path)
        return _rows_of_entries(entries, [f"line {line}" for line in lines], refusals)
    held = as_records(parse_json(text, path), refusals)
    if isinstance(held, list):
        return _rows_of_entries(held, [f"entry {i}" for i in range(1, len(held) + 1)], refusals)
    if not isinstance(held, dict):
        refusals.refuse("the JSON is not a score table: it is neither an object nor a list", _SHAPES)
    places = [f"model `{shown(model)}`" for model in held]
    rows = _rows_of_entries(list(held.values()), places, refusals, "values")
    return rows._replace(header=["", *rows.header], columns=[list(held), *rows.columns])


def _parse_lines(text: str, path: str) -> tuple[list[Any], list[int]]:
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    return [parse_json(line, path, first_line=number) for number, line in lines.items()], [*lines]


def _rows_of_entries(
    entries: list[Any], places: list[str], refusals: Refusals, what: str = "entries"
) -> Rows:
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        refusals.refuse(f"the JSON is not a score table: its {what} are not objects", _SHAPES)
    for place, entry in zip(places, entries, strict=True):
        for name, value in entry.items():
            if isinstance(value, (dict, list)):
                refusals.add(f"{place}, column `{shown(name)}`: a score cannot be nested", _SHAPES)
    refusals.check()
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    if len(names) < (1 if what == "values" else 2):
        refusals.refuse("the JSON is not a score table: it has no scores", _SHAPES)
    return Rows(names, [[_text(entry.get(name)) for entry in entries] for name in names], places)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if value is None:
        return ""
    if isinstance(value, WrittenFloat):
        return value.text
    return str(value).lower() if isinstance(value, bool) else str(value)
