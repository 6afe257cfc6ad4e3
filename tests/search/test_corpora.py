"""A search over categories whose score is no mean: the same soups as over a mean that is written as a sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.landscapes import Landscape, pool, search_with

from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe
from soce.search.open import open_run
from soce.search.result import SearchResult
from soce.store.evaluations import EvaluationStore


class Outcomes(Landscape):
    """The default landscape on no scale, as that of corpora must be."""

    def corpora(self) -> Sequence[str]:
        return ()

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        found = super().score(recipe, items=items, on_progress=on_progress)
        assert found.items is not None
        told: dict[str, Mapping[str, float] | Corpus] = {**found.items}
        for name in self.corpora():
            if name in found.items:
                ones = {item: (outcome, 1) for item, outcome in found.items[name].items()}
                told[name] = Corpus(CorpusMetric("ratio"), ones)
        return Evaluation.of_items(told, scale=None)


class Sums(Outcomes):
    """The same, of which a category tells sums instead of outcomes."""

    def corpora(self) -> Sequence[str]:
        return ("code",)


@pytest.mark.parametrize("strategy", ["grid", "successive-halving"])
def test_the_same_soup_is_found_and_held_out_scores_are_equal(tmp_path: Path, strategy: str) -> None:
    found = []
    for kind in (Outcomes, Sums):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        landscape = kind(n_items=60)
        result = search_with(pool(folder), landscape, folder=folder / "run", strategy=strategy)
        found.append((result, landscape.calls))
        run = open_run(folder / "run")
        told = run.items("report")
        assert told is not None
        assert {name: len(ids) for name, ids in told.items()} == {"math": 30, "code": 30}
        evaluations = run.evaluations()
        assert all(one.item_ids() is not None for one in evaluations.values())
    (one, its_calls), (other, other_calls) = found
    assert not one.is_optimistic
    assert not other.is_optimistic
    assert [size for _, size in its_calls] == [size for _, size in other_calls], "no item twice"

    def scores(result: SearchResult) -> list[object]:
        return [(arm.label, arm.selection.value, arm.report.value) for arm in result.arms]

    assert scores(one) == scores(other)


def test_parts_of_a_corpus_are_kept_apart_and_scored_together(tmp_path: Path) -> None:
    def store() -> EvaluationStore:
        return EvaluationStore(tmp_path / "kept", ingredients={"a": "a", "b": "b", "c": "c"}, evaluator={})

    landscape = Sums(n_items=10)
    recipe = pool(tmp_path).recipe({"a": 5, "b": 2, "c": 3})
    first = {"code": landscape.items["code"][:4]}
    store().add(recipe, landscape.score(recipe, items=first), is_whole=False)
    missing = store().missing(recipe, landscape.items)
    assert {name: len(ids) for name, ids in missing.items()} == {"math": 10, "code": 6}
    assert store().find(recipe, landscape.items) is None
    store().add(recipe, landscape.score(recipe, items=missing), is_whole=False)
    whole = store().find(recipe, landscape.items)
    assert whole is not None
    assert whole == landscape.score(recipe)
    assert (
        whole.corpora["code"].restricted(first["code"])
        == landscape.score(recipe, items=first).corpora["code"]
    )


@pytest.mark.parametrize(
    ("chooser", "is_refused"), [(Landscape(has_items=False), False), (Outcomes(tag="dev-"), True)]
)
def test_numbers_in_percent_may_be_reported_by_sums_and_means_may_not(
    tmp_path: Path, chooser: Landscape, is_refused: bool
) -> None:
    options = {"folder": tmp_path / "run", "held_out_evaluator": Sums(tag="test-", n_items=30)}
    if is_refused:
        words = "category `code` is chosen on by the mean of outcomes and reported by `ratio`"
        with pytest.raises(EvaluationError, match=words):
            search_with(pool(tmp_path), chooser, **options)
    else:
        assert not search_with(pool(tmp_path), chooser, **options).is_optimistic
