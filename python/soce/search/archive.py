"""Earlier questions of a folder: their small files are kept, and their scores are in the store.

A folder holds one question at a time. Where another is asked, the files of the earlier one are copied to
``history/NNN/``, which appears complete or not at all, and are then removed. Asked again, a question comes
back under a new number, and its folder in the history goes. What a killed process left half done, `tidy`
finishes: both steps can be told from what lies there, because a study has a name of its own. Whoever changes
something here holds the folder's lock.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import SoceError, StudyError
from soce.files.atomic import staged
from soce.files.digests import digest_of
from soce.files.documents import read_json
from soce.search.folder import (
    HISTORY,
    OLD_TRIALS,
    POPULATION,
    RESULT,
    SCORES,
    SEARCH,
    SELECTION,
    STUDY,
    TRIALS,
)
from soce.selection.file import read_selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.selection.experts import Selection

_OF_SEARCH: Final = (RESULT, TRIALS, OLD_TRIALS, POPULATION, STUDY)
"""In the order in which they go: the study stays until the end, and tells that it is in the history."""


def home_of(search: Path) -> Path:
    """Return the folder with the selection of a search: the run's, or its own."""
    return search.parent if search.name == SEARCH else search


def read_study(folder: Path) -> dict[str, Any] | None:
    """Return what the study of a question says of it; None if there is none, or it is damaged."""
    with suppress(StudyError, OSError):
        found = read_json(folder / STUDY, error=StudyError)
        return found if isinstance(found, dict) else None
    return None


def put_away(search: Path) -> None:
    """Move the present question into the history; its selection and scores are copied, and stay.

    Without one, a selection and scores that are there are kept.
    """
    tidy(search)
    home = home_of(search)
    files = [search / name for name in _OF_SEARCH] + [home / name for name in (SELECTION, SCORES)]
    if not any(file.is_file() for file in files if file.name in (STUDY, SELECTION, SCORES)):
        return
    number = (read_study(search) or {}).get("number", next_number(search))
    history = search / HISTORY
    partial = history / f".{number:03d}.{secrets.token_hex(4)}"
    partial.mkdir(parents=True)
    try:
        for file in filter(Path.is_file, files):
            _copy(file, partial / file.name)
        _sync(partial)
        partial.rename(history / f"{number:03d}")
        _sync(history)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    clear(search)


def clear(search: Path) -> None:
    """Remove the present question; scores, selection and history stay."""
    for name in (f"{OLD_TRIALS}-journal", *_OF_SEARCH):  # SQLite's own would be applied to the next database
        (search / name).unlink(missing_ok=True)


def find_past(search: Path, identity: Mapping[str, object]) -> Path | None:
    """Return the folder of the earlier question with this identity and the selection that is there now."""
    wanted, selection = digest_of(dict(identity)), _selected(home_of(search))
    for past in past_folders(search):
        study = read_study(past)
        if study is not None and digest_of(study.get("identity")) == wanted and _selected(past) == selection:
            return past
    return None


def bring_back(past: Path, search: Path) -> None:
    """Take what an earlier question found into the folder, whose study has its name already."""
    for name in _OF_SEARCH[:-1]:
        if (past / name).is_file() and not (search / name).exists():
            with staged(search / name) as partial:
                _copy(past / name, partial)
    gone = past.with_name(f".{past.name}.{secrets.token_hex(4)}")
    past.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(search: Path) -> None:
    """Finish what a process began that was killed."""
    for rest in (search / HISTORY).glob(".*"):
        shutil.rmtree(rest, ignore_errors=True)
    study = read_study(search)
    if study is None or "name" not in study:
        return
    for past in past_folders(search):
        if (read_study(past) or {}).get("name") != study["name"]:
            continue
        if study.get("number", int(past.name)) == int(past.name):
            clear(search)
            return
        bring_back(past, search)


def selection_digest(selection: Selection) -> str:
    """Return what two selections have in common that are of the same scores by the same choices.

    Wherever the table lies, and whatever was stated of its items, which may be stated later.
    """
    return digest_of({**selection.to_json(), "origin": None, "source": None})


def _selected(folder: Path) -> str | None:
    with suppress(SoceError, OSError):
        return selection_digest(read_selection(folder / SELECTION).selection)
    return None


def past_folders(search: Path) -> list[Path]:
    """Return the folders of earlier questions, by their numbers."""
    with suppress(FileNotFoundError, NotADirectoryError):
        found = [one for one in (search / HISTORY).iterdir() if one.name.isdecimal() and one.is_dir()]
        return sorted(found, key=lambda one: int(one.name))
    return []


def next_number(search: Path) -> int:
    """Return the number of a question that is asked now."""
    return max((int(past.name) for past in past_folders(search)), default=0) + 1


def _copy(file: Path, target: Path) -> None:
    """Copy a file to the disk; of a database what is in it, whatever a killed process left beside it."""
    is_copied = False
    if file.name == OLD_TRIALS:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(file)) as database,
            closing(sqlite3.connect(target)) as copy,
        ):
            database.backup(copy)
            is_copied = True
    if not is_copied:
        shutil.copyfile(file, target)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
