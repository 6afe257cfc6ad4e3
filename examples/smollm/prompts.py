"""Run by BFCL's own Python: items of its wheel, and ours, with the messages that BFCL would send.

    BFCL_PYTHON prompts.py CATEGORY,CATEGORY < ours.jsonl > items.jsonl

Its own functions make the prompts, so the experts learn exactly what it asks.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from typing import Any

from bfcl_eval.model_handler.utils import system_prompt_pre_processing_chat_model
from bfcl_eval.utils import (
    add_language_specific_hint_to_function_doc,
    is_relevance_or_irrelevance,
    load_dataset_entry,
    load_ground_truth_entry,
)


def main() -> None:
    """Write a line for each item: what it asks, the messages and, of the wheel, the calls that are right."""
    for line in sys.stdin:
        entry = json.loads(line)
        (entry,) = add_language_specific_hint_to_function_doc([entry])
        show(entry, None)
    for category in sys.argv[1].split(","):
        truths = (
            {}
            if is_relevance_or_irrelevance(category)
            else {truth["id"]: truth["ground_truth"] for truth in load_ground_truth_entry(category)}
        )
        for entry in load_dataset_entry(category):
            show(entry, truths.get(entry["id"], []))


def show(entry: dict[str, Any], calls: list[Any] | None) -> None:
    """Write an item that has one turn."""
    if len(entry["question"]) > 1:
        return
    messages = system_prompt_pre_processing_chat_model(
        deepcopy(entry["question"][0]), entry["function"], entry["id"]
    )
    item = {
        "id": entry["id"],
        "question": entry["question"][0][-1]["content"],
        "functions": [function["name"] for function in entry["function"]],
        "messages": messages,
        "calls": calls,
    }
    print(json.dumps(item))


if __name__ == "__main__":
    main()
