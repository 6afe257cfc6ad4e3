"""Inspect logs whose scores were reduced over epochs in several ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores


def logs(folder: Path, *reducers: str) -> Path:
    for number, model in enumerate("ab"):
        scores = [
            {
                "name": "match",
                "scorer": "match",
                "reducer": reducer,
                "metrics": {"accuracy": {"name": "accuracy", "value": 0.5 + number / 4 + place / 8}},
            }
            for place, reducer in enumerate(reducers)
        ]
        log = {
            "version": 2,
            "status": "success",
            "eval": {
                "task": "math",
                "model": f"org/{model}",
                "created": "2026-01-01",
                "config": {"epochs": 4},
            },
            "results": {"completed_samples": 200, "scores": scores},
        }
        (folder / f"{model}.json").write_text(json.dumps(log))
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ReadOptions(reducer="mean"), [0.5, 0.75]),
        (ReadOptions(reducer="pass_at_2"), [0.625, 0.875]),
        (ReadOptions(metric="match[pass_at_2]/accuracy"), [0.625, 0.875]),
        (ReadOptions(metric="accuracy", reducer="mean"), [0.5, 0.75]),
    ],
)
def test_one_of_two_reducers(tmp_path: Path, options: ReadOptions, expected: list[float]) -> None:
    table = read_scores(logs(tmp_path, "mean", "pass_at_2"), options=options)
    assert table.values[:, 0].tolist() == expected
    assert table.columns[0].metric == options.metric or f"match[{options.reducer}]/accuracy"
    assert table.columns[0].scale == "unit"


def test_two_reducers_are_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError, match=r"`match\[mean\]/accuracy`, `match\[pass_at_2\]/accuracy`"):
        read_scores(logs(tmp_path, "mean", "pass_at_2"))


def test_the_only_reducer_need_not_be_named(tmp_path: Path) -> None:
    assert read_scores(logs(tmp_path, "mean")).columns[0].metric == "match/accuracy"


def test_a_reducer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError, match="no score has the reducer `median`"):
        read_scores(logs(tmp_path, "mean", "pass_at_2"), options=ReadOptions(reducer="median"))
