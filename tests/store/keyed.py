"""An evaluator for tests of the store: its items have keys, and outcomes are a known function of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from soce.evaluate.answers import Answer, prompt_digest
from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation
from soce.files.digests import digest_of
from soce.recipes.model import Recipe
from soce.store.evaluations import EvaluationStore

RECIPE = Recipe.of({"a": 3, "b": 1})


class Keyed:
    """Tasks: category → item id → what is asked. Categories that begin with `sum` are corpora."""

    def __init__(
        self, tasks: Mapping[str, Mapping[str, str]], *, version: int = 1, says: bool = False
    ) -> None:
        self.tasks = tasks
        self.version = version
        self.says = says
        self.asked: list[dict[str, list[str]]] = []

    @property
    def identity(self) -> Mapping[str, object]:
        return {"evaluator": "keyed", "version": self.version, "tasks": digest_of(self.tasks)}

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        return {category: tuple(found) for category, found in self.tasks.items()}

    def item_keys(self) -> dict[str, dict[str, str]]:
        return {
            category: {item: digest_of([text, self.version]) for item, text in found.items()}
            for category, found in self.tasks.items()
        }

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        wanted = Keyed.item_ids(self) if items is None else items
        self.asked.append({category: [*ids] for category, ids in wanted.items()})
        found: dict[str, Mapping[str, float] | Corpus] = {}
        answers: dict[str, dict[str, Answer]] = {}
        for category, ids in wanted.items():
            texts = {item: self.tasks[category][item] for item in ids}
            numbers = {item: outcome(recipe.id, text) for item, text in texts.items()}
            if category.startswith("sum"):
                statistics = {item: (number, 1) for item, number in numbers.items()}
                found[category] = Corpus(CorpusMetric("ratio"), statistics)
            else:
                found[category] = numbers
            if self.says:
                answers[category] = {
                    item: Answer(prompt_digest(text), text=f"said {numbers[item]}", ending="stop")
                    for item, text in texts.items()
                }
        scale = None if any(name.startswith("sum") for name in wanted) else "unit"
        return Evaluation.of_items(found, scale=scale, notes=("a note",), answers=answers)

    def close(self) -> None:
        pass


def outcome(recipe: str, text: str) -> float:
    return float(hashlib.sha256(f"{recipe} {text}".encode()).digest()[0] < 128)


def opened(folder: Path, evaluator: Keyed) -> EvaluationStore:
    store = EvaluationStore(folder, ingredients={"a": "A", "b": "B"}, evaluator=evaluator.identity)
    store.register(evaluator)
    return store


def fill(folder: Path, evaluator: Keyed, recipe: Recipe = RECIPE) -> EvaluationStore:
    """Score what is missing."""
    store = opened(folder, evaluator)
    if missing := store.missing(recipe, evaluator.item_ids()):
        store.add(recipe, evaluator.score(recipe, items=missing), is_whole=False, seconds=0.5)
    return store
