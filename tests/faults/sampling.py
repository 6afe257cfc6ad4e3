"""Which of many cases a tier takes."""

from __future__ import annotations

import os


def spread(total: int, count: int, *, phase: float = 0.0) -> list[int]:
    """Return at most `count` of the numbers below `total`, evenly spread; `phase` in [0, 1) shifts them."""
    count = min(total, count)
    return sorted({min(total - 1, int((i + phase) * total / count)) for i in range(count)})


def runs(usual: int) -> int:
    """Return how many runs a test makes: the usual number, or less if SOCE_FAULTS_RUNS says so."""
    return min(usual, int(os.environ.get("SOCE_FAULTS_RUNS", usual)))
