"""Items per second of one's own tasks: the model in this process, and the same soup behind a serving engine.

    python benches/engine_items.py A B [--engine vllm] [--engine-python PYTHON] [--engine-arguments "..."]
        [--choices 32] [--texts 16] [--tokens 64] [--rounds 3] [--json]

A and B are checkpoints of one architecture. Both ways score the same soups on the same items, in turns, so
that what else the machine does is done to both: items of four choices, by log-likelihoods, and texts of at
most so many tokens. Answers are compared: how many choices and texts are equal stands beside the times.
Becoming the soup is timed on its own; starting is what an engine costs once.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import time
from typing import TYPE_CHECKING, Any

from soce import Recipe, SoupModel, TaskEvaluator
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.served.model import ServedModel
from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.items import Tasks
from soce.evaluate.tasks.scorers.registry import read_scorer

if TYPE_CHECKING:
    from soce.evaluate.evaluation import Evaluation

WORDS = [
    "river",
    "stone",
    "seven",
    "light",
    "garden",
    "paper",
    "north",
    "engine",
    "winter",
    "copper",
    "music",
    "simple",
    "number",
    "behind",
    "table",
]


def made_tasks(choices: int, texts: int, tokens: int) -> Tasks:
    """Return items whose prompts have some forty words."""
    draw = random.Random(0)

    def words(count: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(count))

    scorer = read_scorer("exact")
    items = [
        Item("choice", str(i), "multiple_choice", f"{words(40)}: ", options[0], choices=tuple(options))
        for i in range(choices)
        for options in [[words(1 + k) + f" {k}" for k in range(4)]]
    ]
    items += [
        Item("text", str(i), "generation", words(40), "x", scorer=scorer, max_new_tokens=tokens)
        for i in range(texts)
    ]
    return Tasks(tuple(items))


def timed(evaluator: TaskEvaluator, recipe: Recipe) -> tuple[dict[str, float], dict[str, Evaluation]]:
    """Return seconds that the soup and each category took, and what was answered."""
    start = time.perf_counter()
    evaluator.soup.set(recipe)
    seconds, found = {"swap": time.perf_counter() - start}, {}
    for category, ids in evaluator.item_ids().items():
        start = time.perf_counter()
        found[category] = evaluator.score_current(items={category: ids})
        seconds[category] = time.perf_counter() - start
    return seconds, found


def equal(one: Evaluation, other: Evaluation) -> int:
    """Return how many answers are the same."""
    count = 0
    for category, answers in one.answers.items():
        for item, answer in answers.items():
            same = other.answers[category][item]
            count += (answer.text, answer.choice) == (same.text, same.choice)
    return count


def main() -> None:
    """Time both, and print items per second."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ingredients", nargs=2)
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm")
    parser.add_argument("--engine-python")
    parser.add_argument("--engine-arguments", default="")
    parser.add_argument("--choices", type=int, default=32)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    a, b = given.ingredients
    mixes = [Recipe.of({a: 1 + i, b: given.rounds - i}) for i in range(given.rounds)]
    tasks = made_tasks(given.choices, given.texts, given.tokens)
    options = EngineOptions(python=given.engine_python, arguments=tuple(shlex.split(given.engine_arguments)))
    start = time.perf_counter()
    here = TaskEvaluator(SoupModel(given.ingredients), tasks)
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    there = TaskEvaluator(ServedModel.start(given.ingredients, given.engine, options), tasks)
    started = time.perf_counter() - start
    seconds: dict[str, dict[str, list[float]]] = {"in process": {}, given.engine: {}}
    same = {"choice": 0, "text": 0}
    try:
        for evaluator in (here, there):  # what is compiled or allocated once is not measured
            timed(evaluator, mixes[-1])
        for mix in mixes:
            found = []
            for name, evaluator in (("in process", here), (given.engine, there)):
                taken, answers = timed(evaluator, mix)
                found.append(answers)
                for what, value in taken.items():
                    seconds[name].setdefault(what, []).append(value)
            for category in same:
                same[category] += equal(found[0][category], found[1][category])
        identity = {"in process": {**here.soup.identity}, given.engine: {**there.soup.identity}}
    finally:
        here.close()
        there.close()
    counts = {"choice": given.choices, "text": given.texts}
    result: dict[str, Any] = {
        "items": counts,
        "new_tokens": given.tokens,
        "rounds": given.rounds,
        "ready_seconds": {"in process": round(loaded, 1), given.engine: round(started, 1)},
        "swap_seconds": {name: round(statistics.median(held["swap"]), 3) for name, held in seconds.items()},
        "items_per_second": {
            name: {what: round(count / statistics.median(held[what]), 3) for what, count in counts.items()}
            for name, held in seconds.items()
        },
        "seconds": {
            name: {what: [round(value, 3) for value in values] for what, values in held.items()}
            for name, held in seconds.items()
        },
        "equal_answers": {what: f"{same[what]} of {count * given.rounds}" for what, count in counts.items()},
        "identity": identity,
    }
    if given.json:
        print(json.dumps(result, indent=1))
        return
    rates, swaps = result["items_per_second"], result["swap_seconds"]
    for name, held in rates.items():
        told = ", ".join(f"{rate:.2f} {what} items/s" for what, rate in held.items())
        print(f"{name:<14}{told}; a soup in {swaps[name]} s")
    print(f"equal answers: {result['equal_answers']}")


if __name__ == "__main__":
    main()
