"""Options that say what scores soups: by what they are chosen, and what is reported."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import usage
from soce.cli.options.current import experiment
from soce.cli.options.files import EXISTING, PATH, PLACE
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.options.types import COMMAND, COUNT, ENGINE, EXECUTOR, FORMAT, NUMBER, LmEvalTasks, NamedValues
from soce.cli.text.layout import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.cli.options.group import Decorator
    from soce.evaluate.kinds import EvaluatorName


def _one_evaluator(flag: str, name: str | None, command: str | None) -> EvaluatorName | None:
    """Return the evaluator that is named, or the command's words."""
    if name is not None and command is not None:
        usage(f"give either `{flag}` or `{flag}-command`")
    if command is None:
        return name
    try:
        return shlex.split(command)
    except ValueError as error:
        usage(f"the command cannot be split into words: {error}")


def _evaluating(
    *,
    evaluator: str | None,
    evaluator_command: str | None,
    held_out: str | None,
    held_out_command: str | None,
    executor: str,
    ray_address: str | None,
    replica_timeout_seconds: float | None,
    **given: Any,  # noqa: ANN401 - what an experiment names, and the fields of `EvaluatorOptions`
) -> NamedEvaluators:
    from soce.evaluate.options import EvaluatorOptions
    from soce.search.executors.open import with_settings

    said = {which: [given.pop(f"{which}_{kind}") for kind in _KINDS] for which in ("choose", "report")}
    more = {which: given.pop(f"{which}_more_tasks") for which in ("choose", "report")}
    flag = None if _is_set("evaluate") else _one_evaluator("--evaluator", evaluator, evaluator_command)
    other = None if _is_set("report_on") else _one_evaluator("--held-out", held_out, held_out_command)
    choose = flag or _together(_of_experiment(*said["choose"]), more["choose"])
    report = other or _together(_of_experiment(*said["report"]), more["report"])
    given["engine_arguments"] = _words(given["engine_arguments"])
    options = EvaluatorOptions(**given, directory=_directory(said) if flag is None else None)
    executor = with_settings(executor, address=ray_address, timeout_seconds=replica_timeout_seconds)
    limit = replica_timeout_seconds
    return NamedEvaluators(choose, report, options, executor, limit, is_of_experiment=flag is None)


def _is_set(section: str) -> bool:
    """Whether `--set` names an evaluator, which comes before the flags."""
    return any(experiment().is_changed(f"{section}.{kind.replace('_', '-')}") for kind in _KINDS)


def _directory(said: Mapping[str, Sequence[object]]) -> str | None:
    """Return the experiment's folder if it names a program or a function of its own, and is elsewhere."""
    folder = experiment().folder
    is_own = any(
        kind in {"function", "command"} and one
        for kinds in said.values()
        for kind, one in zip(_KINDS, kinds, strict=True)
    )
    return str(folder) if is_own and folder != Path() else None


def _of_experiment(
    tasks: str | None,
    lm_eval: str | None,
    bfcl: str | None,
    function: str | None,
    command: tuple[str, ...],
) -> EvaluatorName | None:
    """Return the evaluator that an experiment names: one of these."""
    if command:
        return _words(command)
    harness = f"lm-eval:{lm_eval}" if lm_eval else f"bfcl:{bfcl}" if bfcl else None
    return tasks or harness or function


