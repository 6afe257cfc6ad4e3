"""What scores the soups that a run lacks, for the commands that go on from a run."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from soce.cli.progress import stage_bars, stage_label
from soce.exceptions import shown
from soce.search.folder import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe
    from soce.search.pool import Pool
    from soce.search.run import ItemSet, Run
    from soce.search.scoring import SearchProgress
    from soce.selection.file import SelectionFile


def evaluators_of(run: Run, evaluating: NamedEvaluators) -> NamedEvaluators | str:
    """Return the evaluators that are named, a demo's own if none is; or the reason why there are none."""
    if evaluating.choose is not None:
        return evaluating
    if run.kind != "demo":
        return "give the search's `--evaluator`, and its `--held-out` if it had one, to score them"
    choose, report = (run.folder / MODELS / name for name in ("dev.jsonl", "test.jsonl"))
    for tasks in (choose, report):
        if not tasks.is_file():
            return f"the demo's tasks are gone: there is no `{shown(str(tasks))}`"
    return replace(evaluating, choose=str(choose), report=str(report))


def merge_of(run: Run, merging: MergeOptions) -> MergeOptions:
    """Return the merge that the run's soups are of; what is given now comes first."""
    recorded = {} if run.result is None else run.result.merge
    return located(replace(merging, **{**recorded, **merging.decisions()}), run.pool)


def merge_with(selection: SelectionFile, merging: MergeOptions) -> MergeOptions:
    """Return a merge as a selection has it; what is given beside it comes first or is added."""
    return replace(
        merging,
        dtype=merging.dtype or selection.dtype,
        leave_out=(*selection.leave_out, *merging.leave_out),
        take={**selection.take, **(merging.take or {})} or None,
    )


def located(merge: MergeOptions, pool: Pool) -> MergeOptions:
    """Return a merge that takes tensors from paths: evaluators do not know the names of candidates."""
    if merge.take is None:
        return merge
    take = {tensors: pool.paths.get(giver, giver) for tensors, giver in merge.take.items()}
    return replace(merge, take=take)


def score_soups(
    run: Run,
    soups: Sequence[Recipe],
    evaluators: NamedEvaluators,
    *,
    on: ItemSet,
    merging: MergeOptions,
    quiet: bool,
) -> int:
    """Score those of the soups that are not known, with bars, and return how many there were."""
    with (
        evaluators.opened(run.pool.checkpoints, merge=merging, folder=run.search, quiet=quiet) as (
            first,
            other,
        ),
        missing_bars(quiet=quiet) as tell,
        evaluators.executing() as executor,
    ):
        evaluator = other if other is not None and on == "report" else first
        return run.evaluate(soups, evaluator, on=on, executor=executor, on_progress=tell)


@contextmanager
def missing_bars(*, quiet: bool) -> Iterator[Callable[[SearchProgress], object]]:
    """Show how many of the missing soups are scored."""
    with stage_bars(enabled=not quiet) as bars:
        yield lambda found: bars.show(found.stage, found.done, found.total, label=stage_label(found))
