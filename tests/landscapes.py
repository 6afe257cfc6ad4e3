"""Evaluators for tests of the search: real ones, whose scores are known functions of the parts."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.checkpoints import directory

from soce.evaluate.evaluation import Evaluation, Evaluator
from soce.recipes.model import Recipe
from soce.search.options import SearchOptions
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.soups import search_soups
from soce.selection.file import SelectionFile

OPTIMUM = {"a": 0.5, "b": 0.2, "c": 0.3}
"""Weights of the best soup of the default landscape: the paper's 70B recipe."""
CATEGORIES = ("math", "code")


def pool(folder: Path, names: str = "abc", others: str = "", **options: object) -> Pool:
    """Return a pool of tiny checkpoints, made where they are missing."""
    paths = {}
    for place, name in enumerate(names + others):
        paths[name] = str(folder / name)
        if not (folder / name).exists():
            directory(folder / name, float(place), 2.0)
    return Pool(paths, tuple(names), **options)  # type: ignore[arg-type]


def shares(recipe: Recipe) -> dict[str, float]:
    assert recipe.parts is not None
    assert recipe.whole is not None
    return {
        ingredient.name: part / recipe.whole
        for ingredient, part in zip(recipe.ingredients, recipe.parts, strict=True)
    }


class Landscape:
    """Item i of n is solved if the soup's quality exceeds its difficulty, a hash of its name.

    Quality falls with the squared distance of the weights from an optimum. Every evaluation is a line of the
    log: the recipe's id with a digest of the items, the number of items, the process.
    """

    def __init__(
        self,
        *,
        optimum: Mapping[str, float] = OPTIMUM,
        n_items: int = 200,
        log: Path | None = None,
        seconds: float = 0.0,
        tells_items: bool = True,
        has_items: bool = True,
        version: int = 1,
        tag: str = "",
    ) -> None:
        self.optimum = optimum
        self.items = {name: tuple(f"{tag}{name}-{i}" for i in range(n_items)) for name in CATEGORIES}
        self.log = log
        self.seconds = seconds
        self.tells_items = tells_items
        self.has_items = has_items
        self.calls: list[tuple[str, int]] = []
        self.identity = {"landscape": version, "items": n_items, "tag": tag}

    def item_ids(self) -> Mapping[str, tuple[str, ...]] | None:
        return self.items if self.tells_items and self.has_items else None

    def quality(self, weights: Mapping[str, float], category: str) -> float:
        names = weights.keys() | self.optimum.keys()
        distance = sum((weights.get(name, 0) - self.optimum.get(name, 0)) ** 2 for name in names)
        return (0.9 if category == "math" else 0.8) - 0.5 * distance

    def asked(self, recipe: Recipe, items: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """Note a call, and return the items that are to be scored."""
        wanted = self.items if items is None else items
        self.calls.append((recipe.id, sum(map(len, wanted.values()))))
        return wanted

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        wanted = self.items if items is None else items
        count = sum(map(len, wanted.values()))
        which = hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:8]
        self.calls.append((f"{recipe.id}:{which}", count))
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"start {self.calls[-1][0]} {count} {os.getpid()}\n")
        if self.seconds:
            time.sleep(self.seconds)
        weights = shares(recipe)
        outcomes = {
            category: {item: float(self.quality(weights, category) > difficulty(item)) for item in ids}
            for category, ids in wanted.items()
        }
        found = Evaluation.of_items(outcomes, scale="percent")
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"done {self.calls[-1][0]} {count} {os.getpid()}\n")
        return found if self.has_items else Evaluation(found.categories, None, "percent")

    def close(self) -> None:
        pass


class Smooth(Landscape):
    """The same without chance: every item's outcome is the quality itself, or 0 far from the optimum."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        wanted = self.asked(recipe, items)
        weights = shares(recipe)
        return Evaluation.of_items(
            {
                category: dict.fromkeys(ids, max(0.0, self.quality(weights, category)))
                for category, ids in wanted.items()
            },
            scale="percent",
        )


def difficulty(item: str) -> float:
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:4], "big") / 2**32


def read_log(log: Path) -> list[tuple[str, str, int, int]]:
    """Return (what, recipe, items, process) of every line."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(what, recipe, int(count), int(process)) for what, recipe, count, process in lines]


def search_with(
    selection: SelectionFile | Pool, evaluator: Evaluator, *, folder: Path, **chosen: Any
) -> SearchResult:
    """Search with the options that are among those chosen; the rest are arguments of `search_soups`."""
    names = {field.name for field in fields(SearchOptions)} & chosen.keys()
    options = SearchOptions(**{name: chosen.pop(name) for name in names})
    return search_soups(selection, evaluator, folder=folder, options=options, **chosen)
