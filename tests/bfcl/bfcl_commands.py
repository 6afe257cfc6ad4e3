"""Run in BFCL's environment: results made of what is right, BFCL's own command on them, and our checks.

usage: python bfcl_commands.py facts|results|board|ours
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from soce.evaluate.bfcl.program import soup
from soce.evaluate.bfcl.program.checks import checks_of

_SPOILT = 3
"""Every so many answers are those of another item."""


def facts() -> dict[str, Any]:
    """Return BFCL's groups, and how many items each category has."""
    from bfcl_eval.constants.category_mapping import ALL_CATEGORIES, TEST_COLLECTION_MAPPING
    from bfcl_eval.utils import load_dataset_entry

    counts = {name: len(load_dataset_entry(name, include_prereq=False)) for name in ALL_CATEGORIES}
    return {"groups": TEST_COLLECTION_MAPPING, "items": counts}


def place_of(category: str) -> Path:
    """Return the file of results of a category."""
    from bfcl_eval.utils import get_directory_structure_by_category, get_file_name_by_category

    folder = Path("result", soup.FOLDER, get_directory_structure_by_category(category))
    return folder / get_file_name_by_category(category, is_result_file=True)


def categories() -> list[str]:
    """Return the categories that have scores."""
    from bfcl_eval.constants.category_mapping import ALL_SCORING_CATEGORIES

    return list(ALL_SCORING_CATEGORIES)


def results() -> None:
    """Write results of all categories, some of them wrong."""
    from bfcl_eval.utils import is_relevance_or_irrelevance, load_dataset_entry, load_ground_truth_entry

    for category in categories():
        entries = load_dataset_entry(category, include_prereq=False)
        truths: list[Any] = [None] * len(entries)
        if not is_relevance_or_irrelevance(category):
            truths = [found["ground_truth"] for found in load_ground_truth_entry(category)]
        lines = []
        for number, entry in enumerate(entries):
            other = number if number % _SPOILT else (number + 1) % len(entries)
            answer = _answer(category, truths[other], is_spoilt=other != number)
            counts = {"input_token_count": 1, "output_token_count": 1, "latency": 1 + number % 2}
            lines.append(json.dumps({"id": entry["id"], "result": answer, **counts}) + "\n")
        place = place_of(category)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(lines), "utf-8")


def _answer(category: str, truth: Any, *, is_spoilt: bool) -> object:
    if truth is None:
        return "[f(x=1)]" if (category == "live_relevance") != is_spoilt else "I cannot."
    if category.startswith("multi_turn"):
        return [["[" + ", ".join(turn) + "]"] if turn else [] for turn in truth]
    if category.startswith(("memory", "web")):
        return [[f"{{'answer': {truth[0]!r}, 'context': 'x'}}"]]
    return "[" + ", ".join(map(_call, truth)) + "]"


def _call(truth: dict[str, dict[str, list[Any]]]) -> str:
    ((name, arguments),) = truth.items()
    given = {key: _plain(values[0]) for key, values in arguments.items() if values and values[0] != ""}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(inner[0])
            for key, inner in value.items()
            if isinstance(inner, list) and inner and inner[0] != ""
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def board() -> None:
    """Let BFCL's own command score the results and write its tables."""
    from bfcl_eval.eval_checker.eval_runner import main

    main([soup.NAME], ["all_scoring"], "result", "score")


def ours() -> dict[str, dict[str, int]]:
    """Return the outcome of each item by our checks."""
    found: dict[str, dict[str, int]] = {}
    for category in categories():
        lines = [json.loads(line) for line in place_of(category).read_text("utf-8").splitlines()]
        told = {line["id"]: line["result"] for line in lines}
        found[category] = {item: int(is_right()) for item, is_right in checks_of(category, told)}
    return found


if __name__ == "__main__":
    soup.register(None)
    answer = {"facts": facts, "results": results, "board": board, "ours": ours}[sys.argv[1]]()
    Path(f"{sys.argv[1]}.json").write_text(json.dumps(answer), "utf-8")
