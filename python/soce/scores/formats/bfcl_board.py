"""Tables of the Berkeley Function Calling Leaderboard, v3 and v4: `data_overall.csv` and the group files."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soce.exceptions import shown
from soce.scores import bfcl
from soce.scores.formats.cells import NotANumberError, parse_score
from soce.scores.formats.grid import read_grid
from soce.scores.formats.text import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from soce.scores.formats.options import ReadOptions

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


class _Cell(NamedTuple):
    value: float = nan
    decimals: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a board."""

    name: str
    """Its name in `bfcl.FILES`."""
    path: Path
    models: tuple[str, ...]
    cells: dict[str, dict[str, _Cell]]
    """Of every score column, ``<file>/<header>``, the cell of each model."""
    ignored: tuple[tuple[str, str], ...]

    @property
    def versions(self) -> set[bfcl.Version]:
        """The versions whose file this can be; those of live and multi-turn look alike."""
        if self.name == "overall":
            return {"v4"} if "overall/Web Search Acc" in self.cells else {"v3"}
        if self.name == "non_live":
            return {"v3"} if "non_live/Non_Live Overall Acc" in self.cells else {"v4"}
        return {"v4"} if self.name == "agentic" else {"v3", "v4"}


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
    """Read a leaderboard: a folder with ``data_*.csv``, or one such file with what it has.

    The categories are the benchmark's leaves under their own names; other scores are aggregates, named after
    their file and header (``overall/Overall Acc``). An aggregate is missing if a leaf below it is, even where
    the board prints a number: it counts missing leaves as 0.

    Parameters
    ----------
    path : Path
        Folder or file.
    options : ReadOptions
        Not looked at: the format leaves nothing open.

    Returns
    -------
    ScoreTable
        In percent, with the benchmark's numbers of items.

    Raises
    ------
    ScoreTableError
        Not such a table; malformed lines or cells; files of v3 and v4, or of different snapshots, together.
    """
    del options
    if path.is_dir():
        named = {file: path / f"data_{file}.csv" for file in bfcl.FILES}
        files = [_read_file(place, file) for file, place in named.items() if place.exists()]
    else:
        files = [_read_file(path, None)]
    if not files:
        Refusals(path).refuse(
            "there is no table of a BFCL board", "a board has `data_overall.csv` and others"
        )
    versions = set.intersection(*(file.versions for file in files))
    if not versions:
        sure = [(file.path.name, *file.versions) for file in files if len(file.versions) == 1]
        told = ", ".join(f"`{name}` of {version}" for name, version in sure)
        Refusals(path).refuse(f"the files are of different versions of the benchmark: {told}", _MIXED)
    return _table(path, files, [bfcl.BOARDS[version] for version in sorted(versions)])


def _read_file(path: Path, expected: str | None) -> _File:
    """Read and check one file; `expected` is the file of a board that its name says it is."""
    refusals = Refusals(path)
    grid = read_grid(str(path))
    file = _file_of(grid.columns)
    if file is None or expected not in {None, file}:
        what = "a table of a BFCL board" if expected is None else f"the `{expected}` table of a BFCL board"
        refusals.refuse(f"the header is not that of {what}", "read other tables with `--format wide`")
    models = grid.pop("Model")
    first: dict[str, str] = {}
    for where, model in zip(grid.index, models, strict=True):
        before = first.setdefault(model, where)
        if before != where:
            refusals.add(f"{where}: the model `{shown(model)}` is already in {before}")
    cells: dict[str, dict[str, _Cell]] = {}
    ignored = []
    for header in grid.columns:
        reason = _reason(file, header)
        if reason is not None:
            ignored.append((f"{file}/{header}", reason))
            continue
        cells[f"{file}/{header}"] = {
            model: _cell(text, f"{where}, column `{shown(header)}`", refusals)
            for where, model, text in zip(grid.index, models, grid[header], strict=True)
        }
    refusals.check()
    return _File(file, path, tuple(models), cells, tuple(ignored))


def _reason(file: str, header: str) -> str | None:
    """Return why a column is not read, or None."""
    column = f"{file}/{header}"
    known = any(board.leaf(column) or board.aggregate(column) for board in bfcl.BOARDS.values())
    return bfcl.NOT_SCORES.get(header, None if known else "not a score that BFCL v3 or v4 is known to have")


