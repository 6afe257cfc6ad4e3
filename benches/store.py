"""Time the store of scores where it holds a million outcomes: opening, looking up, adding, claiming.

    python benches/store.py [--outcomes 1000000] [--items 1000] [--rounds 50] [--folder DIR] [--json FILE]

The store is filled through its own interface, an evaluation of all items at a time. Every
look-up is of a mix that was not looked up before, once by a store that is open and once by one that is opened
for it; the file is in the page cache. Adding and claiming end on the disk, which decides how long they take.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from soce.evaluate.answers import Answer
from soce.evaluate.evaluation import Evaluation
from soce.recipes.model import Recipe
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile

SEED = 0
CATEGORIES = 10
INGREDIENTS = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcd"}
WORDS = ("so", "the", "answer", "is", "number", "which", "therefore", "equals", "sum", "of")


class Tasks:
    """Items with keys; outcomes and answers are drawn by the recipe."""

    def __init__(self, n_items: int) -> None:
        names = [f"category-{place}" for place in range(CATEGORIES)]
        each = n_items // CATEGORIES
        self.ids = {name: tuple(f"{name}/{place:05}" for place in range(each)) for name in names}
        self.identity = {"evaluator": "benchmark", "items": n_items}

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        return self.ids

    def item_keys(self) -> dict[str, dict[str, str]]:
        return {
            name: {one: hashlib.sha256(one.encode()).hexdigest() for one in ids}
            for name, ids in self.ids.items()
        }

    def evaluation(self, seed: int, *, says: bool = False) -> Evaluation:
        luck = random.Random(seed)
        answers = {
            name: {
                one: Answer("0" * 16, text=" ".join(luck.choices(WORDS, k=50)), ending="stop") for one in ids
            }
            for name, ids in self.ids.items()
        }
        outcomes = {name: {one: float(luck.random() < 0.5) for one in ids} for name, ids in self.ids.items()}
        return Evaluation.of_items(outcomes, answers=answers if says else None)


def recipe(number: int) -> Recipe:
    return Recipe.of({"a": number + 1, "b": 100_003, "c": 1, "d": 2})


def timed(call: Callable[[int], object], numbers: list[int]) -> dict[str, float]:
    """Return milliseconds of a call for each of these numbers: median and most."""
    found = []
    for number in numbers:
        began = time.perf_counter()
        call(number)
        found.append((time.perf_counter() - began) * 1e3)
    return {"median_ms": round(statistics.median(found), 3), "most_ms": round(max(found), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    tasks, n_mixes = Tasks(chosen.items), chosen.outcomes // chosen.items
    some = {name: ids[:10] for name, ids in tasks.ids.items()}
    luck = random.Random(SEED)
    numbers = luck.sample(range(n_mixes), 5 * chosen.rounds)
    parts = [numbers[place::5] for place in range(5)]
    new = list(range(n_mixes, n_mixes + chosen.rounds))

    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:

        def opened() -> EvaluationStore:
            store = EvaluationStore(folder, ingredients=INGREDIENTS, evaluator=tasks.identity)
            store.register(tasks)  # type: ignore[arg-type]
            return store

        store = opened()
        began = time.perf_counter()
        for number in range(n_mixes):
            store.add(recipe(number), tasks.evaluation(number), is_whole=False)
        filling = time.perf_counter() - began
        size = StoreFile(folder).size()
        store = opened()

        def claim(number: int) -> None:
            with store.claim(recipe(number)):
                pass

        evaluations = {number: tasks.evaluation(number, says=True) for number in new}
        found = {
            "open and register": timed(lambda _: opened(), parts[0]),
            "open, find all items": timed(lambda one: opened().find(recipe(one), tasks.ids), parts[0]),
            "find all items": timed(lambda one: store.find(recipe(one), tasks.ids), parts[1]),
            "find them again": timed(lambda one: store.find(recipe(one), tasks.ids), parts[1]),
            f"find {sum(map(len, some.values()))} items": timed(
                lambda one: store.find(recipe(one), some), parts[2]
            ),
            "find what is not there": timed(lambda one: store.find(recipe(one), tasks.ids), new),
            "count what is missing": timed(lambda one: store.missing(recipe(one), tasks.ids), parts[3]),
            "claim and release": timed(claim, parts[4]),
            "add all items with answers": timed(
                lambda one: store.add(recipe(one), evaluations[one], is_whole=False), new
            ),
            "find all items with answers": timed(lambda one: store.find(recipe(one), tasks.ids), new),
            "count everything": timed(lambda _: store.size(), new[:5]),
        }
        report = {
            "outcomes": size.n_outcomes,
            "items": chosen.items,
            "rounds": chosen.rounds,
            "bytes": size.n_bytes,
            "bytes_per_outcome": round(size.n_bytes / size.n_outcomes, 1),
            "bytes_per_answer": round(
                (StoreFile(folder).size().n_bytes - size.n_bytes) / (chosen.rounds * chosen.items), 1
            ),
            "filling_seconds": round(filling, 1),
            "timings": found,
            "machine": {
                "cpu": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                "folder": "a disk" if chosen.folder is None else str(chosen.folder),
            },
        }
    text = json.dumps(report, indent=1)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
