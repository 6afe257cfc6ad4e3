"""What is said of the items that experts were chosen on, in worlds where it is so and where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.landscapes import Landscape, pool, search_with

from soce.evaluate.evaluation import Evaluator
from soce.files.digests import digest_of
from soce.report.sentences import where_measured
from soce.scores.origin import ScoreOrigin
from soce.search.exposure import experts_saw
from soce.search.items import SearchItems, split_items
from soce.search.result import SearchResult
from soce.search.verdict import ExpertsSaw


class Told(Landscape):
    """One whose items ask what their numbers say."""

    def __init__(self, *, tag: str = "", first: int = 0) -> None:
        super().__init__(n_items=10, tag=tag)
        self.first = first

    def item_contents(self) -> Mapping[str, Mapping[str, str]]:
        return {
            name: {item: f"{name} {self.first + place}" for place, item in enumerate(ids)}
            for name, ids in self.items.items()
        }


DEV, TEST = Landscape(n_items=10, tag="dev-"), Landscape(n_items=10, tag="test-")


def items_of(
    one: Evaluator, other: Evaluator | None = None, share: Fraction | None = Fraction(1, 2)
) -> SearchItems:
    found = SearchItems.known(one, other, share=share, seed=0)
    assert found is not None
    return found


def told(
    items: Mapping[str, Sequence[str]] | None, evaluator: Evaluator | None = None, stated: str | None = None
) -> ScoreOrigin:
    digest = None if evaluator is None else digest_of(dict(evaluator.identity))
    ids = None if items is None else {name: tuple(one) for name, one in items.items()}
    return ScoreOrigin(stated, ids, digest)  # type: ignore[arg-type]


def saw(origin: ScoreOrigin, one: Evaluator, other: Evaluator | None = None) -> ExpertsSaw:
    return experts_saw(origin, items_of(one, other), one, other)[0]


def test_scores_of_the_selection_part_saw_other_items() -> None:
    items = items_of(DEV)
    assert items.selection is not None
    assert saw(told(items.selection, DEV), DEV) == "other items"
    assert saw(told(items.selection), DEV) == "other items", "as a file tells"


@pytest.mark.parametrize("evaluator", [DEV, None])
def test_scores_of_all_items_saw_these(evaluator: Evaluator | None) -> None:
    origin = told(DEV.items, evaluator, "other")
    found, (note,) = experts_saw(origin, items_of(DEV), DEV)
    assert found == "these items", "ids decide over what is stated"
    assert note == "the scores that chose the experts stand on 10 of the 10 reported items"


def test_one_reported_item_is_enough() -> None:
    items = items_of(DEV)
    assert items.selection is not None
    assert items.report is not None
    mixed = {**items.selection, "math": (*items.selection["math"], items.report["math"][0])}
    assert experts_saw(told(mixed), items, DEV)[0] == "these items"


def test_nothing_held_out_is_all_seen() -> None:
    items = items_of(DEV, share=None)
    assert experts_saw(told(DEV.items, DEV), items, DEV)[0] == "these items"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (ScoreOrigin(), "unknown"),
        (ScoreOrigin("other"), "stated"),
        (ScoreOrigin("reported"), "these items"),
        (told({"math": ["elsewhere-1"], "code": ["elsewhere-2"]}), "unknown"),
        (told({"math": ["elsewhere-1"], "code": ["elsewhere-2"]}, stated="other"), "stated"),
        (told({"chat": ["dev-math-0"]}), "unknown"),
        (told({"math": items_of(DEV).selection["math"]}), "unknown"),  # type: ignore[index] # not of code
        (told({"math": items_of(DEV).selection["math"]}, stated="other"), "stated"),  # type: ignore[index]
        (told({"math": DEV.items["math"]}, stated="other"), "these items"),
    ],
)
def test_what_nobody_knows_is_what_is_stated(origin: ScoreOrigin, expected: ExpertsSaw) -> None:
    assert saw(origin, DEV) == expected


def test_other_tasks_are_other_items() -> None:
    assert saw(told(DEV.items, DEV), DEV, TEST) == "other items"
    assert saw(told(DEV.items), DEV, TEST) == "other items"
    assert saw(told(TEST.items), DEV, TEST) == "these items"
    assert saw(told(TEST.items, TEST), DEV, TEST) == "these items"


def test_a_table_of_more_items_than_the_tasks_saw_those_that_it_names() -> None:
    items = items_of(DEV)
    assert items.selection is not None
    more = {name: (*ids, f"{name}-elsewhere") for name, ids in DEV.items.items()}
    found, (note,) = experts_saw(told(more, stated="other"), items, DEV)
    assert found == "these items"
    assert note == "the scores that chose the experts stand on 10 of the 10 reported items"
    assert saw(told(more), TEST, DEV) == "these items"
    unlike = {"math": ["elsewhere"], "code": DEV.items["code"]}
    assert saw(told(unlike), DEV) == "these items", "in one category"
    chosen = {name: (*ids, f"{name}-elsewhere") for name, ids in items.selection.items()}
    assert saw(told(chosen), DEV) == "unknown", "the others may be reported ones by other ids"
    assert saw(told(chosen, stated="other"), DEV) == "stated"


def test_numbers_that_both_task_sets_have_tell_nothing() -> None:
    other = Landscape(n_items=10, tag="dev-", version=2)
    assert saw(told(DEV.items), DEV, other) == "unknown"
    assert saw(told(DEV.items, DEV), DEV, other) == "other items"


def test_equal_content_in_other_tasks_was_seen() -> None:
    dev, test, shared = Told(tag="dev-"), Told(tag="test-", first=10), Told(tag="test-", first=9)
    assert saw(told(dev.items, dev), dev, test) == "other items"
    assert saw(told(dev.items, dev), dev, shared) == "other items", "what repeats is left out"
    everything = SearchItems(dev.items, shared.items, is_held_out=True)
    found, (note,) = experts_saw(told(dev.items, dev), everything, dev, shared)
    assert found == "these items"
    assert "stand on 2 of the 20 reported items" in note


@pytest.mark.parametrize(
    ("other", "expected"), [(None, "these items"), (Landscape(tag="test-", has_items=False), "other items")]
)
def test_an_evaluator_without_items_scored_all_of_them(other: Evaluator | None, expected: ExpertsSaw) -> None:
    whole = Landscape(has_items=False)
    items = SearchItems(None, None, is_held_out=other is not None)
    assert experts_saw(told(None, whole), items, whole, other)[0] == expected


def test_more_items_than_are_chosen_on_are_told_of() -> None:
    counts = {"math": 10, "code": 5, "chat": 99}
    found, (note,) = experts_saw(ScoreOrigin(counts=counts), items_of(DEV), DEV)
    assert found == "unknown"
    assert note.startswith(
        "scores of `math` stand on 10 items, of which 5 are chosen on: they include reported"
    )
    assert "code" not in note
    assert experts_saw(ScoreOrigin(counts={"math": 5}), items_of(DEV), DEV) == ("unknown", ())
    assert experts_saw(ScoreOrigin("other", counts=counts), items_of(DEV), DEV) == ("stated", ())


# ---- items that soups were chosen on before


class Registered(Landscape):
    """One whose outcomes are filed under what is asked."""

    def item_keys(self) -> Mapping[str, Mapping[str, str]]:
        return {name: {item: f"key of {item}" for item in ids} for name, ids in self.items.items()}


@pytest.mark.parametrize("kind", [Landscape, Registered])
def test_held_out_items_that_were_chosen_on_before_are_told_of(tmp_path: Path, kind: type[Landscape]) -> None:
    def ask(**options: Any) -> SearchResult:
        return search_with(
            pool(tmp_path, "ab"), kind(n_items=20), folder=tmp_path / "run", draws=50, **options
        )

    first = ask(strategy="greedy")
    assert first.n_chosen_before == 0
    told = (tmp_path / "run" / "result.json").read_bytes()
    assert ask(strategy="greedy", objective="column:math").n_chosen_before == 0, "by the same split"
    other = ask(strategy="greedy", split_seed=1)
    split, again = (split_items(Landscape(n_items=20).items, seed=seed) for seed in (0, 1))
    seen = sum(len({*split.selection[name]} & {*again.held_out[name]}) for name in split.selection)
    assert other.n_chosen_before == seen > 0
    assert any(note.startswith(f"{seen} of the 20 held-out items were chosen on") for note in other.notes)
    assert SearchResult.from_json(other.to_json()).n_chosen_before == seen
    assert f"an earlier question of this run chose on {seen} of them." in where_measured(other)
    back = ask(strategy="greedy")
    assert back.n_evaluated == 0
    assert (tmp_path / "run" / "result.json").read_bytes() == told, "as when it was asked first"


def test_equal_content_in_other_tasks_was_chosen_on_before(tmp_path: Path) -> None:
    def ask(one: Landscape, other: Landscape) -> SearchResult:
        folder = tmp_path / "run"
        return search_with(
            pool(tmp_path, "ab"), one, held_out_evaluator=other, folder=folder, strategy="greedy", draws=50
        )

    assert ask(Told(tag="dev-"), Told(tag="test-", first=10)).n_chosen_before == 0
    assert ask(Told(tag="new-", first=20), Told(tag="old-")).n_chosen_before == 20
