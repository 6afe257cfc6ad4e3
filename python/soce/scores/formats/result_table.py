"""The table of a harness's result files: naming models, choosing metrics, telling tasks from groups."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.scores.formats.metric_choice import choose_metrics, column_direction, column_scale
from soce.scores.formats.result_files import Measurement
from soce.scores.formats.text import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from soce.scores.formats.options import ReadOptions
    from soce.scores.formats.result_files import ResultFile, Task
    from soce.scores.table import Role

_NO_FILTER: Final = ",none"
"""lm-evaluation-harness writes ``acc,none`` what it called ``acc`` before version 0.4."""
_NAME_HINT: Final = "say which model it is: `NAME=PATH`"


def join_results(
    files: Sequence[ResultFile],
    source: Path,
    kind: str,
    options: ReadOptions,
    *,
    short: Callable[[str], str],
) -> ScoreTable:
    """Return the table of result files of one or many models; columns as files and tasks name them first.

    `source` is what the user named, `kind` the format. `short` makes the short name of a metric ("acc" of
    "acc,none"), which a user may give as well. Raises `ScoreTableError` if a file does not name its model,
    a model has two results for a task, a metric must be chosen or is not there, files disagree on a
    direction, or there are no groups at group level.
    """
    refusals = Refusals(source)
    models = _by_model(files, options.model)
    ignored: dict[str, str] = {}
    rows = {name: _merged(name, held, refusals) for name, held in models.items()}
    tasks = list(dict.fromkeys(task for row in rows.values() for task in row))
    groups = _groups(rows)
    metrics = {
        task: sorted({metric for row in rows.values() if task in row for metric in row[task].metrics})
        for task in tasks
    }
    for task in tasks:
        if not metrics[task]:
            ignored[task] = next(row[task].reason for row in rows.values() if task in row)
    leaves = [task for task in tasks if task not in groups and metrics[task]]
    if not leaves and not (options.level == "group" and any(metrics[group] for group in groups)):
        refusals.refuse("there are no scores in the results", _first_reason(ignored))
    chosen = choose_metrics(
        {task: metrics[task] for task in leaves or groups if metrics[task]}, options.metric, short, refusals
    )
    roles, parts = _level(chosen, metrics, groups, level=options.level, refusals=refusals, ignored=ignored)
    ignored |= {
        task: f"has no metric `{shown(options.metric or '')}`"
        for task in leaves
        if task not in chosen and task not in ignored
    }
    return _table(rows, roles, parts, chosen, short=short, refusals=refusals, kind=kind, ignored=ignored)


def _first_reason(ignored: Mapping[str, str]) -> str | None:
    return next((f"`{shown(task)}` {reason}" for task, reason in ignored.items()), None)


def _by_model(files: Sequence[ResultFile], given: str | None) -> dict[str, list[ResultFile]]:
    models: dict[str, list[ResultFile]] = {}
    for file in files:
        name = file.model or given
        if name is None:
            Refusals(file.path).refuse("the file does not say which model it is about", _NAME_HINT)
        models.setdefault(name, []).append(file)
    return models


def _merged(model: str, files: Sequence[ResultFile], refusals: Refusals) -> dict[str, Task]:
    """Return the tasks of one model. A group in two files is left out: it stands for part of its tasks."""
    merged: dict[str, Task] = {}
    holders: dict[str, ResultFile] = {}
    twice: dict[str, ResultFile] = {}
    for file in files:
        for task in file.tasks:
            there = merged.get(task.name)
            if task.members is not None and there is not None:
                reason = "stands in several result files of a model, in each for other tasks"
                merged[task.name] = replace(there, metrics={}, members=(), reason=reason)
            elif there is None or not there.metrics:
                merged[task.name], holders[task.name] = task, file
            elif task.metrics:
                newest = max(holders[task.name], file, key=lambda held: (held.stamp, held.path))
                twice[task.name] = newest
    if twice:
        first = min(twice)
        more = f" and {len(twice) - 1} other tasks" if len(twice) > 1 else ""
        refusals.refuse(
            f"model `{shown(model)}` has several results for `{shown(first)}`{more}",
            f"choose one and move the others away; the newest is `{shown(twice[first].path)}`",
        )
    return merged


def _groups(rows: Mapping[str, Mapping[str, Task]]) -> dict[str, tuple[str, ...]]:
    """Return the members of every group; () if unknown or if models disagree."""
    groups: dict[str, tuple[str, ...]] = {}
    for row in rows.values():
        for task in row.values():
            if task.members is not None:
                members = tuple(sorted(task.members))
                groups[task.name] = members if groups.get(task.name, members) == members else ()
    return groups


def _leaves_of(group: str, groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the measured tasks below a group, sorted; () if some are unknown."""
    leaves: set[str] = set()
    seen = {group}
    waiting = [group]
    while waiting:
        members = groups[waiting.pop()]
        if not members:
            return ()
        leaves.update(member for member in members if member not in groups)
        below = [member for member in members if member in groups and member not in seen]
        seen.update(below)
        waiting += below
    return tuple(sorted(leaves))


