"""Evaluators by name, shared by the commands that score soups."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

import click

from soce.cli.output import message
from soce.evaluate.kinds import KINDS, EvaluatorOptions, open_evaluator, unused_options
from soce.exceptions import EvaluationError
from soce.search.folder import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.kinds import EvaluatorName
    from soce.search.pool import Pool

    Command = Callable[..., object]

EVALUATOR_HELP = "\b\nAn EVALUATOR is one of\n"
for _kind in KINDS[:-1]:
    EVALUATOR_HELP += f"  {_kind.form:<24} {_kind.help}\n"
EVALUATOR_HELP += f'or {KINDS[-1].help}:\n  --evaluator-command "{KINDS[-1].form}"\n'


def evaluator_options(command: Command) -> Command:
    """Add the options that say how soups are scored."""
    for option in reversed(
        (
            click.option("--evaluator", "-e", metavar="EVALUATOR", help="What scores soups; see below."),
            click.option(
                "--evaluator-command",
                metavar="COMMAND",
                help="A program that scores {checkpoint} and writes to {output}.",
            ),
            click.option(
                "--held-out", metavar="EVALUATOR", help="Other tasks to report on; no items are split then."
            ),
            click.option("--held-out-command", metavar="COMMAND", help="The same, a program."),
            click.option("--device", metavar="NAME", help="cpu, cuda, ...; else chosen."),
            click.option("--dtype", metavar="DTYPE", help="Dtype of the soups: f64, f32, f16 or bf16."),
            click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Else chosen."),
            click.option(
                "--task-kind",
                type=click.Choice(["multiple_choice", "exact_match", "teacher_forced", "perplexity"]),
                help="For tasks.jsonl: the kind of items that name none.",
            ),
            click.option(
                "--normalise",
                type=click.Choice(["none", "token", "byte"]),
                help="For tasks.jsonl: what likelihoods of choices are divided by. Default: none.",
            ),
            click.option("--num-fewshot", type=click.IntRange(min=0), metavar="N", help="For lm-eval."),
            click.option("--include-path", multiple=True, metavar="DIR", help="For lm-eval: your own tasks."),
            click.option(
                "--evaluator-metric", metavar="NAME", help="Metric to read, such as acc or acc,none."
            ),
            click.option(
                "--evaluator-scores",
                metavar="PATH",
                help="For commands: the scores it leaves. Default: {output}, a directory.",
            ),
            click.option("--evaluator-format", metavar="KIND", help="For commands: read them as this kind."),
            click.option(
                "--timeout-seconds", type=float, metavar="N", help="For commands: how long one may take."
            ),
            click.option("--scratch", metavar="DIR", help="For commands: where soups go, such as /dev/shm."),
        )
    ):
        command = option(command)
    return command


_PREFIXED: Final = ("metric", "scores", "format")
"""Options that are called `--evaluator-...`."""


@contextmanager
def open_evaluators(
    options: dict[str, Any], pool: Pool, *, dtype: str | None, folder: Path, quiet: bool = False
) -> Iterator[tuple[Evaluator, Evaluator | None]]:
    """Open the evaluator and the one to report with; their options are taken out of `options`."""
    settings = EvaluatorOptions(
        **{
            field.name: options.pop(f"evaluator_{field.name}" if field.name in _PREFIXED else field.name)
            for field in fields(EvaluatorOptions)
        }
    )
    settings = replace(settings, dtype=settings.dtype or dtype)
    name = _one_of(options, "evaluator")
    other = _one_of(options, "held_out")
    if name is None:
        _usage("give either `--evaluator` or `--evaluator-command`")
    try:
        unused = unused_options([name] if other is None else [name, other], settings)
    except EvaluationError as error:
        _usage(str(error))
    for option, kinds in unused.items():
        word = f"--{'evaluator-' if option in _PREFIXED else ''}{option.replace('_', '-')}"
        _usage(f"`{word}` has no effect here: it is for {' and '.join(kind.name for kind in kinds)}")

    def start(name: EvaluatorName, ingredients: Any, which: str) -> Evaluator:  # noqa: ANN401
        if not (quiet or isinstance(name, str)):
            message(f"information: for each soup: {shlex.join(name)}")
        made = open_evaluator(name, ingredients, settings, folder=folder / PROGRAMS / which)
        opened.callback(made.close)
        return made

    with ExitStack() as opened:
        paths = [pool.paths[name] for name in pool.names]
        first = start(name, paths, "selection")
        if other is None:
            yield first, None
        else:  # one live model for both
            yield first, start(other, getattr(first, "soup", paths), "held-out")


def _one_of(options: dict[str, Any], which: str) -> EvaluatorName | None:
    """Return the evaluator that is named, or the command's words."""
    name: str | None = options.pop(which)
    command: str | None = options.pop(f"{which}_command")
    if name is not None and command is not None:
        word = f"--{which.replace('_', '-')}"
        _usage(f"give either `{word}` or `{word}-command`")
    if command is None:
        return name
    try:
        return shlex.split(command)
    except ValueError as error:
        _usage(f"the command cannot be split into words: {error}")


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
