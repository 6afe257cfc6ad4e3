"""Under what outcomes of documents are filed: all that they depend on besides the recipe."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from soce.evaluate.lm_eval.tasks import LoadedTask

_ELSEWHERE: Final = frozenset({
    "task", "task_alias", "tag", "metadata", "custom_dataset", "dataset_path", "dataset_name",
    "dataset_kwargs", "training_split", "validation_split", "test_split", "fewshot_split", "process_docs",
    "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot",
    "generation_kwargs", "gen_prefix", "use_prompt", "should_decontaminate", "doc_to_decontamination_query",
    "unsafe_code",
})  # fmt: skip
"""Of a task's config: its names, and what shaped its documents and requests, which are in keys themselves."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def item_keys(tasks: Sequence[LoadedTask], engine: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return category → document → digest of document, requests, how answers are scored, version and engine.

    Few-shot examples, chat template, system instruction and arguments of generation are in the requests. The
    names of task and category, the document's number, other documents and other tasks are in no key.
    """
    return {task.category: _keys(task, engine) for task in tasks if task.aggregation is not None}


def _keys(task: LoadedTask, engine: Mapping[str, object]) -> dict[str, str]:
    assert task.aggregation is not None
    corpus = task.aggregation.corpus
    scored = {
        "definition": definition(task.task, without=_ELSEWHERE),
        "metric": task.key,
        "is_geometric": task.aggregation.is_geometric,
        "corpus": None if corpus is None else corpus.identity,
        "engine": engine,
    }
    common = hashlib.sha256(content(scored))
    keys = {}
    for number, requests in enumerate(task.requests):
        digest = common.copy()
        digest.update(content(requests[0].doc))
        for one in requests:
            digest.update(content([one.request_type, one.arguments, one.repeats]))
        keys[str(number)] = digest.hexdigest()
    return keys


def definition(task: Any, *, without: Collection[str]) -> str:  # noqa: ANN401
    """Return what a task is, in the same words in every process: config, version and a class of its own."""
    config = {name: held for name, held in task.dump_config().items() if name not in without}
    is_own = type(task).__module__.partition(".")[0] != "lm_eval"  # the harness has a version
    held = {"config": config, "version": str(task.VERSION), "class": type(task) if is_own else None}
    return _ADDRESS.sub("", content(held).decode())  # of functions that the harness itself made texts of


def content(value: object) -> bytes:
    """Return a value as bytes that are the same in every process: functions are known by their source."""
    return json.dumps(value, sort_keys=True, default=_text).encode() + b"\0"


def _text(value: Any) -> str:  # noqa: ANN401
    if callable(value):
        try:
            return inspect.getsource(value)
        except (TypeError, OSError):  # a partial, or written in C
            pass
    return _ADDRESS.sub("", str(value))
