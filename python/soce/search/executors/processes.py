"""Evaluates in processes on this machine, each with accelerators of its own."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.command.program import describe_status, has_ended, last_lines, stop_group
from soce.evaluate.engines import watchdog
from soce.evaluate.live.visible import VARIABLE, is_on_cpu, visible_devices
from soce.search.executors.executor import Executor
from soce.search.executors.replica import (
    ATTEMPTS,
    EvaluationFailed,
    Orders,
    refuse_lost,
    refuse_start,
    settled,
    silent,
)
from soce.search.executors.worker import PROGRAM
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import Evaluator
    from soce.search.executors.executor import EvaluationDone, EvaluationJob, OnItems
    from soce.search.executors.replica import Order

_log = logging.getLogger(__name__)

_START_SECONDS: Final = 300.0
"""In which a process imports soce; models are loaded with the first order, which may take any time."""
_POLL_SECONDS: Final = 1.0
_THREADS: Final = "OMP_NUM_THREADS"


class ProcessExecutor(Executor):
    """Evaluates in so many processes, which are started with the first jobs.

    The accelerators that this process sees are shared out evenly among them; without one, the cores are. Each
    opens evaluators of its own, and maps the ingredients, which are in memory once. A process that dies is
    replaced, and another does its job. A watchdog sees to it that none outlives this one.

    Parameters
    ----------
    count : int
        Processes.
    timeout_seconds : float, optional
        One that gives no word of its soup for so long is ended, and counts as dead: neither that an item is
        done nor what came of it. Models are loaded with the first soup. None waits for ever.
    """

    def __init__(self, count: int, *, timeout_seconds: float | None = None) -> None:
        self._count = count
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._orders = Orders()
        self._queue: deque[Order] = deque()
        self._wanted: set[int] = set()
        self._deaths: dict[int, int] = {}
        self._landed: deque[EvaluationDone] = deque()
        self._environments: Sequence[Mapping[str, str]] = ()
        self._workers: dict[int, _Worker] = {}
        self._folder: Path | None = None

    @property
    def name(self) -> str:
        """What users call it."""
        return f"processes:{self._count}"

    @property
    def capacity(self) -> int:
        """Its processes."""
        return self._count

    def submit(self, job: EvaluationJob) -> None:
        """Take a job; see `Executor.submit`. StudyError if there are fewer accelerators than processes."""
        order = self._orders.of(job)
        self._environments = self._environments or _environments(job.evaluator, self._count)
        self._wanted.add(order.ticket)
        self._queue.append(order)
        self._hand_out()

    def next(self, timeout: float | None = None, *, on_items: OnItems | None = None) -> EvaluationDone | None:
        """Wait for a job; see `Executor.next`."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._wanted:
            if self._landed:  # several may have come of one wait
                done = self._landed.popleft()
                self._wanted.discard(done.ticket)
                return done
            left = _POLL_SECONDS if until is None else min(_POLL_SECONDS, until - time.monotonic())
            workers: dict[object, _Worker] = {one.answers: one for one in self._workers.values()}
            for connection in wait([one.answers for one in workers.values()], timeout=max(0.0, left)):
                self._hear(workers[connection], on_items)
            if not self._landed and until is not None and time.monotonic() >= until:
                return None
            for worker in [*self._workers.values()]:
                worker.check_start()
                if worker.is_silent_for(self._timeout_seconds):
                    self._replace(worker, silent(self._timeout_seconds))
        return None

    def cancel(self) -> None:
        """Forget all jobs; a process in the middle of one takes the next when it is done."""
        for one in (self._queue, self._wanted, self._deaths, self._landed):
            one.clear()

    def close(self) -> None:
        """End all processes, and wait until none is left."""
        self.cancel()
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.stop()
        for worker in workers.values():
            worker.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _hand_out(self) -> None:
        """Give what waits to processes that wait, and start those that are missing."""
        for worker in [*self._workers.values()]:
            if self._queue and worker.is_up and worker.order is None:
                worker.give(self._queue.popleft())
        n_starting = sum(not worker.is_up for worker in self._workers.values())
        free = [slot for slot in range(self._count) if slot not in self._workers]
        for slot in free[: max(0, len(self._queue) - n_starting)]:
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="soce-replicas-"))
            name = f"replica {slot + 1} of {self.name}"
            self._workers[slot] = _Worker(name, self._folder, self._environments[slot])

    def _hear(self, worker: _Worker, on_items: OnItems | None) -> None:
        """Take what a process says."""
        try:
            said = worker.answers.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        if said is None:
            worker.is_up = True
        elif isinstance(said, tuple):
            worker.since = time.monotonic()
            if on_items is not None and said[0] in self._wanted:
                on_items(*said)
        elif isinstance(said, EvaluationFailed) and said.is_lost:
            self._replace(worker, str(said.error))
        else:
            worker.order = None
            if said.ticket in self._wanted:
                self._landed.append(settled(said))
        self._hand_out()

    def _replace(self, worker: _Worker, why: str | None = None) -> None:
        """Put back the job of a process that is of no use any more, for the one that takes its place."""
        self._workers = {slot: one for slot, one in self._workers.items() if one is not worker}
        status = worker.end()
        how = "did not end" if status is None else describe_status(status, None)
        why = why or f"{how}: {worker.last_words()}"
        if not worker.is_up:
            refuse_start(worker.name, why)
        order = worker.order
        if order is not None and order.ticket in self._wanted:
            deaths = self._deaths[order.ticket] = self._deaths.get(order.ticket, 0) + 1
            if deaths >= ATTEMPTS:
                refuse_lost(worker.name, why)
            _log.warning("%s %s; another does its soup again", worker.name, why)
            self._queue.appendleft(order)
        self._hand_out()


