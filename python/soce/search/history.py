"""The questions that were asked in a folder, and what was found: read, and nothing changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from soce.exceptions import SoceError, StudyError
from soce.files.documents import read_json
from soce.search.archive import home_of, next_number, past_folders, read_study
from soce.search.folder import RESULT, SELECTION, STUDY, kind_of, search_folder
from soce.search.identity import SearchIdentity, differences
from soce.search.result import SearchResult
from soce.selection.file import read_selection

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from soce.selection.experts import Selection

    T = TypeVar("T")


_CHOICES: Final = (
    "digest",
    "rule",
    "candidates",
    "missing",
    "min_overlap",
    "min_overall",
    "max_experts",
    "min_items",
    "tie_within",
)
"""Of a selection, what was chosen and not what followed from it."""


@dataclass(frozen=True, slots=True)
class Past:
    """A question that was asked in a folder."""

    number: int
    """In the order in which questions were last asked, from 1."""
    when: datetime | None
    """When it was asked first."""
    selection: Selection | None
    """How its experts were chosen; None in the folder of a search, which does not hold that."""
    result: SearchResult | None
    """None: its search was not finished, or another version wrote what it found."""
    identity: SearchIdentity | None
    """What was asked; None: nothing was searched, or an earlier version wrote it."""
    folder: Path
    """Where its files are."""

    def to_json(self) -> dict[str, object]:
        """Return everything in plain Python."""
        return {
            "number": self.number,
            "asked": None if self.when is None else self.when.isoformat(),
            "folder": str(self.folder),
            "selection": None if self.selection is None else self.selection.to_json(),
            "identity": None if self.identity is None else self.identity.to_json(),
            "result": None if self.result is None else self.result.to_json(),
        }


def read_history(folder: str | os.PathLike[str]) -> tuple[Past, ...]:
    """Return the earlier questions of a run or search, without the one that is asked now.

    `StudyError` if the folder holds no run. What cannot be read of a question is None.
    """
    place = Path(folder)
    search = search_folder(place, kind_of(place))
    return tuple(_past(past, past / SELECTION, int(past.name)) for past in past_folders(search))


def read_present(folder: str | os.PathLike[str]) -> Past | None:
    """Return the question that is asked now in the folder of a run or search; None if none is."""
    place = Path(folder)
    search = search_folder(place, kind_of(place))
    if not (search / STUDY).is_file():
        return None
    return _past(search, home_of(search) / SELECTION, next_number(search))


def _past(folder: Path, selection: Path, number: int) -> Past:
    study = read_study(folder) or {}
    return Past(
        number=int(study.get("number", number)),
        when=_read(lambda: datetime.fromisoformat(study["asked"])),
        selection=_read(lambda: read_selection(selection).selection),
        result=_read(lambda: SearchResult.from_json(read_json(folder / RESULT, error=StudyError))),
        identity=_read(lambda: SearchIdentity.from_json(study["identity"])),
        folder=folder,
    )


def _read(read: Callable[[], T]) -> T | None:
    with suppress(SoceError, OSError, KeyError, TypeError, ValueError):
        return read()
    return None


def asked(question: Past) -> dict[str, object]:
    """Return what was asked, as JSON: choices of the selection, models, tasks, split, objective, strategy."""
    told: dict[str, object] = {}
    if question.selection is not None:
        chosen = question.selection.to_json()
        told["selection"] = {name: chosen[name] for name in _CHOICES}
    if question.identity is not None:
        told |= question.identity.to_json()
    return told


def differing(before: Past, after: Past) -> list[str]:
    """Return in what the second of two questions differs from the first, one line for each."""
    return differences(asked(before), asked(after))
