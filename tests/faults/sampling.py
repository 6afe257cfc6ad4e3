"""Which of many cases a tier takes, and all of their failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from tests.faults.tally import record

Case = TypeVar("Case")
SHOWN = 20
"""Most failures printed of one sweep."""


def spread(total: int, count: int, *, phase: float = 0.0) -> list[int]:
    """Return at most `count` of the numbers below `total`, evenly spread; `phase` in [0, 1) shifts them."""
    count = min(total, count)
    return sorted({min(total - 1, int((i + phase) * total / count)) for i in range(count)})


def runs(usual: int) -> int:
    """Return how many runs a test makes: the usual number, or less if SOCE_FAULTS_RUNS says so."""
    return min(usual, int(os.environ.get("SOCE_FAULTS_RUNS", usual)))


def each(cases: Iterable[Case], act: Callable[[Case], None]) -> None:
    """Act on every case, and fail at the end with what failed: one failure hides no other."""
    failed = []
    for case in cases:
        try:
            act(case)
        except AssertionError as error:
            failed.append(f"{case}: {error}")
            record("failed", what=failed[-1])  # now: the sweep may go on for an hour
    assert not failed, f"{len(failed)} failed:\n\n" + "\n\n".join(failed[:SHOWN])
