"""Any program that speaks to an endpoint as an evaluator: nothing is written, the model becomes each soup."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from soce.evaluate.command.options import BASE_URL, MODEL, CommandOptions, check_command
from soce.evaluate.command.runs import ProgramRuns
from soce.evaluate.evaluation import refuse
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.served.model import ServedModel
from soce.evaluate.served.outline import ServedOutline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation, OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.files.atomic import PathText


class ServedCommandEvaluator(LiveEvaluator):
    """Scores recipes with a program that asks a server, as any client of OpenAI's API does.

    Parameters
    ----------
    soup : ServedModel
        The live model behind a server. Closed by `close`.
    command : sequence of str
        The program and its arguments, as they are: no shell sees them. ``{base_url}`` stands for the
        address of the server, which ends in ``/v1``, ``{model}`` for what requests call the model, and
        ``{output}`` for an empty directory for the program's results. The server's token is in the program's
        environment, as ``OPENAI_API_KEY`` beside ``OPENAI_BASE_URL``, and in no argument.
    options : CommandOptions
        `scratch`, `merge` and `keep` are of no use here.
    folder : path-like, optional
        Gets one directory per run, with ``log.txt`` and ``output``; kept. A fresh one otherwise.
    on_start : callable, optional
        Called with the program and its arguments before each run.

    Raises
    ------
    EvaluationError
        A command that cannot be run, or a model that is in this process.
    """

    def __init__(
        self,
        soup: LiveModel,
        command: Sequence[str],
        options: CommandOptions = CommandOptions(),
        *,
        folder: PathText | None = None,
        on_start: Callable[[tuple[str, ...]], object] | None = None,
    ) -> None:
        self.command = check_command(command, options, is_served=True)
        if not isinstance(soup, ServedOutline):
            refuse("the command asks a server, and the model is in this process", "name a serving engine")
        super().__init__(soup)
        self.options = options
        made = Path(tempfile.mkdtemp(prefix="soce-runs-") if folder is None else folder)
        self._runs = ProgramRuns(self.command, options, made, on_start=on_start)

    scores_whole = True
    """Whether all items are scored in any case, whichever are asked for."""

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of the soup scored last; None before, or if its files tell none apart."""
        return self._runs.items

    def _identity(self) -> dict[str, object]:
        return self._runs.identity

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        soup = self.soup
        if not isinstance(soup, ServedModel) or soup.recipe is None:
            refuse("the model is not served yet, and cannot be scored")
        values = {BASE_URL: soup.base_url, MODEL: soup.model}
        folder = self._runs.begin(soup.recipe)
        evaluation = self._runs.run(folder, values, lambda: on_progress(0, 1), environment=soup.environment)
        on_progress(1, 1)
        return evaluation if items is None else evaluation.restricted(items)
