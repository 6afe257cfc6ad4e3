"""Options that say what scores soups."""

from __future__ import annotations

from typing import Any

import click

from soce.cli.evaluators import NamedEvaluators, one_evaluator
from soce.cli.options.group import OptionGroup, all_of


def _evaluating(**given: Any) -> NamedEvaluators:  # noqa: ANN401 - click's
    from soce.evaluate.kinds import EvaluatorOptions

    choose = one_evaluator("evaluator", given.pop("evaluator"), given.pop("evaluator_command"))
    report = one_evaluator("held_out", given.pop("held_out"), given.pop("held_out_command"))
    return NamedEvaluators(choose, report, EvaluatorOptions(**given))


_option = OptionGroup("evaluating", _evaluating).option

evaluator_options = all_of(
    _option("--evaluator", "-e", metavar="EVALUATOR", help="What scores soups; see below."),
    _option(
        "--evaluator-command",
        metavar="COMMAND",
        help="A program that scores {checkpoint} and writes to {output}.",
    ),
    _option("--held-out", metavar="EVALUATOR", help="Other tasks to report on; no items are split then."),
    _option("--held-out-command", metavar="COMMAND", help="The same, a program."),
    _option("--device", metavar="NAME", help="cpu, cuda, ...; else chosen."),
    _option("--dtype", metavar="DTYPE", help="Dtype of the soups: f64, f32, f16 or bf16."),
    _option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Else chosen."),
    _option(
        "--task-kind",
        type=click.Choice(["multiple_choice", "exact_match", "teacher_forced", "perplexity"]),
        help="For tasks.jsonl: the kind of items that name none.",
    ),
    _option(
        "--normalise",
        type=click.Choice(["none", "token", "byte"]),
        help="For tasks.jsonl: what likelihoods of choices are divided by. Default: none.",
    ),
    _option("--num-fewshot", type=click.IntRange(min=0), metavar="N", help="For lm-eval."),
    _option("--include-path", multiple=True, metavar="DIR", help="For lm-eval: your own tasks."),
    _option("--evaluator-metric", "metric", metavar="NAME", help="Metric to read, such as acc or acc,none."),
    _option(
        "--evaluator-scores",
        "scores",
        metavar="PATH",
        help="For commands: the scores it leaves. Default: {output}, a directory.",
    ),
    _option("--evaluator-format", "format", metavar="KIND", help="For commands: read them as this kind."),
    _option("--timeout-seconds", type=float, metavar="N", help="For commands: how long one may take."),
    _option("--scratch", metavar="DIR", help="For commands: where soups go, such as /dev/shm."),
)


def evaluator_help() -> str:
    """Return what an EVALUATOR is."""
    from soce.evaluate.kinds import KINDS

    *named, command = KINDS
    width = max(len(kind.form) for kind in named) + 4
    lines = [f"  {kind.form.ljust(width)} {kind.help}" for kind in named]
    return "\n".join(
        [
            "\b",
            "An EVALUATOR is one of",
            *lines,
            f"or {command.help}:",
            f'  --evaluator-command "{command.form}"',
            "",
        ]
    )
