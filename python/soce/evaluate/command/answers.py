"""What a soup said to items, from the files in which harnesses keep that beside the scores."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.answers import Answer, prompt_digest
from soce.exceptions import ScoreTableError
from soce.scores.formats import inspect_samples, lm_eval_samples
from soce.scores.formats.results import files_below, object_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from soce.evaluate.answers import Ending

_ENDINGS: Final[Mapping[object, Ending]] = {
    "stop": "stop",
    "tool_calls": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "length": "length",
}
"""What Inspect calls them, also before it said `max_tokens`."""


def read_answers(
    source: Path, kind: str, metrics: Mapping[str, str], items: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Answer]]:
    """Return category → item id → answer, of items with outcomes, as far as files of a format hold them.

    `metrics` is category → metric that was read. Categories are the harness's tasks.
    """
    read = _READERS.get(kind)
    answers: dict[str, dict[str, Answer]] = {}
    if read is None or not items:
        return answers
    for path in files_below(source):
        with suppress(ScoreTableError):  # a file of something else, or without samples
            for category, item, answer in read(path, metrics):
                if item in items.get(category, ()):
                    answers.setdefault(category, {}).setdefault(item, answer)
    return answers


def _of_lm_eval(path: Path, metrics: Mapping[str, str]) -> Iterator[tuple[str, str, Answer]]:
    if not path.name.startswith("results_") or path.suffix != ".json":
        return
    for task, metric in metrics.items():
        if not lm_eval_samples.samples_path(path, task).is_file():
            continue
        full = metric if "," in metric else f"{metric},none"
        for document, held in lm_eval_samples.samples_of(path, task, full):
            answer = _logged_answer(held, metric)
            if answer is not None:
                yield task, document, answer


def _logged_answer(held: Mapping[str, Any], metric: str) -> Answer | None:
    """Return what the harness logged, which makes texts of all numbers; None if it is not there."""
    requests, replies = list(object_in(held, "arguments").values()), held.get("resps")
    if not requests or not isinstance(replies, list) or len(replies) != len(requests):
        return None
    texts: list[str] = []
    logs: list[float] = []
    try:
        for asked, (said, *_) in zip(requests, replies, strict=True):
            if isinstance(asked.get("arg_1"), dict):  # arguments of generation
                texts.append(str(said))
            else:  # a log-likelihood with whether it is the likeliest, or alone
                logs.append(float(said[0] if isinstance(said, list) else said))
        prompts = dict.fromkeys(str(asked["arg_0"]) for asked in requests)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    # By what other metrics divide or lessen them is not logged.
    is_compared = metric.partition(",")[0] == "acc" and len(logs) > 1 and not any(log != log for log in logs)
    prompt = "\n".join(filter(None, prompts))  # beginnings alone are asked for some metrics
    return Answer(
        prompt_digest(prompt),
        texts[0] if texts else None,
        logs.index(max(logs)) if is_compared else None,
        tuple(logs),
    )


def _of_inspect(path: Path, metrics: Mapping[str, str]) -> Iterator[tuple[str, str, Answer]]:
    if path.suffix not in {".eval", ".json"}:
        return
    task = inspect_samples.task_of(path)
    if task is None or task not in metrics:
        return
    for item, held in inspect_samples.samples_of(path):
        answer = _generated_answer(held)
        if answer is not None:
            yield task, item, answer


def _generated_answer(held: Mapping[str, Any]) -> Answer | None:
    """Return the output of a sample, the first of several epochs' that is met."""
    output = object_in(held, "output")
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return None
    text = output.get("completion")
    if not isinstance(text, str):
        text = _text_of(object_in(first, "message").get("content"))
    return Answer(prompt_digest(_asked(held)), text, ending=_ENDINGS.get(first.get("stop_reason")))


def _asked(held: Mapping[str, Any]) -> str:
    """Return the text of all messages before the last, or of the input where no messages are kept."""
    messages = held.get("messages")
    if isinstance(messages, list) and len(messages) > 1:
        return "\n".join(_text_of(one.get("content")) for one in messages[:-1] if isinstance(one, dict))
    return _text_of(held.get("input"))


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


_READERS: Final[Mapping[str, Callable[[Path, Mapping[str, str]], Iterator[tuple[str, str, Answer]]]]] = {
    "lm-eval": _of_lm_eval,
    "inspect": _of_inspect,
}
"""By the names of formats."""
