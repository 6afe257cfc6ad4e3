"""Categories found in answers: planted ones come back, no order counts, degenerate answers are refused."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soce.analysis.item_categories import Answers, cluster_items
from soce.analysis.item_clusters import adjusted_rand_index
from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.exceptions import EvaluationError
from soce.selection.correlation import correlate_categories


def planted(n_groups: int, n_models: int, n_items: int, seed: int = 0) -> tuple[Answers, dict[str, int]]:
    """Return answers to items of several groups, in each of which every model has a skill of its own."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n_items) % n_groups
    skill = rng.random((n_groups, n_models))
    solved = rng.random((n_items, n_models)) < np.clip(
        skill[groups] * 1.2 - 0.3 * rng.random((n_items, 1)), 0.02, 0.98
    )
    items = tuple(f"q{place:04}" for place in range(n_items))
    answers = Answers(items, tuple(f"m{place:02}" for place in range(n_models)), solved.astype(float))
    return answers, dict(zip(items, groups.tolist(), strict=True))


def likeness(labels: dict[str, str], truth: dict[str, int]) -> float:
    items = sorted(labels)
    names = sorted(set(labels.values()))
    return adjusted_rand_index(
        np.array([names.index(labels[item]) for item in items]), np.array([truth[item] for item in items])
    )


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_planted_groups_come_back_and_their_number_too(n_groups: int) -> None:
    answers, truth = planted(n_groups, 24, 300)
    found = cluster_items(answers, draws=5)
    assert len(found.categories) == n_groups
    assert likeness(dict(found.labels), truth) > 0.9
    explained = {choice.clusters: choice.explained for choice in found.choices}
    assert list(explained) == list(range(2, 11))
    assert explained[n_groups] is not None
    assert explained[n_groups] >= 0.95 * max(value for value in explained.values() if value is not None)
    by_models, by_items = found.stability
    assert (by_models.resampled, by_items.resampled) == ("models", "items")
    assert by_items.mean is not None
    assert by_items.mean > 0.9
    assert by_models.mean is not None
    assert by_models.low is not None
    assert by_models.low <= by_models.mean <= 1


def test_answers_by_chance_are_told_to_be_no_categories() -> None:
    values = (np.random.default_rng(0).random((300, 12)) < 0.5).astype(float)
    answers = Answers(tuple(map(str, range(300))), tuple("abcdefghijkl"), values)
    found = cluster_items(answers, draws=5)
    assert (
        "the clusters explain nothing of models that were put aside: they may be chance alone" in found.notes
    )
    assert found.stability[0].mean is not None
    assert found.stability[0].mean < 0.5
    real = cluster_items(planted(3, 12, 300)[0], draws=0)
    assert not any("chance alone" in note for note in real.notes)


def test_the_table_is_the_mean_answer_and_can_be_correlated() -> None:
    answers, _ = planted(3, 24, 300)
    found = cluster_items(answers, clusters=3, draws=0)
    assert found.stability == ()
    assert [choice.clusters for choice in found.choices] == [3]
    rows = {item: place for place, item in enumerate(answers.items)}
    for name in found.categories:
        members = found.members(name)
        means = answers.values[[rows[item] for item in members]].mean(axis=0)
        assert found.table.values[:, found.table.place(name)] == pytest.approx(means, abs=1e-12)
        assert found.sizes[name] == len(members)
    assert found.table.models == answers.models
    assert found.table.counts is not None
    assert found.table.counts[0].tolist() == list(found.sizes.values())
    assert sorted(found.sizes.values(), reverse=True) == list(found.sizes.values()), "the largest first"
    assert correlate_categories(found.table).rho.shape == (3, 3)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["categories"] == found.sizes


def test_items_answered_alike_are_in_no_category() -> None:
    answers, _ = planted(2, 10, 60)
    values = answers.values.copy()
    values[7], values[9] = 1.0, 0.0
    found = cluster_items(Answers(answers.items, answers.models, values), clusters=2, draws=3)
    assert {"q0007", "q0009"} <= set(found.alike)
    assert set(found.labels) | set(found.alike) == set(answers.items)
    assert not set(found.labels) & set(found.alike)
    assert any(f"{len(found.alike)} items are in no category" in note for note in found.notes)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_no_order_of_items_or_models_changes_anything(seed: int) -> None:
    answers, _ = planted(3, 9, 40)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(40), rng.permutation(9)
    mixed = Answers(
        tuple(answers.items[row] for row in rows),
        tuple(answers.models[column] for column in columns),
        answers.values[np.ix_(rows, columns)],
    )
    found, other = cluster_items(answers, draws=2, seed=1), cluster_items(mixed, draws=2, seed=1)
    assert dict(other.labels) == dict(found.labels)
    assert other.choices == found.choices
    assert other.stability == found.stability
    assert other.table.digest == found.table.digest


def test_the_same_seed_gives_the_same_and_graded_answers_are_fine() -> None:
    answers, _ = planted(3, 9, 60)
    graded = Answers(answers.items, answers.models, answers.values * 7 - 3)
    found = cluster_items(graded, clusters=3, draws=5, seed=2)
    assert found.to_json() == cluster_items(graded, clusters=3, draws=5, seed=2).to_json()
    assert dict(found.labels) == dict(cluster_items(answers, clusters=3, draws=0, seed=2).labels), (
        "scale-free"
    )
    assert found.table.columns[0].scale is None
    assert cluster_items(answers, clusters=3, draws=0).table.columns[0].scale == "unit"


