"""Evaluates in this process, one soup after the other."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from soce.search.executors.executor import EvaluationDone, Executor

if TYPE_CHECKING:
    from soce.search.executors.executor import EvaluationJob, OnItems


class InlineExecutor(Executor):
    """Evaluates with the evaluator itself, where it is; closing leaves that open."""

    name = "inline"
    capacity = 1

    def __init__(self) -> None:
        self._jobs: deque[EvaluationJob] = deque()

    def submit(self, job: EvaluationJob) -> None:
        """Take a job; `next` evaluates it."""
        self._jobs.append(job)

    def next(
        self,
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
        *,
        on_items: OnItems | None = None,
    ) -> EvaluationDone | None:
        """Evaluate the job that was submitted first."""
        if not self._jobs:
            return None
        job = self._jobs.popleft()
        tell = None if on_items is None else partial(on_items, job.ticket)
        began = time.monotonic()
        evaluation = job.evaluator.score(job.recipe, items=job.items, on_progress=tell)
        return EvaluationDone(job.ticket, evaluation, time.monotonic() - began)

    def cancel(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()

    def close(self) -> None:
        """Forget all jobs."""
        self.cancel()
