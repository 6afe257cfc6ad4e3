"""Any tensor of any mix, of checkpoints by any of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import soce._core as _core
from soce.files.arguments import expect_paths
from soce.merging.ingredients import split_here
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.remote.here import bring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.files.atomic import PathText


class Mixer(_core.Mixer):
    """Any tensor of any mix of the ingredients, into a caller's memory."""

    def __new__(
        cls,
        ingredients: Sequence[PathText],
        *,
        io: str = "auto",
        follow_links: bool = False,
        ignore_unreferenced: bool = False,
        leave_out: Sequence[str] = (),
        take: Sequence[tuple[str, int]] = (),
    ) -> Self:
        """Open the ingredients and prove that they agree.

        Parameters
        ----------
        ingredients : sequence of path-like
            Checkpoints, by any name that `soce.merge` takes. What is somewhere else is downloaded: tensors
            are read each time that they are mixed.
        io : {"auto", "mmap", "pread"}
            How files are read.
        follow_links, ignore_unreferenced, leave_out
            As in `MergeOptions`.
        take : sequence of (str, int)
            Patterns of tensors, and the number of the ingredient that gives them unchanged.
        """
        expect_paths(ingredients, "ingredients")
        bases, changes = split_here(
            bring([find_checkpoint(path) for path in ingredients]),
            follow_links=follow_links,
            ignore_unreferenced=ignore_unreferenced,
        )
        return super().__new__(
            cls,
            bases,
            io=io,
            follow_links=follow_links,
            ignore_unreferenced=ignore_unreferenced,
            leave_out=leave_out,
            take=take,
            adapters=changes,
        )
