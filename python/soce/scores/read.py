"""Score files of every known format, read into score tables (docs/score-tables.md)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from soce.exceptions import shown, with_python_names
from soce.files.arguments import expect
from soce.files.words import listed, nearest
from soce.scores.formats.options import DROPPED, ReadOptions, apply_options
from soce.scores.formats.registry import FORMATS, NAME_THE_FORMAT
from soce.scores.grids.frames import SOURCE, grid_of_frame, is_frame, unrounded
from soce.scores.grids.grid import read_grid
from soce.scores.grids.lm_eval_printed import as_long, is_printed
from soce.scores.join import join_tables
from soce.scores.paper import PAPER_TABLES, paper_table
from soce.scores.refusals import Refusals
from soce.scores.tables.long import long_table
from soce.scores.tables.long_columns import is_long
from soce.scores.tables.orientation import with_models_in_rows
from soce.scores.tables.wide import wide_table

if TYPE_CHECKING:
    from typing import TypeAlias

    import pandas as pd

    from soce.scores.table import ScoreTable

    Source: TypeAlias = str | os.PathLike[str] | pd.DataFrame

_log = logging.getLogger(__name__)
_PAPER: Final = "paper:"


def read_scores(source: Source | Iterable[Source], *, options: ReadOptions | None = None) -> ScoreTable:
    """Read a score table from files of any known format, or from data frames.

    Parameters
    ----------
    source : path-like, pandas.DataFrame, or sequence of these
        A file or directory; ``NAME=PATH``, where NAME becomes the name of the only model that PATH holds;
        ``paper:flores36`` and the other tables of the paper; a data frame, wide or long, whose index names
        the models if it says anything. Several are joined by model and category, and what none of them has
        is missing. A path that exists is a path, whatever characters it has.
    options : ReadOptions, optional
        What the user says about the files; left out: taken as they are.

    Returns
    -------
    ScoreTable
        Scores as read, none negated: `kind` is the format, `ignored` what was left out.

    Raises
    ------
    ScoreTableError
        Not of a known format, or of more than one; anything in it that is not what it should be.
    TypeError
        Neither a path nor a data frame.

    Examples
    --------
    >>> table = read_scores("paper:flores36")
    >>> table.models[-1], len(table.categories), table.score("SoCE", "eng_spa")
    ('SoCE', 36, 32.06)
    """
    options = ReadOptions() if options is None else options
    expect(options, ReadOptions, "options", "ReadOptions")
    if options.format is not None and options.format not in FORMATS:
        hint = nearest(options.format, FORMATS, "formats")
        Refusals(None).refuse(f"there is no format `{shown(options.format)}`", hint)
    sources = _listed(source)
    if not sources:
        Refusals(None).refuse("there is nothing to read: no path is given")
    table = apply_options(join_tables([_read_source(one, options) for one in sources]), options)
    if not table.categories:
        names = listed(column.name for column in table.columns)
        table.refuse(
            f"no column is a category, all are aggregates: {names}",
            "name the categories with `--columns`; `--format long` reads a row for each score",
        )
    _log_decisions(table)
    return table


def _log_decisions(table: ScoreTable) -> None:
    """Log for Python what the commands print: nothing is decided in silence."""
    decided = [*table.notes]
    decided += [
        f"column `{shown(name)}` is not one of scores: {why}" for name, why in table.ignored if why != DROPPED
    ]
    decided += [f"row `{shown(name)}` is not a model: {why}" for name, why in table.no_models]
    decided += [
        f"smaller is better in `{shown(one.name)}`, by its name"
        for one in table.columns
        if one.direction == "name"
    ]
    for text in decided:
        _log.warning("%s: %s", table.source, with_python_names(text))


def _listed(source: Source | Iterable[Source]) -> list[Source]:
    """Return every source, each a path or a data frame."""
    is_one = isinstance(source, (str, os.PathLike, Mapping)) or hasattr(source, "__array__")
    sources = [source] if is_one or not isinstance(source, Iterable) else list(source)
    for one in sources:
        if not is_frame(one):
            expect(one, (str, os.PathLike), "source", "a path or a pandas.DataFrame, or a list of these")
    return cast("list[Source]", sources)


def _read_source(source: Source, options: ReadOptions) -> ScoreTable:
    if is_frame(source):
        return unrounded(_plain_table(grid_of_frame(source), SOURCE, options), source)
    written = os.fspath(cast("str | os.PathLike[str]", source))
    if "\0" in written:
        Refusals(None).refuse(f"the path `{shown(written)}` has a NUL")
    if not isinstance(source, str) or os.path.lexists(written):
        return _read_path(Path(written), options)
    if written.startswith(_PAPER):
        return paper_table(written.removeprefix(_PAPER))
    name, path = _name_and_path(written)
    if name is None:
        return _read_path(Path(written), options)
    if not name or not path:
        Refusals(None).refuse(f"`{shown(written)}` is neither a path nor NAME=PATH")
    if path.startswith(_PAPER):
        table = paper_table(path.removeprefix(_PAPER))
    else:
        table = _read_path(Path(path), replace(options, model=name))
    if len(table.models) != 1:
        table.refuse(
            f"it holds {len(table.models)} models, so it cannot be read as the model `{shown(name)}`",
            "give the path alone, and rename models with `--rename`",
        )
    return table.renamed({table.models[0]: name})


def _name_and_path(written: str) -> tuple[str | None, str]:
    """Return NAME and PATH, or None: split where the rest exists, otherwise at the first `=`."""
    ends = [place for place, character in enumerate(written) if character == "="]
    if not ends:
        return None, written
    end = next((place for place in ends if os.path.lexists(written[place + 1 :])), ends[0])
    return written[:end].strip(), written[end + 1 :]


def _read_path(path: Path, options: ReadOptions) -> ScoreTable:
    path.stat()  # what is not there, or a loop of links, is an OSError that says so
    name = _recognised(path) if options.format is None else options.format
    if name == "paper":
        hint = f"write `paper:NAME`: {', '.join(PAPER_TABLES)}"
        Refusals(path).refuse("the tables of the paper are not files", hint)
    if name is not None and (reader := FORMATS[name].reader):
        return reader.read(path, options)
    if path.is_dir():
        unknown = "the directory holds no score files of a known format"
        what = f"is a directory, and a {name} table is a file" if name else unknown
        Refusals(path).refuse(what, NAME_THE_FORMAT)
    grid = read_grid(str(path), options)
    table = _plain_table(grid.cells, str(path), replace(options, decimal=grid.decimal))
    return replace(table, notes=(*grid.notes, *table.notes))


def _plain_table(grid: pd.DataFrame, source: str, options: ReadOptions) -> ScoreTable:
    """Return the table of a grid that is long, or wide with models in rows or in columns."""
    if options.format in {None, "long"} and is_printed(grid.columns):
        return long_table(as_long(grid, source), source, options)
    if options.format == "long":
        return long_table(grid, source, options)
    detects = options.format is None and options.transpose is None
    if detects and is_long(grid):
        return long_table(grid, source, options)
    oriented = with_models_in_rows(grid, source, options)
    if detects and oriented.turned and is_long(oriented.grid):  # a long data frame as JSON by columns
        return long_table(oriented.grid, source, options)
    return oriented.tell(wide_table(oriented.grid, source, options))


def _recognised(path: Path) -> str | None:
    """Return the format that knows this path by its content; None: at most a plain table."""
    readers = {name: form.reader for name, form in FORMATS.items()}
    found = [name for name, reader in readers.items() if reader is not None and reader.recognise(path)]
    if len(found) > 1:
        Refusals(path).refuse(f"could be any of {', '.join(found)}", "say which one, with `--format`")
    return found[0] if found else None
