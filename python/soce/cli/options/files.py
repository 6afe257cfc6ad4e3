"""Options that name files: what they name if relative paths begin in an experiment's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable


class PlaceText(click.types.StringParamType):
    """Text that shells complete as the name of a file: a path, or one with something before or after it."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
        del ctx, param
        return [CompletionItem(incomplete, type="file")]


PLACE = PlaceText()


@dataclass(frozen=True, slots=True)
class Files:
    """How an option names files."""

    locate: Callable[[str, Path], str]
    """Return what is named if relative paths begin in a folder."""
    check: Callable[[str], str | None] | None = None
    """Return what is wrong with it, before anything is loaded."""


def in_folder(text: str, folder: Path) -> str:
    """Return a path as seen from the current folder.

    Examples
    --------
    >>> in_folder("tasks.jsonl", Path("experiments/a")), in_folder("tasks.jsonl", Path())
    ('experiments/a/tasks.jsonl', 'tasks.jsonl')
    """
    text = os.path.expanduser(text)  # noqa: PTH111 - never raises
    return text if folder == Path() else str(folder / text)


def _missing(path: str) -> str | None:
    return None if os.path.lexists(path) else f"there is no `{shown(path)}`"


def _table(text: str, folder: Path) -> str:
    """Return a table: a path, ``NAME=PATH``, or one of the paper."""
    if text.startswith("paper:"):
        return text
    name, equals, path = text.partition("=")
    if equals and not os.path.lexists(in_folder(text, folder)):
        return f"{name}={in_folder(path, folder)}"
    return in_folder(text, folder)


def _missing_table(text: str) -> str | None:
    if text.startswith("paper:") or os.path.lexists(text):
        return None
    return _missing(text.partition("=")[2] or text)


def _checkpoint(text: str, folder: Path) -> str:
    from soce.recipes.checkpoint_paths import find_checkpoint

    return find_checkpoint(text, folder="" if folder == Path() else folder)


def _missing_checkpoint(path: str) -> str | None:
    from soce.recipes.names import parts_of, remote_name

    found = (_missing(part) for part in parts_of(path) if remote_name(part) is None)
    return next(filter(None, found), None)


def _candidate_or_checkpoint(text: str, folder: Path) -> str:
    """Return where a checkpoint is; a text that leads to none is the name of a candidate."""
    path = _checkpoint(text, folder)
    return text if _missing_checkpoint(path) else path


def _behind(sign: str) -> Callable[[str, Path], str]:
    """Return what locates the path behind a sign; a text without it names no file."""

    def locate(text: str, folder: Path) -> str:
        return f"{sign}{in_folder(text[len(sign) :], folder)}" if text.startswith(sign) else text

    return locate


def _missing_behind(sign: str) -> Callable[[str], str | None]:
    return lambda text: _missing(text[len(sign) :]) if text.startswith(sign) else None


PATH = Files(in_folder)
EXISTING = Files(in_folder, _missing)
TABLES = Files(_table, _missing_table)
CHECKPOINTS = Files(_checkpoint, _missing_checkpoint)
CANDIDATE_OR_CHECKPOINT = Files(_candidate_or_checkpoint)
NAME_FILES = Files(_behind("@"), _missing_behind("@"))
OBJECTIVES = Files(_behind("weights:"), _missing_behind("weights:"))
