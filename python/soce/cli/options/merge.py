"""Options of a merge."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import Dtype, Size

if TYPE_CHECKING:
    from soce.merging.options import MergeOptions


def _merging(**given: Any) -> MergeOptions:  # noqa: ANN401 - click's
    from soce.merging.options import MergeOptions

    return MergeOptions(command=sys.argv, **given)


_MERGE = OptionGroup("merging", _merging)

merge_options = all_of(
    _MERGE.option("--dtype", type=Dtype(), metavar="DTYPE", help="Output dtype: f64, f32, f16 or bf16."),
    _MERGE.option(
        "--max-shard-size", type=Size(), metavar="SIZE", help="Re-cut shards, e.g. 5GB, 500MB, 2GiB."
    ),
    _MERGE.option(
        "--config-from", metavar="NAME", help="Ingredient that gives config and tokenizer; else the first."
    ),
    _MERGE.option("--overwrite", is_flag=True, help="Replace an existing soup."),
    _MERGE.option(
        "--nonfinite",
        type=click.Choice(["error", "warn"]),
        default="error",
        help="What NaN and infinities in the data do.",
    ),
    _MERGE.option(
        "--io", type=click.Choice(["auto", "mmap", "pread"]), default="auto", help="How ingredients are read."
    ),
    _MERGE.option(
        "--cache",
        type=click.Choice(["auto", "keep", "drop"]),
        default="auto",
        help="What stays in the page cache.",
    ),
    _MERGE.option(
        "--num-threads", "-j", type=click.IntRange(min=1), metavar="N", help="Worker threads; else all cores."
    ),
    _MERGE.option("--chunk-bytes", type=Size(), metavar="SIZE", help="A thread's unit of work."),
    _MERGE.option(
        "--sync/--no-sync", default=True, help="Wait until the soup is on the disk. Default: --sync."
    ),
    _MERGE.option(
        "--digests",
        type=click.Choice(["none", "tensors", "full"]),
        default="tensors",
        help="What is hashed; `full`: inputs and shards too, read back.",
    ),
    _MERGE.option("--differences", is_flag=True, help="Record how far each tensor is from each ingredient."),
    _MERGE.option("--restart", is_flag=True, help="Discard what an interrupted merge has finished."),
    _MERGE.option(
        "--copy-code/--no-code", default=None, help="Copy or leave out *.py files that the config needs."
    ),
    _MERGE.option(
        "--allow-different-tokenizers", is_flag=True, help="Accept tokenizers with different token ids."
    ),
    _MERGE.option("--follow-links", is_flag=True, help="Follow links that leave an ingredient's directory."),
    _MERGE.option("--ignore-unreferenced", is_flag=True, help="Accept shards that an index does not name."),
    _MERGE.option(
        "--preflight/--no-preflight", default=True, help="Compare free space first. Default: --preflight."
    ),
)
