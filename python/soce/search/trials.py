"""When a search recorded its trials: read from its own database, without Optuna. Changes nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials that a search has recorded."""

    n_trials: int
    best: float | None
    """Largest objective on the selection items."""
    gaps: tuple[float, ...]
    """Seconds from each trial to the next, in the order in which they were recorded."""

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
            (best,) = database.execute("SELECT max(value) FROM trial_values").fetchone()
        moments = [datetime.fromisoformat(text) for (text,) in times]
    except (sqlite3.Error, TypeError, ValueError):
        return None
    gaps = tuple((after - before).total_seconds() for before, after in pairwise(moments))
    return Trials(len(moments), best if isinstance(best, float) else None, gaps)
