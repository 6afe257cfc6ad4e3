"""Which items train and which are evaluated: all by rule, so that anybody gets the same.

Of BFCL's `simple_python`, `parallel` and `irrelevance` those are evaluated whose prompt has at most LONGEST
characters, the first 120 in the order of digests of their ids. The rest of BFCL may train, with its `live_`
categories, apart from items that ask what an evaluated one asks or have a function of one; and no function in
functions.yaml has the name of such a function. Word problems go where their numbers belong (words.py). Which
evaluated items choose a soup and which report on it is for soce to split.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from calls import REFUSAL, Question, ask_in_vain, ask_one, ask_several, read_functions
from words import Problem, problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

N_EVALUATED = 120
"""Items of each category."""
LONGEST = {"simple_python": 2100, "parallel": 2400, "irrelevance": 2100}
"""The categories of BFCL that are evaluated, and their longest prompts, in characters."""
LONGEST_IN_TRAINING = 2100
TRAINING = {
    "simple": ("simple_python", "live_simple"),
    "several": ("parallel", "parallel_multiple", "live_parallel", "live_parallel_multiple"),
    "irrelevance": ("irrelevance", "live_irrelevance"),
}
"""Where a family's training items may come from, apart from our own."""
OURS = {"simple": ask_one, "several": ask_several, "irrelevance": ask_in_vain}
FAMILIES = (*TRAINING, "words")
TASKS, BFCL_ITEMS = "words-evaluated.jsonl", "bfcl-items.json"
N_TRAINING, N_FROM_WHEEL = 600, 300
"""Of each family, and at most from BFCL's wheel."""

Item: TypeAlias = dict[str, Any]


def make_data(folder: Path, bfcl_python: Path, seed: int) -> None:
    """Write what each family trains on, the ids of BFCL's evaluated items, and word problems as tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel, ours = _with_prompts(bfcl_python, seed)
    evaluated = evaluated_items(wheel)
    flat = [item for items in evaluated.values() for item in items]
    for family, own in ours.items():
        refuse_shared_functions(own, flat)
        ready = [*training_items(wheel, flat, TRAINING[family])[:N_FROM_WHEEL], *own]
        _write(folder / f"{family}.jsonl", map(_example, ready[:N_TRAINING]))
    _write(folder / "words.jsonl", map(_word_example, islice(problems(seed, evaluated=False), N_TRAINING)))
    _write(folder / TASKS, word_tasks(islice(problems(seed, evaluated=True), N_EVALUATED)))
    ids = {category: [item["id"] for item in items] for category, items in evaluated.items()}
    (folder / BFCL_ITEMS).write_text(json.dumps(ids, indent=1) + "\n")


def evaluated_items(wheel: Iterable[Item]) -> dict[str, list[Item]]:
    """Return the items of each category of BFCL that are evaluated."""
    return {
        category: _by_digest(
            item for item in wheel if category_of(item) == category and length_of(item) <= longest
        )[:N_EVALUATED]
        for category, longest in LONGEST.items()
    }


def training_items(
    wheel: Iterable[Item], evaluated: Collection[Item], categories: Sequence[str]
) -> list[Item]:
    """Return the items of categories that share neither question nor function with an evaluated one."""
    questions = {item["question"] for item in evaluated}
    functions = {name for item in evaluated for name in item["functions"]}
    return _by_digest(
        item
        for item in wheel
        if category_of(item) in categories
        and length_of(item) <= LONGEST_IN_TRAINING
        and item["question"] not in questions
        and not functions.intersection(item["functions"])
    )


def refuse_shared_functions(ours: Iterable[Item], evaluated: Iterable[Item]) -> None:
    """Raise ValueError if a function of ours has the name of one that is evaluated."""
    functions = {name for item in evaluated for name in item["functions"]}
    for item in ours:
        if shared := functions.intersection(item["functions"]):
            raise ValueError(f"{', '.join(shared)} of functions.yaml is evaluated by BFCL: rename it")


def category_of(item: Item) -> str:
    """Return the category of an item of BFCL, such as ``live_simple`` of ``live_simple_3-1-0``.

    >>> category_of({"id": "live_simple_3-1-0"})
    'live_simple'
    """
    return str(item["id"].rsplit("_", 1)[0])


def length_of(item: Item) -> int:
    """Return the characters of an item's prompt."""
    return sum(len(message["content"]) for message in item["messages"])


def _by_digest(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: hashlib.sha256(item["id"].encode()).digest())


def answer_of(calls: Sequence[dict[str, dict[str, list[object]]]]) -> str:
    """Return the answer that BFCL's ground truth stands for: of all that is right the first and shortest.

    >>> answer_of([{"f": {"a": [1, "one"], "unit": ["", "cm"]}}])
    '[f(a=1)]'
    """
    if not calls:
        return REFUSAL
    return Question("", [], [(name, _taken(given)) for call in calls for name, given in call.items()]).answer


def _taken(given: dict[str, list[object]]) -> dict[str, object]:
    return {name: _first(values[0]) for name, values in given.items() if values and "" not in values}


def _first(value: object) -> object:
    """Return a value of the ground truth; the values inside a dictionary are lists of what is right again."""
    if isinstance(value, dict):
        return _taken(value)
    return [_first(entry) for entry in value] if isinstance(value, list) else value


def word_tasks(drawn: Iterable[Problem]) -> Iterable[Item]:
    """Return word problems as items of soce's own tasks."""
    for number, problem in enumerate(drawn):
        yield {
            "category": "words",
            "id": f"words-{number}",
            "messages": [{"role": "user", "content": problem.text}],
            "scorer": "number",
            "answer": problem.answer,
            "max_new_tokens": 64,
        }


def _word_example(problem: Problem) -> Item:
    return {"messages": [{"role": "user", "content": problem.text}], "answer": problem.solution}


def _example(item: Item) -> Item:
    answer = item["answer"] if "answer" in item else answer_of(item["calls"])
    return {"messages": item["messages"], "answer": answer}


def _with_prompts(bfcl_python: Path, seed: int) -> tuple[list[Item], dict[str, list[Item]]]:
    """Return BFCL's items, and ours by family, with the messages that BFCL would send."""
    functions = read_functions()
    asked = {
        f"simple_python_{family}-{number}": ask(functions, seed, number)
        for family, ask in OURS.items()
        for number in range(N_TRAINING)
    }
    entries = (
        {
            "id": name,
            "question": [[{"role": "user", "content": question.text}]],
            "function": question.functions,
        }
        for name, question in asked.items()
    )
    categories = {category for family in TRAINING.values() for category in family}
    done = subprocess.run(
        [str(bfcl_python), str(Path(__file__).with_name("prompts.py")), ",".join(sorted(categories))],
        input="".join(json.dumps(entry) + "\n" for entry in entries),
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wheel: list[Item] = []
    ours: dict[str, list[Item]] = {family: [] for family in OURS}
    for item in map(json.loads, done.stdout.splitlines()):
        if item["id"] in asked:
            family = item["id"].removeprefix("simple_python_").rsplit("-", 1)[0]
            ours[family].append({**item, "answer": asked[item["id"]].answer})
        else:
            wheel.append(item)
    return wheel, ours


def _write(path: Path, items: Iterable[Item]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
