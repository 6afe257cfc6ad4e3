"""What a store tells without an evaluator: who works on it, how large it is, what evaluations cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soce.files.plain import Plain
from soce.store.database import STORE, Database, leases_beside
from soce.store.leases import Lease, read_leases

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class StoreSize(Plain):
    """How much a store holds."""

    n_mixes: int
    """Mixes of which anything is known."""
    n_evaluations: int
    """Calls of evaluators whose outcomes are kept."""
    n_outcomes: int
    """Outcomes of one mix on one item."""
    n_answers: int
    """Those of which the answer is kept."""
    n_bytes: int
    """Of the file."""


@dataclass(frozen=True, slots=True)
class Timing(Plain):
    """What one evaluation cost."""

    evaluator: str
    """Digest of the evaluator's identity."""
    n_items: int
    """Items that it was asked for and gave."""
    seconds: float
    """From the call to its end, with the mixing of the soup."""


class StoreFile:
    """The store in the folder of a search; there need not be one yet.

    Raises
    ------
    StudyError
        The file is of another format, no store, or damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / STORE
        self._database = Database(self.path)
        self._leases = leases_beside(self.path)

    def leases(self) -> tuple[Lease, ...]:
        """Return what is being scored, the oldest first."""
        return read_leases(self._leases)

    def size(self) -> StoreSize:
        """Return how much is kept."""
        with self._database.reading() as connection:
            if connection is None:
                return StoreSize(0, 0, 0, 0, 0)
            (mixes,) = connection.execute("SELECT count(DISTINCT mix) FROM evaluations").fetchone()
            calls, answers = connection.execute(
                "SELECT count(*), coalesce(sum(n_answers), 0) FROM evaluations"
            ).fetchone()
            (outcomes,) = connection.execute("SELECT count(*) FROM outcomes").fetchone()
        return StoreSize(mixes, calls, outcomes, answers, self.path.stat().st_size)

    def timings(self) -> tuple[Timing, ...]:
        """Return what every evaluation cost whose time was taken, in the order in which they ended."""
        with self._database.reading() as connection:
            if connection is None:
                return ()
            rows = connection.execute(
                "SELECT r.digest, e.n_items, e.seconds FROM evaluations e JOIN evaluators r "
                "ON r.id = e.evaluator WHERE e.seconds IS NOT NULL ORDER BY e.id"
            )
            return tuple(Timing(*row) for row in rows)

    def mark_chosen(self, keys: Iterable[str]) -> None:
        """Keep that soups were chosen on the items of these keys."""
        marked = self.chosen(wanted := dict.fromkeys(keys))
        if new := [(key,) for key in wanted if key not in marked]:
            with self._database.changing() as connection:
                connection.executemany("INSERT OR IGNORE INTO chosen (key) VALUES (?)", new)

    def chosen(self, keys: Iterable[str]) -> frozenset[str]:
        """Return those of the keys that soups were ever chosen on in this store."""
        with self._database.reading() as connection:
            if connection is None:
                return frozenset()
            asked = json.dumps([*keys])
            rows = connection.execute(
                "SELECT key FROM chosen WHERE key IN (SELECT value FROM json_each(?))", (asked,)
            )
            return frozenset(key for (key,) in rows)
