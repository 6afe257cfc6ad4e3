"""Tasks of lm-evaluation-harness, loaded and turned into requests once, with the metric to read of each."""

from __future__ import annotations

import copy
import hashlib
import math
from collections import Counter, defaultdict
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.evaluation import refuse, told
from soce.evaluate.lm_eval.aggregations import aggregation_of
from soce.evaluate.lm_eval.definition import content, definition
from soce.evaluate.lm_eval.model import explained, lm_eval, seeded, silent
from soce.exceptions import shown
from soce.files.words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.evaluate.lm_eval.aggregations import Aggregation
    from soce.evaluate.lm_eval.options import LmEvalOptions

# Where a task's data lie says nothing about a score: the documents themselves are digested.
_WHERE: Final = ("dataset_path", "dataset_name", "dataset_kwargs", "metadata")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedTask:
    """A task of the harness with all of its requests, and the metric that is its score."""

    name: str
    category: str
    task: Any
    requests: tuple[tuple[Any, ...], ...]
    """The requests of each document, which is known by its number."""
    metric: str
    filter: str
    higher_is_better: bool
    aggregation: Aggregation | None
    """How the score follows from the documents; None: nobody knows."""
    digest: str
    """Of documents, requests and how answers are scored."""

    @property
    def key(self) -> str:
        """How the harness names the score in its results."""
        return f"{self.metric},{self.filter}"

    def content(self, document: int) -> str:
        """Return a digest of what a document asks: its text without few-shot examples, and its choices.

        Where the task gives no text, as for choices between beginnings, it is of the whole document.
        """
        requests = self.requests[document]
        doc = requests[0].doc
        has_choices = self.task.get_config("output_type") == "multiple_choice"
        choices = sorted(str(one.arguments[1]) for one in requests) if has_choices else []
        text = self.task.doc_to_text(doc)
        is_text = isinstance(text, str) and bool(text.strip())
        asked = [" ".join(text.split()), choices] if is_text else doc
        return hashlib.sha256(content(asked)).hexdigest()[:16]

    def offer(self, chosen: Sequence[int]) -> int:
        """Let the harness find fresh copies of these documents' requests, and return how many it will send.

        Rebuilt for every model or for some of the documents they would have other few-shot examples, because
        the harness seeds its sampler on loading only.
        """
        instances = []
        for number, document in enumerate(chosen):
            for instance in self.requests[document]:
                arguments = copy.deepcopy(instance.arguments)
                metadata = (instance.task_name, number, instance.repeats)
                fresh = replace(instance, arguments=arguments, metadata=metadata, resps=[], filtered_resps={})
                instances.append(fresh)

        def build_all_requests(**_: object) -> None:
            self.task._instances = instances

        self.task.build_all_requests = build_all_requests
        return sum(instance.repeats for instance in instances)


class Documents(tuple[int, ...]):
    """Documents in ascending order, as the harness's `samples`, which it searches once for each document."""

    def __contains__(self, document: object) -> bool:
        """Whether a document is one of them."""
        if not hasattr(self, "_known"):
            self._known = frozenset(self)
        return document in self._known


def load_tasks(
    names: Sequence[str],
    model: Any,  # noqa: ANN401
    options: LmEvalOptions,
) -> tuple[LoadedTask, ...]:
    """Load tasks as `lm_eval.simple_evaluate` does, and build all requests.

    Groups and tags stand for the tasks below them, which come in the order in which the harness has them. The
    model gives the chat template.
    """
    if isinstance(names, str):
        refuse("the tasks are one text", "give a list of names")
    if not names:
        refuse("no task is named")
    what = f"load {', '.join(names)}"
    with explained(what), silent(), redirect_stderr(StringIO()), seeded(options.seeds):
        check_tasks(names, options)
        if options.apply_chat_template and options.system_instruction:
            _check_system_turn(model)
        loaded = _load(names, options.folders)
        categories = {task: options.categories.get(task, task) for task in loaded}
        for path in filter(_is_file, options.categories):
            (task,) = _load([path], options.folders)  # a file of a group has several
            categories[task] = options.categories[path]
        _check_once(categories.values())
        return tuple(
            _with_requests(name, categories[name], task, model, options) for name, task in loaded.items()
        )


