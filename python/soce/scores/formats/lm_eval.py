"""Result files of lm-evaluation-harness: ``results_<time>.json``, of 0.4 and of older versions.

`ReadOptions.model` is the name if neither the file nor the directory, which the harness named, gives one.
Item counts are those that ran (``effective``), so a limit shows.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.scores.formats import results
from soce.scores.formats.harness import Harness
from soce.scores.formats.lm_eval_samples import outcomes_of
from soce.scores.grids.text import load_json
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME: Final = re.compile(r"results_[0-9]{4}-[0-9]{2}-[0-9]{2}T.*\.json")
# Beside `results`, one of these is in every version's files, and none in those of lighteval and Inspect.
_TOP_LEVEL: Final = frozenset(
    {"config", "configs", "group_subtasks", "higher_is_better", "n-samples", "n-shot", "task_hashes"}
)
_NOT_METRICS: Final = frozenset({"", "alias", "name", "sample_count", "sample_len", "samples"})


def _fits(held: object) -> bool:
    return (
        isinstance(held, dict)
        and isinstance(held.get("results"), dict)
        and "config_general" not in held
        and "eval" not in held
        and (not _TOP_LEVEL.isdisjoint(held) or _has_filters(held["results"]))
    )


def _has_filters(rows: Mapping[str, Any]) -> bool:
    """Whether metrics are called ``metric,filter``, as nowhere else: the rest may have been cut off."""
    keys = [key for row in rows.values() if isinstance(row, dict) for key in row]
    return any(re.fullmatch(r"[^,\s]+,[^,\s]+", key) for key in keys)


def _parse(path: Path, held: dict[str, Any]) -> results.ResultFile:
    model = results.name_of(held.get("model_name"))
    if model is None and _NAME.fullmatch(path.name):
        model = results.name_of(path.absolute().parent.name)
    members = {
        task: tuple(name.strip() for name in below if isinstance(name, str))
        for task, below in results.object_in(held, "group_subtasks").items()
        if isinstance(below, list) and below  # 0.4.9 lists plain tasks as well, with nothing below them
    }
    groups = {**dict.fromkeys(results.object_in(held, "groups"), ()), **members}
    tasks = []
    for task, row in results.rows_of(path, held):
        n_items = results.count_of(results.object_in(held, "n-samples", task).get("effective"))
        directions = results.object_in(held, "higher_is_better", task)
        metrics = _metrics(task, row, n_items, directions, Refusals(path))
        reason = "is a group without a score" if task in groups else "has no score"
        outcomes = partial(outcomes_of, path, task)
        tasks.append(results.Task(task.strip(), metrics, groups.get(task), reason, outcomes))
    return results.ResultFile(str(path), model, results.time_in_name(path), tuple(tasks))


def _metrics(
    task: str, row: Mapping[str, Any], n_items: float, directions: Mapping[str, Any], refusals: Refusals
) -> dict[str, results.Measurement]:
    metrics = {}
    for key, value in row.items():
        name, comma, used_filter = key.partition(",")  # no comma before 0.4, nor in the key " " of a group
        if name.strip() in _NOT_METRICS or name.endswith("_stderr"):
            continue
        score = results.score_of(value)
        if score is None:
            if comma and isinstance(value, (str, bool)):
                refusals.refuse(f"`{shown(key)}` of task `{shown(task)}` is not a number")
            continue
        stderr = results.stderr_of(row.get(f"{name}_stderr{comma}{used_filter}"))
        if math.isnan(counted := n_items):
            counted = results.count_of(results.object_in(row, "sample_count").get(key, row.get("sample_len")))
        metrics[key] = results.Measurement(score, stderr, counted, results.truth_of(directions.get(name)))
    return metrics


_HARNESS: Final = Harness(
    kind="lm-eval",
    name="lm-evaluation-harness",
    suffixes=(".json",),
    own_name=_NAME,
    load=load_json,
    fits=_fits,
    parse=_parse,
    expected="there is no object `results` with the settings of a run beside it",
    hint="name `results_<time>.json`, which the harness wrote, or a directory above; not a file of samples",
    short=lambda metric: metric.partition(",")[0],  # without the filter
)
recognise: Final = _HARNESS.recognise
read: Final = _HARNESS.read
