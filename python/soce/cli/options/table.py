"""Options that say how a score table is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import FORMAT, TextPair

if TYPE_CHECKING:
    from soce.scores.formats.options import ReadOptions


def _reading(
    *,
    aggregates: tuple[str, ...],
    rename: tuple[tuple[str, str], ...],
    drop: tuple[str, ...] | None,
    **given: Any,  # noqa: ANN401 - the other fields of `ReadOptions`
) -> ReadOptions:
    from soce.scores.formats.options import ReadOptions

    parts = [part.partition("=") for part in aggregates]
    return ReadOptions(
        rename=dict(rename),
        aggregates={name: _names(listed) for name, _, listed in parts},
        drop=drop or (),
        **given,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_option = OptionGroup("reading", _reading).option

table_options = all_of(
    _option("--format", type=FORMAT, metavar="KIND", help="Read as this kind; else detected."),
    _option(
        "--columns", type=_names, metavar="A,B,...", help="The columns that are categories; else detected."
    ),
    _option("--drop", type=_names, metavar="A,B,...", help="Columns to leave out."),
    _option("--model-column", metavar="NAME", help="Column that names the models; else detected."),
    _option(
        "--aggregate",
        "aggregates",
        multiple=True,
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

table_items_option = click.option(
    "--table-items",
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