def _together(named: EvaluatorName | None, more: tuple[str, ...]) -> EvaluatorName | None:
    """Return what an experiment names, with the tasks that are to be scored beside it."""
    from soce.evaluate.kinds import Several

    if named is None or isinstance(named, Several):
        return more[0] if len(more) == 1 else Several(more) if more else named
    return Several((named, *more)) if more else named


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return words as they are, those of one text apart."""
    return tuple(shlex.split(given[0])) if len(given) == 1 else given


_KINDS = ("tasks", "lm_eval", "bfcl", "function", "command")
_option = OptionGroup("evaluating", _evaluating, section="evaluate").option


def _kinds(section: str, which: str) -> Decorator:
    """Declare what an experiment may name as its evaluator in a section."""

    def kind(name: str, **settings: Any) -> Decorator:  # noqa: ANN401 - click's
        flag = f"--{which}-{name}"
        return _option(flag, section=section, key=name, either="what", file_only=True, **settings)

    return all_of(
        kind("tasks", files=EXISTING, help="A tasks.jsonl file: items with a `category`."),
        kind("lm-eval", type=LmEvalTasks(), help="Tasks of lm-eval; a category each, or the one named."),
        kind("bfcl", help="Categories and groups of BFCL: `non_live,multi_turn`, say."),
        kind("function", help="module:function, your evaluate(model, tokenizer) or (base_url, model)."),
        kind(
            "command",
            type=COMMAND,
            multiple=True,
            help="A program that scores {checkpoint} or {base_url}.",
        ),
        _option(
            f"--{which}-more-tasks",
            section=section,
            key="more-tasks",
            multiple=True,
            files=EXISTING,
            file_only=True,
            help="Files of tasks to score beside what is named, such as bfcl.",
        ),
    )


evaluator_options = all_of(
    _option("--evaluator", "-e", key="", metavar="EVALUATOR", help="What scores soups; see below."),
    _option("--evaluator-command", key="", metavar="COMMAND", help="A program that leaves a score table."),
    _option("--held-out", key="", metavar="EVALUATOR", help="Other tasks to report on: none are split."),
    _option("--held-out-command", key="", metavar="COMMAND", help="The same, a program."),
    _kinds("evaluate", "choose"),
    _kinds("report_on", "report"),
    _option("--device", metavar="NAME", help="cpu, cuda, ...; else chosen."),
    _option(
        "--device-map",
        type=click.Choice(["auto", "balanced", "balanced_low_0", "sequential"]),
        file_only=True,
        help="For a model that one device does not hold: how it is laid over several and the CPU.",
    ),
    _option("--batch-size", type=COUNT, metavar="N", help="Else chosen."),
    _option(
        "--executor",
        section="search",
        type=EXECUTOR,
        default="inline",
        metavar="NAME",
        help="What evaluates: inline, processes:N on this machine, or ray[:N]. Default: inline.",
    ),
    _option(
        "--ray-address",
        section="search",
        file_only=True,
        metavar="HOST:PORT",
        help="Of Ray's head node; else that in RAY_ADDRESS, or a cluster of this machine.",
    ),
    _option(
        "--replica-timeout-seconds",
        section="search",
        type=click.FloatRange(min=0, min_open=True),
        file_only=True,
        help="For processes and ray: who gives no word of its soup for so long is ended; another does it.",
    ),
    _option(
        "--engine",
        type=ENGINE,
        metavar="NAME",
        help="A serving engine to ask: vllm, transformers, or the URL of a `soce serve`.",
    ),
    _option(
        "--engine-python",
        files=EXISTING,
        file_only=True,
        help="The python of the environment that the engine is in. Default: the one that soce runs in.",
    ),
    _option(
        "--engine-arguments",
        type=COMMAND,
        multiple=True,
        file_only=True,
        help="The engine's own, such as `--tensor-parallel-size 2`.",
    ),
    _option(
        "--engine-token",
        files=EXISTING,
        file_only=True,
        help="For a URL: the file with the token of the server there.",
    ),
    _option(
        "--engine-untried",
        is_flag=True,
        file_only=True,
        help="Take an engine of a version that was not tried.",
    ),
    _option(
        "--bfcl-python",
        files=EXISTING,
        file_only=True,
        help="For bfcl: the python of the environment that `soce bfcl setup` made.",
    ),
    _option(
        "--bfcl-handler",
        file_only=True,
        help="For bfcl: what writes prompts and reads answers, by its name in BFCL.",
    ),
    _option(
        "--bfcl-items",
        files=EXISTING,
        file_only=True,
        help="For bfcl: a JSON file of the ids to ask, by category, as BFCL's `--run-ids` takes.",
    ),
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
    _option(
        "--max-new-tokens",
        type=COUNT,
        file_only=True,
        help="For tasks.jsonl: the most that a text may have. Default: 1024, or what the window leaves.",
    ),
    _option(
        "--stop",
        multiple=True,
        file_only=True,
        metavar="TEXT",
        help="For exact_match items: where texts end, apart from end tokens. Default: at a line's end.",
    ),
    _option(
        "--max-length",
        type=COUNT,
        file_only=True,
        help="For tasks.jsonl and lm-eval: tokens that the model sees at once. Default: its config's.",
    ),
    _option(
        "--perplexity-per",
        type=click.Choice(["byte", "token"]),
        file_only=True,
        help="For tasks.jsonl: what perplexities are taken of. Default: byte.",
    ),
    _option("--num-fewshot", type=NUMBER, metavar="N", help="For lm-eval."),
    _option(
        "--apply-chat-template",
        is_flag=True,
        file_only=True,
        help="For lm-eval: prompts go through the tokenizer's chat template.",
    ),
    _option(
        "--chat-completions",
        is_flag=True,
        file_only=True,
        help="For lm-eval with an engine: send messages; it applies its own template and tells thoughts.",
    ),
    _option(
        "--fewshot-as-multiturn/--no-fewshot-as-multiturn",
        default=None,
        file_only=True,
        help="For lm-eval: few-shot examples are turns of the chat; they are if this is not said.",
    ),
    _option("--system-instruction", file_only=True, help="For lm-eval: what prompts begin with."),
    _option(
        "--limit",
        type=click.FloatRange(min=0, min_open=True),
        file_only=True,
        help="For lm-eval: only N documents of a task, or such a share below 1, to try things out.",
    ),
    _option(
        "--gen-kwargs",
        type=NamedValues("NAME=VALUE", at_first=True),
        multiple=True,
        file_only=True,
        help="For lm-eval: arguments of generation, on top of the tasks' own, such as max_gen_toks.",
    ),
    _option(
        "--include-path", multiple=True, files=EXISTING, metavar="DIR", help="For lm-eval: your own tasks."
    ),
    _option("--evaluator-metric", "metric", metavar="NAME", help="Metric to read, such as acc or acc,none."),
    _option(
        "--evaluator-scores",
        "scores",
        type=PLACE,
        metavar="PATH",
        help="For commands: the scores it leaves. Default: {output}, a directory.",
    ),
    _option(
        "--evaluator-format",
        "format",
        type=FORMAT,
        metavar="KIND",
        help="For commands: read them as this kind.",
    ),
    _option("--timeout-seconds", type=float, metavar="N", help="For commands: how long one may take."),
    _option("--scratch", files=PATH, metavar="DIR", help="For commands: where soups go, such as /dev/shm."),
)


def evaluator_help() -> str:
    """Return what an EVALUATOR is."""
    from soce.evaluate.kinds import KINDS

    *named, command, _ = KINDS
    lines = columns([[kind.form, kind.help] for kind in named], "ll")
    how = f'or --evaluator-command "{command.form}"\n'
    return "\n".join(["\b", "An EVALUATOR is one of", *lines, how])
