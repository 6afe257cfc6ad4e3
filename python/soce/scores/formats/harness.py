"""A harness and its result files: finding them, naming models, telling tasks from groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.exceptions import ScoreTableError, shown
from soce.scores.formats.metric_choice import choose_metrics, column_direction, column_scale
from soce.scores.formats.results import Measurement, files_below
from soce.scores.outcomes import with_outcomes
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from soce.scores.formats.options import ReadOptions
    from soce.scores.formats.results import ResultFile, Task

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

    `source` is what the user named, `short` as in `Harness`.
    """
    models: dict[str, list[ResultFile]] = {}
    for file in files:
        name = file.model or options.model
        if name is None:
            Refusals(file.path).refuse("the file does not say which model it is about", _NAME_HINT)
        models.setdefault(name, []).append(file)
    refusals = Refusals(source)
    rows = {name: _merged(name, held, refusals) for name, held in models.items()}
    results = _Results(rows, refusals, short)
    results.choose(options.metric, at_groups=options.level == "group")
    if options.level == "group":
        results.put_groups_for_tasks()
    table = results.table(kind)
    return with_outcomes(table, results.outcomes) if options.items else table


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
    reached, waiting = {group}, [group]
    while waiting:
        members = groups[waiting.pop()]
        if not members:
            return ()
        below = set(members) - reached
        reached |= below
        waiting += below & groups.keys()
    return tuple(sorted(reached - groups.keys()))


class _Results:
    """The results of all models: what is read of each task, and what becomes a category."""

    def __init__(
        self, rows: Mapping[str, Mapping[str, Task]], refusals: Refusals, short: Callable[[str], str]
    ) -> None:
        self.rows = rows
        self.refusals = refusals
        self.short = short
        self.groups = _groups(rows)
        self.metrics: dict[str, list[str]] = {}
        """Those of each task in any file."""
        self.ignored: dict[str, str] = {}
        self.chosen: dict[str, str] = {}
        """The metric that is read of each task and group."""
        self.parts: dict[str, tuple[str, ...]] = {}
        """The tasks that each group averages."""
        for name in dict.fromkeys(task for row in rows.values() for task in row):
            tasks = [row[name] for row in rows.values() if name in row]
            self.metrics[name] = sorted({metric for task in tasks for metric in task.metrics})
            if not self.metrics[name]:
                self.ignored[name] = tasks[0].reason
        self.categories = {name for name in self.metrics if name not in self.groups}

    def choose(self, wanted: str | None, *, at_groups: bool) -> None:
        """Choose the metric of each task, and of the groups that have one in it."""
        scored = {name: metrics for name, metrics in self.metrics.items() if metrics}
        tasks = {name: metrics for name, metrics in scored.items() if name not in self.groups}
        if not tasks and not (at_groups and scored):
            first = next((f"`{shown(task)}` {reason}" for task, reason in self.ignored.items()), None)
            if scored:
                message = "only groups have scores in the results, not the tasks that they stand for"
                self.refusals.refuse(message, "read the groups with `--level group`")
            self.refusals.refuse("there are no scores in the results", first)
        self.chosen = choose_metrics(tasks or scored, wanted, self.short, self.refusals)
        leaves = {group: _leaves_of(group, self.groups) for group in self.groups}
        for group, below in leaves.items():
            if group in self.chosen or group in self.ignored:
                continue
            # A group's score is comparable with its tasks only under their metric.
            of_tasks = {self.chosen[task] for task in (below or tasks) if task in self.chosen}
            if len(of_tasks) == 1 and of_tasks <= set(self.metrics[group]):
                self.chosen[group] = of_tasks.pop()
            else:
                self.ignored[group] = "is a group without a score in the metric of its tasks"
        for group in [group for group in self.groups if group in self.chosen]:
            metric = self.chosen[group]
            # The harnesses average over those tasks of a group that have the metric.
            having = tuple(task for task in leaves[group] if metric in self.metrics.get(task, ()))
            self.parts[group] = having if all(self.chosen.get(task) == metric for task in having) else ()
        for task in tasks:
            if task not in self.chosen:
                self.ignored.setdefault(task, f"has no metric `{shown(wanted or '')}`")

    def put_groups_for_tasks(self) -> None:
        """Make categories of the innermost groups instead of their tasks."""
        hint = "leave out the level, or ask for `leaf`"
        if not self.groups:
            self.refusals.refuse("there are no groups in the results", hint)
        inner = [group for group in sorted(self.parts) if self.groups.keys().isdisjoint(self.groups[group])]
        if not inner:
            self.refusals.refuse("no group of the results has a score", hint)
        covered = {task: group for group in inner for task in self.groups[group]}
        for task in [task for task in self.chosen if task in covered and task not in self.groups]:
            del self.chosen[task]
            self.ignored[task] = f"is part of the group `{shown(covered[task])}`"
        self.categories |= set(inner)
        self.parts = {}

    def table(self, kind: str) -> ScoreTable:
        """Return the table of what was chosen, categories first."""
        order = [name for name in self.metrics if name in self.chosen]
        columns, held = [], []
        for name in sorted(order, key=lambda name: name not in self.categories):
            column, cells = self._column(name)
            columns.append(column)
            held.append([(cell.value, cell.count, cell.stderr) for cell in cells])
        values, counts, stderrs = np.array(held, dtype=np.float64).T  # each (n_models, n_columns)
        return ScoreTable(
            tuple(self.rows),
            tuple(columns),
            values,
            counts=None if np.isnan(counts).all() else counts,
            stderrs=None if np.isnan(stderrs).all() else stderrs,
            source=str(self.refusals.path),
            kind=kind,
            ignored=tuple(self.ignored.items()),
        )

    def outcomes(self, model: str, name: str) -> Mapping[str, float]:
        """Return item id → outcome of a model in what was chosen."""
        read = self.rows[model][name].outcomes
        if read is None:
            self.refusals.refuse("they are not read from files of this format")
        return read(self.chosen[name])

    def _column(self, name: str) -> tuple[Column, list[Measurement]]:
        metric = self.chosen[name]
        missing = Measurement(math.nan)
        tasks = [row.get(name) for row in self.rows.values()]
        cells = [missing if task is None else task.metrics.get(metric, missing) for task in tasks]
        stated = {cell.higher_is_better for cell in cells} - {None}
        if len(stated) > 1:
            message = f"the files disagree on whether a larger `{shown(metric)}` is better in `{shown(name)}`"
            self.refusals.refuse(message)
        direction = next(iter(stated), None)
        column = Column(
            name,
            role="category" if name in self.categories else "aggregate",
            scale=column_scale(self.short(metric), [cell.value for cell in cells]),
            higher_is_better=column_direction(self.short(metric)) if direction is None else direction,
            parts=self.parts.get(name, ()),
            metric=metric.removesuffix(_NO_FILTER),
        )
        return column, cells


