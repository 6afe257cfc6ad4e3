"""`soce run --dry-run`: says what a run would do, loads no model and writes nothing."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from soce.cli.bars import byte_bar
from soce.cli.command import inform, print_blocks, print_json, warn
from soce.cli.scoring import located
from soce.cli.text.forecast import forecast_lines
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.merging.options import MergeOptions
    from soce.scores.table import ScoreTable
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.selection.experts import Selection


def foresee(
    pool: Pool,
    selection: Selection | None,
    choose: Callable[[ScoreTable], tuple[Selection, Pool]],
    *,
    folder: Path,
    evaluating: NamedEvaluators,
    searching: SearchOptions,
    merging: MergeOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print what a search in the folder would score, and what that takes.

    Without a selection the candidates of the pool are scored first; `choose` makes the experts of their
    scores.
    """
    from soce.remote.here import check_here
    from soce.search.forecast import Forecaster
    from soce.search.identity import ingredient_identities
    from soce.store.file import StoreFile

    check_here([*pool.paths.values()])
    if StoreFile(folder).path.exists():  # else nothing is known, whatever the ingredients hold
        with byte_bar(enabled=not quiet) as on_progress:  # whoever asks for them again finds them known
            ingredient_identities(pool.paths, on_progress=on_progress)
    merge = located(replace(merging, overwrite=False), pool)
    with (
        tempfile.TemporaryDirectory(prefix="soce-") as scratch,
        evaluating.opened(
            list(pool.checkpoints), merge=merge, folder=Path(scratch), quiet=True, is_outline=True
        ) as (first, other),
    ):
        options = replace(searching, executor=evaluating.executor)
        seen = Forecaster(pool, first, folder=folder, options=options, held_out_evaluator=other)
        if selection is None:
            table = seen.measure([pool.recipe({name: 1}) for name in pool.names])
            if table is not None:
                selection, pool = choose(table)
        if selection is not None:
            seen.search(pool, selection.objective)
        found = seen.forecast()
    if as_json:
        print_json(found.to_json())
    else:
        print_blocks(*forecast_lines(found))
    if not quiet:
        if found.device_bytes is not None:
            if (found.model_bytes or 0) > found.device_bytes:
                warn([f"the model does not fit into the memory of {found.device}"])
            elif found.device == "cpu" and (found.machine_bytes or 0) > found.device_bytes:
                models = counted(found.at_once or 0, "model does", "models do")
                warn([f"{models} not fit into the memory of this machine: use fewer processes"])
        inform("nothing was loaded, scored or written")
