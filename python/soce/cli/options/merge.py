"""Options of a merge."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from soce.cli.options.files import PLACE
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import COUNT, DTYPE, SIZE, TextPair
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.cli.options.group import Decorator
    from soce.merging.options import MergeOptions


def _merging(**given: Any) -> MergeOptions:  # noqa: ANN401 - click's
    from soce.merging.options import MergeOptions

    return MergeOptions(command=sys.argv, **given)


def _by_pattern(
    _: click.Context, option: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> dict[str, str] | None:
    """Return who gives the tensors of each pattern."""
    take = dict(pairs)
    for pattern, giver in pairs:
        if take[pattern] != giver:
            message = f"`{shown(pattern)}` from both `{shown(giver)}` and `{shown(take[pattern])}`"
            raise click.BadParameter(message, param=option)
    return take or None


_option = OptionGroup("merging", _merging, section="merge").option


def overwrite_option(what: str) -> Decorator:
    """Declare `--overwrite`."""
    return _option("--overwrite", key="", is_flag=True, help=f"Replace {what}.")


merge_decisions = all_of(
    _option("--dtype", type=DTYPE, metavar="DTYPE", help="Output dtype: f64, f32, f16 or bf16."),
    _option(
        "--copy-code/--no-code", default=None, help="Copy or leave out *.py files that the config needs."
    ),
    _option("--allow-different-tokenizers", is_flag=True, help="Accept tokenizers with different token ids."),
    _option("--allow-different-configs", is_flag=True, help="Accept other model types and orders of labels."),
    _option(
        "--leave-out",
        multiple=True,
        metavar="PATTERN",
        help="Leave tensors out, e.g. 'mtp.*'; may be repeated.",
    ),
    _option(
        "--take",
        type=TextPair("PATTERN=INGREDIENT", at_first=True),
        multiple=True,
        callback=_by_pattern,
        help="Take tensors unchanged from one checkpoint; may be repeated.",
    ),
    _option("--follow-links", is_flag=True, help="Follow links that leave an ingredient's directory."),
    _option("--ignore-unreferenced", is_flag=True, help="Accept shards that an index does not name."),
)
"""What decides what a soup holds and which ingredients it accepts, wherever soups are made."""

merge_options = all_of(
    merge_decisions,
    _option("--max-shard-size", type=SIZE, metavar="SIZE", help="Re-cut shards, e.g. 5GB, 500MB, 2GiB."),
    _option(
        "--config-from", metavar="NAME", help="Ingredient that gives config and tokenizer; else the first."
    ),
    overwrite_option("an existing soup"),
    _option(
        "--nonfinite",
        type=click.Choice(["error", "warn"]),
        default="error",
        help="What NaN and infinities in the data do.",
    ),
    _option(
        "--io", type=click.Choice(["auto", "mmap", "pread"]), default="auto", help="How ingredients are read."
    ),
    _option(
        "--remote",
        type=click.Choice(["stream", "download"]),
        default="stream",
        help="Whether what is somewhere else is kept.",
    ),
    _option("--private", is_flag=True, help="Of hf://…: make the repository visible to its owners only."),
    _option(
        "--work-dir",
        type=PLACE,
        metavar="DIR",
        help="Of hf://…, s3://…: where shards lie until they are sent.",
    ),
    _option(
        "--cache",
        type=click.Choice(["auto", "keep", "drop"]),
        default="auto",
        help="What stays in the page cache.",
    ),
    _option("--num-threads", "-j", type=COUNT, metavar="N", help="Worker threads; else all cores."),
    _option("--chunk-bytes", type=SIZE, metavar="SIZE", help="A thread's unit of work."),
    _option("--sync/--no-sync", default=True, help="Wait until the soup is on the disk. Default: --sync."),
    _option(
        "--digests",
        type=click.Choice(["none", "tensors", "full"]),
        default="tensors",
        help="What is hashed; `full`: inputs and shards too, read back.",
    ),
    _option("--differences", is_flag=True, help="Record how far each tensor is from each ingredient."),
    _option(
        "--require-same-mask", is_flag=True, help="Refuse ingredients that are zero in different places."
    ),
    _option("--sparsity-report", is_flag=True, help="Print the zeros of every tensor on stdout."),
    _option("--restart", is_flag=True, help="Discard what an interrupted merge has finished."),
    _option(
        "--preflight/--no-preflight", default=True, help="Compare free space first. Default: --preflight."
    ),
)
