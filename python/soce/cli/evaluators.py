"""Open the evaluators that options name: one to choose by, and one to report with."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soce.cli.command import message, usage
from soce.exceptions import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.kinds import EvaluatorName, EvaluatorOptions
    from soce.evaluate.live.soup_model import SoupModel


@dataclass(frozen=True, slots=True)
class NamedEvaluators:
    """What scores soups, and what to report on if that is something else."""

    choose: EvaluatorName | None
    report: EvaluatorName | None
    options: EvaluatorOptions

    @contextmanager
    def opened(
        self, paths: Sequence[str], *, dtype: str | None, folder: Path, quiet: bool
    ) -> Iterator[tuple[Evaluator, Evaluator | None]]:
        """Open both for checkpoints; they share one live model. `dtype` holds where none is asked for."""
        from soce.evaluate.kinds import open_evaluator

        if self.choose is None:
            usage("give either `--evaluator` or `--evaluator-command`")
        self._refuse_unused()
        options = replace(self.options, dtype=self.options.dtype or dtype)
        with ExitStack() as stack:

            def start(name: EvaluatorName, model: SoupModel | None, which: str) -> Evaluator:
                if not (quiet or isinstance(name, str)):
                    message(f"information: for each soup: {shlex.join(name)}")
                made = open_evaluator(name, model or paths, options, folder=folder / "programs" / which)
                stack.callback(made.close)
                return made

            first = start(self.choose, None, "selection")
            other = None
            if self.report is not None:
                other = start(self.report, getattr(first, "soup", None), "held-out")
            yield first, other

    def _refuse_unused(self) -> None:
        """Refuse evaluators that nobody knows, and options that would change nothing."""
        from soce.evaluate.kinds import unused_options

        names = [name for name in (self.choose, self.report) if name is not None]
        try:
            unused = unused_options(names, self.options)
        except EvaluationError as error:
            usage(str(error))
        for option, kinds in unused.items():
            listed = " and ".join(kind.name for kind in kinds)
            usage(f"`{_FLAGS.get(option) or _flag(option)}` has no effect here: it is for {listed}")


_FLAGS = {
    "metric": "--evaluator-metric",
    "scores": "--evaluator-scores",
    "format": "--evaluator-format",
}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def one_evaluator(which: str, name: str | None, command: str | None) -> EvaluatorName | None:
    """Return the evaluator that is named, or the command's words."""
    if name is not None and command is not None:
        usage(f"give either `{_flag(which)}` or `{_flag(which)}-command`")
    if command is None:
        return name
    try:
        return shlex.split(command)
    except ValueError as error:
        usage(f"the command cannot be split into words: {error}")
