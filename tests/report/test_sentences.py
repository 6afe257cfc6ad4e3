"""Every sentence of report and card stands in the worlds where it is true, and not in those where it is false."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from soce.analysis.gains import category_gains
from soce.analysis.overfit import check_overfit
from soce.analysis.parents import Family, compare_with_parents
from soce.evaluate.evaluation import Evaluation, Scale
from soce.evidence.interval import PairedInterval, ScoreInterval
from soce.report import sentences
from soce.scores.objective import parse_objective
from soce.scores.table import Column, ScoreTable
from soce.search.arms import PlannedArm, best_single, compare_arms, make_arm, planned_arms
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.scoring import exact_objective, table_of
from soce.search.strategies.space import ScoredSoup
from soce.search.verdict import ExpertsSaw

CATEGORIES = ("math", "code")
ARMS = {"a": 20, "b": 18, "c": 5, "all": 12, "equal": 24, "soup": 30}
"""Items of 40 that each arm solves in every category; the soup is 3/4 a + 1/4 b."""


def evaluation(solved: int, n: int, *, scale: Scale | None, has_items: bool, is_lower: bool) -> Evaluation:
    """Return that of a model that solves the first items of each category."""
    outcomes = {name: {f"{name}-{i}": float(i < solved) for i in range(n)} for name in CATEGORIES}
    lower = dict.fromkeys(CATEGORIES, False) if is_lower else {}
    found = Evaluation.of_items(outcomes, scale=scale, higher_is_better=lower)
    return found if has_items else Evaluation(found.categories, None, scale, lower)


def world(
    *,
    n: int = 40,
    experts: str = "ab",
    saw: ExpertsSaw = "other items",
    is_optimistic: bool = False,
    scale: Scale | None = "unit",
    has_items: bool = True,
    is_lower: bool = False,
    parts: Mapping[str, int] | None = None,
    **reported: int,
) -> SearchResult:
    """Return the result of a search, by how many of n reported items each arm solves in every category."""
    models, goal = Pool({name: name for name in "abc"}, tuple(experts)), parse_objective("mean")
    soup = parts or ({"a": 3, "b": 1} if len(experts) > 1 else {"a": 1})
    planned = [*planned_arms(models), PlannedArm.of("soce", soup, models)]
    looks: dict[str, Any] = {"scale": scale, "has_items": has_items, "is_lower": is_lower}

    def scored(solved: Mapping[str, int], n_items: int) -> list[Evaluation]:
        equal = "all" if len(experts) == 3 else "equal"
        names = {"uniform-all": "all", "uniform-selected": equal, "soce": "soup"}
        return [
            evaluation(solved[names.get(one.kind, "".join(one.parts))], n_items, **looks) for one in planned
        ]

    there = {name: 40 - solved if is_lower else solved for name, solved in ARMS.items()}
    held_out = scored({**there, **reported}, n)
    chosen = held_out if is_optimistic else scored(there, 40)
    arms = [
        make_arm(arm, pool=models, objective=goal, selection=one, report=other)
        for arm, one, other in zip(planned, chosen, held_out, strict=True)
    ]
    by_label = {arm.label: one for arm, one in zip(arms, held_out, strict=True)}
    comparisons, notes = compare_arms(arms, by_label, goal, draws=100, seed=0)
    values = {label: exact_objective(goal, one) for label, one in by_label.items()}
    best = best_single(arms, values).label
    return SearchResult(
        objective="mean",
        scale=scale,
        strategy={"name": "grid"},
        arms=tuple(arms),
        comparisons=comparisons,
        ranked=(),
        tied=(),
        trace={},
        n_candidates=9 if len(experts) > 1 else 1,
        is_optimistic=is_optimistic,
        split=None,
        best_single_selection=best,
        best_single_report=best,
        notes=notes,
        experts_saw=saw,
    )


# ---- what was measured


@pytest.mark.parametrize(("fewest", "is_normal"), [([40, 40], False), ([40, None], True), ([None], True)])
def test_what_the_lines_at_scores_are(fewest: list[int | None], is_normal: bool) -> None:
    said = sentences.of_own_intervals([ScoreInterval(0.5, 0.4, 0.6, 0.95, one) for one in fewest])
    assert said.startswith("Lines are 95 % intervals of each score alone")
    assert ("standard errors" in said) == is_normal


def test_what_it_is() -> None:
    assert sentences.what_it_is(world()).endswith(
        ": an exact average of 2 checkpoints, of the shape and size of each of them."
    )
    other = replace(world(), merge={"dtype": "float32"})
    assert sentences.what_it_is(other).endswith(": an exact average of 2 checkpoints.")
    alike = replace(world(), merge={"follow_links": True})
    assert "of the shape and size" in sentences.what_it_is(alike)
    alone = sentences.what_it_is(world(experts="a"))
    assert alone == "The soup is the model `a` itself: no average was taken."


@pytest.mark.parametrize(
    ("saw", "there", "absent"),
    [
        ("other items", "no part in choosing experts or weights", "not known"),
        ("stated", "as was stated, the experts", "not known"),
        ("unknown", "whether experts were chosen on them is not known", "experts or weights"),
        ("these items", "the experts were chosen on them", "not known"),
    ],
)
def test_what_the_items_were_to_the_choice(saw: ExpertsSaw, there: str, absent: str) -> None:
    for said in (sentences.where_measured(world(saw=saw)), sentences.held_out(world(saw=saw))):
        assert there in said
        assert absent not in said
        assert "optimistic" not in said


def test_items_that_chose_the_soup_never_played_no_part() -> None:
    found = world(is_optimistic=True)
    assert sentences.where_measured(found).endswith("on 80 items and is reported on the same ones.")
    assert sentences.held_out(found).endswith("the figures are optimistic.")
    for said in (sentences.where_measured(found), sentences.held_out(found)):
        assert "no part" not in said


def test_on_how_many_items_soups_were_compared() -> None:
    tried = tuple(ScoredSoup({"a": 1, "b": part}, 0.5) for part in range(1, 10))
    found = replace(world(), ranked=tried)
    assert sentences.how_compared(found) == "grid, on 80 items"
    halved = replace(found, ranked=tried[:3], strategy={"name": "halving"})
    assert sentences.how_compared(halved) == "halving, on at most 80 items"


def test_items_that_nobody_counted() -> None:
    found = world()
    best = replace(found.best, report=replace(found.best.report, n_items=None))
    said = sentences.where_measured(replace(found, arms=(*found.arms[:-1], best)))
    assert "is reported on an unknown number of items that" in said


def test_the_best_of_many_is_the_best_of_more_than_one() -> None:
    assert sentences.many_tried(world()) is not None
    assert sentences.many_tried(world(experts="a")) is None


def test_a_difference_has_its_interval_or_says_that_it_has_none() -> None:
    found = world()
    said = sentences.interval_of(found, found.against_best)
    assert re.fullmatch(r"95 % interval \[[+−]\d+\.\d\d, [+−]\d+\.\d\d\] pp", said)
    without = world(has_items=False)
    assert sentences.interval_of(without, without.against_best) == "no outcomes by item, so no interval"
    scaleless = world(scale=None)
    assert "pp" not in sentences.interval_of(scaleless, scaleless.against_best)
    alone = world(experts="a")
    assert sentences.interval_of(alone, alone.against_best) == "one and the same model"


def test_scores_of_which_less_is_better_are_named() -> None:
    assert sentences.of_the_direction(world()) is None
    said = sentences.of_the_direction(replace(world(), lower_is_better=("math", "code")))
    assert said == "Lower is better in `math`, `code`, which the objective counts with a minus sign."


# ---- what selection and weights add

HIGHER = "The searched weights score higher than equal ones: "
LOWER = "The searched weights score lower than equal ones: "
UNDECIDED = "The interval of searched minus equal weights includes 0, so neither is shown to be better: "


@pytest.mark.parametrize("scale", ["unit", "percent", None])
@pytest.mark.parametrize("is_lower", [False, True])
@pytest.mark.parametrize(
    ("soup", "equal", "begins"),
    [(36, 20, HIGHER), (20, 36, LOWER), (30, 30, UNDECIDED), (31, 30, UNDECIDED), (29, 30, UNDECIDED)],
)
def test_searched_against_equal_weights(
    soup: int, equal: int, begins: str, scale: Scale | None, is_lower: bool
) -> None:
    if is_lower:  # the objective is negative, and what solves less is better
        soup, equal = 40 - soup, 40 - equal
    said = sentences.of_the_weights(world(soup=soup, equal=equal, scale=scale, is_lower=is_lower))
    assert said is not None
    assert said.startswith(begins)
    assert said.endswith("on the held-out items.")
    assert (" pp" in said) == (scale is not None)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 1, "soup": 1, "equal": 0},
        {"n": 19, "soup": 19, "equal": 0},
        {"has_items": False, "soup": 36, "equal": 20},
        {"is_optimistic": True, "soup": 36, "equal": 20},
        {"experts": "a"},
    ],
    ids=["one item", "too few items", "no outcomes", "optimistic", "one expert"],
)
def test_nothing_is_said_of_the_weights(changes: dict[str, Any]) -> None:
    found = world(**changes)
    assert sentences.of_the_weights(found) is None
    assert sentences.of_the_experts(found) is None


def test_a_search_that_chose_equal_weights_says_so() -> None:
    said = sentences.of_the_weights(world(parts={"a": 2, "b": 2}))
    assert said == "Of all weights that were tried, the search chose equal ones."


def test_the_choice_of_the_experts_made_the_larger_difference() -> None:
    said = sentences.of_the_experts(world(all=8, equal=30, soup=31))
    assert said is not None
    assert said.startswith("Which models went in made a larger difference on the held-out items than")
    assert sentences.of_the_experts(world(all=8, equal=30, soup=31, saw="stated")) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"all": 29, "equal": 30, "soup": 31},
        {"all": 32, "equal": 30, "soup": 31},
        {"all": 24, "equal": 30, "soup": 38},
        {"all": 24, "equal": 30, "soup": 20},
        {"all": 8, "equal": 30, "soup": 31, "saw": "unknown"},
        {"all": 8, "equal": 30, "soup": 31, "saw": "these items"},
        {"experts": "abc"},
    ],
    ids=[
        "too near",
        "worse",
        "weights as large",
        "weights lose as much",
        "unknown",
        "seen",
        "all are experts",
    ],
)
def test_the_choice_of_the_experts_is_not_said_to_matter_more(changes: dict[str, Any]) -> None:
    assert sentences.of_the_experts(world(**changes)) is None


def test_soups_that_are_near() -> None:
    far, near = (PairedInterval(-0.1, -0.2, high, 0.95, 80, 40, 39.0, 0.1) for high in (-0.01, 0.0))
    assert sentences.of_soups_near([]) is None
    assert sentences.of_soups_near([far, far]) is None
    said = sentences.of_soups_near([far, near, far])
    assert said is not None
    assert said.startswith("Of 3 other soups, 1 cannot be told from")


@pytest.mark.parametrize(
    ("low", "high", "is_expected"), [(-0.2, -0.1, True), (-0.2, 0.1, False), (0.1, 0.2, False)]
)
def test_a_soup_that_falls_further_than_single_models(low: float, high: float, is_expected: bool) -> None:
    change = PairedInterval((low + high) / 2, low, high, 0.95, 80, 40, 39.0, (high - low) / 2)
    said = sentences.of_the_change(world(), change)
    assert said is not None
    assert ("falls further" in said) == is_expected
    assert f"[{100 * low:+.2f}".replace("-", "−") in said


def test_nothing_is_said_of_a_fall_that_nobody_measured() -> None:
    change = PairedInterval(-0.15, -0.2, -0.1, 0.95, 80, 40, 39.0, 0.05)
    said = sentences.of_the_change(world(), None)
    assert said is not None
    assert "interval" not in said
    assert sentences.of_the_change(world(is_optimistic=True), change) is None
    few = sentences.of_the_change(world(), replace(change, fewest=19))
    assert few is not None
    assert "falls further" not in few
    alone = sentences.of_the_change(world(experts="a"), change)
    assert alone is not None
    assert "falls further" not in alone  # nothing was chosen among several


# ---- category by category, benchmark by benchmark


def categories(*, soup: int, best: int, has_items: bool = True, is_lower: bool = False) -> str:
    """Return what is said of a soup of a and b in two categories of 100 items."""
    solved = {"a": best, "b": min(10, best), "soup": soup}
    lower = dict.fromkeys(CATEGORIES, False) if is_lower else {}
    found = {}
    for name, n in solved.items():
        outcomes = {one: {str(i): float((i < n) != is_lower) for i in range(100)} for one in CATEGORIES}
        found[name] = Evaluation.of_items(outcomes, higher_is_better=lower)
        if not has_items:
            found[name] = Evaluation(found[name].categories, None, "unit", lower)
    counts = compare_with_parents(table_of(found), [Family(("a", "b"), "soup")])
    gains = category_gains(found, "soup", ["a", "b"])
    return sentences.of_the_categories(counts.families[0], gains, where="held-out items")


@pytest.mark.parametrize("is_lower", [False, True])
@pytest.mark.parametrize(
    ("soup", "n_better", "n_sure", "n_worse"), [(90, 2, 2, 0), (51, 2, 0, 0), (50, 0, 0, 0), (5, 0, 0, 2)]
)
def test_categories_in_which_a_soup_is_better(
    soup: int, n_better: int, n_sure: int, n_worse: int, is_lower: bool
) -> None:
    said = categories(soup=soup, best=50, is_lower=is_lower)
    assert f"better than each of its ingredients in {n_better} of 2 categories" in said
    assert f"worse than each in {n_worse}." in said
    assert f"In {n_sure} the 95 % intervals" in said
    assert ("it equals the best of them" in said) == (soup == 50)


def test_without_outcomes_no_category_is_sure() -> None:
    assert "interval" not in categories(soup=90, best=50, has_items=False)


def test_one_model_that_is_best_everywhere_is_no_committee() -> None:
    assert sentences.rivals(["a", "a", "a"]).endswith("chosen with hindsight on these items.")
    assert sentences.rivals(["a", "b", "a"]).endswith(": 2 models against one soup.")


@pytest.mark.parametrize(
    ("x", "took_part", "said"),
    [
        (
            1,
            [],
            "On 2 benchmarks that took no part, the soup never scores worse than each ingredient.",
        ),
        (0, [], "The soup scores worse than each ingredient on `x`."),
        (
            0,
            ["x"],
            "On 1 benchmark that took no part, the soup never scores worse than each ingredient.",
        ),
        (math.nan, ["y"], None),
    ],
)
def test_other_benchmarks(x: float, took_part: list[str], said: str | None) -> None:
    scores = np.array([[1.0, 2.0], [2.0, 3.0], [x, 2.0]])
    table = ScoreTable(("a", "b", "soup"), (Column("x"), Column("y")), scores)
    check = check_overfit(table, "soup", ["a", "b"], took_part=took_part)
    assert sentences.of_other_benchmarks(check) == said
