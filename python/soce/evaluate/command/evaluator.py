"""Any program as an evaluator: each soup is written, given to it, and removed after it was scored."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from soce.evaluate.command.options import CHECKPOINT, CommandOptions, check_command
from soce.evaluate.command.runs import ProgramRuns
from soce.evaluate.command.scratch import Scratch
from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.side_files import side_files_digest
from soce.exceptions import shown
from soce.merging.merge import merge
from soce.merging.options import CHANGE_FILES
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Ingredient, Recipe, same_path_key
from soce.remote.here import bring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation, OnProgress
    from soce.files.atomic import PathText


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
        named = [*map(find_checkpoint, ingredients)]
        self.ingredients = tuple(bring(named))
        self._here = dict(zip(map(same_path_key, named), self.ingredients, strict=True))
        self.options = options
        self.command = check_command(command, options)
        parent = Path(tempfile.gettempdir() if options.scratch is None else options.scratch)
        self.folder = Path(tempfile.mkdtemp(prefix="soce-runs-", dir=parent) if folder is None else folder)
        if options.keep:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch(parent)
        self._runs = ProgramRuns(
            self.command, options, self.folder, on_start=on_start, keep_open=[self._scratch.descriptor]
        )
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
        merged = self.options.merge.changed()
        return {
            **self._runs.identity,
            "config_and_tokenizer": side_files_digest(self.ingredients[0], self._side_files),
            "merge": {name: merged[name] for name in sorted(CHANGE_FILES & merged.keys())},
        }

    scores_whole = True
    """Whether all items are scored in any case, whichever are asked for."""

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of the soup scored last; None before, or if its files tell none apart."""
        return self._runs.items

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
        folder = self._runs.begin(recipe)
        checkpoint = (folder if self.options.keep else self._scratch.path) / f"soup-{folder.name}"
        tell = on_progress or no_progress

        def poll(*_: object) -> None:
            tell(0, 1)

        try:
            options = replace(self.options.merge, config_from=self.ingredients[0], sync=False)
            if options.cache == "auto":  # the next soup reads the same ingredients: let memory hold them
                options = replace(options, cache="keep")
            merge(full, output=checkpoint, options=options, on_progress=poll)
            whole = checkpoint if self.options.directory is None else checkpoint.absolute()
            evaluation = self._runs.run(folder, {CHECKPOINT: str(whole)}, poll)
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
        recipe = recipe.moved(self._here)
        left_out = {same_path_key(path): path for path in self.ingredients}
        for ingredient in recipe.ingredients:
            if left_out.pop(same_path_key(ingredient.path), None) is None:
                refuse(f"`{shown(ingredient.path)}` is not an ingredient of this evaluator")
        weight = None if recipe.ingredients[0].weight is None else Fraction(0)
        own = len(recipe.ingredients)
        return Recipe(
            (*recipe.ingredients, *(Ingredient(path, weight) for path in left_out.values())),
            tuple(row.over(range(own), own + len(left_out)) for row in recipe.rows),
            recipe.method,
        )
