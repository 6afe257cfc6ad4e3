"""The result of a search and what it belongs to come back from JSON exactly as they were."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import StudyError
from soce.search.identity import SearchIdentity
from soce.search.pool import Pool
from soce.search.result import Arm, Comparison, Scored, SearchResult
from soce.search.statistics import McNemar, PairedInterval
from soce.search.strategies.space import Tried

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10_000)
scores = st.dictionaries(names, numbers, max_size=3)
scored = st.builds(Scored, numbers, scores, st.none() | counts)
texts = st.dictionaries(names, st.none() | names | counts, max_size=3)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    models = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    n_experts = draw(st.integers(1, len(models)))
    return Pool({name: f"models/{place}" for place, name in enumerate(models)}, models[:n_experts])


@st.composite
def results(draw: st.DrawFn, pool: Pool) -> SearchResult:
    several = st.dictionaries(st.sampled_from(pool.names), st.integers(1, 20), min_size=1)
    kinds = ["single"] * len(pool.names) + ["uniform-all", "uniform-selected", "soce"]
    arms = []
    for place, kind in enumerate(kinds):
        label = pool.names[place] if kind == "single" else f"{kind} {place}"
        parts = {label: 1} if kind == "single" else draw(several)
        arms.append(Arm(kind, label, parts, pool.recipe(parts), draw(scored), draw(scored)))
    labels = st.sampled_from([arm.label for arm in arms])
    intervals = st.builds(PairedInterval, numbers, numbers, numbers, numbers, counts, counts, counts)
    tests = st.builds(McNemar, counts, counts, numbers)
    maybe = st.none() | numbers
    comparison = st.builds(
        Comparison, labels, labels, numbers, maybe, maybe, st.none() | intervals, st.none() | tests
    )
    soup, single = arms[-1].label, pool.names[0]
    against = Comparison(soup, single, draw(numbers), None, None)
    tried = st.lists(st.builds(Tried, several, numbers), max_size=3).map(tuple)
    return SearchResult(
        objective=draw(names),
        scale=draw(st.sampled_from(["unit", "percent", None])),
        strategy={"name": draw(names), **draw(texts)},
        arms=tuple(arms),
        comparisons=(*draw(st.lists(comparison, max_size=3)), against),
        ranked=draw(tried),
        tied=draw(tried),
        trace=draw(texts),
        n_candidates=draw(counts),
        is_optimistic=draw(st.booleans()),
        split=draw(st.none() | texts),
        best_single_selection=single,
        best_single_report=single,
        beats_best_single=draw(st.booleans()),
        notes=tuple(draw(st.lists(names, max_size=2))),
    )


@given(st.data())
def test_a_result_comes_back_from_its_json(data: st.DataObject) -> None:
    pool = data.draw(pools())
    result = data.draw(results(pool))
    text = json.dumps(result.to_json(), allow_nan=False)
    again = SearchResult.from_json(json.loads(text), pool=pool)
    assert again == result
    assert json.dumps(again.to_json()) == text
    without = SearchResult.from_json(json.loads(text))
    assert json.dumps(without.to_json()) == text
    assert [arm.recipe.id for arm in without.arms] == [arm.recipe.id for arm in result.arms]


@given(
    st.builds(
        SearchIdentity,
        st.dictionaries(names, texts, max_size=3),
        st.lists(names, max_size=3).map(tuple),
        texts,
        st.none() | texts,
        st.none() | st.fractions(Fraction(1, 100), Fraction(99, 100)),
        counts,
        names,
        st.none() | st.dictionaries(names, names, max_size=2),
    )
)
def test_an_identity_comes_back_from_its_json(identity: SearchIdentity) -> None:
    text = json.dumps(identity.to_json())
    again = SearchIdentity.from_json(json.loads(text))
    assert again == identity
    assert json.dumps(again.to_json()) == text


def result_json(**changes: Any) -> dict[str, Any]:
    pool = Pool({"a": "A", "b": "B"}, ("a", "b"))
    one = Scored(0.5, {"math": 0.5}, 10)
    arms = [
        Arm(kind, label, parts, pool.recipe(parts), one, one)
        for kind, label, parts in (
            ("single", "a", {"a": 1}),
            ("single", "b", {"b": 1}),
            ("soce", "soce", {"a": 1, "b": 3}),
        )
    ]
    comparison = Comparison("soce", "a", 0.0, None, None)
    result = SearchResult(
        "mean", "unit", {"name": "grid"}, tuple(arms), (comparison,), (), (), {}, 3, True, None, "a", "a", False, ()
    )  # fmt: skip
    return {**result.to_json(), **changes}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        result_json(arms=[]),
        result_json(arms=[{}]),
        result_json(best_single={"on_selection": "a", "on_report": "z"}),
        result_json(arms=[{**result_json()["arms"][0], "parts": {}}]),
        result_json(arms=[{**result_json()["arms"][0], "parts": {"a": -1}}]),
        result_json(ranked=[{"parts": {"a": 0}, "value": 1.0}]),
        result_json(comparisons=[{"first": "soce"}]),
    ],
)
def test_what_is_no_result_is_refused(data: object) -> None:
    with pytest.raises(StudyError, match="not the result of a search that this version reads"):
        SearchResult.from_json(data)


def test_a_result_of_other_models_is_refused() -> None:
    pool = Pool({"a": "A", "c": "C"}, ("a", "c"))
    with pytest.raises(StudyError, match="a soup of b, not of a, c"):
        SearchResult.from_json(result_json(), pool=pool)


def test_what_a_soup_keeps_of_a_result_is_enough() -> None:
    data = result_json()
    kept = {name: value for name, value in data.items() if name not in {"ranked", "tied", "trace"}}
    assert SearchResult.from_json(kept) == SearchResult.from_json(data)
