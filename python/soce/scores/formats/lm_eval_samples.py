"""Items of lm-evaluation-harness one by one: ``samples_<task>_<time>.jsonl``, which `--log_samples` writes.

A line holds one document after one filter of answers; documents are known by their number, as in
`soce.evaluate.lm_eval`.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

from soce.exceptions import shown
from soce.scores.formats.results import time_in_name
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def outcomes_of(results: Path, task: str, metric: str) -> dict[str, float]:
    """Return document → value of a metric (``acc,none``), from the samples beside a file of results."""
    name, refusals = metric.partition(",")[0], Refusals(samples_path(results, task))
    outcomes: dict[str, float] = {}
    for document, held in samples_of(results, task, metric):
        value = held.get(name)
        if not isinstance(value, int | float) or not isfinite(value):
            refusals.refuse(f"`{shown(name)}` of single documents is no number")
        if document in outcomes:
            refusals.refuse(f"document {document} is there twice")
        outcomes[document] = float(value)
    return outcomes


def samples_path(results: Path, task: str) -> Path:
    """Return where the samples of a task are, beside a file of results."""
    return results.with_name(f"samples_{task}_{time_in_name(results)}.jsonl")


def samples_of(results: Path, task: str, metric: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each document and all that is said of it after the filter of a metric."""
    used_filter = metric.partition(",")[2]
    path = samples_path(results, task)
    refusals = Refusals(path)
    if not path.is_file():
        message = "there are no samples of the task beside the results"
        refusals.refuse(message, "the harness writes them with `--log_samples`")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                held = json.loads(line)
            except (ValueError, RecursionError):
                refusals.refuse(f"line {number} of the samples is not JSON")
            if not isinstance(held, dict) or type(document := held.get("doc_id")) is not int:
                refusals.refuse(f"line {number} of the samples has no `doc_id`")
            if held.get("filter") == used_filter:
                yield str(document), held
