"""What every command that reads a score table shares: its arguments, its options, names from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from soce.exceptions import Problem, ScoreTableError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.scores.table import ScoreTable

    Command = Callable[..., object]

TABLE_HELP = """\b
A TABLE is a file or a directory of scores: CSV, TSV, JSON, Parquet, wide or long;
results of lm-evaluation-harness, lighteval or inspect; a BFCL leaderboard or score
directory; or `paper:flores36`, a table of the paper. NAME=TABLE names its only model.
"""


def table_options(command: Command) -> Command:
    """Add the options that say how a table is read."""
    for option in reversed(
        (
            click.option(
                "--format", "table_format", metavar="KIND", help="Read as this kind; else detected."
            ),
            click.option(
                "--columns", metavar="A,B,...", help="The columns that are categories; else detected."
            ),
            click.option("--drop", metavar="A,B,...", help="Columns to leave out."),
            click.option(
                "--model-column", metavar="NAME", help="Column that names the models; else the first."
            ),
            click.option(
                "--aggregate",
                "aggregates",
                multiple=True,
                metavar="NAME[=A,B,...]",
                help="A column computed from others, and from which.",
            ),
            click.option(
                "--lower-is-better", multiple=True, metavar="COLUMN", help="Smaller is better in this column."
            ),
            click.option(
                "--rename",
                multiple=True,
                metavar="OLD=NEW",
                help="Call a model or directory by another name.",
            ),
            click.option(
                "--metric", metavar="NAME", help="Metric of harness results, such as acc or acc,none."
            ),
            click.option(
                "--level",
                type=click.Choice(["leaf", "group"]),
                default="leaf",
                help="Level of harness results.",
            ),
            click.option("--split", metavar="NAME", help="Split of a long table that has several."),
        )
    ):
        command = option(command)
    return command


def population_options(command: Command) -> Command:
    """Add the options that say over what correlations are computed."""
    for option in reversed(
        (
            click.option(
                "--population",
                multiple=True,
                metavar="NAME|@FILE",
                help="Models over which correlations are computed; else all.",
            ),
            click.option(
                "--missing",
                type=click.Choice(["pairwise", "complete"]),
                default="pairwise",
                help="Use every model that has both scores, or only models that have all.",
            ),
            click.option(
                "--min-overlap",
                type=click.IntRange(min=3),
                default=3,
                metavar="N",
                help="Models that must have both scores. Default: 3.",
            ),
            click.option(
                "--sign",
                type=click.Choice(["abs", "signed"]),
                default="abs",
                help="Compare |rho| (the paper's) or rho.",
            ),
        )
    ):
        command = option(command)
    return command


def read_tables(sources: Sequence[str], options: dict[str, Any], *, second: bool = False) -> ScoreTable:
    """Return the table that sources and options name; the options are taken out of `options`.

    They are meant for the first table of a command. A `second` one may be of another format, where some have
    no effect, and may have the new names already.
    """
    from soce.scores.formats.options import ReadOptions
    from soce.scores.read import read_scores

    rename = dict(_pair(text) for text in options.pop("rename"))
    given = {name for name in ("metric", "level", "split") if options[name] not in (None, "leaf")}
    aggregates = [part.partition("=") for part in options.pop("aggregates")]
    columns, drop = options.pop("columns"), options.pop("drop")
    table = read_scores(
        sources[0] if len(sources) == 1 else list(sources),
        options=ReadOptions(
            format=options.pop("table_format"),
            model_column=options.pop("model_column"),
            columns=None if columns is None else tuple(_listed(columns)),
            rename={} if second else rename,
            lower_is_better=tuple(options.pop("lower_is_better")),
            aggregates={name: tuple(_listed(parts)) for name, _, parts in aggregates},
            metric=options.pop("metric"),
            level=options.pop("level"),
            split=options.pop("split"),
            drop=() if drop is None else tuple(_listed(drop)),
        ),
    )
    if second:
        return table.renamed({old: new for old, new in rename.items() if old in table.models})
    kinds = set(table.kind.split(" + "))
    for name in sorted(given):
        if not kinds & _READ_BY[name]:
            table.refuse(
                f"`--{name}` has no effect: the table is {table.kind}, the option is for "
                f"{', '.join(sorted(_READ_BY[name]))}",
                "leave it out",
            )
    return table


_READ_BY: Final = {
    "metric": {"lm-eval", "lighteval", "inspect"},
    "level": {"lm-eval", "lighteval", "inspect"},
    "split": {"long"},
}


def _listed(text: str) -> list[str]:
    """Return names between commas; a doubled comma is one that belongs to a name."""
    return [name.replace("\0", ",").strip() for name in text.replace(",,", "\0").split(",") if name.strip()]


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.rpartition("=")
    if not equals or not old or not new:
        message = f"`--rename {shown(text)}` has no two names: write OLD=NEW"
        raise click.UsageError(message, click.get_current_context())
    return old, new


def names(given: Sequence[str]) -> list[str] | None:
    """Return names from the command line, ``@FILE`` replaced by the file's lines; None if there are none."""
    found: list[str] = []
    for name in given:
        if not name.startswith("@"):
            found.append(name)
            continue
        try:
            lines = Path(name[1:]).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise ScoreTableError.of(
                [Problem("scores", name[1:], None, "the list of names is not UTF-8 text", None)]
            ) from None
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found or None


def candidates(given: Sequence[str], models_file: str | None, table: ScoreTable) -> dict[str, str | None]:
    """Return the candidates, each with the path of its checkpoint where one was given.

    Parameters
    ----------
    given : sequence of str
        ``NAME``, ``NAME=PATH`` or ``@FILE`` with one of these a line. The name of a model of the table is a
        name, whatever it contains.
    models_file : str or None
        A YAML or JSON mapping of model to path; its models are the candidates where none is given.
    table : ScoreTable
        The models there are.
    """
    from soce.recipes.files import read_model_paths

    paths = {} if models_file is None else read_model_paths(models_file)
    found: dict[str, str | None] = {}
    for text in names(given) or list(paths):
        name, path = text, None
        if text not in table.models:
            places = [i for i, letter in enumerate(text) if letter == "=" and text[:i] in table.models]
            if places:
                name, path = text[: places[-1]], text[places[-1] + 1 :]
        if name in found:
            table.refuse(f"the candidate `{shown(name)}` is named twice", "name every candidate once")
        found[name] = path or paths.get(name)
    return found
