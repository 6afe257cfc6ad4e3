"""Long tables: a row for each score. The one form that holds a score table without loss."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np

from soce.exceptions import Problem, ScoreTableError, shown
from soce.files.words import nearest
from soce.scores.formats.cells import is_missing, parse_column
from soce.scores.formats.grid import Grid, read_grid
from soce.scores.formats.names import role_by_name
from soce.scores.formats.table import NUMBER_HINT
from soce.scores.formats.text import Refusals, parse_json
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from soce.scores.formats.cells import Vector
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import Role, Scale

_Told = TypeVar("_Told")

_NEEDED: Final = ("model", "category", "score")
_PER_SCORE: Final = (*_NEEDED, "n", "stderr", "split")
_PER_COLUMN: Final = ("role", "scale", "higher_is_better", "decimals", "parts", "metric")
_RARE: Final = ("parts", "metric")
"""Of these: written only where a column has one."""

_ROLES: Final[dict[str, Role]] = {"category": "category", "aggregate": "aggregate"}
_SCALES: Final[dict[str, Scale | None]] = {"percent": "percent", "unit": "unit", "unknown": None}
_DIRECTIONS: Final = {"true": True, "false": False}
_EXACT: Final = "exact"
_MAX_DECIMALS: Final = 400


def is_long(header: Sequence[str]) -> bool:
    """Whether a header is that of a long table: it has `model`, `category` and `score`."""
    return set(_NEEDED) <= set(header)


def read_long(path: str | os.PathLike[str], options: ReadOptions) -> ScoreTable:
    """Read a long table from CSV, TSV, JSON (a list of flat objects) or Parquet.

    Parameters
    ----------
    path : path-like
        Columns `model`, `category`, `score`; optional `n` (items), `stderr`, `split`; optional `role`,
        `scale`, `higher_is_better`, `decimals`, `parts` and `metric`, which belong to the category and are
        the same in all its rows or empty. See `write_scores`.
    options : ReadOptions
        `split`, needed if the table has several.

    Returns
    -------
    ScoreTable
        Models and columns in order of appearance.

    Raises
    ------
    ScoreTableError
        With every cell that is not what it should be; a (model, category, split) that is there twice.
    OSError
        The file cannot be read.
    """
    return long_table(read_grid(str(path)), options)


def long_table(grid: Grid, options: ReadOptions) -> ScoreTable:
    """Return the score table of a long grid; see `read_long`."""
    refusals = Refusals(grid.path)
    held = dict(zip(grid.header, grid.columns, strict=True))
    for name in _NEEDED:
        if name not in held:
            refusals.add(f"a long table has the columns {', '.join(_NEEDED)}: there is no `{name}`")
    refusals.check()
    chosen = _rows_of_split(held, options, refusals)
    rows_of = _rows_by_category(grid, held, chosen, refusals)
    model_rows = {name: i for i, name in enumerate(dict.fromkeys(held["model"][row] for row in chosen))}
    shape = (len(model_rows), len(rows_of))
    values = np.full(shape, np.nan)
    counts = np.full(shape, np.nan) if "n" in held else None
    stderrs = np.full(shape, np.nan) if "stderr" in held else None
    columns = []
    for place, (category, rows) in enumerate(rows_of.items()):
        read = _Category(grid, held, category, rows, refusals)
        into = [model_rows[held["model"][row]] for row in rows]
        column, values[into, place] = read.column()
        columns.append(column)
        if counts is not None:
            counts[into, place] = read.counts()
        if stderrs is not None:
            stderrs[into, place] = read.stderrs(column)
    refusals.check()
    ignored = [(name, "not a column of a long table") for name in grid.header]
    return ScoreTable(
        tuple(model_rows),
        tuple(columns),
        values,
        counts,
        stderrs,
        source=grid.path,
        kind="long",
        ignored=tuple(pair for pair in ignored if pair[0] not in (*_PER_SCORE, *_PER_COLUMN)),
    )


def _rows_of_split(
    held: dict[str, tuple[str, ...]], options: ReadOptions, refusals: Refusals
) -> Sequence[int]:
    if "split" not in held:
        if options.split is not None:
            refusals.refuse(f"there is no split `{shown(options.split)}`: the table has no column `split`")
        return range(len(held["model"]))
    splits = list(dict.fromkeys(held["split"]))
    if options.split is None and len(splits) > 1:
        listed = ", ".join(f"`{shown(split)}`" for split in splits[:10])
        refusals.refuse(f"the table has {len(splits)} splits: {listed}", "say which one, with `--split`")
    if options.split is not None and options.split not in splits:
        hint = nearest(options.split, splits, "splits")
        refusals.refuse(f"there is no split `{shown(options.split)}`", hint)
    wanted = splits[0] if options.split is None else options.split
    return [row for row, split in enumerate(held["split"]) if split == wanted]


def _rows_by_category(
    grid: Grid, held: dict[str, tuple[str, ...]], chosen: Sequence[int], refusals: Refusals
) -> dict[str, list[int]]:
    """Return the rows of each category, in order of appearance; note what is there twice."""
    rows_of: dict[str, list[int]] = {}
    first: dict[tuple[str, str], int] = {}
    for row in chosen:
        model, category = held["model"][row], held["category"][row]
        if not model or not category:
            refusals.add(f"{grid.where(row)}: the {'category' if model else 'model'} has no name")
            continue
        before = first.setdefault((model, category), row)
        if before != row:
            refusals.add(
                f"{grid.where(row)}: model `{shown(model)}`, category `{shown(category)}` is also in"
                f" {grid.where(before)}",
                "keep one of them, or tell them apart in a column `split`",
            )
            continue
        rows_of.setdefault(category, []).append(row)
    refusals.check()
    return rows_of


@dataclass(frozen=True, slots=True)
class _Category:
    """The rows of one category."""

    grid: Grid
    held: dict[str, tuple[str, ...]]
    name: str
    rows: list[int]
    refusals: Refusals

    def column(self) -> tuple[Column, Vector]:
        """Return the column and its scores."""
        texts = [self.held["score"][row] for row in self.rows]
        parsed = parse_column(texts)
        for bad in parsed.bad:
            self._refuse(bad.row, "score", bad.message, NUMBER_HINT)
        scale = self._told("scale", _SCALES.__getitem__, "percent, unit or unknown", lambda: parsed.scale)
        if parsed.signed and scale != "percent":
            self._refuse(0, "scale", f"is {scale or 'unknown'}, but there are percent signs")
        column = Column(
            self.name,
            self._told("role", _ROLES.__getitem__, "category or aggregate", lambda: role_by_name(self.name)),
            scale,
            self._told("higher_is_better", _DIRECTIONS.__getitem__, "true or false", lambda: True),
            self._told("decimals", _decimals, "a number from 0 to 400 or `exact`", lambda: parsed.decimals),
            self._told("parts", _parts, 'a JSON list of names such as ["a", "b"]', lambda: ()),
            self._told("metric", str, "a metric", lambda: None),
        )
        return column, parsed.values

    def counts(self) -> Vector:
        """Return the numbers of items."""
        parsed = parse_column([self.held["n"][row] for row in self.rows])
        for bad in parsed.bad:
            self._refuse(bad.row, "n", bad.message)
        for i, count in enumerate(parsed.values.tolist()):
            if count < 0 or (count == count and count % 1) or parsed.signed:
                message = f"`{shown(self.held['n'][self.rows[i]])}` is not a number of items"
                self._refuse(i, "n", message)
        return parsed.values

    def stderrs(self, column: Column) -> Vector:
        """Return the standard errors."""
        parsed = parse_column([self.held["stderr"][row] for row in self.rows])
        for bad in parsed.bad:
            self._refuse(bad.row, "stderr", bad.message)
        if parsed.signed and column.scale != "percent":
            self._refuse(0, "stderr", "there are percent signs, but the scores are no percentages")
        for i in np.flatnonzero(parsed.values < 0).tolist():
            self._refuse(i, "stderr", f"`{shown(self.held['stderr'][self.rows[i]])}` is negative")
        return parsed.values

    def _refuse(self, i: int, column: str, message: str, hint: str | None = None) -> None:
        where = f"{self.grid.where(self.rows[i])}, category `{shown(self.name)}`, column `{column}`"
        self.refusals.add(f"{where}: {message}", hint)

    def _told(
        self, what: str, parse: Callable[[str], _Told], expected: str, otherwise: Callable[[], _Told]
    ) -> _Told:
        """Return what the rows say of the category in a column; they must not contradict each other."""
        if what not in self.held:
            return otherwise()
        texts = [self.held[what][row] for row in self.rows]
        told = [text for text in dict.fromkeys(texts) if not is_missing(text)]
        if not told:
            return otherwise()
        if len(told) > 1:
            before = self.grid.where(self.rows[texts.index(told[0])])
            message = f"`{shown(told[1])}` here, `{shown(told[0])}` in {before}"
            self._refuse(texts.index(told[1]), what, message)
        try:
            return parse(told[0])
        except (KeyError, ValueError):
            self._refuse(texts.index(told[0]), what, f"`{shown(told[0])}` is not {expected}")
        return otherwise()


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
    return tuple(cast("list[str]", names))


def write_scores(table: ScoreTable, path: str | os.PathLike[str]) -> None:
    """Write a table as long CSV, which `read_scores` reads back equal.

    Scores, counts, standard errors, scales, directions, roles, decimals, parts, metrics, missing cells and
    the order of models and columns survive; `source`, `kind`, `ignored` and `blanked` do not. Text is written
    as it is: a spreadsheet program may take a name that begins with ``=`` for a formula.

    Parameters
    ----------
    table : ScoreTable
    path : path-like
        Replaced if it exists.

    Raises
    ------
    ScoreTableError
        A name holds a NUL or an unpaired surrogate, which no UTF-8 text file can hold.
    OSError
        The file cannot be written.
    """
    left_out = {rare for rare in _RARE if not any(getattr(column, rare) for column in table.columns)}
    about_columns = [name for name in _PER_COLUMN if name not in left_out]
    names = [_quoted(column.name) for column in table.columns]
    about = [_about(column, about_columns) for column in table.columns]
    extra = {"n": table.counts, "stderr": table.stderrs}
    there = {name: array.tolist() for name, array in extra.items() if array is not None}
    lines = [",".join([*_NEEDED, *there, *about_columns])]
    for row, scores in enumerate(table.values.tolist()):
        numbers = zip(scores, *(array[row] for array in there.values()), strict=True)
        model = _quoted(table.models[row])
        lines.extend(
            f"{model},{name},{','.join(map(_written, written))},{column}"
            for name, written, column in zip(names, numbers, about, strict=True)
        )
    text = "\n".join([*lines, ""])
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = b"\0"
    if b"\0" in content:
        message = "a name holds a NUL or an unpaired surrogate, so the table cannot be written as text"
        raise ScoreTableError.of([Problem("scores", str(path), None, message, "rename the model or column")])
    Path(path).write_bytes(content)


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
