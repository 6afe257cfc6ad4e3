"""Soups are compared exactly: what is equal is tied, in whatever order items, categories and soups come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.landscapes import Landscape, pool, search_with, shares

from soce.cli.text.search import result_lines
from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe
from soce.scores.objective import Mean, NamedColumn, Weighted
from soce.scores.table import ScoreTable
from soce.search.scoring import exact_objective, objective_value
from soce.search.strategies.greedy import Greedy
from soce.search.strategies.space import ScoredSoup, best_of, same_soup

graded = st.sampled_from([0.0, 1.0, 0.5, 1 / 3, 2 / 3, 0.1, 0.3, 0.1 + 0.2])
MEANT = {0.1 + 0.2: Fraction(3, 10), 1 / 3: Fraction(1, 3), 2 / 3: Fraction(2, 3), 0.1: Fraction(1, 10),
         0.3: Fraction(3, 10)}  # fmt: skip
outcomes = st.dictionaries(
    st.sampled_from(["math", "code", "chat"]), st.lists(graded, min_size=1, max_size=12), min_size=1
)


def evaluation_of(found: Mapping[str, Sequence[float]], **options: Any) -> Evaluation:
    items = {name: {f"{name}{i}": value for i, value in enumerate(held)} for name, held in found.items()}
    return Evaluation.of_items(items, **options)


@given(outcomes, st.randoms(), st.sampled_from(["unit", "percent"]))
def test_the_objective_is_the_exact_mean_in_any_order(
    found: dict[str, list[float]], random: Any, scale: Any
) -> None:
    full = 100 if scale == "percent" else 1
    means = [sum(MEANT.get(value, Fraction(value)) for value in held) / len(held) for held in found.values()]
    exact = exact_objective(Mean(), evaluation_of(found, scale=scale))
    assert exact == full * sum(means) / len(means)
    assert objective_value(Mean(), evaluation_of(found, scale=scale)) == float(exact)
    names = list(found)
    random.shuffle(names)
    mixed = {name: random.sample(found[name], len(found[name])) for name in names}
    assert exact_objective(Mean(), evaluation_of(mixed, scale=scale)) == exact


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=1), graded),
        min_size=1,
        unique_by=lambda one: same_soup(one[0]),
    ),
    st.randoms(),
)
def test_no_order_of_soups_changes_the_best_or_what_is_tied(
    soups: list[tuple[dict[str, int], float]], random: Any
) -> None:
    tried = [ScoredSoup(parts, MEANT.get(value, Fraction(value))) for parts, value in soups]
    best, tied = best_of(tried, "abc")
    assert len(tied) + 1 == sum(one.value == best.value for one in tried)
    random.shuffle(tried)
    again, others = best_of(tried, "cab")
    assert again.value == best.value
    assert [(one.parts, one.value) for one in (again, *others)] == [
        (one.parts, one.value) for one in (best, *tied)
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": [0.1], "y": [0.2]}, {"x": [0.3], "y": [0.0]}),
        ({"x": [1, 1, 0], "y": [1, 0, 0, 0, 0, 0]}, {"x": [1, 0, 0], "y": [1, 1, 1, 0, 0, 0]}),
        ({"x": [1 / 3, 1 / 3, 1 / 3], "y": [0]}, {"x": [1, 0, 0], "y": [0]}),
    ],
    ids=["tenths", "counts over unlike numbers of items", "thirds"],
)
def test_ties_that_sums_of_floats_may_miss(one: Any, other: Any) -> None:
    for scale in ("unit", "percent"):
        first, second = (exact_objective(Mean(), evaluation_of(found, scale=scale)) for found in (one, other))
        assert first == second
        stated = [
            Evaluation(evaluation_of(found, scale=scale).categories, None, scale) for found in (one, other)
        ]
        assert exact_objective(Mean(), stated[0]) == exact_objective(Mean(), stated[1]) == first


def test_directions_weights_and_geometric_means_count_as_they_should() -> None:
    found = Evaluation.of_items(
        {"ppl": {"a": 2.0, "b": 8.0}, "math": {"a": 1, "b": 0}},
        scale="unit",
        higher_is_better={"ppl": False},
        geometric=["ppl"],
    )
    assert exact_objective(NamedColumn("ppl"), found) == -4
    third = Weighted({"ppl": Fraction(1, 3), "math": Fraction(2, 3)}, source="w")
    assert exact_objective(third, found) == Fraction(-4, 3) + Fraction(1, 3)


def test_an_objective_of_your_own_is_taken_as_it_is_but_must_be_a_number() -> None:
    class Worst:
        name = "worst"

        def __init__(self, times: float = 1.0) -> None:
            self.times = times

        def needs(self, table: ScoreTable) -> tuple[str, ...]:
            return table.categories

        def values(self, table: ScoreTable) -> Any:
            return table.oriented().min(axis=1) * self.times

    found = Evaluation({"a": CategoryScore(0.1 + 0.2), "b": CategoryScore(0.5)})
    assert exact_objective(Worst(), found) == Fraction(0.1 + 0.2)
    with pytest.raises(EvaluationError, match="the objective `worst` of a soup is nan"):
        exact_objective(Worst(np.nan), found)


class Swapped(Landscape):
    """Every soup solves 5/6 of two categories together, divided in another way: all are equal."""

    def __init__(self) -> None:
        super().__init__(n_items=6)
        self.items = {"math": tuple(f"m{i}" for i in range(6)), "code": tuple(f"c{i}" for i in range(12))}

    def score(self, recipe: Recipe, *, items: Any = None, on_progress: object = None) -> Evaluation:
        wanted = self.items if items is None else items
        self.calls.append((recipe.id, 0))
        solved = 1 if max(shares(recipe).values()) > 0.5 else 2  # of six, and twice as many fewer of twelve
        right = {"math": solved, "code": 2 * (3 - solved)}
        return Evaluation.of_items(
            {
                name: {item: float(int(item[1:]) < right[name]) for item in ids}
                for name, ids in wanted.items()
            },
            scale="percent",
        )


def test_a_search_among_equals_takes_the_uniform_soup_and_lists_the_rest(tmp_path: Path) -> None:
    found = search_with(pool(tmp_path), Swapped(), folder=tmp_path / "run", share=None, draws=50)
    assert found.best.parts == {"a": 1, "b": 1, "c": 1}
    assert len(found.tied) == 36
    assert "36 other soups have the same value on the selection items" in found.notes
    assert not found.beats_best_single
    assert {one.difference for one in found.comparisons} == {0.0}
    for accept, members in (("gt", ["a"]), ("ge", ["a", "b", "c"])):
        strategy = Greedy(accept)  # type: ignore[arg-type]
        greedy = search_with(
            pool(tmp_path), Swapped(), folder=tmp_path / accept, share=None, draws=50, strategy=strategy
        )
        assert greedy.trace["members"] == members


class Stated(Landscape):
    """Scores without items, of which the floats of two differ by less than their exact values."""

    def item_ids(self) -> None:
        return None

    def score(self, recipe: Recipe, *, items: Any = None, on_progress: object = None) -> Evaluation:
        score = 0.4625 if shares(recipe).get("a") == 1 else 0.48125
        return Evaluation({"math": CategoryScore(score)}, None, "unit")


def test_a_difference_is_one_number_wherever_it_is_shown(tmp_path: Path) -> None:
    assert f"{100 * (0.4625 - 0.48125):.2f}" == "-1.87", "floats lose what this is about"
    found = search_with(pool(tmp_path), Stated(), folder=tmp_path / "run")
    against = found.comparison("a", found.best_single_report)
    assert against is not None
    assert against.percentage_points == -1.875
    assert found.to_frame().loc["a", "difference"] == against.difference
    assert found.to_frame().loc["a", "relative_percent"] == against.relative_percent
    arm, soup_minus_arm = (line for line in result_lines(found) if line.split()[:1] == ["a"])
    assert "-1.88" in arm
    assert "+1.88" in soup_minus_arm
