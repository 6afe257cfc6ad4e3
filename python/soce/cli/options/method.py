"""What is made of ingredients instead of their average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.cli.command import usage
from soce.cli.options.files import PLACE
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import TextPair
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.recipes.methods import Method


def _method(name: str | None, base: str | None, param: tuple[tuple[str, str], ...]) -> Method | None:
    if name is None:
        if base is not None or param:
            usage(f"{'--base' if base is not None else '--param'} is for --method")
        return None
    parameters = dict(param)
    for key, value in param:
        if parameters[key] != value:
            usage(f"--param {shown(key)} is given twice: `{shown(value)}` and `{shown(parameters[key])}`")
    from soce.recipes.methods import Method

    return Method(name, base, parameters)


_option = OptionGroup("method", _method).option

method_options = all_of(
    _option("--method", "name", metavar="NAME", help="Another method than the average; see docs/methods.md."),
    _option("--base", type=PLACE, metavar="PATH", help="Checkpoint that the method takes differences to."),
    _option(
        "--param",
        type=TextPair("NAME=VALUE", at_first=True),
        multiple=True,
        help="A parameter of the method; may be repeated.",
    ),
)
