"""Long tables: a row for each score. The one form that holds a score table without loss."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from soce.exceptions import shown
from soce.files.arguments import expect_path
from soce.files.atomic import write_text
from soce.files.words import listed, nearest
from soce.scores.cells.column import is_missing, notes_on_cells, parse_column
from soce.scores.formats.metric_choice import chosen_rows
from soce.scores.grids.text import parse_json
from soce.scores.names.columns import role_by_name
from soce.scores.names.directions import directed
from soce.scores.outcomes import standing_on_items
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable, expect_table
from soce.scores.tables.averages import settle_averages
from soce.scores.tables.long_columns import HINT, PER_COLUMN, by_role
from soce.scores.tables.model_rows import no_models
from soce.scores.tables.wide import NUMBER_HINT

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import pandas as pd

    from soce.scores.cells.column import Parsed, Vector
    from soce.scores.formats.options import Decimal, ReadOptions
    from soce.scores.table import Role, Scale

_Told = TypeVar("_Told")

_NEEDED: Final = ("model", "category", "score")
_RARE: Final = ("parts", "metric")
"""Of what rows say of their category: written only where a column has one."""

_ROLES: Final[dict[str, Role]] = {"category": "category", "aggregate": "aggregate"}
_SCALES: Final[dict[str, Scale | None]] = {"percent": "percent", "unit": "unit", "unknown": None}
_DIRECTIONS: Final[dict[str, bool | None]] = {"true": True, "false": False}
_EXACT: Final = "exact"
_MAX_DECIMALS: Final = 400
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def long_table(grid: pd.DataFrame, path: str, options: ReadOptions) -> ScoreTable:
    """Return the score table of a long grid that was read at `path`.

    Columns `model`, `category`, `score`; optional `n` (items), `stderr`, `split`; `item`, with which a row is
    the outcome of one item and a score the mean over a category's items; optional `role`, `scale`,
    `higher_is_better`, `decimals`, `parts` and `metric`, which belong to the category and are the same in
    all its rows or empty. Other names that they may have are in `soce.scores.tables.long_columns`. Of several
    metrics of a category `ReadOptions.metric` says which. Every cell that is not what it should be is in the
    `ScoreTableError`.
    """
    refusals = Refusals(path)
    named = by_role(grid.columns)
    if named["category"] and named["score"] and not named["model"]:
        if options.model is None:
            refusals.refuse("the table does not say which model it is about", "say it: `NAME=PATH`")
        grid = grid.assign(model=options.model)
        named["model"] = ["model"]
    for role, names in named.items():
        if not names and role in _NEEDED:
            refusals.add(f"a long table has the columns {', '.join(_NEEDED)}: there is no `{role}`", HINT)
        if len(names) > 1:
            refusals.add(f"the {role} could be in any of {listed(names)}", f"call one of them `{role}`")
    refusals.check()
    called = {names[0]: role for role, names in named.items() if names}
    ignored = [(name, "not a column of a long table") for name in grid.columns if name not in called]
    rows = rows_of_split(grid.rename(columns=called), options, refusals)
    if "metric" in rows.columns:
        chosen = chosen_rows(rows["category"], rows["metric"], options, refusals)
        left = rows[chosen]
        without = dict.fromkeys(rows["category"]).keys() - set(left["category"])
        ignored += [(name, f"has no metric `{shown(options.metric or '')}`") for name in sorted(without)]
        rows = left
    _check_names(rows, refusals)
    models = {model: row for row, model in enumerate(rows["model"].unique())}
    categories = [
        _Category(str(name), of_category, options.decimal, refusals)
        for name, of_category in rows.groupby("category", sort=False, dropna=False)
    ]
    shape = (len(models), len(categories))
    arrays = {name: np.full(shape, np.nan) for name in ("score", "n", "stderr")}
    columns = []
    printed = {}
    outcomes: dict[str, dict[str, dict[str, float]]] = {}
    for place, category in enumerate(categories):
        into = [models[model] for model in category.rows["model"]]
        column, parsed = category.column()
        columns.append(column)
        printed[column.name] = parsed
        if "item" in rows.columns:
            for model, of_items in category.outcomes(parsed).items():
                outcomes.setdefault(model, {})[column.name] = of_items
                arrays["score"][models[model], place] = fsum(of_items.values()) / len(of_items)
                arrays["n"][models[model], place] = len(of_items)
            continue
        arrays["score"][into, place] = parsed.values
        for name, beside in (("n", parsed.counts), ("stderr", parsed.stderrs)):
            if beside is not None:
                arrays[name][into, place] = beside
        if "n" in rows.columns:
            arrays["n"][into, place] = category.counts()
        if "stderr" in rows.columns:
            arrays["stderr"][into, place] = category.stderrs(column)
    refusals.check()
    stated = {name for name in ("n", "stderr") if name in rows.columns or not np.isnan(arrays[name]).all()}
    table = ScoreTable(
        tuple(models),
        tuple(columns),
        arrays["score"],
        arrays["n"] if "n" in stated else None,
        arrays["stderr"] if "stderr" in stated else None,
        source=path,
        kind="long",
        ignored=tuple(ignored),
        notes=notes_on_cells(printed),
        outcomes=outcomes,
    )
    if outcomes:
        table = standing_on_items(table)
    if "role" in rows.columns:  # soce wrote it, so somebody has said already what is a model
        return table
    not_models = no_models(table.models, options, lambda: table.values)
    are_models = [model for model in table.models if model not in not_models]
    return settle_averages(replace(table.take(models=are_models), no_models=tuple(not_models.items())))


def rows_of_split(grid: pd.DataFrame, options: ReadOptions, refusals: Refusals) -> pd.DataFrame:
    """Return the rows of the split that is wanted, or of the only one; all without a column `split`."""
    wanted = options.split
    if "split" not in grid.columns:
        if wanted is not None:
            refusals.refuse(f"there is no split `{shown(wanted)}`: the table has no column `split`")
        return grid
    splits = grid["split"].unique().tolist()
    if wanted is None and len(splits) > 1:
        refusals.refuse(
            f"the table has {len(splits)} splits: {listed(splits)}", "say which one, with `--split`"
        )
    if wanted is not None and wanted not in splits:
        refusals.refuse(f"there is no split `{shown(wanted)}`", nearest(wanted, splits, "splits"))
    return grid[grid["split"] == (splits[0] if wanted is None else wanted)]


def _check_names(rows: pd.DataFrame, refusals: Refusals) -> None:
    """Refuse scores without a model, category or item, and scores that are there twice."""
    names = [name for name in ("model", "category", "item") if name in rows.columns]
    if "item" in names:
        for name in sorted({"n", "stderr"} & {*rows.columns}):
            refusals.add(
                f"a table of items has no column `{name}`", "leave it out: it follows from the items"
            )
    first: dict[tuple[str, ...], str] = {}
    for where, *key in zip(rows.index, *(rows[name] for name in names), strict=True):
        if lacking := [name for name, told in zip(names, key, strict=True) if not told]:
            refusals.add(f"{where}: the {lacking[0]} has no name")
            continue
        before = first.setdefault(tuple(key), where)
        if before != where:
            told = ", ".join(f"{name} `{shown(one)}`" for name, one in zip(names, key, strict=True))
            refusals.add(
                f"{where}: {told} is also in {before}",
                "keep one of them, or tell them apart in a column `split`",
            )
    refusals.check()


@dataclass(frozen=True, slots=True)
class _Category:
    """The rows of one category."""

    name: str
    rows: pd.DataFrame
    decimal: Decimal | None
    refusals: Refusals

    def column(self) -> tuple[Column, Parsed]:
        """Return the column and its scores."""
        parsed = self._parse("score", NUMBER_HINT)
        shows, decimals = parsed.scale, parsed.decimals
        if "item" in self.rows.columns:  # outcomes of 0 and 1 are shares, and their mean is not rounded
            decimals = None
            if shows is None and ((parsed.values >= 0) & (parsed.values <= 1)).all():
                shows = "unit"
        scale = self._told("scale", _SCALES.__getitem__, "percent, unit or unknown", shows)
        if parsed.signed and scale != "percent":
            self._refuse(0, "scale", f"is {scale or 'unknown'}, but there are percent signs")
        better = self._told("higher_is_better", _DIRECTIONS.__getitem__, "true or false", None)
        column = Column(
            self.name,
            self._told("role", _ROLES.__getitem__, "category or aggregate", role_by_name(self.name)),
            scale,
            better is not False,
            self._told("decimals", _decimals, "a number from 0 to 400 or `exact`", decimals),
            self._told("parts", _parts, 'a JSON list of names such as ["a", "b"]', ()),
            self._told("metric", str, "a metric", None),
            direction="default" if better is None else "stated",
        )
        if better is not None:
            return column, parsed
        return directed(column, parsed.values, signed=parsed.signed), parsed

    def outcomes(self, parsed: Parsed) -> dict[str, dict[str, float]]:
        """Return model → item → outcome."""
        found: dict[str, dict[str, float]] = {}
        told = zip(self.rows["model"], self.rows["item"], parsed.values.tolist(), strict=True)
        for i, (model, item, outcome) in enumerate(told):
            if is_missing(self.rows["score"].iloc[i]):
                self._refuse(i, "score", "the item has no outcome", "leave out items that were not scored")
            found.setdefault(model, {})[item] = outcome
        return found

    def counts(self) -> Vector:
        """Return the numbers of items."""
        parsed = self._parse("n")
        for i, count in enumerate(parsed.values.tolist()):
            if count < 0 or (count == count and count % 1) or parsed.signed:
                self._refuse(i, "n", f"`{shown(self.rows['n'].iloc[i])}` is not a number of items")
        return parsed.values

    def stderrs(self, column: Column) -> Vector:
        """Return the standard errors."""
        parsed = self._parse("stderr")
        if parsed.signed and column.scale != "percent":
            self._refuse(0, "stderr", "there are percent signs, but the scores are no percentages")
        for i in np.flatnonzero(parsed.values < 0).tolist():
            self._refuse(i, "stderr", f"`{shown(self.rows['stderr'].iloc[i])}` is negative")
        return parsed.values

    def _parse(self, column: str, hint: str | None = None) -> Parsed:
        parsed = parse_column(self.rows[column].tolist(), self.decimal)
        for bad in parsed.bad:
            self._refuse(bad.row, column, bad.message, bad.hint or hint)
        return parsed

    def _refuse(self, i: int, column: str, message: str, hint: str | None = None) -> None:
        where = f"{self.rows.index[i]}, category `{shown(self.name)}`, column `{column}`"
        self.refusals.add(f"{where}: {message}", hint)

    def _told(self, what: str, parse: Callable[[str], _Told], expected: str, otherwise: _Told) -> _Told:
        """Return what the rows say of the category in a column; they must not contradict each other."""
        texts = self.rows[what].tolist() if what in self.rows.columns else []
        told = [text for text in dict.fromkeys(texts) if not is_missing(text)]
        if not told:
            return otherwise
        if len(told) > 1:
            before = self.rows.index[texts.index(told[0])]
            message = f"`{shown(told[1])}` here, `{shown(told[0])}` in {before}"
            self._refuse(texts.index(told[1]), what, message)
        try:
            return parse(told[0])
        except (KeyError, ValueError):
            self._refuse(texts.index(told[0]), what, f"`{shown(told[0])}` is not {expected}")
        return otherwise


def _decimals(text: str) -> int | None:
    if text == _EXACT:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 3 or int(text) > _MAX_DECIMALS:
        raise ValueError
    return int(text)


def _parts(text: str) -> tuple[str, ...]:
    names = parse_json(text, "parts")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError
    return tuple(names)


def write_scores(table: ScoreTable, path: str | os.PathLike[str]) -> None:
    """Write a table as long CSV, which `read_scores` reads back equal.

    What only messages say is lost. Text is written as it is: a spreadsheet program may take a name that
    begins with ``=`` for a formula. Raises `ScoreTableError` if a name holds a NUL or an unpaired surrogate,
    which no UTF-8 text file can hold.
    """
    expect_table(table)
    expect_path(path, "path")
    about_columns = [
        name
        for name in PER_COLUMN
        if name not in _RARE or any(getattr(column, name) for column in table.columns)
    ]
    names = [_quoted(column.name) for column in table.columns]
    about = [_about(column, about_columns) for column in table.columns]
    arrays = {"score": table.values, "n": table.counts, "stderr": table.stderrs}
    there = {name: array.tolist() for name, array in arrays.items() if array is not None}
    lines = [",".join(["model", "category", *there, *about_columns])]
    for row, model in enumerate(map(_quoted, table.models)):
        numbers = zip(*(array[row] for array in there.values()), strict=True)
        lines += [
            f"{model},{name},{','.join(map(_written, written))},{column}"
            for name, written, column in zip(names, numbers, about, strict=True)
        ]
    text = "\n".join([*lines, ""])
    if "\0" in text or _SURROGATE.search(text):
        message = "a name holds a NUL or an unpaired surrogate, so the table cannot be written as text"
        Refusals(path).refuse(message, "rename the model or column")
    write_text(path, text)


def _about(column: Column, wanted: Sequence[str]) -> str:
    cells = {
        "role": column.role,
        "scale": column.scale or "unknown",
        "higher_is_better": str(column.higher_is_better).lower(),
        "decimals": _EXACT if column.decimals is None else str(column.decimals),
        "parts": json.dumps(column.parts, ensure_ascii=False),
        "metric": column.metric or "",
    }
    return ",".join(_quoted(cells[name]) for name in wanted)


def _written(number: float) -> str:
    if number != number:
        return ""
    return str(int(number)) if number.is_integer() and 0 < number < 1e15 else repr(number)


def _quoted(text: str) -> str:
    # Before Python 3.13 the csv module leaves a lone carriage return unquoted and then cannot read it back.
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
