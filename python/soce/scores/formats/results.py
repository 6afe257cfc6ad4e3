"""What result files of all harnesses hold: measurements, tasks, and values of JSON. Knows no format."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.scores.cells.column import is_missing
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

_MAX_ENTRIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one task."""

    value: float
    """NaN if missing."""
    stderr: float = math.nan
    count: float = math.nan
    """Items behind the value; NaN if the file does not say."""
    higher_is_better: bool | None = None
    """None if the file does not say."""


@dataclass(frozen=True, slots=True)
class Task:
    """A row of a result file: a measured task, or a group computed from others."""

    name: str
    metrics: Mapping[str, Measurement]
    """By the metric's name as the file has it; empty if the row has no score."""
    members: tuple[str, ...] | None = None
    """Of a group: the tasks and groups directly below it, () if unknown. None: a measured task."""
    reason: str = "has no score"
    """Why `metrics` is empty."""
    outcomes: Callable[[str], Mapping[str, float]] | None = None
    """Reads item id → outcome of a metric, raising `ScoreTableError` where there are none; None: never."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What one file says about one model."""

    path: str
    model: str | None
    """None if the file does not say."""
    stamp: str
    """When it was written, comparable as text between files of one format."""
    tasks: tuple[Task, ...]


def files_below(path: Path) -> Iterator[Path]:
    """Yield a file itself, or those below a directory, in an order that no file system decides."""
    if not path.is_dir():
        yield path
        return
    n_entries = 0
    for folder, subfolders, names in os.walk(path, onerror=_raise):
        subfolders.sort()
        n_entries += len(names) + len(subfolders)
        if n_entries > _MAX_ENTRIES:
            hint = "name the directory of the results"
            Refusals(path).refuse(f"there are more than {_MAX_ENTRIES} files below the directory", hint)
        yield from (Path(folder, name) for name in sorted(names))


def _raise(error: OSError) -> NoReturn:
    raise error


def time_in_name(path: Path) -> str:
    """Return when a file called ``results_<time>.json`` was written."""
    return path.name.rpartition("_")[2].removesuffix(".json")


def rows_of(path: Path, held: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tasks of the object `results`, each with what is said of it."""
    if not held["results"]:
        Refusals(path).refuse("the results are empty")
    for task, row in held["results"].items():
        if not isinstance(row, dict):
            Refusals(path).refuse(f"the result of task `{shown(task)}` is not an object")
        yield task, row


def score_of(value: Any) -> float | None:  # noqa: ANN401 (whatever a JSON file holds)
    """Return a score of a JSON file, NaN if missing or not finite, None if it is no number."""
    if value is None or (isinstance(value, str) and is_missing(value)):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else math.nan


def stderr_of(value: Any) -> float:  # noqa: ANN401 (whatever a JSON file holds)
    """Return a standard error of a JSON file, NaN if it is none."""
    stated = score_of(value)
    return math.nan if stated is None or stated < 0 else stated


def truth_of(value: object) -> bool | None:
    """Return a truth value of a JSON file, None if it is none."""
    return value if isinstance(value, bool) else None


def count_of(value: object) -> float:
    """Return a number of items, NaN if it is not one."""
    return float(value) if type(value) is int and value > 0 else math.nan


def name_of(value: object) -> str | None:
    """Return a name that a file gives, None if it gives none."""
    return (value.strip() or None) if isinstance(value, str) else None


def object_in(held: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the object that keys lead to, an empty one if there is none."""
    value: Any = held
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
