"""Win rates and gains by category from outcomes by item: definitions, golden numbers, what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.analysis.gains import category_gains
from soce.analysis.wins import Rate, outcomes_of_failures, win_rates
from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.evidence.interval import paired_interval
from soce.evidence.mcnemar import mcnemar
from soce.exceptions import EvaluationError

Outcomes = dict[str, dict[str, dict[str, float]]]


def of_bits(**bits: str) -> Outcomes:
    return {
        name: {"math": {f"q{place}": float(bit) for place, bit in enumerate(text)}}
        for name, text in bits.items()
    }


# ---- win rates


def test_every_rate_by_hand() -> None:
    found = win_rates(
        of_bits(
            a="1110000011",
            b="1101000011",
            c="1100100010",
            s="1011110010",
        ),
        ["a", "b", "c"],
        "s",
    )
    # fails: q0 0, q1 0, q2 2, q3 2, q4 2, q5 3, q6 3, q7 3, q8 0, q9 1
    assert found.n_items == 10
    assert found.solved == {"a": 5, "b": 5, "c": 4, "s": 6}
    assert found.retention == {"a": Rate(3, 5), "b": Rate(3, 5), "c": Rate(3, 4)}
    assert found.rescue == Rate(1, 3)
    assert found.fails == ((1, Rate(0, 1)), (2, Rate(3, 3)))
    assert found.one_fail == Rate(0, 1)
    assert found.regression == Rate(1, 3)
    assert found.rescued == (("math", "q5"),)
    assert found.lost == (("math", "q1"),)
    assert (found.mcnemar["a"].only_first, found.mcnemar["a"].only_second) == (2, 3)
    assert found.n_tests == 3
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["rescue"]["share"] == 1 / 3


def test_the_paper_s_rescue_is_8_4_percent() -> None:
    share = Rate(32, 380).share
    assert share is not None
    assert f"{100 * share:.3f}" == "8.421"


def test_an_empty_denominator_is_nothing_not_zero() -> None:
    found = win_rates(of_bits(a="11", s="11"), ["a"], "s")
    assert found.rescue == Rate(0, 0)
    assert found.rescue.share is None
    assert found.rescue.to_json() == {"count": 0, "of": 0, "share": None}
    assert found.one_fail is None
    assert found.regression.share == 0
    assert found.mcnemar["a"].p == 1


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(10, 2, 0.0385742188), (32, 12, 0.0036577668), (8, 1, 0.0390625), (5, 5, 1.0), (0, 0, 1.0)],
)
def test_golden_p_values(b: int, c: int, p: float) -> None:
    found = win_rates(of_bits(a="1" * b + "0" * c + "1", s="0" * b + "1" * c + "1"), ["a"], "s").mcnemar["a"]
    assert (found.only_first, found.only_second) == (b, c), "only the parent, then only the soup"
    assert round(found.p, 10) == p


BITS = st.integers(1, 4).flatmap(
    lambda parents: st.lists(st.tuples(*[st.booleans()] * (parents + 1)), min_size=1, max_size=30)
)


@given(BITS)
def test_the_parts_add_up(rows: list[tuple[bool, ...]]) -> None:
    parents = [f"p{place}" for place in range(len(rows[0]) - 1)]
    names = [*parents, "s"]
    outcomes = of_bits(
        **{name: "".join(str(int(row[place])) for row in rows) for place, name in enumerate(names)}
    )
    found = win_rates(outcomes, parents, "s")
    groups = [found.rescue, *(rate for _, rate in found.fails)]
    assert sum(rate.of for rate in groups) + found.regression.of == len(rows)
    solved = sum(rate.count for rate in groups) + found.regression.of - found.regression.count
    assert solved == found.solved["s"] == sum(row[-1] for row in rows)
    assert len(found.rescued) == found.rescue.count
    assert len(found.lost) == found.regression.count
    for name in parents:
        one, soup = (Evaluation.of_items(outcomes[model]) for model in (name, "s"))
        assert found.mcnemar[name] == mcnemar(one, soup, weights={"math": Fraction(1)})
        assert found.retention[name].of - found.retention[name].count == found.mcnemar[name].only_first
    mixed = win_rates(
        {name: {"math": dict(reversed(by["math"].items()))} for name, by in reversed(outcomes.items())},
        parents[::-1],
        "s",
    )
    assert (mixed.rescue, mixed.fails, mixed.regression, mixed.rescued) == (
        found.rescue,
        found.fails,
        found.regression,
        found.rescued,
    )


@given(BITS, st.integers(0, 5))
def test_failures_alone_are_enough(rows: list[tuple[bool, ...]], more: int) -> None:
    parents = [f"p{place}" for place in range(len(rows[0]) - 1)]
    names = [*parents, "s"]
    rows = [*rows, *[(True,) * len(names)] * more]
    outcomes = of_bits(
        **{name: "".join(str(int(row[place])) for row in rows) for place, name in enumerate(names)}
    )
    failures = {
        name: {"math": [item for item, outcome in by["math"].items() if not outcome]}
        for name, by in outcomes.items()
    }
    found = win_rates(outcomes_of_failures(failures, {"math": len(rows)}), parents, "s")
    assert found.to_json() == win_rates(outcomes, parents, "s").to_json()


def test_failures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EvaluationError, match="`a` fails items of category `code`, whose number"):
        outcomes_of_failures({"a": {"code": ["q"]}}, {"math": 3})
    with pytest.raises(EvaluationError, match="category `math` has 1 item, and 2 different failures"):
        outcomes_of_failures({"a": {"math": ["q"]}, "b": {"math": ["r"]}}, {"math": 1})
    named = outcomes_of_failures({"a": {"math": ["solved by all 1"]}}, {"math": 2})["a"]["math"]
    assert named == {"solved by all 1": 0.0, "solved by all 2": 1.0}


def test_graded_outcomes_need_a_limit() -> None:
    graded = {"a": {"m": {"x": 0.5, "y": 1.0}}, "s": {"m": {"x": 0.6, "y": 0.4}}}
    with pytest.raises(EvaluationError, match=r"`a`, category `m`, item `x`: the outcome is 0\.5"):
        win_rates(graded, ["a"], "s")
    found = win_rates(graded, ["a"], "s", solved_at=0.5)
    assert (found.solved, found.retention["a"]) == ({"a": 2, "s": 1}, Rate(1, 2))


def test_evaluations_are_outcomes_too() -> None:
    bits = of_bits(a="110", s="101")
    found = win_rates({name: Evaluation.of_items(one) for name, one in bits.items()}, ["a"], "s")
    assert found == win_rates(bits, ["a"], "s")


TAGS = Corpus(CorpusMetric("f1"), {"x": (1, 0, 0), "y": (0, 1, 0)})


def test_categories_of_corpora_are_left_out_and_told() -> None:
    bits = of_bits(a="110", s="101")
    scored = {name: Evaluation.of_items({"tags": TAGS, **bits[name]}, scale=None) for name in ("a", "s")}
    found = win_rates(scored, ["a"], "s")
    assert found.left_out == ("tags",)
    assert replace(found, left_out=()) == win_rates(bits, ["a"], "s")
    gains = category_gains(scored, "s", ["a"])
    assert [gain.against_best.interval is None for gain in gains.categories] == [False, False]


@pytest.mark.parametrize(
    ("outcomes", "parents", "expected"),
    [
        (
            {name: Evaluation.of_items({"tags": TAGS}, scale=None) for name in ("a", "s")},
            ["a"],
            "no item is solved or failed by `a`: its scores are `f1` of whole corpora",
        ),
        (of_bits(a="1", s="1"), [], "there is no parent"),
        (of_bits(a="1", s="1"), ["a", "a"], "`a` is named twice"),
        (of_bits(a="1", s="1"), ["s"], "among its own parents"),
        (of_bits(a="1", s="1"), ["b"], "there is no outcome of `b`"),
        (of_bits(a="11", s="1"), ["a"], "1 are in one only, the first is `math/q1` of `a`"),
        ({"a": {}, "s": {}}, ["a"], "`a` has no items"),
        ({"a": {"m": {"x": math.nan}}, "s": {"m": {"x": 1.0}}}, ["a"], "the outcome is nan"),
        (
            {"a": Evaluation({"m": CategoryScore(0.5)}), "s": Evaluation({"m": CategoryScore(0.5)})},
            ["a"],
            "do not tell items apart",
        ),
        (
            {
                name: Evaluation.of_items({"loss": {"x": 1.0}}, higher_is_better={"loss": False})
                for name in ("a", "s")
            },
            ["a"],
            "lower is better in category `loss`",
        ),
    ],
)
def test_outcomes_without_win_rates_are_refused(
    outcomes: Outcomes, parents: list[str], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected) as caught:
        win_rates(outcomes, parents, "s")
    assert caught.value.problems[0].hint


# ---- gains

SCORED = {
    name: Evaluation.of_items(
        {
            "math": {f"q{i}": float(bit) for i, bit in enumerate(math_)},
            "code": {f"r{i}": float(bit) for i, bit in enumerate(code)},
        },
        scale="percent",
    )
    for name, math_, code in (("a", "11110000", "1000"), ("b", "10100000", "1110"), ("s", "11110110", "1100"))
}


def test_gains_against_the_best_and_against_each() -> None:
    found = category_gains(SCORED, "s", ["b", "a"])
    math_, code = found.categories
    assert (math_.category, math_.soup, math_.best_single, code.best_single) == ("math", 75.0, "a", "b")
    assert [gain.difference for gain in math_.against] == [50.0, 25.0]
    assert (code.against_best.difference, code.against_best.percentage_points) == (-25.0, -25.0)
    expected = paired_interval(SCORED["s"], SCORED["a"], weights={"math": Fraction(1)})
    assert math_.against_best.interval == expected
    assert found == category_gains(SCORED, "s", ["b", "a"])
    assert found.notes == (
        "4 intervals of 95 % each: about 0.2 of them are expected to miss the true difference",
    )
    json.dumps(found.to_json(), allow_nan=False)


def test_gains_of_shares_are_told_in_points_and_of_losses_turned_round() -> None:
    def scored(outcome: float, loss: float) -> Evaluation:
        return Evaluation.of_items(
            {"math": {"q": outcome}, "loss": {"r": loss}},
            higher_is_better={"loss": False},
            geometric=["loss"],
        )

    found = category_gains({"a": scored(0.25, 4.0), "s": scored(0.5, 2.0)}, "s", ["a"])
    assert [gain.against_best.difference for gain in found.categories] == pytest.approx(
        [0.25, 2.0], abs=1e-12
    )
    assert [gain.against_best.percentage_points for gain in found.categories] == [25.0, None]
    assert found.categories[1].against_best.interval is not None
    assert found.categories[1].against_best.interval.difference == pytest.approx(2.0, abs=1e-12)
    assert found.categories[1].against_best.is_clear is False, "one item shows nothing"


def test_gains_without_items_have_no_interval() -> None:
    bare = {name: Evaluation(one.categories, None, "percent") for name, one in SCORED.items()}
    found = category_gains(bare, "s", ["a"])
    assert found.categories[0].against_best.interval is None
    assert found.categories[0].against_best.is_clear is None
    assert found.notes == ("no intervals, as there are no outcomes by item: `math`, `code`",)


@pytest.mark.parametrize(
    ("singles", "change", "expected"),
    [
        ([], {}, "there is no single model"),
        (["a", "a"], {}, "`a` is named twice"),
        (["c"], {}, "there is no evaluation of `c`"),
        (
            ["a"],
            {"a": Evaluation.of_items({"math": {"q0": 1}}, scale="percent")},
            "only `s` has a score in category `code`",
        ),
        (["a"], {"a": Evaluation.of_items(SCORED["a"].items or {})}, "on the scale unit"),
        (
            ["a"],
            {"a": Evaluation.of_items({"math": {"q0": 1}, "code": {"r0": 1}}, scale="percent")},
            "7 items were scored for one model only",
        ),
    ],
)
def test_gains_of_what_cannot_be_compared_are_refused(
    singles: list[str], change: dict[str, Evaluation], expected: str
) -> None:
    with pytest.raises(EvaluationError, match=expected):
        category_gains({**SCORED, **change}, "s", singles)
