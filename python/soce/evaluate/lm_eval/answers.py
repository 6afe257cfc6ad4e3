"""What a soup said to the documents of a task, from what the harness logs of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from soce.evaluate.answers import Answer, prompt_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.lm_eval.endings import Endings
    from soce.evaluate.lm_eval.tasks import LoadedTask


def answers_of(
    task: LoadedTask, documents: Sequence[int], samples: Sequence[Mapping[str, Any]], endings: Endings
) -> dict[str, Answer]:
    """Return document → answer. Texts are as they were before filters, the first of several."""
    by_document = {sample["doc_id"]: sample for sample in samples if sample["filter"] == task.filter}
    return {str(document): _answer(task, by_document[document], endings) for document in documents}


def _answer(task: LoadedTask, sample: Mapping[str, Any], endings: Endings) -> Answer:
    arguments, replies = sample["arguments"], sample["resps"]
    texts: list[tuple[str, Any]] = []
    logs: list[float] = []
    for asked, said in zip(arguments, replies, strict=True):
        if isinstance(said[0], str):
            ending, *_ = [endings.take(asked) for _ in said]
            texts.append((said[0], ending))
        else:  # with whether it is the likeliest, apart from whole texts
            logs.append(float(said[0][0] if isinstance(said[0], tuple | list) else said[0]))
    choice = None
    if task.task.OUTPUT_TYPE == "multiple_choice":
        choices = task.task.doc_to_choice(sample["doc"])
        logs, alone = logs[: len(choices)], logs[len(choices) :]
        choice = _largest(_weighed(task.metric, choices, logs, alone))
        arguments = arguments[: len(choices)]
    text, ending = texts[0] if texts else (None, None)
    prompts = dict.fromkeys(str(asked[0]) for asked in arguments)
    return Answer(prompt_digest("\n".join(prompts)), text, choice, tuple(logs), ending)


def _weighed(
    metric: str, choices: Sequence[str], logs: Sequence[float], alone: Sequence[float]
) -> list[float]:
    """Return what the harness compares choices by."""
    if metric == "acc_mutual_info":
        return [log - other for log, other in zip(logs, alone, strict=True)]
    if metric not in {"acc_norm", "acc_bytes"}:
        return [*logs]
    lengths = [len(choice.encode() if metric == "acc_bytes" else choice) for choice in choices]
    return [log / length if length else -math.inf for log, length in zip(logs, lengths, strict=True)]


def _largest(values: Sequence[float]) -> int | None:
    """Return the place of the largest, the first of equal ones; None if there is a NaN."""
    return None if any(map(math.isnan, values)) else values.index(max(values))
