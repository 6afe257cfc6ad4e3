"""The command `soce doctor`: whether checkpoints can be souped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soce.cli.bars import byte_bar
from soce.cli.command import Subcommand, error_lines, message, print_json, usage, warn
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_decisions
from soce.cli.options.types import NUMBER
from soce.cli.text.layout import columns
from soce.exceptions import SoceError, shown
from soce.recipes.checkpoint_paths import short_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.merging.distances import Distance
    from soce.merging.doctor import Checkpoint, Diagnosis
    from soce.merging.options import MergeOptions

_EXAMPLES = """\b
Examples:
  soce doctor path/A path/B path/C
  soce doctor path/A path/B --base path/base     how far each was trained
  soce doctor path/A path/B --json > report.json
"""


@click.command(cls=Subcommand, notes=(_EXAMPLES,))
@click.argument("ingredients", nargs=-1, required=True, type=PLACE, metavar="PATH...")
@click.option("--base", type=PLACE, metavar="PATH", help="The checkpoint that they were trained from.")
@click.option("--worst", type=NUMBER, default=10, metavar="N", help="Tensors to name. Default: 10.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@merge_decisions
@click.option("--quiet", "-q", is_flag=True, help="Print no progress.")
def doctor(
    *,
    ingredients: tuple[str, ...],
    base: str | None,
    worst: int,
    as_json: bool,
    quiet: bool,
    merging: MergeOptions,
) -> int:
    """Say whether checkpoints can be souped.

    First come all checks of a merge: tensor names, shapes, dtypes, vocabularies, tokenizers, chat templates,
    configs. Then every parameter is read, piece by piece: values that are not finite, copies, and how far the
    checkpoints lie from each other. A cosine near zero means independent trainings, whose average is of no
    use. Exits with 0 if they can be souped, and with 1 if not. Writes nothing.
    """
    if len(ingredients) < 2 and base is None:
        usage("one checkpoint only: give two or more, or one and its --base")
    from soce.merging.doctor import diagnose

    with byte_bar(enabled=not quiet) as on_progress:
        found = diagnose(ingredients, base=base, n_worst=worst, options=merging, on_progress=on_progress)
    if as_json:
        print_json(found.to_json())
    elif found.checkpoints:
        click.echo("\n".join(report_lines(found, worst)) + "\n")
    warn(found.warnings)
    if found.problems:
        for text in error_lines(SoceError.of(found.problems)):
            message(text)
    if not as_json:
        click.echo(found.verdict)
    return 0 if found.soupable else 1


def report_lines(found: Diagnosis, worst: int) -> list[str]:
    """Return what the checkpoints hold, their distances, and the tensors that differ most."""
    names = {path: str(i) for i, path in enumerate(found.ingredients, 1)}
    if found.base is not None:
        names.setdefault(found.base, "base")
    rows = [_checkpoint_row(names[checkpoint.path], checkpoint) for checkpoint in found.checkpoints]
    lines = ["checkpoints", *columns([["#", "tensors", "parameters", "dtypes", "path"], *rows], "rrrll")]
    distances = found.distances
    compared = (*distances.pairs, *distances.to_base)
    if compared:
        head = ["pair", "cosine", "of matrices", "distance", "tensors", "equal"]
        rows = [[_pair(names, pair), *_figures(pair)] for pair in compared]
        lines += ["", "distances over all parameters", *columns([head, *rows], "lrrrrr")]
    if distances.task_vectors:
        rows = [[_pair(names, pair), _cosine(pair.cosine)] for pair in distances.task_vectors]
        lines += ["", "task vectors (checkpoint - base)", *columns([["pair", "cosine"], *rows], "lr")]
    tensors = sorted(
        (tensor.cosine, tensor.tensor, _pair(names, pair), tensor.relative_distance)
        for pair in compared
        for tensor in pair.worst
        if tensor.cosine is not None
    )
    if tensors:
        head = ["cosine", "distance", "pair", "tensor"]
        rows = [[_cosine(c), _distance(d), pair, shown(name)] for c, name, pair, d in tensors[:worst]]
        lines += ["", "tensors with the lowest cosines", *columns([head, *rows], "rrll")]
    return lines


def _checkpoint_row(name: str, checkpoint: Checkpoint) -> list[str]:
    dtypes = ", ".join(checkpoint.dtypes)
    path = short_names(shown(checkpoint.path))
    return [name, str(checkpoint.n_tensors), f"{checkpoint.n_parameters:,}", dtypes, path]


def _pair(names: dict[str, str], pair: Any) -> str:  # noqa: ANN401 - anything between two checkpoints
    return f"{names[pair.first]} – {names[pair.second]}"


def _figures(pair: Distance) -> Sequence[str]:
    compared = (str(pair.n_tensors), str(pair.n_equal))
    return (_cosine(pair.cosine), _cosine(pair.matrix_cosine), _distance(pair.relative_distance), *compared)


def _cosine(cosine: float | None) -> str:
    return "-" if cosine is None else f"{round(cosine, 4) + 0.0:.4f}"


def _distance(distance: float | None) -> str:
    return "-" if distance is None else f"{distance:.3g}"
