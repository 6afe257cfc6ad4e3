"""The shapes of JSON that `DataFrame.to_json` writes for `orient="split"` and `orient="table"`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from soce.files.words import counted

if TYPE_CHECKING:
    from soce.scores.refusals import Refusals


def as_records(held: object, refusals: Refusals) -> object:
    """Return a list of flat objects if the JSON is of one of these shapes, else what was given."""
    if not isinstance(held, dict):
        return held
    if held.keys() == {"columns", "index", "data"} and all(isinstance(part, list) for part in held.values()):
        return _of_split(held["columns"], held["index"], held["data"], refusals)
    if held.keys() == {"schema", "data"} and isinstance(held["schema"], dict):
        return _of_table(held["schema"], held["data"])
    return held


def _of_split(columns: list[Any], index: list[Any], data: list[Any], refusals: Refusals) -> object:
    names = [str(name) for name in columns]
    if any(isinstance(name, list) for name in [*columns, *index]):
        hint = "write it with one level, such as `frame.columns.map('/'.join)`"
        refusals.refuse("the data frame has names of several levels", hint)
    if len(data) != len(index) or not all(isinstance(row, list) and len(row) == len(names) for row in data):
        rows = f"{counted(len(index), 'row')} of {counted(len(names), 'cell')}"
        refusals.refuse(f"the `data` are not {rows}, as the header says")
    if twice := [name for name, following in pairwise(sorted(names)) if name == following]:
        refusals.refuse(f"column `{twice[0]}` is there twice")
    numbered = index == list(range(len(index)))
    return [
        ({} if numbered else {"": label}) | dict(zip(names, row, strict=True))
        for label, row in zip(index, data, strict=True)
    ]


def _of_table(schema: dict[str, Any], data: object) -> object:
    key = schema.get("primaryKey")
    if key != ["index"] or not isinstance(data, list):  # an index that has no name
        return data
    rows = [row for row in data if isinstance(row, dict)]
    numbered = [row.get("index") for row in rows] == list(range(len(rows)))
    return [
        ({} if numbered else {"": row.get("index")}) | {name: row[name] for name in row if name != "index"}
        for row in rows
    ]
