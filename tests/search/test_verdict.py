"""Words of the verdict, each with worlds in which they must not be said."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.landscapes import Landscape, Smooth, pool, search_with, shares

from soce.cli.text.search import result_lines, verdict_lines
from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.evidence.interval import PairedInterval
from soce.recipes.model import Recipe
from soce.report.card.scores import score_lines
from soce.search.items import split_items
from soce.search.result import SearchResult
from soce.search.verdict import FEWEST_ITEMS, ExpertsSaw, Kind, Verdict


def interval(low: float, high: float, fewest: int = 100) -> PairedInterval:
    return PairedInterval((low + high) / 2, low, high, 0.95, 2 * fewest, fewest, 50.0, (high - low) / 2)


SHOWN = Verdict(
    soup=85.0,
    single=66.0,
    model="a",
    difference=19.0,
    scale="percent",
    interval=interval(12.0, 26.0),
    is_optimistic=False,
    experts_saw="other items",
)


def test_beats_is_said_of_a_difference_that_is_shown() -> None:
    assert SHOWN.kind == "beats"
    assert SHOWN.text == (
        "The soup beats the best single model: 85.00 against 66.00 (a) on the held-out items"
    )


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"interval": interval(-1.0, 39.0)}, "not shown", "scores higher than the best single model, but no"),
        ({"interval": interval(0.0, 38.0)}, "not shown", "no difference is shown: 85.00 against 66.00 (a)"),
        ({"difference": 0.0, "soup": 66.0}, "equal", "does not beat the best single model, it equals it"),
        ({"difference": -1.0, "soup": 65.0}, "lower", "does not beat the best single model: 65.00 against"),
        (
            {"interval": interval(12.0, 26.0, FEWEST_ITEMS - 1)},
            "too few items",
            "on too few items to say more: 85.00 against 66.00 (a) on the held-out items, 19 in the smallest",
        ),
        ({"is_optimistic": True}, "chosen here", "(a) on the items it was chosen on"),
        ({"experts_saw": "these items"}, "chosen here", "held-out items; experts were chosen on these items"),
        (
            {"interval": None},
            "no outcomes",
            "nothing shows a difference: 85.00 against 66.00 (a) on the held-out items, without outcomes by",
        ),
        ({"interval": None, "is_optimistic": True}, "no outcomes", "the items it was chosen on, without out"),
        (
            {"only": "b", "soup": 60.0, "difference": -6.0},
            "one model",
            "kept one model and no soup: b, with 60",
        ),
        ({"only": "a", "soup": 66.0, "difference": 0.0}, "one model", "a, the best single model, with 66.00"),
    ],
)
def test_beats_is_said_of_nothing_else(change: dict[str, Any], kind: Kind, words: str) -> None:
    verdict = replace(SHOWN, **change)
    assert verdict.kind == kind
    assert words in verdict.text
    assert not verdict.text.startswith("The soup beats")


@pytest.mark.parametrize(
    ("saw", "words"),
    [
        ("unknown", "on the held-out items; experts may have been chosen on these items"),
        ("stated", "on the held-out items; experts were chosen on other items, as stated"),
        ("these items", "on the held-out items; experts were chosen on these items"),
        ("other items", "on the held-out items"),
    ],
)
def test_the_line_says_what_is_known_of_the_experts_items(saw: ExpertsSaw, words: str) -> None:
    assert replace(SHOWN, experts_saw=saw).text.endswith(words)
    assert "experts" not in replace(SHOWN, experts_saw=saw, only="a").text  # nothing was chosen among


verdicts = st.builds(
    Verdict,
    soup=st.just(1.0),
    single=st.just(1.0),
    model=st.just("a"),
    difference=st.floats(-1, 1),
    scale=st.sampled_from(["unit", "percent", None]),
    interval=st.none() | st.builds(interval, st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 40)),
    is_optimistic=st.booleans(),
    experts_saw=st.sampled_from(get_args(ExpertsSaw)),
    only=st.none() | st.just("a"),
)


@given(verdicts)
def test_beats_needs_all_of_it_at_once(verdict: Verdict) -> None:
    found = verdict.interval
    is_shown = (
        verdict.difference > 0
        and found is not None
        and found.low > 0
        and found.fewest >= FEWEST_ITEMS
        and not verdict.is_optimistic
        and verdict.experts_saw != "these items"
        and verdict.only is None
    )
    assert (verdict.kind == "beats") == is_shown == verdict.text.startswith("The soup beats")


def test_scores_are_written_so_that_one_sees_which_is_higher() -> None:
    close = replace(SHOWN, soup=20.0004, single=20.0, difference=0.0004, interval=None)
    assert "20.0004 against 20.0000 (a)" in close.text
    equal = replace(SHOWN, soup=20.0, single=20.0, difference=0.0)
    assert "20.00 against 20.00 (a)" in equal.text
    shares_of_one = replace(SHOWN, soup=0.5, single=0.25, difference=0.25, scale="unit")
    assert "50.00 against 25.00 (a)" in shares_of_one.text


# ---- of searches


class NoOutcomes(Landscape):
    """Scores with their numbers of items, and nothing by item."""

    def __init__(self, *, counts: bool = True) -> None:
        super().__init__(has_items=False)
        self.counts = counts

    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        found = super().score(recipe, **options)
        scores = {
            name: CategoryScore(one.score, one.n if self.counts else None)
            for name, one in found.categories.items()
        }
        return Evaluation(scores, None, "percent")


class Turned(Smooth):
    """Model a is the best on the items to choose on, b by a little on those to report on."""

    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        items, weights = options["items"], shares(recipe)
        return Evaluation.of_items(
            {
                name: {
                    item: 0.7
                    * (self.quality(weights, name) + 0.4 * weights.get("b", 0) * (item in self.held_out))
                    for item in ids
                }
                for name, ids in items.items()
            },
            scale="percent",
        )

    @cached_property
    def held_out(self) -> set[str]:
        return {item for ids in split_items(self.items).held_out.values() for item in ids}


def searched(tmp_path: Path, landscape: Landscape, **options: Any) -> SearchResult:
    return search_with(pool(tmp_path), landscape, folder=tmp_path / "run", draws=100, **options)


class Close(Landscape):
    """Every soup is better than every model, by a ten-thousandth of a point."""

    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        better = 1e-6 * (len(shares(recipe)) > 1)
        items = {name: dict.fromkeys(ids, 0.2 + better) for name, ids in options["items"].items()}
        return Evaluation.of_items(items, scale="percent")


def test_no_difference_is_rounded_to_nothing(tmp_path: Path) -> None:
    found = searched(tmp_path, Close())
    assert "20.0001 against 20.0000 (a)" in found.verdict
    lines = [*result_lines(found), *verdict_lines(found), found._repr_html_(), *score_lines(found)]
    assert any("a difference of +0.0001 pp" in line for line in lines)
    assert not re.search(r"[+-]0\.00(?!\d)", "\n".join(lines))
    (own,) = (line.split() for line in lines if line.split()[:3] == ["a", "20.00", "20.00"])
    assert own[3] == "0.00", "the best single model differs from itself by nothing"


class Unlike(Landscape):
    """Shares of 1 in one category, and a perplexity in the other."""

    def score(self, recipe: Recipe, **options: Any) -> Evaluation:
        wanted = options["items"]
        found = super().score(recipe, items=wanted).items or {}
        surprise = {"code": {item: 12.0 - outcome for item, outcome in found["code"].items()}}
        return Evaluation.of_items(
            {**found, **surprise}, scale="unit", higher_is_better={"code": False}, geometric={"code"}
        )


@pytest.mark.parametrize("objective", ["mean", "column:code", "column:math"])
def test_a_perplexity_among_shares_is_no_percentage(tmp_path: Path, objective: str) -> None:
    found = searched(tmp_path, Unlike(n_items=60), objective=objective)
    assert (found.scale, found.unit, found.times) == (None, "", 1.0)
    assert {one.percentage_points for one in found.comparisons} == {None}
    assert not any("pp" in line or "percent" in line for line in result_lines(found))


def test_a_model_differs_from_itself_without_a_standard_error(tmp_path: Path) -> None:
    models = pool(tmp_path, "a", others="bc")
    found = search_with(models, NoOutcomes(), folder=tmp_path / "run", draws=100, share=None)
    assert found.best_single_report == "a"
    assert verdict_lines(found)[-1] == "a difference of 0.00 pp"


def test_items_are_those_of_the_categories_that_count(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape(n_items=60), objective="column:math")
    assert (found.best.selection.n_items, found.best.report.n_items) == (30, 30)
    assert "items      30 to choose on, 30 held out" in result_lines(found)
    assert "to choose on (30 items)" in "\n".join(score_lines(found))


def test_a_difference_on_few_items_is_not_called_better(tmp_path: Path) -> None:
    found = searched(tmp_path, Smooth(n_items=2 * FEWEST_ITEMS - 2))
    assert found.scores_higher
    assert not found.beats_best_single
    data = found.to_json()
    assert (data["verdict_kind"], data["beats_best_single"], data["scores_higher"]) == (
        "too few items",
        False,
        True,
    )
    assert SearchResult.from_json(data).judgement == found.judgement
    enough = search_with(
        pool(tmp_path), Smooth(n_items=2 * FEWEST_ITEMS), folder=tmp_path / "enough", draws=100
    )
    assert enough.beats_best_single


def test_without_outcomes_nothing_is_shown_but_errors_from_counts_are(tmp_path: Path) -> None:
    found = searched(tmp_path, NoOutcomes())
    assert found.judgement.kind == "no outcomes"
    first, second = (found.arm(label).report for label in (found.best.label, found.best_single_report))
    shares_of_one = [(score / 100, 200) for score in second.categories.values()]
    expected = 100 * sum(p * (1 - p) / n / 4 for p, n in shares_of_one) ** 0.5
    assert second.stderr == pytest.approx(expected)
    assert first.stderr is not None
    text = " ".join(" ".join(verdict_lines(found)).split())
    assert f"standard error {(first.stderr**2 + expected**2) ** 0.5:.2f} pp (unpaired" in text
    assert any("s.e." in line for line in result_lines(found))
    unknown = search_with(pool(tmp_path), NoOutcomes(counts=False), folder=tmp_path / "unknown", draws=100)
    assert unknown.judgement.kind == "no outcomes"
    assert unknown.best.report.stderr is None
    assert "standard error" not in " ".join(verdict_lines(unknown))


def test_every_difference_that_is_printed_has_its_interval(tmp_path: Path) -> None:
    found = search_with(pool(tmp_path, others="d"), Landscape(), folder=tmp_path / "run", draws=100)
    best = found.best_single_report
    assert all(one.interval is not None for one in found.comparisons)
    pairs = {(one.first, one.second) for one in found.comparisons}
    assert {(arm.label, best) for arm in found.arms if arm.label != best} <= pairs
    frame = found.to_frame()
    assert (frame["low"].notna() == (frame.index != best)).all()
    numbers = re.compile(r"^  \S.*[+-][0-9]+[.][0-9]{2} ")
    rows = [line for line in result_lines(found) if numbers.match(line)]
    assert len(rows) == 6 + 3 + 6  # the best single model differs from itself by nothing
    assert all("[" in line for line in rows)


def test_one_soup_under_two_names_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    found = searched(tmp_path, Landscape())
    same = found.comparison("uniform-selected", "uniform-all")
    assert same is not None
    assert (same.difference, same.interval, same.test) == (0.0, None, None)


def test_the_model_chosen_elsewhere_is_compared_with_too(tmp_path: Path) -> None:
    found = searched(tmp_path, Turned())
    chosen, best = found.best_single_selection, found.best_single_report
    assert chosen != best
    text = " ".join(" ".join(verdict_lines(found)).split())
    assert (
        f"{best} is the best single model by these very items; by the items to choose on it is {chosen}"
        in text
    )
    assert text.count("95 % interval [") == 2
    same = search_with(pool(tmp_path), Landscape(), folder=tmp_path / "same", draws=100)
    assert same.best_single_selection == same.best_single_report
    assert "by these very items" not in " ".join(verdict_lines(same))
