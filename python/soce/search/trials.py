"""When a search recorded its trials: read from its own database, without Optuna. Changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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


def read_trials(path: Path) -> Trials | None:
    """Return the trials in a database; None if they are in another storage, or cannot be read."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            times = database.execute(
                "SELECT datetime_complete FROM trials WHERE datetime_complete IS NOT NULL "
                "ORDER BY datetime_complete"
            ).fetchall()
            best = database.execute(
                "SELECT value, trial_id FROM trial_values ORDER BY value DESC, trial_id LIMIT 1"
            ).fetchone()
            rows = database.execute(
                "SELECT trial_id, key, value_json FROM trial_user_attributes "
                "WHERE key IN ('recipe', 'stage', 'weights')"
            ).fetchall()
        moments = [datetime.fromisoformat(text) for (text,) in times]
        told: dict[str, dict[int, str]] = {"recipe": {}, "stage": {}, "weights": {}}
        for trial, key, text in rows:
            told[key][trial] = str(json.loads(text))
    except (sqlite3.Error, TypeError, ValueError):
        return None
    gaps = tuple((after - before).total_seconds() for before, after in pairwise(moments))
    return Trials(
        len(moments),
        None if best is None else best[0],
        gaps,
        None if best is None else told["weights"].get(best[1]),
        frozenset(told["recipe"].values()),
        Counter(told["stage"].values()),
    )
