"""Which metric of a harness to read of each task, its scale and its direction."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.scores.cells.column import is_missing
from soce.scores.names.directions import smaller_is_better

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from soce.scores.formats.options import ReadOptions
    from soce.scores.refusals import Refusals
    from soce.scores.table import Scale

_MAX_LISTED: Final = 8

# Shares by definition. Others (`bleu`, `mcc`, `mean`, a perplexity) get no scale: nobody said what it is.
_SHARES: Final = re.compile(
    r"acc(_norm|_all|_bytes|_mutual_info|uracy)?|exact_match|quasi_exact_match|em|f1|(pass|maj)@.+"
    r"|(prompt|inst)_level_(strict|loose)_acc|extractive_match"
)


def column_scale(metric: str, values: Sequence[float]) -> Scale | None:
    """Return ``unit`` for a share whose values all lie in 0 to 1, None for anything else."""
    there = [value for value in values if not math.isnan(value)]
    return "unit" if _SHARES.fullmatch(metric) and all(0 <= value <= 1 for value in there) else None


def column_direction(metric: str) -> bool:
    """Return whether larger is better where no file says so: yes, but for perplexities and the like."""
    return smaller_is_better(metric) != "sure"


def choose_metrics(
    tasks: Mapping[str, Sequence[str]],
    wanted: str | None,
    short: Callable[[str], str],
    refusals: Refusals,
) -> dict[str, str]:
    """Return the metric to read of each task, given the metrics of each, at least one.

    `wanted` is a metric's full name or its `short` one, or several separated by spaces: of each task the
    first that it has; tasks that have none are left out. Without it: the one metric that all tasks have in
    common; if there is not exactly one, the only metric of each task. What is not there or not clear is
    refused.
    """
    if wanted is not None and wanted.strip():
        chosen = {task: _first(task, metrics, wanted, short, refusals) for task, metrics in tasks.items()}
        found = {task: metric for task, metric in chosen.items() if metric is not None}
        if not found:
            refusals.refuse(f"no task has a metric `{shown(wanted)}`", f"there are: {_offered(tasks)}")
        return found
    common = set.intersection(*(set(metrics) for metrics in tasks.values()))
    if len(common) == 1:
        return dict.fromkeys(tasks, common.pop())
    by_short = {task: _unique_short(metrics, short) for task, metrics in tasks.items()}
    common_short = set.intersection(*(set(names) for names in by_short.values()))
    if not common and len(common_short) == 1:
        name = common_short.pop()
        return {task: names[name] for task, names in by_short.items()}
    several = [task for task, metrics in tasks.items() if len(metrics) > 1]
    if several:
        first = several[0]
        more = f" (as {len(several)} of {len(tasks)} tasks have)" if len(several) > 1 else ""
        refusals.refuse(
            f"task `{shown(first)}` has several metrics: {listed(tasks[first], limit=_MAX_LISTED)}{more}",
            f"choose with `--metric`, several in order of preference; there are: {_offered(tasks)}",
        )
    return {task: metrics[0] for task, metrics in tasks.items()}


def chosen_rows(
    categories: pd.Series[str], metrics: pd.Series[str], options: ReadOptions, refusals: Refusals
) -> list[bool]:
    """Return which rows of a plain table to read: of a category with several metrics those of one."""
    stated = metrics[~metrics.map(is_missing)].groupby(categories, sort=False).unique()
    several = {str(name): found.tolist() for name, found in stated.items() if len(found) > 1}
    chosen = choose_metrics(several, options.metric, str, refusals) if several else {}
    return [
        name not in several or chosen.get(name) == metric
        for name, metric in zip(categories, metrics, strict=True)
    ]


def _unique_short(metrics: Sequence[str], short: Callable[[str], str]) -> dict[str, str]:
    """Return metrics by the short names that stand for one metric only."""
    names = [short(metric) for metric in metrics]
    return {short(metric): metric for metric in metrics if names.count(short(metric)) == 1}


def _first(
    task: str, metrics: Sequence[str], wanted: str, short: Callable[[str], str], refusals: Refusals
) -> str | None:
    for name in dict.fromkeys([wanted.strip(), *wanted.split()]):
        if name in metrics:
            return name
        fitting = [metric for metric in metrics if short(metric) == name]
        if len(fitting) > 1:
            names = listed(fitting, limit=_MAX_LISTED)
            refusals.refuse(
                f"metric `{shown(name)}` of task `{shown(task)}` is one of {names}",
                f"give the full name, for example `{shown(fitting[0])}`",
            )
        if fitting:
            return fitting[0]
    return None


def _offered(tasks: Mapping[str, Sequence[str]]) -> str:
    """Return every metric with the number of tasks that have it, the most frequent first."""
    counts = Counter(metric for metrics in tasks.values() for metric in metrics)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    offered = ", ".join(f"`{shown(name)}` ({n} of {len(tasks)} tasks)" for name, n in ranked[:_MAX_LISTED])
    return offered + (f" and {len(ranked) - _MAX_LISTED} more" if len(ranked) > _MAX_LISTED else "")
