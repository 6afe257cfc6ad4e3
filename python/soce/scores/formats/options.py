"""What a user may say about a score file, and how it changes the table that was read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.exceptions import shown
from soce.files.arguments import expect_mapping, expect_names
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.scores.table import Column, ScoreTable

Decimal: TypeAlias = Literal[".", ","]

DROPPED: Final = "dropped as asked"
"""Reason of a column in `ScoreTable.ignored` that the user named in `ReadOptions.drop`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user says about score files; the defaults take them as they are.

    A reader of one format looks at those that say how its files are read. The ones that name models and
    columns (`columns`, `rename`, `lower_is_better`, `higher_is_better`, `aggregates`, `drop`) are applied
    once, by `apply_options`, after the tables of several files were joined: a name may stand in one only.
    """

    format: str | None = None
    """A name in `soce.scores.formats.registry.FORMATS`; None: detected."""
    model_column: str | None = None
    """Column that holds the models' names; None: the first."""
    columns: tuple[str, ...] | None = None
    """The categories to use; other score columns become aggregates. None: all that are not aggregates."""
    model: str | None = None
    """Name of the model that result files are about, where they do not say; ``NAME=PATH`` gives it."""
    rename: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """New names of models, by the name in the file."""
    lower_is_better: tuple[str, ...] = ()
    """Columns in which smaller scores are better."""
    higher_is_better: tuple[str, ...] = ()
    """Columns in which larger scores are better, whatever their names say."""
    keep_rows: tuple[str, ...] = ()
    """Rows of a wide table that are models, although their names say `Average`, `Human` or the like."""
    aggregates: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Columns computed from others, each with its parts; () if they are unknown."""
    metric: str | None = None
    """Which metric of a result file to read (``acc,none``, ``acc``), or several separated by spaces, of which
    each task gives the first that it has. None: the one that all tasks share, or the only one of each."""
    level: Literal["leaf", "group"] = "leaf"
    """``leaf``: the measured tasks of a result file are categories and its groups aggregates. ``group``: a
    group stands for its tasks."""
    split: str | None = None
    """Which split of a long table to read."""
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    delimiter: str | None = None
    """What separates the columns of a text file; None: commas, tabs in ``.tsv``, others where they are
    certain."""
    decimal: Decimal | None = None
    """What separates decimals, ``.`` or ``,``; the other one then groups thousands. None: a point, a comma
    where it is certain."""
    sheet: str | None = None
    """Sheet of a workbook, or heading of a table in a Markdown file: its name, or its number from 1."""
    transpose: bool | None = None
    """Whether each row of a plain table is a category and each column a model; None: as the names say."""
    reducer: str | None = None
    """Which reducer of epochs of an Inspect log to read (``mean``, ``pass_at_2``); None: all that it has."""
    items: bool = field(default=False, repr=False)
    """Whether to read `ScoreTable.outcomes` where files hold them: these may be much larger than those of
    scores."""

    def __post_init__(self) -> None:
        """Check that lists are lists: a text would be one name for each letter."""
        for name in ("columns", "lower_is_better", "higher_is_better", "drop", "keep_rows"):
            if getattr(self, name) is not None:
                expect_names(getattr(self, name), name)
        expect_mapping(self.rename, "rename", "of old name to new")
        expect_mapping(self.aggregates, "aggregates", "of name to parts")


def apply_options(table: ScoreTable, options: ReadOptions) -> ScoreTable:
    """Return the table with the user's names, roles and directions.

    Raises `ScoreTableError` if an option names a model or column that is not there, or contradicts another.
    """
    table = _dropped(table, options)
    parts = [part for parts in options.aggregates.values() for part in parts]
    named = dict.fromkeys([*(options.columns or ()), *options.aggregates, *parts, *options.lower_is_better])
    named |= dict.fromkeys(options.higher_is_better)
    reasons = dict(table.ignored)
    for name in named:
        if name in reasons and name not in {column.name for column in table.columns}:
            table.refuse(f"column `{shown(name)}` is not a score: {reasons[name]}")
        table.place(name)
    if options.columns is not None:
        if not options.columns:
            table.refuse("no column is named as a category", "name at least one, or leave the option out")
        both = sorted(set(options.columns) & set(options.aggregates))
        if both:
            table.refuse(f"column `{shown(both[0])}` is named both as a category and as an aggregate")
    if both := sorted({*options.lower_is_better} & {*options.higher_is_better}):
        table.refuse(f"column `{shown(both[0])}` is named both as lower and as higher is better")
    for model in options.keep_rows:
        table.row(model)
    table = table.with_columns(_changed(column, options) for column in table.columns)
    return table.renamed(options.rename) if options.rename else table


def _dropped(table: ScoreTable, options: ReadOptions) -> ScoreTable:
    there = [column.name for column in table.columns]
    ignored = {name for name, _ in table.ignored}
    for name in options.drop:
        if name not in there and name not in ignored:
            hint = nearest(name, [*there, *sorted(ignored)], "columns")
            table.refuse(f"there is no column `{shown(name)}` to drop", hint)
    left = [name for name in there if name not in options.drop]
    if not left:
        table.refuse("every score column is dropped", "leave at least one column")
    if len(left) == len(there):
        return table
    gone = tuple((name, DROPPED) for name in there if name in options.drop)
    return replace(table.take(columns=left), ignored=table.ignored + gone)


def _changed(column: Column, options: ReadOptions) -> Column:
    if column.name in options.lower_is_better:
        column = replace(column, higher_is_better=False, direction="stated")
    if column.name in options.higher_is_better:
        column = replace(column, higher_is_better=True, direction="stated")
    if column.name in options.aggregates:
        return replace(column, role="aggregate", parts=tuple(options.aggregates[column.name]))
    if options.columns is not None:
        chosen = column.name in options.columns
        return replace(
            column, role="category" if chosen else "aggregate", parts=() if chosen else column.parts
        )
    return column
