"""All that may stand in an experiment: the options of `soce run`, which takes every one of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import plain
from soce.cli.options.evaluator import evaluator_options
from soce.cli.options.files import PATH
from soce.cli.options.group import Keyed, KeyedOption, all_of
from soce.cli.options.merge import merge_decisions
from soce.cli.options.schema import schema_of
from soce.cli.options.search import search_options
from soce.cli.options.selection import selection_options
from soce.cli.options.table import table_items_option, table_options, tables_argument
from soce.experiment.keys import Key, Keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.cli.options.group import Decorator
    from soce.experiment.keys import Shape, Written


def output_option(text: str) -> Decorator:
    """Declare `--output`, the folder of a run."""
    return click.option("--output", "-o", cls=KeyedOption, files=PATH, metavar="DIR", help=text)


experiment_options = all_of(
    tables_argument(),
    selection_options(opened=True),
    evaluator_options,
    output_option("Gets scores, selection, search/ and soup/."),
    search_options,
    merge_decisions,
    table_options,
    table_items_option,
)


@cache
def _declared() -> Sequence[click.Parameter]:
    return click.command("run")(experiment_options(lambda: None)).params


def keys_of(command: click.Command, *, opens: bool = True) -> Keys:
    """Return all that an experiment may say; files are looked for that the command opens."""
    own = {param.place: param for param in command.params if isinstance(param, Keyed)}
    declared = {param.place: param for param in _declared() if isinstance(param, Keyed)}
    return Keys.of(
        _key_of(own.get(place, param), is_opened=opens and place in own)
        for place, param in declared.items()
        if place
    )


def _key_of(param: Keyed, *, is_opened: bool) -> Key:
    assert isinstance(param, click.Parameter)
    return Key(
        param.section,
        param.key,
        _shapes_of(param),
        refusal=lambda value: _refusal(param, value),
        help=getattr(param, "help", None) or "",
        schema=lambda: schema_of(param.type),
        locate=param.files.locate if param.files else None,
        check=param.files.check if param.files and is_opened else None,
        either=param.either,
        names=param.names,
        is_short=param.is_short,
    )


def _shapes_of(param: click.Parameter) -> tuple[Shape, ...]:
    if getattr(param, "is_flag", False):
        return ("switch",)
    several = param.multiple or param.nargs == -1
    usual: tuple[Shape, ...] = ("value", "list") if several else ("value",)
    return getattr(param.type, "shapes", usual)


def _refusal(param: click.Parameter, value: Written) -> str | None:
    """Return what the type of an option says against a value."""
    try:
        param.type.convert(value, param, None)
    except click.UsageError as error:
        return plain(error.message)
    return None


def as_default(param: click.Parameter, value: Any) -> Any:  # noqa: ANN401 - click's
    """Return what an experiment says as click takes it."""
    return tuple(value.items()) if isinstance(value, dict) and param.multiple else value
