"""The one way in which a search refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.exceptions import Problem, StudyError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn


def refuse(
    message: str,
    hint: str | None = None,
    place: Path | None = None,
    *,
    cause: BaseException | None = None,
) -> NoReturn:
    """Raise `StudyError`, from its cause if there is one."""
    path = None if place is None else str(place)
    raise StudyError.of([Problem("study", path, None, message, hint)]) from cause
