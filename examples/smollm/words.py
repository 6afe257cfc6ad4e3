"""Word problems of two steps: the family of another kind, made and split by rule.

A problem trains or is evaluated as its three numbers say, whatever story they are told in: training never
sees the numbers of a problem that is evaluated, and no two problems of a side have the same.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = (
    "Anna",
    "Omar",
    "Lucia",
    "Wei",
    "Tom",
    "Priya",
    "Jonas",
    "Fatima",
    "Kofi",
    "Elena",
    "Sam",
    "Mei",
    "Ivan",
    "Nora",
    "Hugo",
    "Zoe",
)
THINGS = (
    "apples",
    "marbles",
    "stickers",
    "pencils",
    "shells",
    "coins",
    "cards",
    "books",
    "buttons",
    "stamps",
)

STORIES = (
    ("{n} has {a} {t}. {n} buys {b} more and gives {c} to {m}. How many {t} does {n} have now?", "+", "-"),
    ("{n} has {a} {t} and {m} has {b}. Together they lose {c}. How many {t} are left?", "+", "-"),
    (
        "There are {a} {t} in a box. {n} takes out {b}, and {m} puts in {c}. How many {t} are in the box?",
        "-",
        "+",
    ),
    ("{n} had {a} {t}, lost {b} of them, and gave {c} to {m}. How many {t} does {n} still have?", "-", "-"),
    ("{n} found {a} {t} on Monday, {b} on Tuesday and {c} on Friday. How many {t} did {n} find?", "+", "+"),
    ("{n} buys {s} bags with {k} {t} each, and finds {c} more {t}. How many {t} does {n} have?", "*", "+"),
    ("{n} fills {s} boxes with {k} {t} each, then gives {c} {t} to {m}. How many {t} are left?", "*", "-"),
    ("A shelf holds {k} {t}. {n} has {s} full shelves and {c} loose {t}. How many {t} are there?", "*", "+"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A word problem, and how it is solved."""

    text: str
    solution: str
    answer: int
    numbers: tuple[int, int, int]


def is_evaluated(numbers: tuple[int, ...]) -> bool:
    """Whether problems with these numbers are evaluated: one in eight; the others train.

    >>> is_evaluated((5, 8, 3)), is_evaluated((5, 8, 4))
    (True, False)
    """
    return hashlib.sha256(repr(numbers).encode()).digest()[0] % 8 == 0


def problems(seed: int, *, evaluated: bool) -> Iterator[Problem]:
    """Draw problems of a side, as long as one has numbers of its own."""
    draw, drawn = random.Random(f"words {seed} {evaluated}"), set()
    while True:
        story, first, second = draw.choice(STORIES)
        if first == "*":
            a, b = draw.randint(2, 9), draw.randint(3, 12)
        else:
            a, b = draw.randint(20, 60), draw.randint(3, 19)
        between = a * b if first == "*" else a + b if first == "+" else a - b
        c = draw.randint(2, max(2, min(19, between - 1)))
        numbers = (a, b, c)
        if is_evaluated(numbers) != evaluated or numbers in drawn or (second == "-" and c >= between):
            continue
        drawn.add(numbers)
        answer = between + c if second == "+" else between - c
        name, other = draw.sample(NAMES, 2)
        text = story.format(n=name, m=other, t=draw.choice(THINGS), a=a, b=b, s=a, k=b, c=c)
        solution = f"{a} {first} {b} = {between}. {between} {second} {c} = {answer}. The answer is {answer}."
        yield Problem(text, solution, answer, numbers)