def _cell(text: str, place: str, refusals: Refusals) -> _Cell:
    try:
        number = parse_score(text)
    except NotANumberError as error:
        refusals.add(f"{place}: {error}")
        return _Cell()
    if not number.percent and not isnan(number.value):
        hint = "a board prints 78.45%; read an edited table with `--format wide`"
        refusals.add(f"{place}: `{shown(text)}` has no percent sign", hint)
    return _Cell(number.value, number.decimals, text)


def _table(path: Path, files: Sequence[_File], boards: Sequence[bfcl.Board]) -> ScoreTable:
    """Join the files on the model, and name what they hold; both boards if the version is not known."""
    cells = {column: found for file in files for column, found in file.cells.items()}
    models = list(dict.fromkeys(model for file in files for model in file.models))
    ignored = [entry for file in files for entry in file.ignored]
    if path.is_dir() and (path / _FORMAT_SENSITIVITY).exists():
        ignored.append((_FORMAT_SENSITIVITY, "accuracies under other prompt formats, of some models only"))
    for column, other in bfcl.REPEATS.items():
        if column in cells and other in cells:
            _check_equal(path, models, column, other, cells)
            del cells[column]
            ignored.append((column, f"the same scores as `{boards[0].leaf(other) or other}`"))
    by_leaf = {boards[0].leaf(column): column for column in cells}
    leaves = {leaf: by_leaf[leaf] for leaf in boards[0].items if leaf in by_leaf}
    aggregates = [column for column in cells if column not in leaves.values()]
    values = np.array(
        [
            [cells[column].get(model, _Cell()).value for column in (*leaves.values(), *aggregates)]
            for model in models
        ]
    )
    blanked: list[tuple[str, str, str]] = []
    for place, column in enumerate(aggregates, len(leaves)):
        below = [i for i, leaf in enumerate(leaves) if leaf in _below(column, boards)]
        tainted = np.isnan(values[:, below]).any(axis=1) & ~np.isnan(values[:, place])
        blanked += [(models[row], column, cells[column][models[row]].text) for row in np.flatnonzero(tainted)]
        values[tainted, place] = nan
    items = [_items(leaf, boards) for leaf in leaves] + [nan] * len(aggregates)
    return ScoreTable(
        tuple(models),
        (
            *(_column(leaf, cells[column]) for leaf, column in leaves.items()),
            *(_column(column, cells[column], _parts(column, boards, leaves)) for column in aggregates),
        ),
        values,
        counts=np.where(np.isnan(values), nan, items),
        source=str(path),
        kind="bfcl",
        ignored=tuple(ignored),
        blanked=tuple(blanked),
    )


def _column(name: str, cells: Mapping[str, _Cell], parts: tuple[str, ...] | None = None) -> Column:
    """Return the column of a leaf, or of an aggregate if parts are given, known or not."""
    return Column(
        name,
        role="category" if parts is None else "aggregate",
        scale="percent",
        decimals=max((cell.decimals for cell in cells.values() if not isnan(cell.value)), default=None),
        parts=parts or (),
    )


def _below(column: str, boards: Sequence[bfcl.Board]) -> set[str]:
    """Return the leaves that are surely below an aggregate."""
    return set.intersection(*(set(board.aggregate(column) or ()) for board in boards))


def _parts(column: str, boards: Sequence[bfcl.Board], leaves: Mapping[str, str]) -> tuple[str, ...]:
    """Return the leaves below an aggregate if it is known which, and they are all there."""
    forms = [board.aggregate(column) or {} for board in boards]
    known = all(form == forms[0] for form in forms) and forms[0].keys() <= leaves.keys()
    return tuple(leaf for leaf in leaves if leaf in forms[0]) if known else ()


def _items(leaf: str, boards: Sequence[bfcl.Board]) -> float:
    """Return a leaf's number of items, NaN if not known."""
    counts = {board.items[leaf] for board in boards}
    count = counts.pop()
    return nan if count is None or counts else float(count)


def _check_equal(
    path: Path, models: Sequence[str], column: str, other: str, cells: Mapping[str, Mapping[str, _Cell]]
) -> None:
    """Refuse a board whose files say different things: they are of different snapshots."""
    for model in models:
        here, there = (cells[name].get(model, _Cell()) for name in (column, other))
        if here.value != there.value and not (isnan(here.value) and isnan(there.value)):
            said = " but ".join(
                f"`{name}` is `{shown(cell.text)}`" for name, cell in ((column, here), (other, there))
            )
            Refusals(path).refuse(f"model `{shown(model)}`: {said}, which should be equal", _MIXED)
