"""BFCL's process: started in a folder of its own, which is gone when its findings were read or soce ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.bfcl import program
from soce.evaluate.bfcl.gate import Gate
from soce.evaluate.bfcl.program.harness import FAILURE, FOUND, JOB, PROGRESS, SOCKET, TOKENIZER
from soce.evaluate.bfcl.program.sandbox import GIGABYTE
from soce.evaluate.command.program import describe_status, last_lines, run_program
from soce.evaluate.engines.process import private_folder
from soce.evaluate.engines.watchdog import status_of, watched
from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.side_files import is_read
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from soce.evaluate.bfcl.gate import Posts
    from soce.evaluate.evaluation import OnProgress

MEMORY_BYTES: Final = 8 * GIGABYTE
"""The most that BFCL's process may allocate."""
STEP_SECONDS: Final = 60
"""How long one check of an answer may compute; BFCL takes milliseconds for those of real models."""
_MODULE: Final = f"{program.__name__}.harness"


@dataclass(frozen=True, slots=True)
class Exam:
    """What a soup is asked, and how."""

    items: Mapping[str, Sequence[str]]
    handler: str | None
    max_tokens: int
    max_length: int
    timeout_seconds: float | None = None


def describe(
    python: str, *, categories: Sequence[str], handler: str | None, ingredients: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Return what BFCL says of categories and handlers, see `soce.evaluate.bfcl.program.harness`."""
    job = {"categories": list(categories), "handler": handler, "ingredients": [*map(list, ingredients)]}
    with _folder() as folder:
        return _run(python, folder, {"describe": job})


def ask(
    python: str,
    exam: Exam,
    *,
    client: Posts,
    model: str,
    tokenizer: Path,
    threads: int,
    on_progress: OnProgress = no_progress,
) -> dict[str, Any]:
    """Ask the soup that is served now, and return what BFCL's checkers say of each item.

    Raises EvaluationError if a request failed, or the process did.
    """
    job = {
        "items": {category: list(items) for category, items in exam.items.items()},
        "handler": exam.handler,
        "model": model,
        "max_tokens": exam.max_tokens,
        "max_length": exam.max_length,
        "threads": threads,
        "step_seconds": STEP_SECONDS,
    }
    total = sum(map(len, exam.items.values()))
    with _folder() as folder, Gate(folder / SOCKET, client) as gate:
        _copy_tokenizer(tokenizer, folder / TOKENIZER)
        progress = folder / PROGRESS
        progress.touch()
        told = [0]

        def on_poll() -> None:
            if gate.failure is not None:
                raise gate.failure
            if (done := progress.stat().st_size) != told[0]:
                told[0] = done
                on_progress(min(done, total), total)

        found = _run(python, folder, {"evaluate": job}, exam.timeout_seconds, on_poll)
        if gate.failure is not None:
            raise gate.failure
    on_progress(total, total)
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that nobody else may enter, and remove it."""
    folder = private_folder("soce-bfcl-", SOCKET)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    python: str,
    folder: Path,
    job: Mapping[str, object],
    timeout_seconds: float | None = None,
    on_poll: Callable[[], object] | None = None,
) -> dict[str, Any]:
    _copy_program(folder)
    text = json.dumps({**job, "memory_bytes": MEMORY_BYTES})
    (folder / JOB).write_text(text, "utf-8")
    log = folder / "log.txt"
    ended = run_program(
        watched([python, "-s", "-m", _MODULE, str(folder)], folder),
        log=log,
        environment=_environment(folder),
        directory=folder,
        timeout_seconds=timeout_seconds,
        on_poll=on_poll,
    )
    status = None if ended is None else status_of(ended)
    failure, found = folder / FAILURE, folder / FOUND
    if status == 0 and found.is_file():
        return dict(json.loads(found.read_text("utf-8")))
    if on_poll is not None:
        on_poll()
    if failure.is_file():
        _refuse_failure(json.loads(failure.read_text("utf-8")))
    if status == -signal.SIGXCPU:
        refuse("BFCL computed without end over what the model said, and was stopped")
    refuse(f"BFCL {describe_status(status, timeout_seconds)}; {last_lines(log)}")


def _refuse_failure(told: Mapping[str, str]) -> NoReturn:
    item, message = shown(told["item"]), shown(told["message"])
    if told["kind"] == "request":
        refuse(f"item `{item}`: the request failed: {message}")
    hint = "name the BFCL model that is asked the same way with `--bfcl-handler`"
    refuse(f"item `{item}`: BFCL's handler cannot write the prompt: {message}", hint)


def _environment(folder: Path) -> dict[str, str]:
    """Return all that the process knows of where it is: nothing of this one's but the search path."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BFCL_PROJECT_ROOT": str(folder),
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _copy_program(folder: Path) -> None:
    """Copy the program to where its modules have the names that they have here, and nothing else of soce."""
    source = Path(program.__file__).parent
    place = folder.joinpath(*program.__name__.split("."))
    place.mkdir(parents=True)
    for parent in place.relative_to(folder).parents[:-1]:
        (folder / parent / "__init__.py").touch()
    for path in source.glob("*.py"):
        shutil.copyfile(path, place / path.name)


def _copy_tokenizer(ingredient: Path, place: Path) -> None:
    """Copy what a tokenizer is read from: no code, and nothing that the folder of a checkpoint hides."""
    place.mkdir()
    for path in Path(ingredient).iterdir():
        if path.is_file() and is_read(path.name) and path.suffix != ".py":
            shutil.copyfile(path, place / path.name)
