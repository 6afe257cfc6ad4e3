"""Under what outcomes of documents are filed: all that they depend on besides the recipe."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from soce.evaluate.lm_eval.definition import content, definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.lm_eval.tasks import LoadedTask

_ELSEWHERE: Final = frozenset({
    "task", "task_alias", "tag", "metadata", "custom_dataset", "dataset_path", "dataset_name",
    "dataset_kwargs", "training_split", "validation_split", "test_split", "fewshot_split", "process_docs",
    "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot",
    "generation_kwargs", "gen_prefix", "use_prompt", "should_decontaminate", "doc_to_decontamination_query",
    "unsafe_code",
})  # fmt: skip
"""Of a task's config: its names, and what shaped its documents and requests, which are in keys themselves."""


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
