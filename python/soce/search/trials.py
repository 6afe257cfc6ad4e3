"""When a search recorded its trials: read from its own folder, without Optuna. Changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from soce.search.folder import OLD_TRIALS, TRIALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_CREATE_TRIAL: Final = 4
"""What Optuna calls the addition of a trial in a journal."""


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials that a search has recorded."""

    n_trials: int
    best: float | None
    """Largest objective on the selection items."""
    gaps: tuple[float, ...]
    """Seconds from each trial to the next, in the order in which they were recorded."""
    best_weights: str | None = None
    """The weights of the first soup that reached it, as people read them."""
    recipes: frozenset[str] = frozenset()
    """The ids of all recipes."""
    stages: Mapping[str, int] = field(default_factory=dict)
    """Stage of the search → trials that were recorded in it."""

    @property
    def seconds(self) -> float:
        """From the first recorded trial to the last, pauses and all."""
        return sum(self.gaps)

    @property
    def seconds_each(self) -> float | None:
        """From one trial to the next, the median: a pause does not show in it."""
        return median(self.gaps) if self.gaps else None


def read_trials(search: Path) -> Trials | None:
    """Return the trials in a search's folder; None if they are in another storage, or cannot be read."""
    try:
        if (search / TRIALS).is_file():
            return _of_records(_journal_records(search / TRIALS))
        if (search / OLD_TRIALS).is_file():
            return _of_records(_database_records(search / OLD_TRIALS))
    except (OSError, sqlite3.Error, LookupError, TypeError, ValueError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class _Record:
    """One trial."""

    moment: datetime
    value: float | None
    """None for a soup that was given up."""
    told: Mapping[str, object]


def _of_records(records: Sequence[_Record]) -> Trials:
    """Return what trials come to; they stand in the order in which they were added."""
    moments = sorted(record.moment for record in records)
    gaps = tuple((after - before).total_seconds() for before, after in pairwise(moments))
    scored = [record for record in records if record.value is not None]
    best = max(scored, key=lambda record: record.value or 0.0, default=None)
    weights = None if best is None else best.told.get("weights")
    return Trials(
        len(moments),
        None if best is None else best.value,
        gaps,
        None if weights is None else str(weights),
        frozenset(str(record.told["recipe"]) for record in records if "recipe" in record.told),
        Counter(str(record.told["stage"]) for record in records if "stage" in record.told),
    )


def _journal_records(path: Path) -> list[_Record]:
    """Return the trials of a journal of Optuna's: what a killed process left of a line is none."""
    lines = path.read_bytes().splitlines(keepends=True)
    told = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [
        _Record(datetime.fromisoformat(one["datetime_complete"]), one["value"], one["user_attrs"])
        for one in told
        if one["op_code"] == _CREATE_TRIAL
    ]


def _database_records(path: Path) -> list[_Record]:
    """Return the trials of a database of Optuna's, as 0.1 kept them."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        trials = database.execute(
            "SELECT trial_id, datetime_complete, value FROM trials LEFT JOIN trial_values USING (trial_id) "
            "WHERE datetime_complete IS NOT NULL ORDER BY trial_id"
        ).fetchall()
        attributes = database.execute(
            "SELECT trial_id, key, value_json FROM trial_user_attributes "
            "WHERE key IN ('recipe', 'stage', 'weights')"
        ).fetchall()
    told: defaultdict[int, dict[str, object]] = defaultdict(dict)
    for trial, key, text in attributes:
        told[trial][key] = json.loads(text)
    return [_Record(datetime.fromisoformat(moment), value, told[trial]) for trial, moment, value in trials]
