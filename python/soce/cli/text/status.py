"""How far a run is, as people read it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from soce.cli.text.layout import columns, duration, size, wrapped
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from soce.search.status import RunStatus
    from soce.store.leases import Lease


def status_lines(status: RunStatus) -> list[list[str]]:
    """Return what is done, what is running, and what there is so far, as blocks of lines."""
    blocks = [_stage_lines(status)]
    if status.running:
        blocks.append(_running_lines(status.running))
    return [*blocks, _fact_lines(status)]


def _stage_lines(status: RunStatus) -> list[str]:
    rows = [["stage", "done", "left"]]
    for stage in status.stages:
        if stage.total is None:
            rows.append([stage.name, str(stage.done), "?"])
        else:
            left = stage.total - stage.done
            rows.append([stage.name, f"{stage.done} of {stage.total}", str(left) if left else ""])
    if status.is_done:
        state = "finished"
    elif any(not lease.is_expired for lease in status.running):
        at_once = sum(not lease.is_expired for lease in status.running)
        state = "running" if at_once == 1 else f"running {at_once} at once"
        if status.seconds_left is not None:
            state += f", {duration(status.seconds_left)} left"
    else:
        state = "not running: the same command goes on"
    return [f"{shown(status.folder)}: {state}", *columns(rows, "lrr")]


def _running_lines(leases: tuple[Lease, ...]) -> list[str]:
    rows = [["running", "process", "host", "since", "last beat"]]
    now = time.time()
    for lease in leases:
        since, beat = (duration(max(0.0, now - moment)) for moment in (lease.since, lease.beat))
        gone = ", gone" if lease.is_expired else ""
        rows.append([shown(lease.what), str(lease.process), shown(lease.host), since, f"{beat} ago{gone}"])
    return columns(rows, "lrlrl")


def _fact_lines(status: RunStatus) -> list[str]:
    lines = []
    if status.best is not None:
        of = f": {status.best_weights}" if status.best_weights else ""
        lines += wrapped(f"{status.best:.4g} on the items to choose on{of}", "best       ")
    store = status.store
    told = [
        counted(store.n_evaluations, "evaluation"),
        counted(store.n_outcomes, "outcome"),
        counted(store.n_answers, "answer"),
    ]
    lines += wrapped(f"{', '.join(told)} kept, {size(store.n_bytes)}", "store      ")
    if status.verdict is not None:
        lines += wrapped(status.verdict, "result     ")
    return lines