@dataclass(slots=True)
class _Worker:
    """A process that scores orders."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    is_up: bool = field(default=False, init=False)
    order: Order | None = field(default=None, init=False)
    """What it is working on."""
    log: Path = field(init=False)
    orders: Connection = field(init=False)
    answers: Connection = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    since: float = field(init=False)
    """When it was started, was given its order, or last gave word of that."""

    def __post_init__(self) -> None:
        """Start it."""
        self.log = self.folder / f"{self.name}.log"
        self.since = time.monotonic()
        reads, writes = os.pipe(), os.pipe()
        command = [sys.executable, "-c", PROGRAM, json.dumps(sys.path), self.name]
        try:
            with self.log.open("wb") as output:
                self.process = subprocess.Popen(
                    watchdog.watched(command, self.folder),
                    stdin=reads[0],
                    stdout=writes[1],
                    stderr=output,
                    env={**os.environ, **self.environment},
                    start_new_session=True,  # Ctrl-C is for the search, which ends it
                )
        except BaseException:
            os.close(reads[1])
            os.close(writes[0])
            raise
        finally:
            os.close(reads[0])
            os.close(writes[1])
        self.orders, self.answers = (
            Connection(reads[1], readable=False),
            Connection(writes[0], writable=False),
        )

    def give(self, order: Order) -> None:
        """Let it work on an order; one that has died meanwhile is found when it is listened to."""
        self.order, self.since = order, time.monotonic()
        try:
            self.orders.send(order)
        except BrokenPipeError:
            _log.debug("%s has died", self.name)

    def check_start(self) -> None:
        """Raise EvaluationError if it should be up by now and is not."""
        if not self.is_up and time.monotonic() - self.since > _START_SECONDS:
            refuse_start(self.name, f"says nothing for {_START_SECONDS:g} seconds: {self.last_words()}")

    def is_silent_for(self, seconds: float) -> bool:
        """Whether it has given no word of its order for so long."""
        return self.order is not None and time.monotonic() - self.since > seconds

    def stop(self) -> None:
        """Let it close its evaluators and end, at once even if it is working."""
        self.orders.close()
        if self.order is not None or not self.is_up:
            self.process.terminate()

    def end(self) -> int | None:
        """Wait until it has ended, end it if it does not, and return its status."""
        self.stop()
        until = time.monotonic() + watchdog.LONGEST_SECONDS
        while not has_ended(self.process) and time.monotonic() < until:
            time.sleep(0.01)
        stop_group(self.process)  # for the case that somebody killed the watchdog
        self.answers.close()
        status = self.process.returncode
        return None if status is None else watchdog.status_of(status)

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        try:
            return last_lines(self.log)
        except OSError:
            return "what it wrote is gone"


def _environments(evaluator: Evaluator, count: int) -> list[dict[str, str]]:
    """Return what each process has in its environment besides: its share of accelerators, or of cores."""
    devices = () if is_on_cpu(getattr(evaluator, "soup", None)) else visible_devices()
    if devices:
        each = len(devices) // count
        if not each:
            message = f"`processes:{count}` wants {count} accelerators, and {len(devices)} can be seen"
            hint = f"name `processes:{len(devices)}`, or show more of them in `{VARIABLE}`"
            refuse(message, hint)
        return [{VARIABLE: ",".join(devices[each * slot : each * (slot + 1)])} for slot in range(count)]
    threads = str(max(1, _n_cores() // count))
    return [{} if _THREADS in os.environ else {_THREADS: threads} for _ in range(count)]


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