def test_progress_is_told_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    cluster_items(planted(2, 12, 40)[0], draws=3, on_progress=lambda *step: seen.append(step))
    assert seen == [(step, 13) for step in range(1, 14)]


def test_two_models_make_two_categories() -> None:
    outcomes = {"a": {"p": 1, "q": 1, "r": 0, "s": 1}, "b": {"p": 0, "q": 0, "r": 1, "s": 1}}
    found = cluster_items(outcomes, draws=4)
    assert found.members("cluster 1") == ("p", "q")
    assert found.members("cluster 2") == ("r",)
    assert found.alike == ("s",)
    assert found.choices[0].explained is None
    assert any("too few models to put some aside" in note for note in found.notes)


def test_as_many_clusters_as_items_explain_nothing() -> None:
    bits = {"a": "01101", "b": "11011", "c": "01000", "d": "11100"}
    outcomes = {name: dict(zip("pqrst", map(float, text), strict=True)) for name, text in bits.items()}
    found = cluster_items(outcomes, draws=0)
    assert [choice.clusters for choice in found.choices if choice.explained is None] == [3, 4]


def test_answers_of_evaluations() -> None:
    def scored(*outcomes: float) -> Evaluation:
        return Evaluation.of_items({"all": dict(zip("pqr", outcomes, strict=True))})

    found = Answers.of_evaluations({"a": scored(1, 0, 0), "b": scored(0, 1, 0)})
    assert found.items == ("p", "q", "r")
    assert found.values.tolist() == [[1, 0], [0, 1], [0, 0]]
    both = Evaluation.of_items({"x": {"p": 1}, "y": {"p": 0}})
    assert Answers.of_evaluations({"a": both, "b": both}).items == ("x/p", "y/p")
    with pytest.raises(EvaluationError, match="the scores of `a` do not tell items apart"):
        Answers.of_evaluations({"a": Evaluation({"m": CategoryScore(1.0)})})
    loss = Evaluation.of_items({"m": {"p": 1.0}}, higher_is_better={"m": False})
    with pytest.raises(EvaluationError, match="lower is better in category `m`"):
        Answers.of_evaluations({"a": loss, "b": loss})


ONE = {"a": {"p": 1.0, "q": 0.0}, "b": {"p": 0.0, "q": 1.0}}


@pytest.mark.parametrize(
    ("outcomes", "options", "expected"),
    [
        ({}, {}, "answers of 0 model"),
        ({"a": {"p": 1, "q": 0}}, {}, "answers of 1 model"),
        ({"a": {"p": 1}, "b": {"p": 0}}, {}, "answers of 1 item"),
        ({"a": {"p": 1, "q": 0}, "b": {"p": 1}}, {}, "`a` and `b` were asked different items: 1"),
        ({"a": {"p": 1, "q": math.nan}, "b": {"p": 1, "q": 1}}, {}, "item `q`, model `a`: the answer is nan"),
        (
            {"a": {"p": 1, "q": 0}, "b": {"p": 1, "q": 0}},
            {},
            "all 2 models gave the same answer to each of the 2 items",
        ),
        ({"a": {"p": 1, "q": 1}, "b": {"p": 0, "q": 0}}, {}, "1 different direction"),
        (ONE, {"clusters": 3}, "2 different directions of answers, fewer than 3 clusters"),
        (ONE, {"clusters": 1}, "the number of clusters is 1"),
        (ONE, {"most": 1}, "the largest number of clusters to try is 1"),
        (ONE, {"draws": -1}, "the number of draws is -1"),
    ],
)
def test_answers_without_clusters_are_refused(
    outcomes: dict[str, dict[str, float]], options: dict[str, int], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected) as caught:
        cluster_items(outcomes, **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("items", "models", "shape", "expected"),
    [
        (("p", "p"), ("a", "b"), (2, 2), "the item `p` is named twice"),
        (("p", "q"), ("a", "a"), (2, 2), "the model `a` is named twice"),
        (("p", "q"), ("a", "b"), (2, 3), r"the answers have shape \(2, 3\), expected \(2, 2\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    items: tuple[str, ...], models: tuple[str, ...], shape: tuple[int, int], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected):
        Answers(items, models, np.zeros(shape))


# ---- the adjusted Rand index

LABELS = st.integers(2, 7).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


@given(LABELS)
def test_the_index_is_what_pairs_say(labels: tuple[list[int], list[int]]) -> None:
    first, second = labels
    pairs = list(itertools.combinations(range(len(first)), 2))
    one = {pair for pair in pairs if first[pair[0]] == first[pair[1]]}
    other = {pair for pair in pairs if second[pair[0]] == second[pair[1]]}
    expected = len(one) * len(other) / len(pairs)
    most = (len(one) + len(other)) / 2
    found = adjusted_rand_index(np.array(first), np.array(second))
    assert found == pytest.approx(
        1.0 if most == expected else (len(one & other) - expected) / (most - expected), abs=1e-12
    )


def test_another_program_s_index() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    assert adjusted_rand_index(first, second) == pytest.approx(
        metrics.adjusted_rand_score(first, second), abs=1e-12
    )
