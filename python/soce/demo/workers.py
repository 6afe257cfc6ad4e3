"""Training in other processes, one thread each: the same bits as one after the other, in less time.

Deliberately not `multiprocessing`: its spawned children run the caller's script again unless that is guarded,
and forked ones inherit half of torch's threads. A child here is a plain interpreter that reads jobs from its
standard input and writes one line per step; when its parent is gone, the next line it writes ends it.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from soce.demo.training import TrainingPlan, train

_DONE = "done"


class WorkerError(RuntimeError):
    """A child could not be started, or ended before its work."""


@dataclass(frozen=True, slots=True)
class Job:
    """One model to train, from where to where."""

    plan: TrainingPlan
    base: Path | None
    output: Path

    def to_json(self) -> str:
        """Return one line that `from_json` reads."""
        base = None if self.base is None else str(self.base)
        return json.dumps({"plan": asdict(self.plan), "base": base, "output": str(self.output)})

    @classmethod
    def from_json(cls, line: str) -> Job:
        """Return the job that `to_json` wrote."""
        raw: dict[str, Any] = json.loads(line)
        plan = TrainingPlan(**{**raw["plan"], "categories": tuple(raw["plan"]["categories"])})
        return cls(plan, None if raw["base"] is None else Path(raw["base"]), Path(raw["output"]))


OnStep = Callable[[Job, int], object]
OnDone = Callable[[Job], object]


class _Child:
    """One process and what it is doing."""

    def __init__(self) -> None:
        # The path as it is here: the child imports the same soce. An empty entry is the current directory.
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from soce.demo.workers import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a failure is met again, with its traceback, in this process
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its children
            )
        except (OSError, ValueError) as error:
            raise WorkerError from error
        self.job: Job | None = None
        self._unread = b""

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None  # a pipe was asked for
        return self.process.stdout

    def give(self, job: Job) -> None:
        assert self.process.stdin is not None  # a pipe was asked for
        try:
            self.process.stdin.write(f"{job.to_json()}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError from error
        self.job = job

    def lines(self) -> list[str]:
        """Return the whole lines it has written since last asked; blocks if there is nothing at all."""
        read = os.read(self.stdout.fileno(), 1 << 16)
        if not read:
            raise WorkerError
        *lines, self._unread = (self._unread + read).split(b"\n")
        return [line.decode() for line in lines]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Workers:
    """Processes that train models side by side, until they are closed.

    Raises
    ------
    WorkerError
        A process cannot be started.
    """

    def __init__(self, count: int) -> None:
        self._children: list[_Child] = []
        try:
            for _ in range(count):
                self._children.append(_Child())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        while self._children:
            self._children.pop().end()

    def run(self, jobs: Sequence[Job], *, on_step: OnStep, on_done: OnDone) -> None:
        """Train all of `jobs`, the longest first; both callbacks are called in this thread.

        Raises
        ------
        WorkerError
            A process ended early; jobs for which `on_done` was called are done all the same.
        """
        waiting = deque(sorted(jobs, key=lambda job: -job.plan.steps))
        busy = 0
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                if waiting:
                    selector.register(child.stdout, selectors.EVENT_READ, child)
                    child.give(waiting.popleft())
                    busy += 1
            while busy:
                for key, _ in selector.select():
                    child = key.data
                    for line in child.lines():
                        if line != _DONE:
                            on_step(child.job, int(line))
                            continue
                        on_done(child.job)
                        if waiting:
                            child.give(waiting.popleft())
                        else:
                            selector.unregister(child.stdout)
                            busy -= 1


def run_here(jobs: Sequence[Job], *, on_step: OnStep, on_done: OnDone) -> None:
    """Train all of `jobs` in this process, one after the other."""
    for job in jobs:
        train(job.plan, job.base, job.output, on_step=lambda step, job=job: on_step(job, step))  # type: ignore[misc]
        on_done(job)


def serve() -> None:
    """Be a child: train what standard input asks for until it ends."""
    # Libraries that print must not be taken for progress.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    # Slow to import, and there is time: the others wait while the first trains the base.
    from transformers import LlamaForCausalLM  # noqa: F401

    for line in sys.stdin:
        job = Job.from_json(line)
        train(job.plan, job.base, job.output, on_step=lambda step: print(step, file=answers, flush=True))
        print(_DONE, file=answers, flush=True)
