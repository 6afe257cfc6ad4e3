"""Result files of lighteval: ``results/<model>/results_<time>.json``.

Columns are named as in the file, ``task|shots``; its groups are ``all`` and ``…:_average|…``. Averages carry
no standard error: the file averages those of the tasks, which is not one.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from soce.scores.formats import results
from soce.scores.formats.harness import Harness
from soce.scores.grids.text import load_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_AVERAGE: Final = ":_average|"
_ALL: Final = "all"


def _fits(held: object) -> bool:
    return (
        isinstance(held, dict)
        and isinstance(held.get("results"), dict)
        and isinstance(held.get("config_general"), dict)
    )


def _parse(path: Path, held: dict[str, Any]) -> results.ResultFile:
    general = held["config_general"]
    of_config = results.object_in(general, "model_config").get("model_name")
    name = results.name_of(general.get("model_name")) or results.name_of(of_config)
    names = [task.strip() for task in held["results"]]
    tasks = []
    for task, row in results.rows_of(path, held):
        config = results.object_in(held, "config_tasks", task)
        is_average = _is_average(task.strip())
        members = _members(task.strip(), names) if is_average else None
        tasks.append(results.Task(task.strip(), _metrics(row, config, with_errors=not is_average), members))
    return results.ResultFile(str(path), name, results.time_in_name(path), tuple(tasks))


def _is_average(task: str) -> bool:
    return task == _ALL or _AVERAGE in task


def _members(group: str, tasks: Sequence[str]) -> tuple[str, ...]:
    """Return what an average stands for: for ``mmlu:_average|5`` the tasks ``mmlu:…|5``.

    ``all`` averages the tasks. Listed through the other averages, so that it is a group of groups.
    """
    if group == _ALL:
        averages = [task for task in tasks if _AVERAGE in task]
        within = {task for average in averages for task in _members(average, tasks)}
        return (*averages, *(task for task in tasks if task not in within and not _is_average(task)))
    prefix, _, suffix = group.partition(_AVERAGE)
    return tuple(
        task
        for task in tasks
        if task.startswith(f"{prefix}:") and task.endswith(f"|{suffix}") and not _is_average(task)
    )


def _metrics(
    row: Mapping[str, Any], config: Mapping[str, Any], *, with_errors: bool
) -> dict[str, results.Measurement]:
    stated = config.get("metrics")
    directions = {
        metric["metric_name"]: metric.get("higher_is_better")
        for metric in (stated if isinstance(stated, list) else [])
        if isinstance(metric, dict) and isinstance(metric.get("metric_name"), str)
    }
    metrics = {}
    for name, value in row.items():
        score = results.score_of(value)
        if score is None or not name.strip() or name.endswith("_stderr"):
            continue
        stderr = results.stderr_of(row.get(f"{name}_stderr")) if with_errors else math.nan
        n_items = results.count_of(config.get("effective_num_docs"))  # -1, so unknown, as 0.13.0 writes it
        metrics[name] = results.Measurement(score, stderr, n_items, results.truth_of(directions.get(name)))
    return metrics


_HARNESS: Final = Harness(
    kind="lighteval",
    name="lighteval",
    suffixes=(".json",),
    own_name=re.compile(r"results_[0-9]{4}-[0-9]{2}-[0-9]{2}T.*\.json"),
    load=load_json,
    fits=_fits,
    parse=_parse,
    expected="there are no objects `config_general` and `results`",
    hint="name `results_<time>.json`, which lighteval wrote, or a directory above",
)
recognise: Final = _HARNESS.recognise
read: Final = _HARNESS.read
