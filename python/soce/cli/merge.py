"""The command `soce-merge`, also `soce merge`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from soce.cli.output import Outcome, message, plan_text, print_report, print_version, progress, refusals, warn
from soce.exceptions import Problem, RecipeError, shown

if TYPE_CHECKING:
    from typing import NoReturn

    from soce.merging.options import MergeOptions
    from soce.merging.plan import MergePlan
    from soce.recipes.model import Recipe

_EPILOG = """\b
Examples:
  soce-merge path/A=0.5 path/B=0.2 path/C=0.3 --output soup
  soce-merge path/A path/B --output soup              equal parts
  soce-merge recipe.yaml --output soup --plan         show, do nothing
  soce-merge --recipes grid.yaml --output soups/      many, one read pass
"""
_SUFFIXES = (".yaml", ".yml", ".json")


class _Size(click.ParamType[int]):
    """A number of bytes: 5GB, 500MB, 2GiB."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from soce.recipes.parts import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except RecipeError as error:
            self.fail(error.problems[0].message, param, ctx)


class _Dtype(click.ParamType[str]):
    """A dtype by any of its names, given on as the safetensors name."""

    name = "dtype"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from soce.recipes.parts import parse_dtype

        try:
            return parse_dtype(str(value))
        except RecipeError as error:
            self.fail(f"{error.problems[0].message}: {error.problems[0].hint}", param, ctx)


