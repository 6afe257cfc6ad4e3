"""Options that say how a score table is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soce.cli.options.files import TABLES
from soce.cli.options.group import KeyedArgument, KeyedOption, OptionGroup, all_of
from soce.cli.options.types import FORMAT, NAMES, NamedLists, TextPair

if TYPE_CHECKING:
    from soce.cli.options.group import Decorator
    from soce.scores.formats.options import ReadOptions


def _reading(
    *,
    aggregates: tuple[tuple[str, tuple[str, ...]], ...],
    rename: tuple[tuple[str, str], ...],
    drop: tuple[str, ...] | None,
    **given: Any,  # noqa: ANN401 - the other fields of `ReadOptions`
) -> ReadOptions:
    from soce.scores.formats.options import ReadOptions

    return ReadOptions(rename=dict(rename), aggregates=dict(aggregates), drop=drop or (), **given)


_option = OptionGroup("reading", _reading, section="scores").option

table_options = all_of(
    _option("--format", type=FORMAT, metavar="KIND", help="Read as this kind; else detected."),
    _option(
        "--columns", type=NAMES, metavar="A,B,...", help="The columns that are categories; else detected."
    ),
    _option("--drop", type=NAMES, metavar="A,B,...", help="Columns to leave out."),
    _option("--model-column", metavar="NAME", help="Column that names the models; else detected."),
    _option(
        "--aggregate",
        "aggregates",
        multiple=True,
        type=NamedLists(),
        metavar="NAME[=A,B,...]",
        help="A column computed from others, and from which.",
    ),
    _option("--lower-is-better", multiple=True, metavar="COLUMN", help="Smaller is better in this column."),
    _option(
        "--higher-is-better",
        multiple=True,
        metavar="COLUMN",
        help="Larger is better, whatever its name says.",
    ),
    _option(
        "--keep-row",
        "keep_rows",
        multiple=True,
        metavar="NAME",
        help="A model, though called Average, Human, ...",
    ),
    _option(
        "--rename", multiple=True, type=TextPair("OLD=NEW"), help="Call a model or directory by another name."
    ),
    _option("--metric", metavar="NAME", help="Metric of harness results, such as acc or acc,none."),
    _option(
        "--level", type=click.Choice(["leaf", "group"]), default="leaf", help="Level of harness results."
    ),
    _option("--split", metavar="NAME", help="Split of a long table that has several."),
    _option("--delimiter", metavar="TEXT", help="What separates columns: `;`, `tab`; else detected."),
    _option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="What separates decimals; else detected.",
    ),
    _option("--sheet", metavar="NAME", help="Sheet of a workbook, or heading of a Markdown table."),
    _option("--reducer", metavar="NAME", help="Reducer of Inspect logs that have several."),
    _option("--transpose/--no-transpose", default=None, help="Whether rows are categories; else detected."),
)


def tables_argument() -> Decorator:
    """Declare the tables; a single file of an experiment stands for what it says."""
    return click.argument(
        "tables",
        nargs=-1,
        metavar="[EXPERIMENT | TABLE...]",
        cls=KeyedArgument,
        section="scores",
        is_short=True,
        files=TABLES,
    )


table_items_option = click.option(
    "--table-items",
    cls=KeyedOption,
    section="scores",
    key="items",
    type=click.Choice(["other", "reported"]),
    help="What TABLE was scored on: other items than are reported, or these.",
)
"""Not for `soce analyze`, which reports on no items."""


TABLE_HELP = """\b
A TABLE is a file or a directory of scores: CSV, TSV, JSON, Parquet, Excel,
Markdown; results of lm-evaluation-harness, lighteval or inspect; a BFCL
leaderboard or score directory; or `paper:flores36`, a table of the paper.
NAME=TABLE names its only model.
"""
