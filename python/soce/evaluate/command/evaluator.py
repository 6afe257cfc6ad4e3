"""Any program as an evaluator: each soup is written, given to it, and removed after it was scored."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.evaluate.command.program import describe_status, last_lines, run_program
from soce.evaluate.command.scores import read_evaluation
from soce.evaluate.command.scratch import Scratch
from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, Problem, shown
from soce.merging.merge import MergeOptions, PlanOptions, merge, plan
from soce.recipes.model import Ingredient, Recipe, same_path_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluation, OnProgress
    from soce.scores.formats.options import ReadOptions

PathText: TypeAlias = "str | os.PathLike[str]"

_CHECKPOINT: Final = "{checkpoint}"
_OUTPUT: Final = "{output}"
_FIXED: Final = frozenset({"config_from", "on_progress", "overwrite", "sync"})


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
        ``output``; kept. A fresh directory in `scratch` otherwise.
    scores : str
        What to read: a file or directory, with the same placeholders.
    options : ReadOptions, optional
        How to read it: the format, the metric.
    categories : sequence of str, optional
        What each soup must get a score in; the categories of the first soup otherwise.
    scratch : path-like, optional
        Where soups are written: ``"/dev/shm"`` keeps them in memory. The system's temporary directory
        otherwise.
    timeout_seconds : float, optional
        How long the program may take; for ever otherwise.
    environment : mapping of str to str, optional
        Variables set on top of this process's own, with the same placeholders.
    version : str, optional
        The program's version: scores are not taken for those of another.
    merge_options : mapping, optional
        Options of `soce.merge`.
    keep : bool
        Keep every soup, in `folder`.
    on_start : callable, optional
        Called with the program and its arguments before each run.

    Raises
    ------
    EvaluationError
        A command without ``{checkpoint}``, or whose program is not there.
    SoceError
        Ingredients that `soce.merge` would refuse, or no space for a soup.
    OSError
        A directory cannot be made.

    Notes
    -----
    Names of soups' directories never repeat, because programs cache answers under a model's path. A program
    that leaves its process group (a server that makes itself a daemon) must be ended by the command itself.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        command: Sequence[str],
        *,
        folder: PathText | None = None,
        scores: str = _OUTPUT,
        options: ReadOptions | None = None,
        categories: Sequence[str] | None = None,
        scratch: PathText | None = None,
        timeout_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
        version: str | None = None,
        merge_options: MergeOptions | None = None,
        keep: bool = False,
        on_start: Callable[[tuple[str, ...]], object] | None = None,
    ) -> None:
        self.ingredients = tuple(os.fspath(path) for path in ingredients)
        self.command = _checked(command)
        self._environment = dict(environment or {})
        _find_program(self.command[0], self._environment.get("PATH"))
        if timeout_seconds is not None and not timeout_seconds > 0:
            refuse(f"`timeout_seconds` is {timeout_seconds}", "leave it out to wait for ever")
        self._merge_options: MergeOptions = {**merge_options} if merge_options is not None else {}
        fixed = sorted(_FIXED & self._merge_options.keys())
        if fixed:
            refuse(f"`{fixed[0]}` cannot be chosen for soups that are thrown away")
        self._scores = scores
        self._options = options
        self._categories = None if categories is None else tuple(categories)
        self._seen: tuple[str, ...] = ()
        self._timeout = timeout_seconds
        self._version = version
        self._keep = keep
        self._on_start = on_start
        parent = Path(tempfile.gettempdir() if scratch is None else scratch)
        self.folder = Path(tempfile.mkdtemp(prefix="soce-runs-", dir=parent) if folder is None else folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch(parent)
        try:
            self._check_ingredients()
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
            path = Path(shutil.which(word, path=self._environment.get("PATH")) or word)
            if _CHECKPOINT not in word and _OUTPUT not in word and path.is_file():
                with path.open("rb") as file:
                    files[word] = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "evaluator": "command",
            "version": self._version,
            "command": list(self.command),
            "files": files,
            "environment": {  # digests, because values may be secret
                name: hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
                for name, value in sorted(self._environment.items())
            },
            "scores": self._scores,
            "options": None if self._options is None else repr(self._options),
            "merge": {
                name: value
                for name, value in sorted(self._merge_options.items())
                if name in PlanOptions.__annotations__
            },
        }

    def item_ids(self) -> None:
        """Return None: score files do not tell items apart."""
        return

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Write this soup, run the program and return the scores it left.

        Parameters
        ----------
        recipe : Recipe
            Its ingredients are some of the evaluator's.
        items : None
            A program scores whatever it scores.
        on_progress : callable, optional
            Called with (0, 1) several times a second, and with (1, 1) at the end.

        Raises
        ------
        EvaluationError
            The program failed, ran too long, or left no scores, or nonsense, or not all categories; the
            message has the log's path.
        SoceError, OSError
            As `soce.merge`.
        """
        if items is not None:
            hint = "give two commands, one to choose with and one to report with"
            refuse("a command scores all of its items, not some", hint)
        full = self._over_all(recipe)
        name = f"{recipe.id}-{secrets.token_hex(4)}"
        folder = self.folder / name
        output = folder / "output"
        output.mkdir(parents=True)
        checkpoint = (folder if self._keep else self._scratch.path) / f"soup-{name}"

        def poll(*_: object) -> None:
            if on_progress is not None:
                on_progress(0, 1)

        try:
            options: MergeOptions = {"config_from": self.ingredients[0], **self._merge_options}
            merge(full, output=checkpoint, sync=False, on_progress=poll, **options)  # type: ignore[misc]
            evaluation = self._run(checkpoint, output, folder / "log.txt", poll)
        finally:
            if not self._keep:
                shutil.rmtree(checkpoint, ignore_errors=True)
        if on_progress is not None:
            on_progress(1, 1)
        return evaluation

    def close(self) -> None:
        """Remove the scratch directory; logs and results stay."""
        self._scratch.close()

    # ---- the steps

    def _check_ingredients(self) -> None:
        """Refuse before anything is written: ingredients that do not fit, and a scratch that is too small."""
        options = {
            name: held for name, held in self._merge_options.items() if name in PlanOptions.__annotations__
        }
        folder = self.folder if self._keep else self._scratch.path
        plan(self.ingredients, output=folder / "soup", **options)  # type: ignore[arg-type]

    def _over_all(self, recipe: Recipe) -> Recipe:
        """Return the recipe over all ingredients, so that the first one can give config and tokenizer."""
        keys = {same_path_key(path) for path in self.ingredients}
        for ingredient in recipe.ingredients:
            if same_path_key(ingredient.path) not in keys:
                refuse(f"`{shown(ingredient.path)}` is not an ingredient of this evaluator")
        there = {same_path_key(ingredient.path) for ingredient in recipe.ingredients}
        left_out = [path for path in self.ingredients if same_path_key(path) not in there]
        weight = None if recipe.parts is None else Fraction(0)
        return Recipe(
            (*recipe.ingredients, *(Ingredient(path, weight) for path in left_out)),
            tuple(replace(row, numerators=(*row.numerators, *(0 for _ in left_out))) for row in recipe.rows),
        )

    def _run(self, checkpoint: Path, output: Path, log: Path, poll: Callable[[], object]) -> Evaluation:
        def filled(text: str) -> str:
            return text.replace(_CHECKPOINT, str(checkpoint)).replace(_OUTPUT, str(output))

        command = tuple(map(filled, self.command))
        source = Path(filled(self._scores))
        environment = {
            **os.environ,
            **{name: filled(value) for name, value in self._environment.items()},
        }
        if self._on_start is not None:
            self._on_start(command)
        before = dict(_files(source))
        status = run_program(
            command,
            log=log,
            environment=environment,
            timeout_seconds=self._timeout,
            keep_open=[self._scratch.descriptor],
            on_poll=poll,
        )
        if status != 0:
            ended = f"`{shown(self.command[0])}` {describe_status(status, self._timeout)}"
            _refuse(log, f"{ended}; {last_lines(log)}")
        after = dict(_files(source))
        if not after:
            _refuse(log, f"the command left no scores in `{shown(str(source))}`; {last_lines(log)}")
        if after == before:
            hint = "let the command write into `{output}`"
            _refuse(log, f"the command left `{shown(str(source))}` as it was before", hint)
        evaluation = read_evaluation(source, log=log, options=self._options, categories=self._categories)
        if self._categories is None:
            self._seen = self._seen or tuple(evaluation.categories)
            if set(self._seen) != set(evaluation.categories):
                other = sorted(set(self._seen) ^ set(evaluation.categories))[0]
                message = f"not every soup has a score in category `{shown(other)}`"
                _refuse(log, message, "the program must score every soup in the same categories")
        return evaluation


def _checked(command: Sequence[str]) -> tuple[str, ...]:
    if isinstance(command, str):
        refuse("the command is one text", "give a list of arguments: no shell splits it")
    words = tuple(command)
    if not words:
        refuse("the command is empty")
    if not any(_CHECKPOINT in word for word in words[1:]):
        refuse("no argument of the command has `{checkpoint}`", "it stands for the directory of the soup")
    return words


def _find_program(name: str, path: str | None) -> None:
    if shutil.which(name, path=path) is None:
        refuse(f"there is no program `{shown(name)}` that can be run", "give its path")


def _files(source: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield what changes when score files are written anew."""
    for path in (source, *sorted(source.rglob("*"))) if source.is_dir() else (source,):
        if path.is_file():
            held = path.stat()
            yield str(path), (held.st_mtime_ns, held.st_size, held.st_ino)


def _refuse(log: Path, message: str, hint: str | None = None) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", str(log), None, message, hint)])
