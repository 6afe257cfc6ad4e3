"""Runs of one program, a soup each: its words filled in, its log kept, the scores that it left read."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from soce.evaluate.command.options import BASE_URL, CHECKPOINT, OUTPUT, CommandOptions
from soce.evaluate.command.program import describe_status, last_lines, run_program
from soce.evaluate.command.scores import read_evaluation
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation
    from soce.recipes.model import Recipe


class ProgramRuns:
    """Runs a command again and again, and sees to it that every soup is scored on the same items.

    Parameters
    ----------
    command : sequence of str
        Its words, see `soce.evaluate.command.options.check_command`.
    folder : Path
        Gets one directory per run, with ``log.txt`` and ``output``; kept.
    on_start : callable, optional
        Called with the program and its arguments before each run.
    keep_open : sequence of int
        File descriptors that the program inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        options: CommandOptions,
        folder: Path,
        *,
        on_start: Callable[[tuple[str, ...]], object] | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.command = tuple(command)
        self.folder = folder
        self.items: dict[str, tuple[str, ...]] | None = None
        """The items of the soup scored last; None before, or if its files tell none apart."""
        self._options = options
        self._on_start = on_start
        self._keep_open = keep_open
        self._categories: frozenset[str] = frozenset()

    @property
    def identity(self) -> dict[str, object]:
        """What the program and its options are: it, and files that are arguments of their own, by content."""
        options, files = self._options, {}
        path = options.environment.get("PATH")
        for word in self.command:
            held = Path(shutil.which(word, path=path) or Path(options.directory or "", word))
            if not any(sign in word for sign in (CHECKPOINT, OUTPUT, BASE_URL)) and held.is_file():
                with held.open("rb") as file:
                    files[word] = hashlib.file_digest(file, "sha256").hexdigest()
        environment = {  # digests, because values may be secret
            name: hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
            for name, value in sorted(options.environment.items())
        }
        return {
            "evaluator": "command",
            "version": options.version,
            "command": list(self.command),
            "files": files,
            "environment": environment,
            "scores": options.scores,
            "options": None if options.read is None else repr(options.read),
        }

    def begin(self, recipe: Recipe) -> Path:
        """Make the directory of a run, whose name no other has."""
        folder = self.folder / f"{recipe.id}-{secrets.token_hex(4)}"
        (folder / "output").mkdir(parents=True)
        return folder

    def run(
        self,
        folder: Path,
        values: Mapping[str, str],
        poll: Callable[[], object],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> Evaluation:
        """Run the program with values for its placeholders, and return the scores that it left.

        `environment` are variables on top of this process's own and those of the options; `poll` is called
        many times a second. Raises EvaluationError if it fails, or scores something else than before.
        """
        options = self._options
        if options.directory is not None:  # paths of this process lead nowhere in that of the program
            folder = folder.absolute()
        values = {**values, OUTPUT: str(folder / "output")}

        def filled(text: str) -> str:
            for name, value in values.items():
                text = text.replace(name, value)
            return text

        command, log = tuple(map(filled, self.command)), folder / "log.txt"
        source = Path(options.directory or "", filled(options.scores))
        if self._on_start is not None:
            self._on_start(command)
        before = _states(source)
        own = {name: filled(held) for name, held in options.environment.items()}
        status = run_program(
            command,
            log=log,
            directory=options.directory,
            environment={**os.environ, **own, **(environment or {})},
            timeout_seconds=options.timeout_seconds,
            keep_open=self._keep_open,
            on_poll=poll,
        )
        if status != 0:
            ended = f"`{shown(command[0])}` {describe_status(status, options.timeout_seconds)}"
            refuse(f"{ended}; {last_lines(log)}", None, str(log))
        after = _states(source)
        if not after:
            refuse(f"the command left no scores in `{shown(str(source))}`; {last_lines(log)}", None, str(log))
        if after == before:
            hint = "let the command write into `{output}`"
            refuse(f"the command left `{shown(str(source))}` as it was before", hint, str(log))
        evaluation = read_evaluation(source, log=log, options=options.read, categories=options.categories)
        self._check_same(evaluation, log)
        return evaluation

    def _check_same(self, evaluation: Evaluation, log: Path) -> None:
        """Refuse other categories or items than those of the soups before."""
        self._categories = self._categories or frozenset(evaluation.categories)
        others = sorted(self._categories ^ evaluation.categories.keys())
        if others:
            message = f"not every soup has a score in category `{shown(others[0])}`"
            refuse(message, "the program must score every soup in the same categories", str(log))
        told = evaluation.item_ids() or {}
        for name, items in (self.items or {}).items():
            if set(items) != set(told.get(name, ())):
                message = f"category `{shown(name)}` has other items than those of the soup before"
                why = next((note for note in evaluation.notes if name not in told), None)
                refuse(message, why or "the program must score every soup on the same items", str(log))
        if len(told) == len(evaluation.categories):
            self.items = told


def _states(source: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what changes of score files when they are written anew."""
    files = [path for path in (source, *source.rglob("*")) if path.is_file()]
    return {path: (held.st_mtime_ns, held.st_size, held.st_ino) for path in files for held in [path.stat()]}
