"""What the command line names to score soups, and how both are opened on one live model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from soce.cli.command import usage
from soce.cli.options.current import experiment
from soce.cli.options.group import flags_of
from soce.cli.progress import waiting
from soce.exceptions import EvaluationError, shown
from soce.files.words import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.kinds import EvaluatorName
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.options import EvaluatorOptions
    from soce.merging.options import MergeOptions
    from soce.search.executors.executor import Executor


@dataclass(frozen=True, slots=True)
class NamedEvaluators:
    """What scores soups, and what to report on if that is something else."""

    choose: EvaluatorName | None
    report: EvaluatorName | None
    options: EvaluatorOptions
    executor: str = "inline"
    """What evaluates, by its name."""
    replica_timeout_seconds: float | None = None
    """How long one of its replicas may give no word of its soup."""
    is_of_experiment: bool = False
    """Whether no flag names what soups are chosen by."""

    def executing(self) -> Executor:
        """Return what evaluates, to be closed."""
        from soce.search.executors.open import open_executor

        return open_executor(self.executor, timeout_seconds=self.replica_timeout_seconds)

    @contextmanager
    def opened(
        self,
        paths: Sequence[str],
        *,
        merge: MergeOptions,
        folder: Path,
        quiet: bool,
        is_outline: bool = False,
    ) -> Iterator[tuple[Evaluator, Evaluator | None]]:
        """Open both for checkpoints and the soups of a merge; they share one live model.

        As an outline they only say what they would score: the model has no weights. So it is where others
        than this process evaluate, to whom the evaluators are described.
        """
        from soce.evaluate.described import DescribedEvaluator, EvaluatorDescription
        from soce.evaluate.kinds import check_evaluator, kind_of, open_evaluator, outline_of
        from soce.evaluate.options import is_url
        from soce.search.items import check_categories

        choose = self.check()
        is_described = self.executor != "inline" and not is_outline
        options = replace(self.options, merge=merge)
        known = []
        for one in (choose, self.report):
            if one is not None:
                with waiting(f"reading {_named(one)}", enabled=not _is_command(one) and not quiet):
                    known.append(check_evaluator(one, options))
        check_categories(*known)
        context = click.get_current_context(silent=True)  # none where a program calls, not a command
        given = {} if context is None else context.params
        if known[0] is not None and not given.get("tables", True):
            experiment().check_names(categories=known[0])  # those that are to be scored: there is no table
        starts_engine = options.engine is not None and not is_url(options.engine)
        if starts_engine and not is_outline:  # which takes minutes: what is wrong is told before
            with self.opened(paths, merge=merge, folder=folder, quiet=True, is_outline=True):
                pass
        with ExitStack() as stack:

            def start(name: EvaluatorName, model: LiveModel | None, which: str) -> Evaluator:
                what = f"loading {_named(name)} and the model of `{shown(paths[0])}`"
                asks_engine = options.engine is not None and "engine" in kind_of(name).options
                if is_outline or is_described:
                    what = f"reading {_named(name)} and headers of `{shown(paths[0])}`"
                elif asks_engine and model is None:
                    engine = str(options.engine)
                    verb = "asking" if is_url(engine) else "starting"
                    what = f"{verb} {shown(engine)} on `{shown(paths[0])}` for {_named(name)}"
                elif _is_command(name):
                    what = f"for each soup: {_named(name)}"
                with waiting(what, enabled=not quiet):
                    logs = folder / "programs" / which
                    made = open_evaluator(name, model or paths, options, folder=logs)
                stack.callback(made.close)
                if not is_described:
                    return made
                return DescribedEvaluator(made, EvaluatorDescription(name, (*paths,), options, str(logs)))

            names = [name for name in (choose, self.report) if name is not None]
            outline = outline_of(names, paths, options) if is_outline or is_described else None
            first = start(choose, outline, "selection")
            other = None
            if self.report is not None:
                other = start(self.report, getattr(first, "soup", None) or outline, "held-out")
            yield first, other

    def check(self) -> EvaluatorName:
        """Return what soups are chosen by; refuse names that nobody knows, and options without effect."""
        from soce.evaluate.kinds import unused_options

        if self.choose is None:
            usage(
                "give either `--evaluator` or `--evaluator-command`; in `soce.yaml` that is "
                "`evaluate: {tasks: tasks.jsonl}`, say"
            )
        names = [name for name in (self.choose, self.report) if name is not None]
        try:
            unused = unused_options(names, self.options)
        except EvaluationError as error:
            usage(str(error))
        for option, reason in unused.items():
            usage(f"`{flags_of('evaluating')[option]}` has no effect here: {reason}")
        return self.choose


def _named(name: EvaluatorName) -> str:
    from soce.evaluate.kinds import Several

    if isinstance(name, Several):
        return in_words([_named(one) for one in name.names])
    return shown(name if isinstance(name, str) else shlex.join(name))


def _is_command(name: EvaluatorName) -> bool:
    return isinstance(name, Sequence) and not isinstance(name, str)
