"""Refusals of what was asked for: unlike those of a table or a file, they name no place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.exceptions import Problem, ScoreTableError

if TYPE_CHECKING:
    from typing import NoReturn


def refuse(message: str, hint: str | None = None) -> NoReturn:
    """Raise a `ScoreTableError`."""
    raise ScoreTableError.of([Problem("scores", None, None, message, hint)])
