"""Samples of logs of Inspect one by one: members ``samples/`` of an archive, or ``samples`` of a JSON log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soce.scores.formats.results import name_of, object_in
from soce.scores.formats.zip_member import read_member, read_members
from soce.scores.grids.text import load_json, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER: Final = "samples/"
_AS_JSON: Final = "write the log as JSON: `inspect log dump LOG.eval > LOG.json`"


def task_of(path: Path) -> str | None:
    """Return the task that a log is of; None if it does not say, or is no log."""
    if path.suffix != ".eval":
        held = load_json(path)
    else:
        text = read_member(path, "header.json", absent="the run did not finish", instead=_AS_JSON)
        held = parse_json(text, path, allow_nan=True)
    return name_of(object_in(held, "eval").get("task")) if isinstance(held, dict) else None


def samples_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id of each sample and all that is said of it, once for each epoch."""
    for held in _archived(path) if path.suffix == ".eval" else _listed(path):
        if isinstance(held, dict) and isinstance(held.get("id"), str | int):
            yield str(held["id"]), held


def _archived(path: Path) -> Iterator[object]:
    def choose(names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(_FOLDER) and name.endswith(".json")]

    for _, text in read_members(path, choose, instead=_AS_JSON):
        yield parse_json(text, path, allow_nan=True)


def _listed(path: Path) -> Iterator[object]:
    samples = load_json(path).get("samples")
    yield from samples if isinstance(samples, list) else ()