@dataclass(frozen=True, slots=True)
class Harness:
    """How to know, find and read the result files of one harness."""

    kind: str
    """The name of its format."""
    name: str
    suffixes: tuple[str, ...]
    own_name: re.Pattern[str]
    """What its files are called: one that cannot be read is an error, not somebody else's file."""
    load: Callable[[Path], Any]
    fits: Callable[[Any], bool]
    """Whether what was loaded is of this format."""
    parse: Callable[[Path, Any], ResultFile]
    expected: str
    """What a file of another format lacks, for the message."""
    hint: str
    short: Callable[[str], str] = str
    """Makes the short name of a metric ("acc" of "acc,none"), which a user may give as well."""

    def recognise(self, path: Path) -> bool:
        """Whether a file, or some file below a directory, is of this format."""
        try:
            return any(self._is_own(file) for file in files_below(path))
        except (OSError, ScoreTableError):
            return False

    def _is_own(self, path: Path) -> bool:
        try:
            return path.name.endswith(self.suffixes) and self.fits(self.load(path))
        except (OSError, ScoreTableError):
            return False

    def read(self, path: Path, options: ReadOptions) -> ScoreTable:
        """Return the table of a result file, or of those of one or many models below a directory."""
        return join_results(self._files(path), path, self.kind, options, short=self.short)

    def _files(self, path: Path) -> list[ResultFile]:
        """Return the result files at or below a path; below a directory, other files are skipped."""
        found = []
        for file in files_below(path):
            if file != path and not file.name.endswith(self.suffixes):
                continue
            try:
                held = self.load(file)
            except ScoreTableError:
                if file == path or self.own_name.fullmatch(file.name):
                    raise
                continue
            if self.fits(held):
                found.append(self.parse(file, held))
        if not found:
            message = f"the file holds no {self.name} results: {self.expected}"
            if path.is_dir():
                message = f"there are no {self.name} results below the directory"
            Refusals(path).refuse(message, self.hint)
        return found
