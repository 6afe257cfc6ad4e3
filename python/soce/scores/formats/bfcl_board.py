"""Tables of the Berkeley Function Calling Leaderboard, v3 and v4: `data_overall.csv` and the group files."""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.scores import bfcl
from soce.scores.cells.column import NotANumberError, parse_column, parse_score
from soce.scores.formats.options import ReadOptions
from soce.scores.grids.grid import read_grid
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable
from soce.scores.tables.wide import check_models

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

_MARKS: Final[dict[str, frozenset[str]]] = {
    "overall": frozenset({"Rank", "Model", "Overall Acc", "Non-Live AST Acc"}),
    "non_live": frozenset({"Rank", "Model", "AST Summary", "Java Simple AST"}),
    "live": frozenset({"Rank", "Model", "Live Overall Acc"}),
    "multi_turn": frozenset({"Rank", "Model", "Multi Turn Overall Acc"}),
    "agentic": frozenset({"Rank", "Model", "Agentic Overall Acc"}),
}
"""Headers that tell which file of a board this is; the numbers of columns changed over time."""
_FORMAT_SENSITIVITY: Final = "data_format_sensitivity.csv"
_MIXED: Final = "read the files of one snapshot of one board; v3 and v4 measure different things"


def recognise(path: Path) -> bool:
    """Whether this is a leaderboard table, by its header, or a folder of them."""
    if path.is_dir():
        return any(recognise(path / f"data_{file}.csv") for file in bfcl.FILES)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(1 << 14).decode("utf-8-sig", errors="replace")
    return _file_of(first.rstrip("\r\n").split(",")) is not None


def _file_of(headers: Iterable[str]) -> str | None:
    given = {header.strip() for header in headers}
    return next((file for file, marks in _MARKS.items() if marks <= given), None)


def read(path: Path, options: ReadOptions) -> ScoreTable:
    """Return the table of a folder with ``data_*.csv``, or of one such file with what it has; in percent.

    The categories are the benchmark's leaves under their own names; other scores are aggregates, named after
    their file and header (``overall/Overall Acc``). An aggregate is missing if a leaf below it is, even where
    the board prints a number: it counts missing leaves as 0. No option is looked at.
    """
    import pandas as pd

    del options
    refusals = Refusals(path)
    expected: dict[Path, str | None] = {path: None}
    if path.is_dir():
        expected = {path / f"data_{file}.csv": file for file in bfcl.FILES}
    files = {place: _read_file(place, file) for place, file in expected.items() if place.exists()}
    if not files:
        refusals.refuse("there is no table of a BFCL board", "a board has `data_overall.csv` and others")
    versions = {place: _versions(texts) for place, texts in files.items()}
    common = set.intersection(*versions.values())
    if not common:
        sure = [f"`{place.name}` of {min(found)}" for place, found in versions.items() if len(found) == 1]
        refusals.refuse(f"the files are of different versions of the benchmark: {', '.join(sure)}", _MIXED)
    # A row for each model of any file, a column for each header: what is printed.
    texts = pd.concat(files.values(), axis=1, sort=False).fillna("")
    ignored = {column: reason for column in texts.columns if (reason := _reason(column)) is not None}
    if (path / _FORMAT_SENSITIVITY).exists():
        ignored[_FORMAT_SENSITIVITY] = "accuracies under other prompt formats, of some models only"
    texts = texts.drop(columns=[column for column in ignored if column in texts.columns])
    boards = [bfcl.BOARDS[version] for version in sorted(common)]
    for column, other in bfcl.REPEATS.items():
        if column in texts.columns and other in texts.columns:
            _check_equal(texts, column, other, refusals)
            texts = texts.drop(columns=column)
            ignored[column] = f"the same scores as `{boards[0].leaf(other) or other}`"
    return _table(texts, boards, str(path), ignored)


def _read_file(path: Path, expected: str | None) -> pd.DataFrame:
    """Return the checked texts of one file, a row for each model; columns are ``<file>/<header>``.

    `expected` is the file of a board that its name says it is.
    """
    refusals = Refusals(path)
    read = read_grid(str(path), ReadOptions())
    if read.notes:
        refusals.refuse(read.notes[0], "a board is UTF-8 and separated by commas")
    grid = read.cells
    file = _file_of(grid.columns)
    if file is None or expected not in {None, file}:
        what = "a table of a BFCL board" if expected is None else f"the `{expected}` table of a BFCL board"
        refusals.refuse(f"the header is not that of {what}", "read other tables with `--format wide`")
    check_models(grid["Model"], refusals)
    for header in grid.columns.drop("Model"):
        if _reason(f"{file}/{header}") is None:
            for where, text in zip(grid.index, grid[header], strict=True):
                _check_cell(text, f"{where}, column `{shown(header)}`", refusals)
    refusals.check()
    return grid.set_index("Model").add_prefix(f"{file}/")


