"""The command `soce fit`: coefficients of the experts by gradients, and a recipe that `soce-merge` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import Subcommand, inform, next_step, print_json, warn
from soce.cli.options.candidates import candidate_option, models_option
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_decisions
from soce.cli.options.types import COUNT, ParsedText
from soce.cli.text.layout import columns, size
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.cli.options.candidates import Candidates
    from soce.evaluate.tasks.items import Tasks
    from soce.fit.fit import Fit, Fitted
    from soce.merging.options import MergeOptions

    Items = Mapping[str, Sequence[str]]

_EXAMPLES = """\b
Examples:
  soce fit selection.yaml --tasks tasks.jsonl -o fit/
  soce fit selection.yaml --tasks tasks.jsonl --by model --steps 50 -o fit/
  soce fit s.yaml --tasks t.jsonl --objective entropy --base BASE -o fit/
  soce-merge fit/recipe.yaml -o soup/
"""


@click.command(cls=Subcommand, short_help="Fit coefficients by gradients.", notes=(_EXAMPLES,))
@click.argument("selection", type=PLACE)
@click.option(
    "--tasks",
    "files",
    multiple=True,
    required=True,
    type=PLACE,
    metavar="FILE",
    help="Items; may be repeated.",
)
@click.option(
    "--objective",
    type=click.Choice(["nll", "entropy"]),
    default="nll",
    help="Likelihood of answers, or entropy of predictions. Default: nll.",
)
@click.option("--base", type=PLACE, metavar="PATH", help="For entropy: what the experts were trained from.")
@click.option(
    "--by",
    type=click.Choice(["tensor", "model"]),
    default="tensor",
    help="Coefficients for each tensor, or one an expert. Default: tensor.",
)
@click.option(
    "--steps", type=COUNT, metavar="N", help="Else five times through the items, or 500 for entropy."
)
@click.option("--learning-rate", type=float, metavar="RATE", help="Else 0.05, or 0.001 for entropy.")
@click.option("--batch", type=COUNT, default=16, metavar="N", help="Items of a step. Default: 16.")
@click.option("--seed", type=int, default=0, metavar="N", help="Of the order of the items. Default: 0.")
@click.option(
    "--held-out-share",
    "share",
    type=ParsedText("share", "soce.cli.options.search:parse_share"),
    default="1/2",
    metavar="SHARE",
    help="Of the items, never fitted on, as `soce search` holds out. Default: 1/2.",
)
@click.option("--split-seed", type=int, default=0, metavar="N", help="Of that split. Default: 0.")
@click.option(
    "--output",
    "-o",
    type=PLACE,
    required=True,
    metavar="DIR",
    help="Gets recipe.yaml; the same call goes on.",
)
@candidate_option("NAME=PATH", "Checkpoint of an expert.")
@models_option("checkpoints", opened=True)
@click.option("--device", metavar="NAME", help="cpu, cuda, ...; else chosen.")
@click.option(
    "--max-length", type=COUNT, metavar="N", help="Tokens the model sees at once; else its config's."
)
@click.option(
    "--task-kind",
    type=click.Choice(["multiple_choice", "exact_match", "teacher_forced", "perplexity"]),
    help="The kind of items that name none.",
)
@merge_decisions
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only on stderr.")
def fit(
    *,
    selection: str,
    files: tuple[str, ...],
    base: str | None,
    share: Fraction,
    split_seed: int,
    output: str,
    candidates: Candidates,
    device: str | None,
    task_kind: Any,  # noqa: ANN401 - one of the kinds
    merging: MergeOptions,
    as_json: bool,
    quiet: bool,
    **given: Any,  # noqa: ANN401 - the other fields of `FitOptions`
) -> None:
    """Fit coefficients of the experts in SELECTION by gradients, with one model in memory.

    `nll` makes answers likelier, over weights that sum to 1 (learned soup). `entropy` makes predictions
    surer, without answers, over coefficients of differences to a base (AdaMerging).

    Items that are held out are never fitted on; the loss is told of both parts.
    """
    from soce.cli.scoring import merge_with
    from soce.evaluate.live.opening import live_model
    from soce.evaluate.live.soup_model import in_process
    from soce.evaluate.options import EvaluatorOptions
    from soce.evaluate.tasks.items import read_tasks
    from soce.fit.fit import Fit, check_fit
    from soce.fit.options import FitOptions
    from soce.recipes.checkpoint_paths import find_checkpoint
    from soce.remote.here import bring
    from soce.search.pool import Pool
    from soce.selection.file import read_selection

    found = read_selection(selection)
    tasks = read_tasks(files, kind=task_kind)
    fitted_on, held_out = _split(tasks, share, split_seed)
    if base is not None:
        (base,) = bring([find_checkpoint(base)])
    options = FitOptions(base=base, **given)
    pool = Pool.of(found, candidates=candidates.paths_of(found.selection.candidates)).here()
    experts = {name: pool.paths[name] for name in pool.experts}
    check_fit(experts, tasks, options)
    merge = merge_with(found, merging)
    if not quiet:
        inform(f"loading `{shown(next(iter(experts.values())))}`")
    paths = [*experts.values(), *([] if base is None else [base])]
    with live_model(paths, EvaluatorOptions(merge=merge, device=device)) as model:
        try:
            soup = in_process(model, "a fit")
            warn(soup.warnings)
            begun = Fit(soup, experts, tasks, output, options, items=fitted_on)
            result = _carry_out(begun, quiet=quiet)
            told = _told(result, begun, tasks, held_out)
        finally:
            model.close()
    recipe = Path(output, "recipe.yaml")
    if as_json:
        print_json({"recipe": str(recipe), **told})
    else:
        click.echo(_table(told))
    if not quiet:
        next_step("soce-merge", str(recipe), "--output", str(Path(output, "soup")))


def _split(tasks: Tasks, share: Fraction, seed: int) -> tuple[Items, Items]:
    """Return the items to fit on and those held out, as a search splits them."""
    from soce.search.items import split_items

    items = tasks.item_ids()
    if not share:
        return items, {}
    split = split_items(items, share=share, seed=seed, contents=tasks.item_contents())
    return split.selection, split.held_out


def _carry_out(fit: Fit, *, quiet: bool) -> Fitted:
    """Say what it costs, and fit with a bar."""
    from soce.cli.progress import stage_bars

    if not quiet:
        of = f"{fit.steps} steps" if fit.steps > 1 else "1 step"
        each, whole = size(fit.bytes_per_step), size(fit.steps * fit.bytes_per_step)
        inform(
            f"{of} of {fit.options.batch} items, each of which reads {each} of checkpoints: {whole} in all"
        )
        if fit.losses.cut:
            warn([f"{fit.losses.cut} prompts lose their beginning: they do not fit the model's window"])

    def tell(done: int, steps: int, loss: float | None) -> None:
        bars.show("fit", done, steps, label="fit" if loss is None else f"loss {loss:.4f}")

    with stage_bars(enabled=not quiet) as bars:
        return fit.run(on_step=tell)


def _told(found: Fitted, fit: Fit, tasks: Tasks, held_out: Items) -> dict[str, Any]:
    """Return the objective before and after, on the items that were fitted on and on those that were not."""
    told: dict[str, Any] = {
        "objective": fit.options.objective,
        "steps": found.steps,
        "fitted": {"items": fit.n_items, "before": found.before, "after": found.after},
    }
    if held_out:
        before, after = (fit.loss_of(recipe, tasks.only(held_out)) for recipe in (found.start, found.recipe))
        told["held_out"] = {"items": sum(map(len, held_out.values())), "before": before, "after": after}
    return told


def _table(told: Mapping[str, Any]) -> str:
    rows = [[told["objective"], "items", "before", "after"]]
    for which, name in (("fitted", "fitted on"), ("held_out", "held out")):
        if which in told:
            one = told[which]
            rows.append([name, f"{one['items']:,}", f"{one['before']:.4f}", f"{one['after']:.4f}"])
    return "\n".join(columns(rows, "<>>>"))
