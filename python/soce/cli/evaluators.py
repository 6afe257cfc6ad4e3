"""Evaluators by name, shared by the commands that score soups."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from soce.cli.output import message
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.soup_model import SoupModel
    from soce.search.pool import Pool

    Command = Callable[..., object]

EVALUATOR_HELP = """\b
An EVALUATOR is one of
  tasks.jsonl              items with a `category`, scored by the live model
  lm-eval:TASK[,TASK]      tasks of lm-evaluation-harness, a category each
  module:function          your evaluate(model, tokenizer)
or a program, whose scores are then read as any score table:
  --evaluator-command "python score.py {checkpoint} --output {output}"
"""


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


_FOR: Final[dict[str, tuple[str, ...]]] = {
    "device": ("tasks.jsonl", "lm-eval", "function"),
    "batch_size": ("tasks.jsonl", "lm-eval"),
    "task_kind": ("tasks.jsonl",),
    "normalise": ("tasks.jsonl",),
    "num_fewshot": ("lm-eval",),
    "include_path": ("lm-eval",),
    "evaluator_metric": ("lm-eval", "command"),
    "evaluator_scores": ("command",),
    "evaluator_format": ("command",),
    "timeout_seconds": ("command",),
    "scratch": ("command",),
}
"""Options that some evaluators have no use for, and the kinds that have."""


def _kind(name: str | None, command: str | None) -> str | None:
    if command is not None:
        return "command"
    if name is None:
        return None
    if name.startswith("lm-eval:"):
        return "lm-eval"
    if name.lower().endswith((".jsonl", ".ndjson")):
        return "tasks.jsonl"
    return "function" if ":" in name else None


def _check_used(settings: dict[str, Any], kinds: set[str | None]) -> None:
    """Refuse options that would change nothing."""
    for name, users in _FOR.items():
        if settings[name] not in (None, ()) and kinds - {None} and not kinds.intersection(users):
            option = f"--{name.replace('_', '-')}"
            _usage(f"`{option}` has no effect here: it is for {' and '.join(users)}")


@contextmanager
def open_evaluators(
    options: dict[str, Any], pool: Pool, *, dtype: str | None, folder: Path, quiet: bool = False
) -> Iterator[tuple[Evaluator, Evaluator | None]]:
    """Open the evaluator and the one to report with; their options are taken out of `options`."""
    settings = {name: options.pop(name) for name in ("dtype", *_FOR)}
    settings["dtype"] = settings["dtype"] or dtype
    named, command = options.pop("evaluator"), options.pop("evaluator_command")
    other, other_command = options.pop("held_out"), options.pop("held_out_command")
    if (named is None) == (command is None):
        _usage("give either `--evaluator` or `--evaluator-command`")
    if other is not None and other_command is not None:
        _usage("give either `--held-out` or `--held-out-command`")
    _check_used(settings, {_kind(named, command), _kind(other, other_command)})
    paths = [pool.paths[name] for name in pool.names]
    with ExitStack() as opened:
        live: list[SoupModel] = []

        def soup() -> SoupModel:
            if not live:
                from soce.evaluate.soup_model import SoupModel

                live.append(SoupModel(paths, device=settings["device"] or "auto", dtype=settings["dtype"]))
            return live[0]  # one model for both

        def start(name: str | None, words: str | None, which: str) -> Evaluator | None:
            if words is not None:
                made = _program(paths, words, settings, folder / "programs" / which, quiet=quiet)
            elif name is not None:
                made = _by_name(name, soup, settings)
            else:
                return None
            opened.callback(made.close)
            return made

        first = start(named, command, "selection")
        assert first is not None
        yield first, start(other, other_command, "held-out")


def _by_name(name: str, soup: Callable[[], SoupModel], settings: dict[str, Any]) -> Evaluator:
    kind = _kind(name, None)
    if kind == "lm-eval":
        from soce.evaluate.lm_eval import LmEvalEvaluator

        tasks = [task.strip() for task in name.removeprefix("lm-eval:").split(",") if task.strip()]
        if not tasks:
            _usage("`lm-eval:` names no task")
        return LmEvalEvaluator(
            soup(),
            tasks,
            include_path=settings["include_path"],
            metric=settings["evaluator_metric"],
            num_fewshot=settings["num_fewshot"],
            batch_size=settings["batch_size"] or 16,
        )
    if kind == "tasks.jsonl":
        from soce.evaluate.tasks import read_tasks
        from soce.evaluate.torch_evaluator import TorchEvaluator

        tasks_found = read_tasks(name, kind=settings["task_kind"])  # before the model, which takes longer
        return TorchEvaluator(
            soup(),
            tasks_found,
            normalise=settings["normalise"] or "none",
            batch_size=settings["batch_size"],
        )
    if kind == "function":
        from soce.evaluate.function import load_function

        return load_function(name, soup())
    _usage(f"`{shown(name)}` is no evaluator: give a .jsonl file, lm-eval:TASK or module:function")


def _program(
    paths: list[str], words: str, settings: dict[str, Any], folder: Path, *, quiet: bool
) -> Evaluator:
    from soce.evaluate.command import CommandEvaluator
    from soce.scores.formats.options import ReadOptions

    try:
        command = shlex.split(words)
    except ValueError as error:
        _usage(f"the command cannot be split into words: {error}")
    if not quiet:
        message(f"information: for each soup: {shlex.join(command)}")
    merge_options: Any = {} if settings["dtype"] is None else {"dtype": settings["dtype"]}
    return CommandEvaluator(
        paths,
        command,
        folder=folder,
        scores=settings["evaluator_scores"] or "{output}",
        options=ReadOptions(format=settings["evaluator_format"], metric=settings["evaluator_metric"]),
        scratch=settings["scratch"],
        timeout_seconds=settings["timeout_seconds"],
        merge_options=merge_options,
    )


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
