"""An experiment of tiny models that answer for themselves, and a record of every item that they are asked."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.tiny_models import save_models

from soce.search.items import split_items

MODELS = ("ash", "birch", "cedar", "elm", "fir")
CATEGORIES = ("algebra", "letters", "words", "verse")
SCORES = {
    "ash": (69, 73, 25, 55),
    "birch": (53, 85, 82, 40),
    "cedar": (71, 58, 81, 35),
    "elm": (65, 94, 47, 60),
    "fir": (84, 37, 56, 45),
}
"""Thresholds of 0.05 and 0.3 select other experts."""
N_ITEMS = 6
"""In each category."""

Mix = tuple[tuple[str, Fraction], ...]
"""What is mixed: models with their shares, by name."""
Asked = tuple[Mix, str, str]
"""What one outcome is of: a mix, and an item's category and prompt."""


@dataclass
class Experiment:
    """What a user has in a folder: models, a table of scores, tasks, and what is asked of them."""

    home: Path
    models: list[str] = field(default_factory=lambda: list(MODELS[:4]))
    categories: list[str] = field(default_factory=lambda: list(CATEGORIES[:3]))
    threshold: float = 0.3
    seed: int = 0

    @property
    def output(self) -> Path:
        """Where its results are."""
        return self.home / "run"

    @property
    def log(self) -> Path:
        """Where a line is written before and after every evaluation, beside the folder that may be moved."""
        return self.home.parent / "asked.jsonl"

    def make(self) -> Experiment:
        """Write all that is there before the first question."""
        self.home.mkdir()
        for name, path in zip(MODELS, save_models(self.home, len(MODELS)), strict=True):
            Path(path).rename(self.home / name)
        self.write()
        return self

    def write(self) -> None:
        """Write the table, the tasks and the experiment's file as they are now."""
        columns = [CATEGORIES.index(name) for name in self.categories]
        rows = [[name, *(str(SCORES[name][column]) for column in columns)] for name in self.models]
        table = "".join(",".join(row) + "\n" for row in [["model", *self.categories], *rows])
        (self.home / "scores.csv").write_text(table)
        question = {
            "scores": "scores.csv",
            "models": {name: name for name in self.models},
            "select": {"threshold": self.threshold, "step": "1/4"},
            "evaluate": {"tasks": "tasks.jsonl"},
            "report_on": {"share": "1/2", "split-seed": self.seed},
            "output": "run/",
        }
        (self.home / "soce.yaml").write_text(json.dumps(question))  # JSON is YAML
        items = [item for category in self.categories for item in items_of(category)]
        (self.home / "tasks.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def needed(self, result: Mapping[str, Any]) -> set[Asked]:
        """Return what a result rests on, by the rules of docs/search.md alone."""
        ids = {name: tuple(item["id"] for item in items_of(name)) for name in self.categories}
        split = split_items(ids, seed=self.seed)
        arms = {mix_of(arm["parts"]) for arm in result["arms"]}
        tried = arms | {mix_of(soup["parts"]) for soup in result["ranked"]}
        return asked(tried, split.selection) | asked(arms, split.held_out)


def items_of(category: str) -> list[dict[str, Any]]:
    """Return the items of a category: choices and short answers, no two alike."""
    draw = random.Random(category)

    def word(length: int) -> str:
        return "".join(draw.choice("abcdefghij") for _ in range(length))

    return [
        {"id": f"{category}-{i}", "category": category, "prompt": f"{category[0]}{i}{word(4)}=", **rest}
        for i in range(N_ITEMS)
        for rest in [
            {"kind": "teacher_forced", "answer": word(1)}
            if i % 3 == 2
            else {"kind": "multiple_choice", "choices": [word(2), word(3), word(4)], "answer": i % 3}
        ]
    ]


def mix_of(parts: Mapping[str, int]) -> Mix:
    """Return what is mixed, whatever whole its parts are of."""
    whole = sum(parts.values())
    return tuple((name, Fraction(part, whole)) for name, part in sorted(parts.items()) if part)


def asked(mixes: Iterable[Mix], items: Mapping[str, Sequence[str]]) -> set[Asked]:
    """Return every mix with every item."""
    prompts = {
        (item["category"], item["id"]): item["prompt"] for name in CATEGORIES for item in items_of(name)
    }
    return {
        (mix, category, prompts[category, item])
        for mix in mixes
        for category, ids in items.items()
        for item in ids
    }


@contextmanager
def recorded(log: Path, *, seconds: float = 0.0) -> Iterator[None]:
    """Write a line before and after every evaluation of a live model; each takes so much longer."""
    from soce.evaluate.live.evaluator import LiveEvaluator

    score = LiveEvaluator.score

    def write(what: str, recipe: Any, ids: Mapping[str, Iterable[str]]) -> None:
        parts = {one.name: part for one, part in zip(recipe.ingredients, recipe.parts, strict=True)}
        content = {name: sorted(found) for name, found in ids.items()}
        line = json.dumps({"what": what, "process": os.getpid(), "parts": parts, "items": content})
        with log.open("a") as file:
            file.write(line + "\n")

    def watched(self: Any, recipe: Any, *, items: Any = None, **others: Any) -> Any:
        write("start", recipe, items or self.item_ids())
        time.sleep(seconds)
        found = score(self, recipe, items=items, **others)
        write("done", recipe, found.item_ids())
        return found

    LiveEvaluator.score = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        LiveEvaluator.score = score  # type: ignore[method-assign]


@dataclass(frozen=True)
class Line:
    """A line of the record: what an evaluation was of."""

    what: str
    process: int
    asked: frozenset[Asked]


def read_record(log: Path) -> list[Line]:
    """Return the lines; one that a killed process could not finish is left out."""
    lines = []
    for text in log.read_text().splitlines() if log.exists() else ():
        line = json.loads(text)
        lines.append(
            Line(line["what"], line["process"], frozenset(asked([mix_of(line["parts"])], line["items"])))
        )
    return lines


def of(experiment: Experiment, process: int | None, what: str) -> list[Line]:
    """Return the lines of one kind of one process."""
    return [one for one in read_record(experiment.log) if (one.process, one.what) == (process, what)]


def answered(lines: Iterable[Line]) -> Counter[Asked]:
    """Return how often each outcome was made."""
    return Counter(one for line in lines if line.what == "done" for one in line.asked)


def items_told(text: str) -> int:
    """Return how many items a command says that it evaluated."""
    (count,) = re.findall(r"\((\d+) items?\)", text) or ["0"]
    return int(count)