def _reason(column: str) -> str | None:
    """Return why a column is not read, or None."""
    known = any(board.leaf(column) or board.aggregate(column) for board in bfcl.BOARDS.values())
    header = column.partition("/")[2]
    return bfcl.NOT_SCORES.get(header, None if known else "not a score that BFCL v3 or v4 is known to have")


def _check_cell(text: str, place: str, refusals: Refusals) -> None:
    try:
        number = parse_score(text)
    except NotANumberError as error:
        refusals.add(f"{place}: {error}")
        return
    if not number.percent and not isnan(number.value):
        hint = "a board prints 78.45%; read an edited table with `--format wide`"
        refusals.add(f"{place}: `{shown(text)}` has no percent sign", hint)


def _versions(texts: pd.DataFrame) -> set[bfcl.Version]:
    """Return the versions whose file this can be; those of live and multi-turn look alike."""
    columns = set(texts.columns)
    if "overall/Overall Acc" in columns:
        return {"v4"} if "overall/Web Search Acc" in columns else {"v3"}
    if "non_live/Java Simple AST" in columns:
        return {"v3"} if "non_live/Non_Live Overall Acc" in columns else {"v4"}
    return {"v4"} if "agentic/Agentic Overall Acc" in columns else {"v3", "v4"}


def _check_equal(texts: pd.DataFrame, column: str, other: str, refusals: Refusals) -> None:
    """Refuse a board whose files say different things: they are of different snapshots."""
    for model, here, there in zip(texts.index, texts[column], texts[other], strict=True):
        if here != there and not _same(parse_score(here).value, parse_score(there).value):
            said = f"`{column}` is `{shown(here)}` but `{other}` is `{shown(there)}`"
            refusals.refuse(f"model `{shown(model)}`: {said}, which should be equal", _MIXED)


def _same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))


def _table(
    texts: pd.DataFrame, boards: Sequence[bfcl.Board], source: str, ignored: dict[str, str]
) -> ScoreTable:
    """Name what a board holds; both boards are given if the version is not known."""
    by_leaf = {boards[0].leaf(column): column for column in texts.columns}
    leaves = {leaf: by_leaf[leaf] for leaf in boards[0].items if leaf in by_leaf}
    aggregates = [column for column in texts.columns if column not in leaves.values()]
    texts = texts[[*leaves.values(), *aggregates]]
    parsed = [parse_column(texts[column].tolist()) for column in texts.columns]
    values = np.array([column.values for column in parsed]).T
    models = tuple(texts.index)
    blanked: list[tuple[str, str, str]] = []
    for place, column in enumerate(aggregates, len(leaves)):
        surely = set.intersection(*(set(board.aggregate(column) or ()) for board in boards))
        below = [i for i, leaf in enumerate(leaves) if leaf in surely]
        tainted = np.isnan(values[:, below]).any(axis=1) & ~np.isnan(values[:, place])
        printed = texts[column].tolist()
        blanked += [(models[row], column, printed[row]) for row in np.flatnonzero(tainted)]
        values[tainted, place] = nan
    columns = [
        Column(
            name,
            role="category" if name in leaves else "aggregate",
            scale="percent",
            decimals=column.decimals,
            parts=() if name in leaves else _parts(name, boards, leaves),
        )
        for name, column in zip([*leaves, *aggregates], parsed, strict=True)
    ]
    items = [_items(leaf, boards) for leaf in leaves] + [nan] * len(aggregates)
    return ScoreTable(
        models,
        tuple(columns),
        values,
        counts=np.where(np.isnan(values), nan, items),
        source=source,
        kind="bfcl",
        ignored=tuple(ignored.items()),
        blanked=tuple(blanked),
    )


def _parts(column: str, boards: Sequence[bfcl.Board], leaves: Iterable[str]) -> tuple[str, ...]:
    """Return the leaves below an aggregate if it is known which, and they are all there."""
    forms = [board.aggregate(column) or {} for board in boards]
    known = all(form == forms[0] for form in forms) and forms[0].keys() <= {*leaves}
    return tuple(leaf for leaf in leaves if leaf in forms[0]) if known else ()


def _items(leaf: str, boards: Sequence[bfcl.Board]) -> float:
    """Return a leaf's number of items, NaN if not known."""
    counts = {board.items[leaf] for board in boards}
    count = counts.pop()
    return nan if count is None or counts else float(count)
