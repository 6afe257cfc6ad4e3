"""The files of a run beside its search: scores and selection; what was there before goes into the history."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soce.exceptions import SoceError, StudyError, shown
from soce.files.atomic import write_json
from soce.files.documents import read_json
from soce.scores.tables.long import write_scores
from soce.search.archive import selection_digest
from soce.search.claims import claim
from soce.search.folder import EXPERIMENT, LOCK, PRESENT, SCORES, SEARCH, SELECTION, STUDY
from soce.search.presence import Presence
from soce.search.refusal import refuse
from soce.search.study import make_way
from soce.selection.file import read_selection, write_selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soce.scores.table import ScoreTable
    from soce.selection.experts import Selection


def check_output(folder: str | os.PathLike[str]) -> None:
    """Refuse an output that is no directory, or that holds a table which soce did not write."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        refuse("it is no directory", "name another `output`", place)
    table = place / SCORES
    if table.is_file():
        with table.open(encoding="utf-8", errors="replace") as file:
            header = file.readline()
        if not header.startswith("model,category,score,") or ",role," not in header:
            message = "scores are written there, but this table was not written by soce"
            refuse(message, "name an `output` of its own, such as `run/`", table)


def keep_measured(folder: Path, table: ScoreTable) -> None:
    """Write measured scores: whatever is selected by them, they are there for `soce select`."""
    with _changing(folder) as presence:
        if not _is_table(folder / SCORES, table):
            _begin_anew(folder, presence)
            write_scores(table, folder / SCORES)


def keep_selection(folder: Path, selection: Selection, table: ScoreTable, paths: Mapping[str, str]) -> bool:
    """Write the selection of a run and its scores, unless they are there; return whether it was written.

    Another selection, with the question that was asked of it, is put into the history first. `StudyError` if
    somebody else is searching by it.
    """
    target = folder / SELECTION
    with _changing(folder) as presence:
        before = read_selection(target) if target.exists() else None
        is_same = before is not None and selection_digest(before.selection) == selection_digest(selection)
        has_scores = _is_table(folder / SCORES, table)
        # Of a selection that nobody searched by nothing is lost: it can be made again.
        is_asked = before is not None and not is_same and (folder / SEARCH / STUDY).exists()
        if is_asked or ((folder / SCORES).exists() and not has_scores):
            _begin_anew(folder, presence)
        if not has_scores:  # for the report: what the selection names may move or change
            write_scores(table, folder / SCORES)
        if is_same and before is not None:
            located = {**{one.name: one.path for one in before.ingredients}, **before.checkpoints}
            is_located = _absolute(located) == _absolute(paths)
            if is_located and before.selection.origin.stated == selection.origin.stated:
                return False
        write_selection(selection, target, paths=paths, overwrite=target.exists())
        return True


def _absolute(paths: Mapping[str, str]) -> dict[str, str]:
    return {name: os.path.abspath(path) for name, path in paths.items()}  # noqa: PTH100 - no link followed


@contextmanager
def _changing(folder: Path) -> Iterator[Presence]:
    check_output(folder)
    search = folder / SEARCH
    search.mkdir(parents=True, exist_ok=True)
    with claim(search / LOCK, wait=True), Presence(search / PRESENT) as presence:
        yield presence


def _begin_anew(folder: Path, presence: Presence) -> None:
    make_way(folder / SEARCH, presence)
    for name in (SELECTION, SCORES):
        (folder / name).unlink(missing_ok=True)


def _is_table(path: Path, table: ScoreTable) -> bool:
    from soce.scores.read import read_scores

    try:
        return path.exists() and read_scores(path).digest == table.digest
    except (SoceError, OSError):
        return False


# ---- whose the folder is


def check_experiment(search: str | os.PathLike[str], experiment: str | os.PathLike[str] | None) -> None:
    """Refuse the folder of another experiment, whose file is still there; without a file nobody asks."""
    if experiment is None or not (Path(search) / EXPERIMENT).is_file():
        return
    found = read_json(Path(search) / EXPERIMENT, error=StudyError)
    told = found.get("file") if isinstance(found, dict) else None
    before = Path(search, told) if isinstance(told, str) else None
    if before is not None and before.is_file() and not before.samefile(experiment):
        refuse(
            f"it is the output of another experiment, `{shown(os.path.relpath(before))}`",
            f"name another `output` in `{shown(os.fspath(experiment))}`",
            Path(search),
        )


def note_experiment(search: str | os.PathLike[str], experiment: str | os.PathLike[str] | None) -> None:
    """Write down whose output a folder is: where the file of the experiment lies, as seen from there."""
    if experiment is None:
        return
    place = Path(search)
    place.mkdir(parents=True, exist_ok=True)
    told = {"file": os.path.relpath(Path(experiment).resolve(), place.resolve())}
    if not (place / EXPERIMENT).is_file() or read_json(place / EXPERIMENT, error=StudyError) != told:
        write_json(place / EXPERIMENT, told)
