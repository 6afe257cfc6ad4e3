"""The command `soce-merge`, also `soce merge`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.bars import byte_bar
from soce.cli.command import Subcommand, message, next_step, print_blocks, usage, version_option, warn
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_options
from soce.cli.options.method import method_options
from soce.cli.options.types import COUNT
from soce.cli.text.merge import choices_text, nonfinite_text, plan_text, report_text, zeros_lines
from soce.exceptions import Problem, RecipeError, shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.merging.options import MergeOptions
    from soce.merging.plan import MergePlan
    from soce.recipes.methods import Method
    from soce.recipes.model import Recipe

_EXAMPLES = """\b
Examples:
  soce-merge path/A=0.5 path/B=0.2 path/C=0.3 --output soup
  soce-merge path/A path/B --output soup              equal parts
  soce-merge recipe.yaml --output soup --plan         show, do nothing
  soce-merge --recipes grid.yaml --output soups/      many, one read pass
  soce-merge path/A path/B -o hf://org/name --private sent shard by shard
  soce-merge --adapters lora/A=2 lora/B=1 -o soup     LoRA adapters
  soce-merge path/A=0.7 path/B=0.3 --method slerp -o soup
  soce-merge path/A path/B --method model_stock --base path/base -o soup
"""
_SUFFIXES = (".yaml", ".yml", ".json")


@click.command(cls=Subcommand, notes=(_EXAMPLES,))
@click.argument("ingredients", nargs=-1, type=PLACE, metavar="(PATH[=WEIGHT]... | RECIPE)")
@click.option(
    "--output",
    "-o",
    type=PLACE,
    metavar="DIR|URL",
    help="The directory to be made, or hf://org/name, s3://…: complete or not at all.",
)
@click.option(
    "--recipes",
    type=PLACE,
    metavar="FILE",
    help="Make many soups from one read pass: OUTPUT/NAME for each recipe.",
)
@click.option("--adapters", is_flag=True, help="Average LoRA adapters of one base into one adapter.")
@click.option("--rank", type=COUNT, metavar="N", help="Cut a soup of adapters to this rank.")
@method_options
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be done and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the report as JSON on stdout.")
@merge_options
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
@version_option
def merge(
    *,
    ingredients: tuple[str, ...],
    output: str | None,
    recipes: str | None,
    adapters: bool,
    rank: int | None,
    method: Method | None,
    plan_only: bool,
    as_json: bool,
    merging: MergeOptions,
    quiet: bool,
) -> None:
    """Average safetensors checkpoints exactly.

    Each PATH is a directory of safetensors shards or one .safetensors file. A WEIGHT is an integer, a
    decimal or a fraction (5, 0.5, 1/3): parts of the sum of all weights, read exactly. Where a method adds
    differences to a base it is the coefficient, which may be negative. Without weights the parts are equal.
    RECIPE is a file of soce's own format, or mergekit's: .yaml or .json.

    For PATH any name of a model will do: org/model@revision of the Hugging Face Hub, hf://, s3://, gs://,
    az:// or https:// (docs/remote.md).
    """
    if not ingredients and recipes is None:
        usage("no ingredients: give PATH=WEIGHT for each, or a recipe file")
    if ingredients and recipes is not None:
        usage("--recipes names its ingredients itself: give no others")
    if output is None:
        usage("missing option `--output`")
    if method is not None and (recipes is not None or _is_recipe(ingredients)):
        usage("--method is for PATH=WEIGHT: a recipe file says `method:` itself")
    if adapters:
        if method is not None:
            usage("--adapters averages adapters: leave --method out")
        if recipes is not None or _is_recipe(ingredients):
            usage("--adapters takes PATH=WEIGHT for each adapter, and no recipe file")
        from soce.cli.adapters import soup_adapters

        said: dict[str, Any] = {"plan_only": plan_only, "as_json": as_json, "quiet": quiet}
        soup_adapters(recipe_of(ingredients), output, merging, rank=rank, **said)
        return
    if rank is not None:
        usage("--rank is for --adapters")
    made = _planned(ingredients, recipes, output, method, merging)
    if plan_only:
        warn(made.data["warnings"])
        click.echo(made.to_json() if as_json else plan_text(made))
        _tell_zeros(made, merging, as_json=as_json)
        return
    carry_out(made, merging, as_json=as_json, quiet=quiet)


def carry_out(made: MergePlan, merging: MergeOptions, *, as_json: bool, quiet: bool) -> None:
    """Make the soups of a plan, and tell of it."""
    if not quiet:
        message(_averaging(made))
        for line in choices_text(made):
            message(line)
        shards = len(made.data["shards"])
        continued = {} if merging.restart else made.finished_shards()
        for soup, count in continued.items():
            message(f"continuing `{shown(str(soup))}`: {count} of {shards} shards are finished")
    warnings: list[str] = []
    with byte_bar(enabled=not quiet) as on_progress:
        report = made.execute(on_progress=on_progress, finish=_card_writer(made, warnings))
    warn([*report.warnings, *warnings, *nonfinite_text(report)])
    if not quiet:
        message(report_text(report))
        if report.did_nothing and isinstance(report.outputs[0], Path):
            next_step("soce", "verify", *map(str, report.outputs[:1]))
    if as_json:
        click.echo(report.json)
    _tell_zeros(made, merging, as_json=as_json)


def _tell_zeros(made: MergePlan, merging: MergeOptions, *, as_json: bool) -> None:
    """Print the zeros of every tensor, which JSON has anyway."""
    if merging.sparsity_report and not as_json:
        print_blocks(zeros_lines(made.zeros, [Path(str(one)).name for one in made.outputs]))


def _card_writer(plan: MergePlan, warnings: list[str]) -> Callable[[Path], object] | None:
    """Return what writes the card of a soup that goes to the Hub, and what its writer should know."""
    from soce.recipes.names import HubName

    if not isinstance(plan.outputs[0], HubName):
        return None
    from soce.report.card.card import write_card
    from soce.report.card.metadata import require_hub

    require_hub()

    def write(folder: Path) -> None:
        card = write_card(folder)
        warnings.extend(one for one in card.warnings if one not in card.of_plan)

    return write


def _planned(
    ingredients: tuple[str, ...],
    recipes: str | None,
    output: str,
    method: Method | None,
    options: MergeOptions,
) -> MergePlan:
    from soce.merging.plan import plan, plan_all

    if recipes is not None:
        return plan_all(recipes, output=output, options=options)
    given = ingredients[0] if _is_recipe(ingredients) else recipe_of(ingredients, method)
    return plan(given, output=output, options=options)


def _is_recipe(ingredients: tuple[str, ...]) -> bool:
    return len(ingredients) == 1 and ingredients[0].lower().endswith(_SUFFIXES)


def _averaging(plan: MergePlan) -> str:
    """Return what is averaged: the parts of one plain average, else how many recipes."""
    recipe = plan.recipes[0]
    if len(plan.recipes) == 1 and recipe.method is not None:
        base = "" if recipe.base is None else f" on {_called(recipe.base.path)}"
        return f"`{recipe.method.name}` of {', '.join(_called(one.path) for one in recipe.taking)}{base}"
    if len(plan.recipes) > 1 or recipe.rows or recipe.parts is None:
        return f"averaging {counted(len(plan.recipes), 'recipe')}"
    names = [
        f"{part} x {_called(ingredient.path)}"
        for part, ingredient in zip(recipe.parts, recipe.ingredients, strict=True)
    ]
    return f"averaging {', '.join(names)}"


def _called(path: str) -> str:
    """Return what people read of a path, which is shortened before it could be cut."""
    from soce.recipes.checkpoint_paths import short_names

    return f"`{shown(short_names(f'`{path}`')[1:-1])}`"


def recipe_of(arguments: tuple[str, ...], method: Method | None = None) -> Recipe:
    """Return the recipe of arguments ``PATH=WEIGHT`` or ``PATH``, with every problem found in them.

    An argument that exists as a whole is a path, whatever it contains.
    """
    from dataclasses import replace
    from fractions import Fraction

    from soce.recipes.checkpoint_paths import find_checkpoint
    from soce.recipes.model import Ingredient, Recipe

    signed = method is not None and method.definition.weights == "coefficients"
    found: list[Ingredient] = []
    problems: list[Problem] = []
    for argument in arguments:
        try:
            path, weight = _split(argument, signed=signed)
            found.append(Ingredient(find_checkpoint(path), weight, path))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError.of(problems)
    if all(ingredient.weight is None for ingredient in found):
        found = [replace(ingredient, weight=Fraction(1)) for ingredient in found]
    return Recipe(tuple(found), method=None if method is None else method.found())


def _split(argument: str, *, signed: bool) -> tuple[str, Any]:
    """Return path and weight of an argument; the weight is None if there is none."""
    from soce.recipes.names import is_url, remote_name
    from soce.recipes.parts import parse_weight, refuse

    if argument.lower().endswith(_SUFFIXES):
        hint = "give a recipe file alone, or checkpoints with their weights"
        refuse("a recipe file among ingredients", hint, argument)
    path, equals, weight = argument.rpartition("=")
    if not argument or (equals and not path):
        refuse(f"`{shown(argument)}` has no path", "write PATH=WEIGHT")
    if not equals:
        before, _, after = argument.rpartition(":")  # as other programs write a weight
        if before and os.path.lexists(before) and not os.path.lexists(argument):
            refuse(
                f"`{shown(argument)}` does not exist", f"a weight follows `=`: {shown(before)}={shown(after)}"
            )
        return argument, None
    if os.path.lexists(argument):
        if os.path.lexists(path):
            hint = f"write `{shown(argument)}=WEIGHT` or `./{shown(path)}/={shown(weight)}`"
            refuse(
                f"both `{shown(argument)}` and `{shown(path)}` exist: which one is meant is not clear", hint
            )
        return argument, None
    try:
        return path, parse_weight(weight, signed=signed)
    except RecipeError as error:
        if is_url(argument):
            remote_name(argument)  # refuses a signed URL, whose signature would be shown as a weight
        problem = error.problems[0]
        refuse(f"`{shown(argument)}`: {problem.message}", problem.hint)
