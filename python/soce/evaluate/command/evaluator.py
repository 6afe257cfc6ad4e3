"""Any program as an evaluator: each soup is written, given to it, and removed after it was scored."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.command.program import describe_status, last_lines, run_program
from soce.evaluate.command.scores import read_evaluation
from soce.evaluate.command.scratch import Scratch
from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.side_files import side_files_digest
from soce.exceptions import shown
from soce.files.words import nearest
from soce.merging.merge import merge
from soce.merging.options import CHANGE_FILES, MergeOptions
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Ingredient, Recipe, same_path_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation, OnProgress
    from soce.files.atomic import PathText
    from soce.scores.formats.options import ReadOptions


_CHECKPOINT: Final = "{checkpoint}"
_OUTPUT: Final = "{output}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """How a command is run and its scores are read."""

    scores: str = _OUTPUT
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


class CommandEvaluator:
    """Scores recipes with a program that takes a checkpoint directory and leaves scores in files.

    For each recipe: the soup is written to a fresh directory, the program is run, the scores are read with
    `soce.scores.read.read_scores`, and the soup is removed, whatever happened.

    Parameters
    ----------
    ingredients : sequence of str
        Checkpoint directories. The first gives config and tokenizer.
    command : sequence of str
        The program and its arguments, as they are: no shell sees them. ``{checkpoint}`` stands for the
        soup's directory, ``{output}`` for an empty directory for the program's results.
    folder : path-like, optional
        Gets one directory per run, with ``log.txt`` (all that the program wrote to the terminal) and
        ``output``; kept. A fresh directory beside the soups otherwise.
    on_start : callable, optional
        Called with the program and its arguments before each run.

    Raises
    ------
    SoceError, OSError
        A command that cannot be run, ingredients that `soce.merge` would refuse, no space for a soup.

    Notes
    -----
    Names of soups' directories never repeat, because programs cache answers under a model's path. A program
    that leaves its process group (a server that makes itself a daemon) must be ended by the command itself.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        command: Sequence[str],
        options: CommandOptions = CommandOptions(),
        *,
        folder: PathText | None = None,
        on_start: Callable[[tuple[str, ...]], object] | None = None,
    ) -> None:
        self.ingredients = tuple(map(find_checkpoint, ingredients))
        self.options = options
        self.command = check_command(command, options)
        self._path = options.environment.get("PATH")
        self._categories: frozenset[str] = frozenset()
        self._items: dict[str, tuple[str, ...]] | None = None
        self._on_start = on_start
        parent = Path(tempfile.gettempdir() if options.scratch is None else options.scratch)
        self.folder = Path(tempfile.mkdtemp(prefix="soce-runs-", dir=parent) if folder is None else folder)
        if options.keep:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch(parent)
        try:  # ingredients that do not fit, or a scratch that is too small
            target = self.folder if options.keep else self._scratch.path
            planned = plan(self.ingredients, output=target / "soup", options=options.merge)
            self._side_files: tuple[str, ...] = tuple(planned.data["side_files"])
            self.folder.mkdir(parents=True, exist_ok=True)  # only now: a refusal leaves none behind
        except BaseException:
            self.close()
            raise

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe, as far as it can be known.

        The program, and files that are arguments of their own, are known by their content.
        """
        files = {}
        for word in self.command:
            path = Path(shutil.which(word, path=self._path) or Path(self.options.directory or "", word))
            if _CHECKPOINT not in word and _OUTPUT not in word and path.is_file():
                with path.open("rb") as file:
                    files[word] = hashlib.file_digest(file, "sha256").hexdigest()
        options = self.options
        environment = {  # digests, because values may be secret
            name: hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
            for name, value in sorted(options.environment.items())
        }
        merged = options.merge.changed()
        return {
            "evaluator": "command",
            "version": options.version,
            "command": list(self.command),
            "files": files,
            "environment": environment,
            "config_and_tokenizer": side_files_digest(self.ingredients[0], self._side_files),
            "scores": options.scores,
            "options": None if options.read is None else repr(options.read),
            "merge": {name: merged[name] for name in sorted(CHANGE_FILES & merged.keys())},
        }

    scores_whole = True
    """Whether all items are scored in any case, whichever are asked for."""

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of the soup scored last; None before, or if its files tell none apart."""
        return self._items

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Write this soup, run the program and return the scores it left, see `Evaluator.score`.

        A program scores whatever it scores: of some items only, all are in any case. Progress is (0, 1) many
        times a second, and (1, 1) at the end.
        """
        full = self._over_all(recipe)
        name = f"{recipe.id}-{secrets.token_hex(4)}"
        folder = self.folder / name
        (folder / "output").mkdir(parents=True)
        checkpoint = (folder if self.options.keep else self._scratch.path) / f"soup-{name}"
        tell = on_progress or no_progress

        def poll(*_: object) -> None:
            tell(0, 1)

        try:
            options = replace(self.options.merge, config_from=self.ingredients[0], sync=False)
            if options.cache == "auto":  # the next soup reads the same ingredients: let memory hold them
                options = replace(options, cache="keep")
            merge(full, output=checkpoint, options=options, on_progress=poll)
            evaluation = self._run(checkpoint, folder, poll)
        finally:
            if not self.options.keep:
                shutil.rmtree(checkpoint, ignore_errors=True)
        tell(1, 1)
        return evaluation if items is None else evaluation.restricted(items)

    def close(self) -> None:
        """Remove the scratch directory; logs and results stay."""
        self._scratch.close()

    def _over_all(self, recipe: Recipe) -> Recipe:
        """Return the recipe over all ingredients, so that the first one can give config and tokenizer."""
        left_out = {same_path_key(path): path for path in self.ingredients}
        for ingredient in recipe.ingredients:
            if left_out.pop(same_path_key(ingredient.path), None) is None:
                refuse(f"`{shown(ingredient.path)}` is not an ingredient of this evaluator")
        weight = None if recipe.parts is None else Fraction(0)
        return Recipe(
            (*recipe.ingredients, *(Ingredient(path, weight) for path in left_out.values())),
            tuple(replace(row, numerators=(*row.numerators, *(0 for _ in left_out))) for row in recipe.rows),
        )

    def _run(self, checkpoint: Path, folder: Path, poll: Callable[[], object]) -> Evaluation:
        def filled(text: str) -> str:
            return text.replace(_CHECKPOINT, str(checkpoint)).replace(_OUTPUT, str(folder / "output"))

        if self.options.directory is not None:  # paths of this process lead nowhere in that of the program
            checkpoint, folder = checkpoint.absolute(), folder.absolute()
        options, command, log = self.options, tuple(map(filled, self.command)), folder / "log.txt"
        source = Path(options.directory or "", filled(options.scores))
        if self._on_start is not None:
            self._on_start(command)
        before = _states(source)
        status = run_program(
            command,
            log=log,
            directory=options.directory,
            environment={**os.environ, **{name: filled(held) for name, held in options.environment.items()}},
            timeout_seconds=options.timeout_seconds,
            keep_open=[self._scratch.descriptor],
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
        self._categories = self._categories or frozenset(evaluation.categories)
        others = sorted(self._categories ^ evaluation.categories.keys())
        if others:
            message = f"not every soup has a score in category `{shown(others[0])}`"
            refuse(message, "the program must score every soup in the same categories", str(log))
        told = evaluation.item_ids() or {}
        for name, items in (self._items or {}).items():
            if set(items) != set(told.get(name, ())):
                message = f"category `{shown(name)}` has other items than those of the soup before"
                why = next((note for note in evaluation.notes if name not in told), None)
                refuse(message, why or "the program must score every soup on the same items", str(log))
        if len(told) == len(evaluation.categories):
            self._items = told
        return evaluation


def check_command(command: Sequence[str], options: CommandOptions) -> tuple[str, ...]:
    """Return a command's words; refuse one that cannot be run, or a scratch that is not there."""
    if isinstance(command, str):
        refuse("the command is one text", "give a list of arguments: no shell splits it")
    words = tuple(command)
    if not words:
        refuse("the command is empty")
    if not any(_CHECKPOINT in word for word in words[1:]):
        refuse("no argument of the command has `{checkpoint}`", "it stands for the directory of the soup")
    own = os.path.join(options.directory or "", words[0]) if os.sep in words[0] else words[0]  # noqa: PTH118
    if shutil.which(own, path=options.environment.get("PATH")) is None:
        refuse(f"there is no program `{shown(words[0])}` that can be run", "give its path")
    if options.scratch is not None and not Path(options.scratch).is_dir():
        place = os.fspath(options.scratch)
        refuse("there is no such directory to write soups to", "make it, or leave `scratch` out", place)
    return words


def _states(source: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what changes of score files when they are written anew."""
    files = [path for path in (source, *source.rglob("*")) if path.is_file()]
    return {path: (held.st_mtime_ns, held.st_size, held.st_ino) for path in files for held in [path.stat()]}
