"""The command `soce trajectory`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from soce.cli.command import Subcommand, usage, warn
from soce.cli.merge import carry_out
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_options

if TYPE_CHECKING:
    from soce.merging.options import MergeOptions
    from soce.methods.trajectory import Scheme
    from soce.recipes.model import Recipe

_EXAMPLES = """\b
Examples:
  soce trajectory run/checkpoint-* --scheme wma > recipe.yaml
  soce trajectory run/checkpoint-* --scheme ema --alpha 1/10 -o soup
"""


@click.command(cls=Subcommand, notes=(_EXAMPLES,))
@click.argument("checkpoints", nargs=-1, type=PLACE, metavar="CHECKPOINT...")
@click.option(
    "--scheme",
    type=click.Choice(["sma", "ema", "wma", "minus-sqrt"]),
    help="Equal parts, exponential, rising linearly, or the drops of a decay by 1 - √x.",
)
@click.option("--alpha", metavar="NUMBER", help="How far `ema` goes to each checkpoint; else 1/5.")
@click.option(
    "--output", "-o", type=PLACE, metavar="DIR", help="Make the soup instead of printing its recipe."
)
@click.option("--json", "as_json", is_flag=True, help="Print the recipe, or the report, as JSON.")
@merge_options
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
def trajectory(
    *,
    checkpoints: tuple[str, ...],
    scheme: Scheme | None,
    alpha: str | None,
    output: str | None,
    as_json: bool,
    merging: MergeOptions,
    quiet: bool,
) -> None:
    """Average the checkpoints of one run, by the steps that their names tell.

    Prints a recipe that `soce-merge` takes. Checkpoints are best evenly spaced, and of one stage of training
    at a constant learning rate.
    """
    from soce.methods.trajectory import spacing_remark
    from soce.methods.trajectory import trajectory as average
    from soce.recipes.parts import parse_weight

    if not checkpoints:
        usage("no checkpoints: give those of a run, such as run/checkpoint-*")
    if scheme is None:
        usage("missing option `--scheme`: sma, ema, wma or minus-sqrt")
    recipe = average(checkpoints, scheme, alpha=None if alpha is None else parse_weight(alpha))
    remark = spacing_remark(checkpoints)
    if output is None:
        warn([text for text in (remark, recipe.remark) if text is not None])
        click.echo(_recipe_text(recipe, as_json=as_json), nl=False)
        return
    from soce.merging.plan import plan

    warn([] if remark is None else [remark])
    carry_out(plan(recipe, output=output, options=merging), merging, as_json=as_json, quiet=quiet)


def _recipe_text(recipe: Recipe, *, as_json: bool) -> str:
    """Return a recipe file, wherever it will lie: paths of this machine are absolute."""
    from soce.files.emit import Tree, to_json, to_yaml
    from soce.recipes.model import same_path_key

    assert recipe.parts is not None
    given: list[Tree] = [
        {"path": same_path_key(one.path) if os.path.lexists(one.path) else one.path, "weight": part}
        for one, part in zip(recipe.ingredients, recipe.parts, strict=True)
    ]
    return to_json({"ingredients": given}) if as_json else to_yaml({"ingredients": given})