@click.command(cls=Outcome, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("ingredients", nargs=-1, metavar="(PATH[=WEIGHT]... | RECIPE)")
@click.option(
    "--output", "-o", metavar="DIR", help="The directory to be made; appears complete or not at all."
)
@click.option(
    "--recipes", metavar="FILE", help="Make many soups from one read pass: OUTPUT/NAME for each recipe."
)
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be done and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the report as JSON on stdout.")
@click.option("--dtype", type=_Dtype(), metavar="DTYPE", help="Output dtype: f64, f32, f16 or bf16.")
@click.option("--max-shard-size", type=_Size(), metavar="SIZE", help="Re-cut shards, e.g. 5GB, 500MB, 2GiB.")
@click.option(
    "--config-from", metavar="NAME", help="Ingredient that gives config and tokenizer; else the first."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing soup.")
@click.option(
    "--nonfinite",
    type=click.Choice(["error", "warn"]),
    default="error",
    help="What NaN and infinities in the data do.",
)
@click.option(
    "--io", type=click.Choice(["auto", "mmap", "pread"]), default="auto", help="How ingredients are read."
)
@click.option(
    "--cache",
    type=click.Choice(["auto", "keep", "drop"]),
    default="auto",
    help="What stays in the page cache.",
)
@click.option(
    "--num-threads", "-j", type=click.IntRange(min=1), metavar="N", help="Worker threads; else all cores."
)
@click.option("--chunk-bytes", type=_Size(), metavar="SIZE", help="A thread's unit of work.")
@click.option("--sync/--no-sync", default=True, help="Wait until the soup is on the disk. Default: --sync.")
@click.option(
    "--digests",
    type=click.Choice(["none", "tensors", "full"]),
    default="tensors",
    help="What is hashed; `full`: inputs and shards too, read back.",
)
@click.option("--differences", is_flag=True, help="Record how far each tensor is from each ingredient.")
@click.option("--restart", is_flag=True, help="Discard what an interrupted merge has finished.")
@click.option(
    "--copy-code/--no-code", default=None, help="Copy or leave out *.py files that the config needs."
)
@click.option(
    "--allow-different-tokenizers", is_flag=True, help="Accept tokenizers with different token ids."
)
@click.option("--follow-links", is_flag=True, help="Follow links that leave an ingredient's directory.")
@click.option("--ignore-unreferenced", is_flag=True, help="Accept shards that an index does not name.")
@click.option(
    "--preflight/--no-preflight", default=True, help="Compare free space first. Default: --preflight."
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_version,
    help="Print the version and stop.",
)
def merge(
    *,
    ingredients: tuple[str, ...],
    output: str | None,
    recipes: str | None,
    plan_only: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> None:
    """Average safetensors checkpoints exactly.

    Each PATH is a directory of safetensors shards or one .safetensors file. A WEIGHT is an integer, a decimal
    or a fraction (5, 0.5, 1/3): parts of the sum of all weights, read exactly. Without weights the parts are
    equal. RECIPE is a .yaml or .json file: soce's own format, or mergekit's with `merge_method: linear`.
    """
    if not ingredients and recipes is None:
        _usage("no ingredients: give PATH=WEIGHT for each, or a recipe file")
    if ingredients and recipes is not None:
        _usage("--recipes names its ingredients itself: give no others")
    if output is None:
        _usage("missing option `--output`")
    with refusals(debug=debug):
        from soce.merging.options import MergeOptions

        chosen = MergeOptions(command=sys.argv, **options)
        made = _planned(ingredients, recipes, output, chosen)
        if plan_only:
            warn(made.data["warnings"])
            click.echo(made.to_json() if as_json else plan_text(made))
            return
        if not quiet:
            names = ", ".join(f"{found['parts']} x `{shown(found['path'])}`" for found in _parts(made))
            message(f"averaging {names}" if names else f"averaging {len(made.recipes)} recipes")
            if not chosen.restart:
                _tell_continued(made)
        with progress(enabled=not quiet) as on_progress:
            report = made.execute(on_progress=on_progress)
        if quiet:
            warn(report.warnings)
        else:
            print_report(report)
        if as_json:
            click.echo(report.json)


def _tell_continued(plan: MergePlan) -> None:
    shards = len(plan.data["shards"])
    for output, count in plan.finished_shards().items():
        message(f"continuing `{shown(os.fspath(output))}`: {count} of {shards} shards are finished")


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())


def _planned(
    ingredients: tuple[str, ...], recipes: str | None, output: str, options: MergeOptions
) -> MergePlan:
    from soce.merging.plan import plan, plan_all

    if recipes is not None:
        return plan_all(recipes, output=output, options=options)
    if len(ingredients) == 1 and ingredients[0].lower().endswith(_SUFFIXES):
        return plan(ingredients[0], output=output, options=options)
    return plan(recipe_of(ingredients), output=output, options=options)


def _parts(plan: MergePlan) -> list[dict[str, Any]]:
    """Return parts and paths of a plan of one plain average; else nothing."""
    if len(plan.recipes) != 1 or plan.recipes[0].rows or plan.recipes[0].parts is None:
        return []
    recipe = plan.recipes[0]
    return [
        {"parts": part, "path": ingredient.path}
        for part, ingredient in zip(recipe.parts or (), recipe.ingredients, strict=True)
    ]


def recipe_of(arguments: tuple[str, ...]) -> Recipe:
    """Return the recipe of arguments ``PATH=WEIGHT`` or ``PATH``, with every problem found in them.

    An argument that exists as a whole is a path, whatever it contains.
    """
    from fractions import Fraction

    from soce.recipes.model import Ingredient, Recipe

    found: list[Ingredient] = []
    problems: list[Problem] = []
    for argument in arguments:
        if argument.lower().endswith(_SUFFIXES):
            problems.append(
                Problem(
                    "recipe",
                    argument,
                    None,
                    "a recipe file among ingredients",
                    "give a recipe file alone, or checkpoints with their weights",
                )
            )
            continue
        try:
            found.append(Ingredient(*_split(argument)))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError.of(problems)
    if all(ingredient.weight is None for ingredient in found):
        found = [Ingredient(ingredient.path, Fraction(1)) for ingredient in found]
    return Recipe(tuple(found))


def _split(argument: str) -> tuple[str, Any]:
    """Return path and weight of an argument; the weight is None if there is none."""
    from soce.recipes.parts import parse_weight, refuse

    path, equals, weight = argument.rpartition("=")
    if not argument or (equals and not path):
        refuse(f"`{shown(argument)}` has no path", "write PATH=WEIGHT")
    if not equals:
        return argument, None
    if os.path.lexists(argument):
        if os.path.lexists(path):
            hint = f"write `{shown(argument)}=WEIGHT` or `./{shown(path)}/={shown(weight)}`"
            refuse(
                f"both `{shown(argument)}` and `{shown(path)}` exist: which one is meant is not clear", hint
            )
        return argument, None
    try:
        return path, parse_weight(weight)
    except RecipeError as error:
        problem = error.problems[0]
        refuse(f"`{shown(argument)}`: {problem.message}", problem.hint)


def main() -> None:
    """Run the command `soce-merge`."""
    merge.main(prog_name="soce-merge")
