"""Tables as lm-evaluation-harness prints them: long, of one model, a task named in its first row only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

_HEADS: Final = ("Tasks", "Groups")
_OTHERS: Final = frozenset({"Version", "Filter", "Metric", "Value", "Stderr"})
_BELOW: Final = "- "
"""In front of a task that belongs to a group above it; how far above is lost when cells are trimmed."""


def is_printed(names: Iterable[str]) -> bool:
    """Whether the columns are those that the harness prints."""
    first, *others = names
    return first in _HEADS and _OTHERS.issubset(others)


def as_long(grid: pd.DataFrame, path: str) -> pd.DataFrame:
    """Return the grid with a task in each row and metrics called ``metric,filter``.

    Raises `ScoreTableError` if there are groups: which tasks one stands for is not printed.
    """
    head = str(grid.columns[0])
    tasks = grid[head].mask(grid[head] == "").ffill().fillna("")
    below = tasks[tasks.str.startswith(_BELOW)]
    if not below.empty:
        Refusals(path).refuse(
            f"{below.index[0]}: `{shown(below.iloc[0])}` is below a group, and the table does not say which",
            "read `results_*.json`, which the harness writes with its option output_path",
        )
    metrics = [
        metric if used == "none" else f"{metric},{used}"
        for metric, used in zip(grid["Metric"], grid["Filter"], strict=True)
    ]
    return grid.drop(columns=[head, "Filter"]).assign(category=tasks, Metric=metrics)
