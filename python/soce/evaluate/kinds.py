"""The kinds of evaluators, as users name them, and how each is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.evaluate.evaluation import refuse
from soce.evaluate.options import EvaluatorOptions, parse_engine, without_effect
from soce.evaluate.several import SeveralEvaluators, refuse_shared_categories
from soce.exceptions import shown
from soce.files.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from soce.evaluate.command.options import CommandOptions
    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.lm_eval.options import LmEvalOptions
    from soce.files.atomic import PathText

    Ingredients: TypeAlias = "Sequence[str] | LiveModel"

EvaluatorName: TypeAlias = "str | Sequence[str] | Several"
"""``tasks.jsonl``, ``lm-eval:TASK,TASK=CATEGORY``, ``bfcl:CATEGORY,GROUP``, ``module:function``, or the words
of a command; or several of them."""


@dataclass(frozen=True, slots=True)
class Several:
    """Names of evaluators that score the same soups, each its own categories."""

    names: tuple[str | Sequence[str], ...]


@dataclass(frozen=True, slots=True)
class EvaluatorKind:
    """A way to score soups that users can name."""

    name: str
    form: str
    """What users write."""
    help: str
    options: tuple[str, ...]
    """The `EvaluatorOptions` that it looks at."""
    check: Callable[[Any, EvaluatorOptions], Collection[str] | None]
    """Refuse what can be seen to be wrong without a model: missing files, programs, modules, tasks. Return
    the categories; None if they are not known yet."""
    open: Callable[[Any, Ingredients, EvaluatorOptions, PathText | None], Evaluator]


def open_evaluator(
    name: EvaluatorName,
    ingredients: Ingredients,
    options: EvaluatorOptions = EvaluatorOptions(),
    *,
    folder: PathText | None = None,
) -> Evaluator:
    """Return the evaluator that a name is for, see `EvaluatorName`.

    Ingredients are checkpoint directories, or the live model of them that another evaluator has already.
    Options that the evaluator has no use for are not looked at, see `unused_options`. Logs and results of a
    command go into `folder`. Raises EvaluationError if no evaluator is named like this, and what its class
    raises.
    """
    return kind_of(name).open(name, ingredients, options, folder)


def check_evaluator(
    name: EvaluatorName, options: EvaluatorOptions = EvaluatorOptions()
) -> Collection[str] | None:
    """Raise what `open_evaluator` would, as far as that can be known before models are loaded.

    Returns the categories, None if they are known only when something is scored.
    """
    if options.engine is not None:
        parse_engine(options.engine)
    return kind_of(name).check(name, options)


def kind_of(name: EvaluatorName) -> EvaluatorKind:
    """Return the kind of evaluator that a name is for; raises EvaluationError if there is none."""
    if isinstance(name, Several):
        options = {option: None for one in name.names for option in kind_of(one).options}
        return EvaluatorKind("several", "", "", (*options,), _check_several, _open_several)
    if not isinstance(name, str):
        from soce.evaluate.command.options import asks_server

        return _SERVED_COMMAND if asks_server(name) else _COMMAND
    if name.startswith("lm-eval:"):
        if not _task_names(name):
            refuse("`lm-eval:` names no task")
        return _LM_EVAL
    if name.startswith("bfcl:"):
        return _BFCL
    if name.lower().endswith((".jsonl", ".ndjson")):
        return _TASKS
    if ":" not in name:
        forms = ", ".join(kind.form for kind in KINDS if kind is not _COMMAND)
        refuse(f"`{shown(name)}` is no evaluator", f"give one of {forms}")
    return _FUNCTION


def unused_options(names: Iterable[EvaluatorName], options: EvaluatorOptions) -> dict[str, str]:
    """Return options that are set although none of these evaluators looks at them, each with the reason."""
    looked_at = {option for name in names for option in kind_of(name).options}
    unused = {}
    for option in fields(options):
        if option.name not in looked_at and getattr(options, option.name) != option.default:
            kinds = [kind.name for kind in KINDS if option.name in kind.options]
            general = [name for name in kinds if not any(name.startswith(f"{other} ") for other in kinds)]
            unused[option.name] = f"it is for {in_words(general)}"
    return {**dict(without_effect(options)), **unused}


def outline_of(
    names: Iterable[EvaluatorName], ingredients: Sequence[str], options: EvaluatorOptions
) -> LiveModel | None:
    """Return the live model of these evaluators without its weights; None if they need no model.

    Evaluators that are opened on it say what they would score, and as whom, and can score nothing.
    """
    if not any("engine" in kind_of(name).options for name in names):
        return None
    from soce.evaluate.live.opening import model_outline

    return model_outline(ingredients, options)


def _check_several(several: Several, options: EvaluatorOptions) -> Collection[str] | None:
    known = [check_evaluator(name, options) for name in several.names]
    found = [category for one in known for category in one or ()]
    refuse_shared_categories(found)
    return None if None in known else found


def _open_several(
    several: Several, ingredients: Ingredients, options: EvaluatorOptions, folder: PathText | None
) -> Evaluator:
    opened: list[Evaluator] = []
    try:
        for name in several.names:
            live = next((one.soup for one in opened if hasattr(one, "soup")), ingredients)
            opened.append(open_evaluator(name, live, options, folder=folder))
        return SeveralEvaluators(opened)
    except BaseException:
        for one in opened:
            one.close()
        raise


def _check_tasks(name: str, options: EvaluatorOptions) -> Collection[str]:
    from soce.evaluate.tasks.items import read_tasks

    return {item.category for item in read_tasks(name, kind=options.task_kind).items}


def _open_tasks(name: str, ingredients: Ingredients, options: EvaluatorOptions, _: object) -> Evaluator:
    from soce.evaluate.live.opening import live_model
    from soce.evaluate.tasks.evaluator import LINE_END, TaskEvaluator
    from soce.evaluate.tasks.items import read_tasks

    tasks = read_tasks(name, kind=options.task_kind)
    with live_model(ingredients, options) as model:
        return TaskEvaluator(
            model,
            tasks,
            normalise=options.normalise or "none",
            batch_size=options.batch_size,
            max_new_tokens=options.max_new_tokens,
            max_length=options.max_length,
            perplexity_per=options.perplexity_per or "byte",
            stop=options.stop or LINE_END,
        )


def _check_lm_eval(name: str, options: EvaluatorOptions) -> Collection[str] | None:
    from soce.evaluate.lm_eval.tasks import check_tasks

    return check_tasks([*_task_names(name)], _lm_eval_options(name, options))


def _open_lm_eval(name: str, ingredients: Ingredients, options: EvaluatorOptions, _: object) -> Evaluator:
    from soce.evaluate.live.opening import live_model
    from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

    with live_model(ingredients, options) as model:
        return LmEvalEvaluator(model, [*_task_names(name)], _lm_eval_options(name, options))


def _lm_eval_options(name: str, options: EvaluatorOptions) -> LmEvalOptions:
    from soce.evaluate.lm_eval.options import LmEvalOptions, arguments_of

    return LmEvalOptions(
        include_path=options.include_path or (),
        categories={task: category for task, category in _task_names(name).items() if category is not None},
        metric=options.metric,
        num_fewshot=options.num_fewshot,
        batch_size=options.batch_size,
        apply_chat_template=options.apply_chat_template,
        chat_completions=options.chat_completions,
        fewshot_as_multiturn=options.fewshot_as_multiturn,
        system_instruction=options.system_instruction,
        limit=options.limit,
        gen_kwargs=arguments_of(options.gen_kwargs),
        settings={} if options.max_length is None else {"max_length": options.max_length},
    )


def _check_bfcl(name: str, options: EvaluatorOptions) -> Collection[str]:
    from soce.evaluate.bfcl.categories import chosen_categories, read_items
    from soce.evaluate.bfcl.environment import find_environment
    from soce.evaluate.bfcl.evaluator import check_served

    categories = chosen_categories(_bfcl_names(name))
    if options.bfcl_items is not None:
        read_items(options.bfcl_items)
    check_served(is_served=options.engine is not None)
    find_environment(options.bfcl_python)
    return categories


def _open_bfcl(name: str, ingredients: Ingredients, options: EvaluatorOptions, _: object) -> Evaluator:
    from soce.evaluate.bfcl.categories import read_items
    from soce.evaluate.bfcl.evaluator import MAX_TOKENS, BfclEvaluator, BfclOptions
    from soce.evaluate.live.opening import live_model

    chosen = BfclOptions(
        python=options.bfcl_python,
        handler=options.bfcl_handler,
        items=None if options.bfcl_items is None else read_items(options.bfcl_items),
        max_tokens=options.max_new_tokens or MAX_TOKENS,
        timeout_seconds=options.timeout_seconds,
    )
    with live_model(ingredients, options) as model:
        return BfclEvaluator(model, _bfcl_names(name), chosen)


def _bfcl_names(name: str) -> list[str]:
    return [*filter(None, map(str.strip, name.removeprefix("bfcl:").split(",")))]


def _check_function(name: str, options: EvaluatorOptions) -> None:
    from soce.evaluate.function import check_engine, find_function

    function = find_function(name, directory=options.directory)
    check_engine(function, name, is_served=options.engine is not None)


def _open_function(name: str, ingredients: Ingredients, options: EvaluatorOptions, _: object) -> Evaluator:
    from soce.evaluate.function import load_function
    from soce.evaluate.live.opening import live_model

    with live_model(ingredients, options) as model:
        return load_function(name, model, directory=options.directory)


def _check_command(command: Sequence[str], options: EvaluatorOptions) -> None:
    from soce.evaluate.command.options import check_command

    check_command(command, _command_options(options))


def _open_command(
    command: Sequence[str], ingredients: Ingredients, options: EvaluatorOptions, folder: PathText | None
) -> Evaluator:
    from soce.evaluate.command.evaluator import CommandEvaluator

    paths = ingredients if isinstance(ingredients, Sequence) else ingredients.ingredients
    return CommandEvaluator(paths, command, _command_options(options), folder=folder)


def _check_served_command(command: Sequence[str], options: EvaluatorOptions) -> None:
    from soce.evaluate.command.options import check_command

    check_command(command, _command_options(options), is_served=True)
    if options.engine is None:
        hint = "name one as `engine`, such as vllm, or have soups written for `{checkpoint}`"
        refuse("the command asks a server, and no serving engine is named", hint)


def _open_served_command(
    command: Sequence[str], ingredients: Ingredients, options: EvaluatorOptions, folder: PathText | None
) -> Evaluator:
    from soce.evaluate.command.served import ServedCommandEvaluator
    from soce.evaluate.live.opening import live_model

    with live_model(ingredients, options) as model:
        return ServedCommandEvaluator(model, command, _command_options(options), folder=folder)


def _command_options(options: EvaluatorOptions) -> CommandOptions:
    from soce.evaluate.command.options import CommandOptions
    from soce.scores.formats.options import ReadOptions

    return CommandOptions(
        scores=options.scores or "{output}",
        read=ReadOptions(format=options.format, metric=options.metric),
        scratch=options.scratch,
        timeout_seconds=options.timeout_seconds,
        directory=options.directory,
        merge=options.merge,
    )


def _task_names(name: str) -> dict[str, str | None]:
    """Return the tasks of ``lm-eval:TASK,TASK=CATEGORY``, each with its category if one is given."""
    tasks: dict[str, str | None] = {}
    for text in filter(None, map(str.strip, name.removeprefix("lm-eval:").split(","))):
        before, sign, after = (part.strip() for part in text.rpartition("="))
        if sign and not (before and after):
            refuse(f"`{shown(text)}` is no TASK=CATEGORY", "write `flores_devtest=flores_dev`, say")
        task, category = (before, after) if sign and not Path(text).is_file() else (text, None)
        if tasks.setdefault(task, category) != category:
            refuse(f"the task `{shown(task)}` is given two categories", "give it one")
    return tasks


_ENGINE: Final = ("engine", "engine_python", "engine_arguments", "engine_token", "engine_untried")
_TASKS: Final = EvaluatorKind(
    "tasks.jsonl",
    "tasks.jsonl",
    "items with a `category`, scored by the live model",
    (
        *("merge", "device", "device_map", *_ENGINE),
        "batch_size",
        "task_kind",
        "normalise",
        "max_new_tokens",
        "stop",
        "max_length",
        "perplexity_per",
    ),
    _check_tasks,
    _open_tasks,
)
_LM_EVAL: Final = EvaluatorKind(
    "lm-eval",
    "lm-eval:TASK[,TASK]",
    "tasks of lm-evaluation-harness, a category each",
    (
        *("merge", "device", "device_map", *_ENGINE, "batch_size", "max_length"),
        *("num_fewshot", "include_path", "metric", "limit", "gen_kwargs"),
        *("apply_chat_template", "chat_completions", "fewshot_as_multiturn", "system_instruction"),
    ),
    _check_lm_eval,
    _open_lm_eval,
)
_BFCL: Final = EvaluatorKind(
    "bfcl",
    "bfcl:CATEGORY[,GROUP]",
    "function calling by BFCL, with --engine",
    ("merge", *_ENGINE, "bfcl_python", "bfcl_handler", "bfcl_items", "max_new_tokens", "timeout_seconds"),
    _check_bfcl,
    _open_bfcl,
)
_FUNCTION: Final = EvaluatorKind(
    "function",
    "module:function",
    "your evaluate(model, tokenizer)",
    ("merge", "device", "device_map", *_ENGINE, "directory"),
    _check_function,
    _open_function,
)
_COMMAND: Final = EvaluatorKind(
    "command",
    "python score.py {checkpoint} --output {output}",
    "a program, whose scores are then read as any score table",
    ("merge", "metric", "scores", "format", "timeout_seconds", "scratch", "directory"),
    _check_command,
    _open_command,
)
_SERVED_COMMAND: Final = EvaluatorKind(
    "command with {base_url}",
    "python score.py {base_url} {model} --output {output}",
    "a program that asks the server of a serving engine",
    ("merge", *_ENGINE, "metric", "scores", "format", "timeout_seconds", "directory"),
    _check_served_command,
    _open_served_command,
)
KINDS: Final = (_TASKS, _LM_EVAL, _BFCL, _FUNCTION, _COMMAND, _SERVED_COMMAND)
"""Every kind of evaluator."""
