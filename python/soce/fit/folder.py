"""The folder of a fit: what is asked, a line for every step, where it stands, and the recipe."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, shown
from soce.files.atomic import named, write_json
from soce.files.documents import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIT: Final = "fit.json"
"""The question, and the names of the rows that lines of the trace have."""
TRACE: Final = "trace.jsonl"
STATE: Final = "state.json"
RECIPE: Final = "recipe.yaml"
LOSSES: Final = "losses.json"


class FitFolder:
    """Where a fit is kept: after a kill it goes on from the last step that it holds."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def check(self, question: Mapping[str, object]) -> None:
        """Refuse a folder in which something else is asked, or that holds something else."""
        if not self.path.exists():
            return
        file = self.path / FIT
        if not file.is_file():
            if not self.path.is_dir() or any(self.path.iterdir()):
                refuse("holds something that is no fit", "name a new folder", str(self.path))
            return
        before: Any = self._read(FIT)
        now = json.loads(json.dumps(question))
        if before == now:
            return
        keys = [key for key in now if not isinstance(before, dict) or before.get(key) != now[key]]
        hint = "name another folder, or ask for the same"
        refuse(f"holds a fit with another `{shown(keys[0] if keys else FIT)}`", hint, str(self.path))

    @contextmanager
    def opened(self, question: Mapping[str, object]) -> Iterator[Any]:
        """Hold the folder while a fit goes on, and give the state that was kept, None at first."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refuse("another process fits here", "wait until it is done, or end it", str(self.path))
            self.check(question)
            if not (self.path / FIT).is_file():
                write_json(self.path / FIT, question)
            yield self._read(STATE) if (self.path / STATE).is_file() else None
        finally:
            os.close(descriptor)

    def keep(self, state: Mapping[str, object], line: Mapping[str, object] | None = None) -> None:
        """Add a line to the trace, and take the state as what goes with it."""
        if line is not None:
            path = self.path / TRACE
            with named(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        write_json(self.path / STATE, state)

    def cut_trace(self, lines: int) -> None:
        """Leave the first lines of the trace: one more was written if a process was killed at that moment."""
        path = self.path / TRACE
        with named(path), path.open("a+b") as file:
            file.seek(0)
            for place in range(lines):
                if not file.readline().endswith(b"\n"):
                    hint = "name another folder, and fit anew"
                    refuse(f"expected {lines} lines, got {place}", hint, str(path))
            file.truncate(file.tell())

    def _read(self, name: str) -> Any:  # noqa: ANN401 - whatever a file holds
        return read_json(self.path / name, error=EvaluationError)
