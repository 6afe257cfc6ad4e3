"""What is known of the items that scores stand on follows them through names, cuts and joins."""

from __future__ import annotations

import numpy as np
import pytest

from soce.exceptions import ScoreTableError
from soce.scores.join import join_tables
from soce.scores.origin import ScoreOrigin, joined_origin
from soce.scores.table import Column, ScoreTable


def table(origin: ScoreOrigin, *, models: tuple[str, ...] = ("a",), source: str = "one") -> ScoreTable:
    columns = (Column("math"), Column("code"))
    return ScoreTable(models, columns, np.ones((len(models), 2)), source=source, origin=origin)


def test_nothing_is_known_unless_somebody_says() -> None:
    assert ScoreTable.of({"math": [1]}, models=["a"]).origin.kind == "unknown"
    assert ScoreOrigin(items={}).kind == "unknown"
    assert ScoreOrigin("reported").kind == "stated"
    assert ScoreOrigin("other", {"math": ("q1",)}).kind == "items", "what is known counts, not what is said"
    assert ScoreOrigin(items={"math": ("q1",)}, evaluator="0f").kind == "measured"


def test_a_statement_that_means_nothing_is_refused() -> None:
    with pytest.raises(ScoreTableError, match="held-out"):
        ScoreOrigin("held-out")  # type: ignore[arg-type]


def test_ids_follow_their_columns() -> None:
    known = table(ScoreOrigin(items={"math": ("q1", "q2"), "code": ("c1",)}))
    assert known.take(columns=["math"]).origin.items == {"math": ("q1", "q2")}
    renamed = known.with_columns([Column("maths"), Column("code")])
    assert renamed.origin.items == {"maths": ("q1", "q2"), "code": ("c1",)}


def test_a_digest_is_of_scores_alone() -> None:
    unknown = table(ScoreOrigin())
    told = unknown.with_origin(ScoreOrigin("other"))
    assert told.origin.stated == "other"
    assert told.digest == unknown.digest


def test_joined_tables_stand_on_the_items_of_all() -> None:
    one = table(ScoreOrigin(items={"math": ("q1", "q2"), "code": ("c1",)}))
    two = table(ScoreOrigin(items={"math": ("q2", "q3")}), models=("b",), source="two")
    assert join_tables([one, two]).origin.items == {"math": ("q1", "q2", "q3")}, "nobody told all of code"
    assert join_tables([one]).origin == one.origin


def test_what_one_table_says_does_not_hold_for_another() -> None:
    math, code = ["math"], ["code"]
    told, untold = ScoreOrigin("other", {"math": ("q1",)}, "0f"), ScoreOrigin()
    assert joined_origin([(math, told), (code, untold)]) == ScoreOrigin(items={"math": ("q1",)})
    assert joined_origin([(math, told), (math, untold)]) == ScoreOrigin()
    assert joined_origin([(math, told), (math, told)]) == told


def test_most_items_behind_a_score() -> None:
    columns = (Column("math"), Column("code"), Column("all", role="aggregate"))
    counts = np.array([[10, np.nan, 20], [12, np.nan, 20]])
    counted = ScoreTable(("a", "b"), columns, np.ones((2, 3)), counts)
    assert counted.most_items() == {"math": 12}
    assert ScoreTable.of({"math": [1]}, models=["a"]).most_items() == {}
