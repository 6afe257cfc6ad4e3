"""What the tiny models learn: ten categories in four clusters, endless items, splits that cannot overlap.

A category is a draw from a random generator; the split an item belongs to follows from its prompt alone, so
no prompt trained on is ever asked.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.demo import numerals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLUSTERS = {
    "lang": ("num_en", "num_de", "num_es", "num_fr"),
    "math": ("max", "next"),
    "string": ("rev", "sort"),
    "tool": ("call", "irrel"),
}
CATEGORIES = tuple(category for cluster in CLUSTERS.values() for category in cluster)

# The smallest category has 196 prompts in the test split.
N_ITEMS = {"dev": 100, "test": 190}
_RESIDUES = {0: "dev", 1: "test"}  # of five: the other three are trained on

ALPHABET = " (),-;=abcdefghijklmnopqrstuvwxyz0123456789ßéóöü"

_LETTERS = "abcdefghij"
_TOOLS = ("area", "book", "call", "find", "move", "open", "play", "read", "send", "stop")
_ARGUMENTS = ("city", "date", "file", "hour", "name", "page", "room", "song", "team", "user")


@dataclass(frozen=True, slots=True)
class Question:
    """One question with the only answer that counts."""

    category: str
    prompt: str
    answer: str


def split_of(prompt: str) -> str:
    """Return ``dev``, ``test`` or ``train``.

    Examples
    --------
    >>> [split_of(f"next {number}=") for number in range(5)]
    ['dev', 'dev', 'train', 'train', 'test']
    """
    return _RESIDUES.get(zlib.crc32(prompt.encode()) % 5, "train")


def draw(category: str, split: str, rng: random.Random) -> Question:
    """Return a random item of one category and split.

    Examples
    --------
    >>> draw("sort", "train", random.Random(0))
    Question(category='sort', prompt='sort gaei=', answer='aegi')
    """
    drawn = _DRAWS[category]
    while True:
        prompt, answer = drawn(rng)
        if split_of(prompt) == split:
            return Question(category, prompt, answer)


def draw_any(categories: tuple[str, ...], split: str, rng: random.Random) -> Iterator[Question]:
    """Yield random items of random categories, for ever."""
    while True:
        yield draw(rng.choice(categories), split, rng)


def benchmark(split: str) -> list[Question]:
    """Return the items of ``dev`` (to choose on) or ``test`` (to report), the same for every seed.

    Equally many different prompts in each category, 100 and 190, in the order of `CATEGORIES`.
    """
    items: list[Question] = []
    for category in CATEGORIES:
        rng = random.Random(f"{split} {category}")
        found: dict[str, Question] = {}
        while len(found) < N_ITEMS[split]:
            item = draw(category, split, rng)
            found.setdefault(item.prompt, item)
        items.extend(found.values())
    return items


def write_tasks(split: str, path: Path) -> None:
    """Write the benchmark ``dev`` or ``test`` as a file of tasks, which every evaluator of soce reads.

    They are ``teacher_forced``: right if every token of the answer is the likeliest one after the right ones
    before it. The answer ends with ``</s>``, for knowing when to stop is part of it.
    """
    lines = []
    numbers: Counter[str] = Counter()
    for item in benchmark(split):
        numbers[item.category] += 1
        task = {
            "kind": "teacher_forced",
            "category": item.category,
            "id": f"{split}-{numbers[item.category]:03}",
            "prompt": item.prompt,
            "answer": f"{item.answer}</s>",
        }
        lines.append(json.dumps(task, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _number_words(language: str, words: Callable[[int], str]) -> Callable[[random.Random], tuple[str, str]]:
    def drawn(rng: random.Random) -> tuple[str, str]:
        number = rng.randrange(1000)
        return f"{language} {number}=", words(number)

    return drawn


def _maximum(rng: random.Random) -> tuple[str, str]:
    first, second = rng.randrange(100), rng.randrange(100)
    return f"max {first} {second}=", str(max(first, second))


def _next(rng: random.Random) -> tuple[str, str]:
    number = rng.randrange(1000)
    return f"next {number}=", str(number + 1)


def _letters(rng: random.Random) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(rng.randint(3, 4)))


def _reverse(rng: random.Random) -> tuple[str, str]:
    letters = _letters(rng)
    return f"rev {letters}=", letters[::-1]


def _sort(rng: random.Random) -> tuple[str, str]:
    letters = _letters(rng)
    return f"sort {letters}=", "".join(sorted(letters))


def _call(rng: random.Random) -> tuple[str, str]:
    tool, argument, value = rng.choice(_TOOLS), rng.choice(_ARGUMENTS), rng.randrange(100)
    return f"do {tool} with {argument} {value}=", f"{tool}({argument}={value})"


def _irrelevant(rng: random.Random) -> tuple[str, str]:
    # With a fair coin: if most answers were `none`, a model that says nothing else would score well.
    offered = rng.choice(_TOOLS)
    wanted = offered if rng.random() < 0.5 else rng.choice([tool for tool in _TOOLS if tool != offered])
    argument, value = rng.choice(_ARGUMENTS), rng.randrange(100)
    answer = f"{wanted}({argument}={value})" if wanted == offered else "none"
    return f"tools {offered}; do {wanted} {argument} {value}=", answer


_DRAWS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "num_en": _number_words("en", numerals.english),
    "num_de": _number_words("de", numerals.german),
    "num_es": _number_words("es", numerals.spanish),
    "num_fr": _number_words("fr", numerals.french),
    "max": _maximum,
    "next": _next,
    "rev": _reverse,
    "sort": _sort,
    "call": _call,
    "irrel": _irrelevant,
}