def _level(
    chosen: dict[str, str],
    metrics: Mapping[str, Sequence[str]],
    groups: Mapping[str, tuple[str, ...]],
    *,
    level: str,
    refusals: Refusals,
    ignored: dict[str, str],
) -> tuple[dict[str, Role], dict[str, tuple[str, ...]]]:
    """Say which task is a category and which an aggregate, and choose the groups' metrics."""
    leaves = {task: _leaves_of(task, groups) for task in groups}
    for group, below in leaves.items():
        if group in chosen or group in ignored:
            continue
        # A group's score is comparable with its tasks only under their metric.
        of_tasks = {chosen[task] for task in (below or chosen) if task in chosen and task not in groups}
        same = [metric for metric in metrics[group] if metric in of_tasks] if len(of_tasks) == 1 else []
        if same:
            chosen[group] = same[0]
        else:
            ignored[group] = "is a group without a score in the metric of its tasks"
    parts = {}
    for group in [group for group in groups if group in chosen]:
        metric = chosen[group]
        # The harnesses average over those tasks of a group that have the metric.
        below = tuple(task for task in leaves[group] if metric in metrics.get(task, ()))
        parts[group] = below if all(chosen.get(task) == metric for task in below) else ()
    if level == "leaf":
        return {task: "aggregate" if task in groups else "category" for task in chosen}, parts
    if not groups:
        refusals.refuse("there are no groups in the results", "leave out the level, or ask for `leaf`")
    inner = {group for group in parts if not any(member in groups for member in groups[group])}
    covered = {task: group for group in sorted(inner) for task in groups[group]}
    if not inner:
        refusals.refuse("no group of the results has a score", "leave out the level, or ask for `leaf`")
    for task in [task for task in chosen if task in covered and task not in groups]:
        del chosen[task]
        ignored[task] = f"is part of the group `{shown(covered[task])}`"
    roles: dict[str, Role] = {
        task: "category" if task in inner or task not in groups else "aggregate" for task in chosen
    }
    return roles, {}


def _table(
    rows: Mapping[str, Mapping[str, Task]],
    roles: Mapping[str, Role],
    parts: Mapping[str, tuple[str, ...]],
    chosen: Mapping[str, str],
    *,
    short: Callable[[str], str],
    refusals: Refusals,
    kind: str,
    ignored: Mapping[str, str],
) -> ScoreTable:
    order = dict.fromkeys(task for row in rows.values() for task in row if task in roles)
    names = [name for role in ("category", "aggregate") for name in order if roles[name] == role]
    columns = []
    held: list[list[Measurement]] = []
    for name in names:
        metric = chosen[name]
        missing = Measurement(math.nan)
        cells = [row[name].metrics.get(metric, missing) if name in row else missing for row in rows.values()]
        stated = {cell.higher_is_better for cell in cells} - {None}
        if len(stated) > 1:
            refusals.refuse(
                f"the files disagree on whether a larger `{shown(metric)}` is better in `{shown(name)}`"
            )
        direction = next(iter(stated), None)
        columns.append(
            Column(
                name,
                role=roles[name],
                scale=column_scale(short(metric), [cell.value for cell in cells]),
                higher_is_better=column_direction(short(metric)) if direction is None else direction,
                parts=parts.get(name, ()),
                metric=metric.removesuffix(_NO_FILTER),
            )
        )
        held.append(cells)

    def grid(attribute: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[getattr(cell, attribute) for cell in cells] for cells in held]).T

    counts, stderrs = grid("count"), grid("stderr")
    return ScoreTable(
        tuple(rows),
        tuple(columns),
        grid("value"),
        counts=None if np.isnan(counts).all() else counts,
        stderrs=None if np.isnan(stderrs).all() else stderrs,
        source=refusals.path,
        kind=kind,
        ignored=tuple(ignored.items()),
    )
