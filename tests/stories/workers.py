"""Processes that ask an experiment's question, so that they can be killed and stopped.

They are forked from one that has loaded torch already: each begins at once, and none has computed anything yet.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.stories.experiment import Experiment, read_record, recorded

_LOADED = (
    *("torch", "transformers.models.llama.modeling_llama", "optuna.storages.journal"),
    *("pandas", "rich.progress", "soce.cli.run", "soce.cli.steps", "soce.search.soups"),
    *("soce.evaluate.tasks.evaluator", "soce.report.publish", "soce.selection.rehearsal"),
)
PATIENCE = 120.0
"""Seconds after which something that should happen soon will not happen any more."""


def start(experiment: Experiment, *, seconds: float = 0.0, lease: float | None = None) -> BaseProcess:
    """Ask the question in a process of its own; each evaluation takes so much longer.

    What it prints is in a file beside the experiment. A lease without a beat is over after `lease` seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LOADED])
    arguments = (experiment.home, experiment.log, seconds, lease)
    process = context.Process(target=_ask, args=arguments)
    process.start()
    return process


def _ask(home: Path, log: Path, seconds: float, lease: float | None) -> None:
    import torch

    from soce.cli import main
    from soce.store import leases

    torch.set_num_threads(1)
    if lease is not None:
        leases.LEASE_SECONDS = lease  # type: ignore[misc]
    os.chdir(home)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        file = log.with_name(f"{os.getpid()}.{name}").open("w")
        os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["soce", "run", "--json"]
    with recorded(log, seconds=seconds):
        main()


def finish(experiment: Experiment, process: BaseProcess) -> str:
    """Wait until a process has succeeded; return what it printed to stdout."""
    process.join(PATIENCE)
    out, err = (experiment.log.with_name(f"{process.pid}.{name}") for name in ("out", "err"))
    assert process.exitcode == 0, err.read_text()
    return out.read_text()


def wait_until(holds: Callable[[], bool], why: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def wait_for(experiment: Experiment, process: BaseProcess, count: int) -> None:
    """Wait until a process has begun or ended so many evaluations, or has ended itself."""

    def holds() -> bool:
        own = [one for one in read_record(experiment.log) if one.process == process.pid]
        return len(own) >= count or process.exitcode is not None

    wait_until(holds, "it hangs")


def result_files(output: Path) -> dict[str, bytes]:
    """Return what an experiment came to, file by file: all that is there but log, locks and databases.

    The name of the study is drawn, so that nobody else has it, and it says when the question was asked.
    """
    found = {}
    for path in sorted(output.rglob("*")):
        if (
            path.is_file()
            and path.suffix not in (".db", ".journal", ".log")
            and not path.name.startswith(".")
        ):
            found[path.relative_to(output).as_posix()] = path.read_bytes()
    study = json.loads(found["search/study.json"])
    return {**found, "search/study.json": json.dumps({**study, "name": "drawn", "asked": "then"}).encode()}