def _check_system_turn(model: Any) -> None:  # noqa: ANN401
    """Refuse a chat template that refuses instructions: the harness would leave them out and say nothing."""
    from jinja2 import TemplateError

    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    try:
        model.tokenizer.apply_chat_template(turns, tokenize=False, **model.chat_template_args)
    except TemplateError as error:
        message = f"the chat template takes no system instruction: {told(error)}"
        refuse(message, "leave `system_instruction` out, or write it into the tasks' questions", cause=error)


def check_tasks(names: Sequence[str], options: LmEvalOptions) -> list[str] | None:
    """Raise EvaluationError if the harness is missing or knows no such tasks, or for categories of others.

    No data are loaded. Returns the categories; None if a file or a group that writes its tasks itself is
    among the names, whose tasks are known when they are loaded.
    """
    lm_eval()
    for name in options.categories:
        if name not in names:
            refuse(f"`{shown(name)}`, which is given a category, is no task", nearest(name, names, "tasks"))
    with explained(f"find {', '.join(names)}"), silent(), redirect_stderr(StringIO()):
        manager = _manager(names, options.folders)
    for name in sorted({*manager.all_groups, *manager.all_tags}.intersection(options.categories)):
        message = f"`{shown(name)}` is a group or tag, whose tasks are a category each"
        refuse(message, "give the categories of its tasks: TASK=CATEGORY,TASK=CATEGORY")
    found = [_members(manager, name) for name in names]
    tasks = [task for members in found for task in members or ()]
    if options.chat_completions:
        for task in tasks:
            if manager.task_index[task].cfg.get("output_type", "generate_until") != "generate_until":
                refuse_chat(task)
    if None in found:
        return None
    categories = [options.categories.get(task, task) for task in dict.fromkeys(tasks)]
    _check_once(categories)
    return categories


def refuse_chat(task: str) -> NoReturn:
    """Refuse a task that is not of texts which a model writes."""
    message = f"task `{shown(task)}` needs log-likelihoods, of which an engine tells nothing in a chat"
    refuse(message, "leave `chat_completions` out: prompts are made here then, chat templates and all")


def _members(manager: Any, name: str) -> list[str] | None:  # noqa: ANN401
    """Return the tasks below a group or tag at any depth, or the task itself; None if they are not named."""
    entry = manager.task_index.get(name)
    if entry is None:
        return None
    if entry.kind.name == "TAG":
        return sorted(entry.tags)
    if entry.kind.name != "GROUP":
        return [name]
    named = entry.cfg["task"]
    below = [_members(manager, one) if isinstance(one, str) else None for one in named]
    return None if None in below else [task for tasks in below for task in tasks or ()]


def _check_once(categories: Iterable[str]) -> None:
    for category, times in Counter(categories).items():
        if times > 1:
            refuse(f"{times} tasks are the category `{shown(category)}`", "a task each")


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and Path(name).is_file()


