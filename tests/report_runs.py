"""Small runs for tests of the report: real searches with an evaluator whose scores are a known function."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from tests.checkpoints import directory
from tests.landscapes import difficulty, search_with, shares

import soce
from soce.evaluate.evaluation import Evaluation
from soce.recipes.model import Ingredient, Recipe
from soce.scores.tables.long import write_scores
from soce.search.result import SearchResult
from soce.search.scoring import table_of
from soce.search.strategies.space import Strategy
from soce.selection.file import read_selection, write_selection
from soce.selection.rules import Explicit

CATEGORIES = ("algebra", "coding", "dialogue", "facts", "planning", "writing")


class Kitchen:
    """Each model is good at some categories; a soup knows a bit more than the mean of what went in."""

    def __init__(
        self,
        models: Sequence[str],
        experts: int,
        *,
        categories: Sequence[str] = CATEGORIES,
        n_items: int = 60,
        tag: str = "",
        has_items: bool = True,
        scale: str | None = "unit",
        graded: bool = False,
    ) -> None:
        self.models, self.experts, self.categories = tuple(models), experts, tuple(categories)
        self.items = {name: tuple(f"{tag}{name}-{i}" for i in range(n_items)) for name in categories}
        self.has_items, self.scale, self.graded = has_items, scale, graded
        self.identity = {
            "evaluator": "kitchen",
            "models": [list(models), experts],
            "categories": list(categories),
            "items": n_items,
            "tag": tag,
            "graded": graded,
        }
        self.calls = 0

    def item_ids(self) -> Mapping[str, tuple[str, ...]] | None:
        return self.items if self.has_items else None

    def skill(self, model: str, category: str) -> float:
        place, column = self.models.index(model), self.categories.index(category)
        digest = hashlib.sha256(f"{place}:{column}".encode()).digest()
        own = place < self.experts and column % self.experts == place
        return (0.55 if own else 0.2) + 0.15 * digest[0] / 255

    def quality(self, weights: Mapping[str, float], category: str) -> float:
        mean = sum(weight * self.skill(model, category) for model, weight in weights.items())
        return min(0.98, mean + 0.5 * (1 - sum(weight**2 for weight in weights.values())))

    def score(
        self, recipe: Recipe, *, items: Mapping[str, Sequence[str]] | None = None, on_progress: object = None
    ) -> Evaluation:
        self.calls += 1
        weights = shares(recipe)
        outcomes = {}
        for category, ids in (self.items if items is None else items).items():
            quality = self.quality(weights, category)
            outcomes[category] = {
                item: quality * difficulty(item) if self.graded else float(quality > difficulty(item))
                for item in ids
            }
        found = Evaluation.of_items(outcomes, scale=self.scale)  # type: ignore[arg-type]
        return found if self.has_items else Evaluation(found.categories, None, found.scale)

    def close(self) -> None:
        pass


def make_run(
    folder: Path,
    models: Sequence[str] = ("ash", "birch", "cedar", "elm"),
    experts: int = 3,
    *,
    kitchen: Kitchen | None = None,
    step: str = "0.1",
    strategy: Strategy | str = "grid",
    publishes: bool = True,
    finishes: bool = True,
) -> SearchResult | None:
    """Write what `soce run` writes: scores, selection, search and soup."""
    folder.mkdir(parents=True, exist_ok=True)
    kitchen = kitchen or Kitchen(models, experts)
    paths = {}
    for place, name in enumerate(models):
        paths[name] = str(folder / "models" / f"model-{place}")
        (folder / "models").mkdir(exist_ok=True)
        directory(Path(paths[name]), float(place), 2.0)
    alone = {name: Recipe((Ingredient(path, Fraction(1), name),)) for name, path in paths.items()}
    table = table_of({name: kitchen.score(recipe) for name, recipe in alone.items()})
    write_scores(table, folder / "scores.csv")
    rule = Explicit(kitchen.categories[:experts])  # the first so many models are best in one of these each
    selection = soce.select_experts(table, rule, soce.SelectionOptions(candidates=list(models), step=step))
    assert set(selection.models) == set(models[:experts])
    write_selection(selection, folder / "selection.yaml", paths=paths)
    if not finishes:
        return None
    found = read_selection(folder / "selection.yaml")
    result = search_with(
        found, kitchen, folder=folder / "search", candidates=paths, draws=500, strategy=strategy
    )
    if publishes:
        soce.merge(
            result.best.recipe, output=folder / "soup", options=soce.MergeOptions(notes=result.to_json())
        )
    return result
