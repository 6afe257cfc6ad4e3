"""The result of a search and what it belongs to come back from JSON exactly as they were."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.cli.text.search import verdict_lines
from soce.evidence.interval import PairedInterval
from soce.evidence.mcnemar import McNemar
from soce.evidence.sign_flip import SignFlip
from soce.exceptions import StudyError
from soce.search.arm import Arm, ArmComparison, ArmScore
from soce.search.identity import SearchIdentity
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.strategies.space import ScoredSoup
from soce.search.verdict import ExpertsSaw

POOL = Pool({"b": "path/B", "a": "path/A", "\u00fc <c>": "path/C"}, ("b", "a"))
LABELS = (*POOL.names, "uniform-all", "uniform-selected", "soce")

names = st.text('a\u00e9\u4e2d"\\\n', min_size=1, max_size=3)
numbers = st.floats(-1e6, 1e6)
counts = st.integers(0, 10_000)
maybe = st.none() | numbers
texts = st.dictionaries(names, st.none() | names | counts, max_size=2)
soups = st.dictionaries(st.sampled_from(POOL.names), st.integers(1, 20), min_size=1)
scored = st.builds(ArmScore, numbers, st.dictionaries(names, numbers, max_size=2), st.none() | counts, maybe)
tried = st.lists(st.builds(ScoredSoup, soups, numbers), max_size=2).map(tuple)
comparisons = st.builds(
    ArmComparison,
    st.sampled_from(LABELS),
    st.sampled_from(LABELS),
    numbers,
    maybe,
    maybe,
    st.none() | st.builds(PairedInterval, *[numbers] * 4, counts, counts, numbers, numbers, st.tuples(names)),
    st.none() | st.builds(SignFlip, numbers, counts, counts),
    st.none() | st.builds(McNemar, counts, counts, numbers),
)
against_best = st.builds(ArmComparison, st.just("soce"), st.just("a"), numbers, maybe, maybe)


def arm(label: str) -> st.SearchStrategy[Arm]:
    def made(parts: dict[str, int], selection: ArmScore, report: ArmScore) -> Arm:
        kind = "single" if label in POOL.names else label
        return Arm(kind, label, parts, POOL.recipe(parts), selection, report)

    return st.builds(made, soups, scored, scored)


results = st.builds(
    SearchResult,
    objective=names,
    scale=st.sampled_from(["unit", "percent", None]),
    strategy=st.builds(lambda name, more: {**more, "name": name}, names, texts),
    arms=st.tuples(*map(arm, LABELS)),
    comparisons=st.builds(lambda *several: several, comparisons, against_best),
    ranked=tried,
    tied=tried,
    trace=texts,
    n_candidates=counts,
    is_optimistic=st.booleans(),
    split=st.none() | texts,
    best_single_selection=st.sampled_from(POOL.names),
    best_single_report=st.just("a"),
    notes=st.lists(names, max_size=2).map(tuple),
    experts_saw=st.sampled_from(get_args(ExpertsSaw)),
    n_evaluated=st.just(0),
)


@given(results)
def test_a_result_comes_back_from_its_json(result: SearchResult) -> None:
    text = json.dumps(result.to_json(), allow_nan=False)
    again = SearchResult.from_json(json.loads(text), pool=POOL)
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
    one = ArmScore(0.5, {"math": 0.5}, 10)
    arms = [
        Arm(kind, label, parts, pool.recipe(parts), one, one)
        for kind, label, parts in (
            ("single", "a", {"a": 1}),
            ("single", "b", {"b": 1}),
            ("soce", "soce", {"a": 1, "b": 3}),
        )
    ]
    comparison = ArmComparison("soce", "a", 0.0, None, None)
    result = SearchResult(
        "mean", "unit", {"name": "grid"}, tuple(arms), (comparison,), (), (), {}, 3, True, None, "a", "a", ()
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
    with pytest.raises(StudyError, match="not the result of a search that this version reads") as refused:
        SearchResult.from_json(data)
    assert "\\u{a}" not in str(refused.value), "one line, not what a library prints over several"


def test_a_result_of_other_models_is_refused() -> None:
    pool = Pool({"a": "A", "c": "C"}, ("a", "c"))
    with pytest.raises(StudyError, match="a soup of b, not of a, c"):
        SearchResult.from_json(result_json(), pool=pool)


def test_what_a_soup_keeps_of_a_result_is_enough() -> None:
    data = result_json()
    kept = {name: value for name, value in data.items() if name not in {"ranked", "tied", "trace"}}
    assert SearchResult.from_json(kept) == SearchResult.from_json(data)


def test_arms_that_are_cut_differently_are_told_before_the_verdict() -> None:
    older = result_json()
    assert "truncation" not in older["arms"][0]["report"]
    assert "caution" not in older
    assert SearchResult.from_json(older).caution is None
    data = result_json()
    for label, n_cut in (("a", 31), ("b", 2), ("soce", 2)):
        (arm,) = (one for one in data["arms"] if one["label"] == label)
        arm["report"] = {**arm["report"], "truncation": {"math": {"n_cut": n_cut, "n_texts": 100}}}
    result = SearchResult.from_json(data)
    told = "In `math` 31 of 100 texts of `a` ended by length, and 2 of 100 of `soce`"
    assert str(result.caution).startswith(told)
    lines = verdict_lines(result)
    assert lines[0].startswith("In `math` 31 of 100 texts of `a`")
    assert [line for line in lines if line.startswith("The soup")]
    again = result.to_json()
    assert again["caution"] == result.caution
    assert SearchResult.from_json(json.loads(json.dumps(again))) == result
    alike = [{**arm, "report": data["arms"][0]["report"]} for arm in data["arms"]]
    assert SearchResult.from_json({**data, "arms": alike}).caution is None
