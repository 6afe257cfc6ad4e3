"""What is wrong with a file of scores, told all at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from soce.exceptions import Problem, ScoreTableError
from soce.files.words import counted

if TYPE_CHECKING:
    from typing import NoReturn

_MAX_LISTED: Final = 20


class Refusals:
    """Collects what is wrong with one file, or with what the user said (None), to report it at once."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else os.fspath(path)
        self.problems: list[Problem] = []

    def add(self, message: str, hint: str | None = None) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem("scores", self.path, None, message, hint))

    def refuse(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise everything noted so far, and this."""
        self.add(message, hint)
        self._raise()

    def check(self) -> None:
        """Raise what was noted, if anything was: the first 20 problems and the number of the others."""
        if self.problems:
            self._raise()

    def _raise(self) -> NoReturn:
        listed = self.problems[:_MAX_LISTED]
        more = len(self.problems) - len(listed)
        if more:
            listed.append(
                Problem(
                    "scores",
                    self.path,
                    None,
                    f"and {counted(more, 'more problem', 'more problems')} like these",
                    None,
                )
            )
        raise ScoreTableError.of(listed)
