"""How a program is run and its scores are read, and what its words may be."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest
from soce.merging.options import MergeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.files.atomic import PathText
    from soce.scores.formats.options import ReadOptions

CHECKPOINT: Final = "{checkpoint}"
OUTPUT: Final = "{output}"
BASE_URL: Final = "{base_url}"
MODEL: Final = "{model}"
"""Placeholders, in the words of a command and in some of its options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """How a command is run and its scores are read."""

    scores: str = OUTPUT
    """What to read: a file or directory, with the command's placeholders."""
    read: ReadOptions | None = None
    """How to read it: the format, the metric."""
    categories: Sequence[str] | None = None
    """What each soup must get a score in; the categories of the first soup otherwise."""
    scratch: PathText | None = None
    """Where soups are written: ``"/dev/shm"`` keeps them in memory. The system's temporary directory
    otherwise."""
    directory: PathText | None = None
    """Where the program runs, and its relative paths begin; the current directory otherwise."""
    timeout_seconds: float | None = None
    """How long the program may take; for ever otherwise."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables set on top of this process's own, with the command's placeholders."""
    version: str | None = None
    """The program's version: scores are not taken for those of another."""
    merge: MergeOptions = MergeOptions()
    """How soups are written; `config_from` and `overwrite` are not to be chosen."""
    keep: bool = False
    """Keep every soup, beside its log."""

    def __post_init__(self) -> None:
        """Raise EvaluationError for what makes no sense."""
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            refuse(f"`timeout_seconds` is {self.timeout_seconds}", "leave it out to wait for ever")
        if self.read is not None and self.read.format is not None:
            from soce.scores.formats.registry import FORMATS

            of_files = [name for name in FORMATS if name != "paper"]
            if self.read.format not in of_files:
                message = f"`{shown(self.read.format)}` is no format of files"
                refuse(message, nearest(self.read.format, of_files, "formats"))
        for fixed in sorted({"config_from", "overwrite"} & self.merge.changed().keys()):
            refuse(f"`{fixed}` cannot be chosen for soups that are thrown away")


def asks_server(command: Sequence[str]) -> bool:
    """Whether a command's words say that it asks a server; else it is given a checkpoint.

    Examples
    --------
    >>> asks_server(["score.py", "{base_url}"]), asks_server(["score.py", "{checkpoint}", "--name={model}"])
    (True, False)
    """
    text = " ".join(command[1:])
    return BASE_URL in text or (MODEL in text and CHECKPOINT not in text)


def check_command(
    command: Sequence[str], options: CommandOptions, *, is_served: bool = False
) -> tuple[str, ...]:
    """Return a command's words; refuse one that cannot be run, or a scratch that is not there.

    One that is served asks a server, any other is given the directory of a soup.
    """
    if isinstance(command, str):
        refuse("the command is one text", "give a list of arguments: no shell splits it")
    words = tuple(command)
    if not words:
        refuse("the command is empty")
    has_checkpoint = any(CHECKPOINT in word for word in words[1:])
    if is_served and has_checkpoint:
        hint = "name one of them: no soup is written where a server has it"
        refuse("the command has both `{checkpoint}` and `{base_url}`", hint)
    if is_served and not asks_server(words):
        refuse("no argument of the command has `{base_url}`", "it stands for the address of the server")
    if not is_served and not has_checkpoint:
        refuse("no argument of the command has `{checkpoint}`", "it stands for the directory of the soup")
    own = os.path.join(options.directory or "", words[0]) if os.sep in words[0] else words[0]  # noqa: PTH118
    if shutil.which(own, path=options.environment.get("PATH")) is None:
        refuse(f"there is no program `{shown(words[0])}` that can be run", "give its path")
    if options.scratch is not None and not Path(options.scratch).is_dir():
        place = os.fspath(options.scratch)
        refuse("there is no such directory to write soups to", "make it, or leave `scratch` out", place)
    return words
