"""The tasks files that a run was scored on, where it is known which they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from soce.evaluate.tasks.items import read_tasks
from soce.evaluate.tasks.lines import FIELDS
from soce.exceptions import EvaluationError
from soce.search.folder import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.tasks.item import Kind
    from soce.evaluate.tasks.items import Tasks
    from soce.files.atomic import PathText
    from soce.search.run import ItemSet, Run

_ENDINGS: Final = (".jsonl", ".ndjson")


class KnownTasks(NamedTuple):
    """A tasks file whose items are those that were scored."""

    tasks: Tasks
    path: Path
    kind: Kind | None
    """The kind of items that do not state it."""


def evaluator_of(run: Run, on: ItemSet) -> Mapping[str, Any]:
    """Return the identity of the evaluator that scores these items; empty if nothing was searched."""
    if run.identity is None:
        return {}
    other = run.identity.held_out_evaluator
    return other if on == "report" and other is not None else run.identity.evaluator


def tasks_evaluators(run: Run, on: ItemSet) -> list[Mapping[str, Any]]:
    """Return the identities of the evaluators that score these items by a tasks file, also among several."""
    identity = evaluator_of(run, on)
    return [one for one in identity.get("evaluators", [identity]) if isinstance(one.get("tasks"), str)]


def find_tasks(run: Run, *, on: ItemSet = "report", also: Sequence[PathText] = ()) -> tuple[KnownTasks, ...]:
    """Return the tasks files of a run, those that are known to hold its items and are where they were.

    Looked at are the files `also`, a demo's own, and those that the command named by which the published soup
    was made. A file counts if its digest is that of tasks that were scored, so that no item is another one.
    """
    missing = {one["tasks"] for one in tasks_evaluators(run, on)}
    found = []
    for path in (*map(Path, also), *_known_files(run)):
        for tasks, kind in _readings(path) if missing else ():
            if tasks.digest in missing:
                missing.remove(tasks.digest)
                found.append(KnownTasks(tasks, path, kind))
    return tuple(found)


def _known_files(run: Run) -> Iterator[Path]:
    """Return where the tasks of a run may be."""
    if run.kind == "demo":
        yield from sorted((run.folder / MODELS).glob("*.jsonl"))
    made = (run.manifest or {}).get("run")
    command: Any = made.get("command") if isinstance(made, dict) else None
    for word in command if isinstance(command, list) else ():
        name = str(word).partition("=")[2] if str(word).startswith("--") else str(word)
        if name.lower().endswith(_ENDINGS):
            yield from (Path(name), run.folder / name, run.folder.parent / name)


def _readings(path: Path) -> Iterator[tuple[Tasks, Kind | None]]:
    """Return what a file holds, its items of any kind if they name none."""
    kinds: tuple[Any, ...] = (None, *FIELDS)
    for kind in kinds:
        with suppress(EvaluationError, OSError):
            yield read_tasks(path, kind=kind), kind
