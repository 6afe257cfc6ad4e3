"""What `soce-merge --adapters` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from soce.cli.command import message, print_json, usage, warn
from soce.cli.text.adapters import adapters_text, made_text
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe

_USED: Final = frozenset({"command", "overwrite"})
"""Options of a merge that mean something where adapters are souped."""


def soup_adapters(
    recipe: Recipe,
    output: str,
    options: MergeOptions,
    *,
    rank: int | None,
    plan_only: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make the soup of adapters that a recipe names, or only say what it would be."""
    from soce.adapters.soup import plan_adapters

    for name in sorted(options.changed().keys() - _USED):
        usage(f"`--{name.replace('_', '-')}` has no effect on adapters: leave it out")
    plan = plan_adapters(recipe, output=output, rank=rank, overwrite=options.overwrite)
    warn(plan.warnings)
    if plan_only:
        if as_json:
            print_json(plan.to_json())
        else:
            click.echo(adapters_text(plan.to_json()))
        return
    if not quiet:
        message(f"averaging {counted(len(plan.adapters), 'adapter')}")
    made = plan.execute(command=options.command)
    if not quiet:
        message(f"wrote `{shown(output)}`: {made_text(made.manifest)}")
    if as_json:
        print_json(made.manifest)