def _load(names: Sequence[str], folders: Sequence[str]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _manager(names, folders).load(list(names))["tasks"]
    return found  # of groups, all tasks at any depth


def _manager(names: Sequence[str], folders: Sequence[str]) -> Any:  # noqa: ANN401
    for folder in folders:
        if not Path(folder).is_dir():
            refuse("there is no such directory of tasks", None, folder)
    named = {name for name in names if not _is_file(name)}
    manager = None
    if folders:  # to index the harness's own thousands of tasks takes seconds
        manager = _index(tuple(folders), include_defaults=False)
    if manager is None or not named.issubset(manager.all_tasks):
        manager = _index(tuple(folders), include_defaults=True)
    for name in sorted(named.difference(manager.all_tasks)):
        refuse(f"there is no task `{shown(name)}`", nearest(name, manager.all_tasks, "tasks"))
    return manager


@cache
def _index(folders: tuple[str, ...], *, include_defaults: bool) -> Any:  # noqa: ANN401
    manager_of = lm_eval("tasks").TaskManager
    return manager_of(include_path=list(folders) or None, include_defaults=include_defaults)


def _with_requests(
    name: str,
    category: str,
    task: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    options: LmEvalOptions,
) -> LoadedTask:
    metric, used_filter = choose_metric(
        name, list(task.aggregation()), [one.name for one in task._filters], options.metric
    )
    better = task.higher_is_better().get(metric)
    if not isinstance(better, bool):
        hint = "write `higher_is_better` into the task's `metric_list`"
        refuse(f"task `{shown(name)}` does not say whether more `{shown(metric)}` is better", hint)
    arguments = options.gen_kwargs
    if isinstance(arguments, str):
        arguments = lm_eval("utils").simple_parse_args_string(arguments)
    if task.get_config("output_type") == "generate_until" and arguments:
        task.set_config(key="generation_kwargs", value=dict(arguments), update=True)
    shots = task.get_config("num_fewshot")
    if options.num_fewshot is not None and shots != 0:  # a task that says 0 keeps it
        task.set_config(key="num_fewshot", value=options.num_fewshot)
    elif shots is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=options.seeds[3])
    limit = options.limit
    if limit is not None:
        limit = math.ceil(len(task.eval_docs) * limit) if limit < 1 else int(limit)
    chat = options.apply_chat_template
    task.build_all_requests(
        limit=limit,
        cache_requests=False,
        system_instruction=options.system_instruction,
        apply_chat_template=chat,
        fewshot_as_multiturn=options.fewshot_as_multiturn,
        chat_template=model.apply_chat_template if chat else None,
        tokenizer_name=model.tokenizer_name if chat else "",
    )
    by_document: defaultdict[int, list[Any]] = defaultdict(list)
    for instance in task.instances:
        by_document[instance.doc_id].append(instance)
    requests = tuple(tuple(found) for _, found in sorted(by_document.items()))
    model.check_requests(name, requests)
    n_answers = {len(found) for found in requests} if task.OUTPUT_TYPE == "multiple_choice" else set()
    aggregation = aggregation_of(task.aggregation()[metric], max(n_answers) if len(n_answers) == 1 else None)
    digest = _digest(task, requests)
    return LoadedTask(name, category, task, requests, metric, used_filter, better, aggregation, digest)


def choose_metric(
    task: str, metrics: Sequence[str], filters: Sequence[str], wanted: str | None
) -> tuple[str, str]:
    """Return the metric that is a task's score, and the filter of answers it is computed after.

    Every metric is computed after every filter. The first of those `wanted` is taken that the task has;
    without it a task must have one metric and one filter.
    """
    keys = {f"{metric},{used}": (metric, used) for metric in metrics for used in filters}
    there = listed(keys)
    for name in wanted.split() if wanted else ():
        fitting = [pair for key, pair in keys.items() if name in {key, pair[0]}]
        if len(fitting) > 1:
            message = f"metric `{shown(name)}` of task `{shown(task)}` is computed after several filters"
            refuse(f"{message}: {there}", f"give the full name, for example `{shown(','.join(fitting[0]))}`")
        if fitting:
            return fitting[0]
    if wanted and wanted.strip():
        refuse(f"task `{shown(task)}` has no metric `{shown(wanted)}`", f"it has {there}")
    if len(keys) != 1:
        has = f"several metrics: {there}" if keys else "no metric"
        hint = "choose one as `metric`, or several in order of preference"
        refuse(f"task `{shown(task)}` has {has}", hint)
    return next(iter(keys.values()))


def _digest(task: Any, requests: Sequence[Sequence[Any]]) -> str:  # noqa: ANN401
    digest = hashlib.sha256(content(definition(task, without=_WHERE)))
    for document in requests:
        digest.update(content(document[0].doc))
        for instance in document:
            digest.update(content([instance.request_type, instance.arguments]))
    return digest.hexdigest()
