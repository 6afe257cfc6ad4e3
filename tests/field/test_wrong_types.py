"""What people pass by mistake: one error that says what was expected and what was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import soce

TABLE = soce.ScoreTable.of({"math": [1, 2, 3], "code": [2, 3, 1]}, models=["a", "b", "c"])
RULE = soce.Threshold(0.5)


class Module:
    """Stands for a model of torch, which has no path."""


WRONG: dict[str, tuple[Callable[[Any], object], str, tuple[object, ...]]] = {
    "read_scores": (
        soce.read_scores,
        "source",
        (None, 3, TABLE, {"a": {"b": 1}}, [None], np.ones(2), pd.Series([1.5])),
    ),
    "read_scores options": (lambda it: soce.read_scores([], options=it), "options", ({}, "wide")),
    "ReadOptions columns": (lambda it: soce.ReadOptions(columns=it), "columns", ("math", 3, [1])),
    "ReadOptions rename": (lambda it: soce.ReadOptions(rename=it), "rename", ("a", ["a"], None)),
    "ScoreTable.of": (lambda it: soce.ScoreTable.of(it, models=["a"]), "columns", ([1], None)),
    "correlate_categories": (soce.correlate_categories, "table", ("t.csv", None, TABLE.to_frame())),
    "correlate population": (
        lambda it: soce.correlate_categories(TABLE, population=it),
        "population",
        ("a",),
    ),
    "select_experts": (lambda it: soce.select_experts(it, RULE), "table", ("t.csv", None)),
    "select rule": (lambda it: soce.select_experts(TABLE, it), "rule", (0.5, "threshold", soce.Threshold)),
    "select options": (lambda it: soce.select_experts(TABLE, RULE, it), "options", ({"step": 1}, None)),
    "Threshold": (soce.Threshold, "tau", ("0.5", None)),
    "Pairs": (soce.Pairs, "m", ("3", 1.5)),
    "Clusters": (soce.Clusters, "n_clusters", ("3", 1.5)),
    "sweep_thresholds": (soce.sweep_thresholds, "table", ("t.csv", None)),
    "lint_scores": (soce.lint_scores, "table", ("t.csv", None)),
    "lint candidates": (lambda it: soce.lint_scores(TABLE, candidates=it), "candidates", ("a",)),
    "merge": (lambda it: soce.merge(it, output="x"), "ingredients", (None, 3, Module(), [Module()], {3: 1})),
    "merge output": (lambda it: soce.merge(["a", "b"], output=it), "output", (None, ["x"])),
    "merge options": (
        lambda it: soce.merge(["a", "b"], output="x", options=it),
        "options",
        ({"dtype": "bf16"}, soce.ReadOptions()),
    ),
    "MergeOptions leave_out": (lambda it: soce.MergeOptions(leave_out=it), "leave_out", ("x", None, [1])),
    "MergeOptions take": (lambda it: soce.MergeOptions(take=it), "take", ("a=b", ["a"])),
    "MergeOptions overwrite": (lambda it: soce.MergeOptions(overwrite=it), "overwrite", ("yes", 1)),
    "MergeOptions dtype": (lambda it: soce.MergeOptions(dtype=it), "dtype", (3, float)),
    "SelectionOptions": (lambda it: soce.SelectionOptions(objective=it), "objective", ("mean", {})),
    "SelectionOptions max": (lambda it: soce.SelectionOptions(max_experts=it), "max_experts", ("3", 1.5)),
    "SearchOptions": (lambda it: soce.SearchOptions(strategy=it), "strategy", (3, None)),
    "SearchOptions merge": (lambda it: soce.SearchOptions(merge=it), "merge", ({}, None)),
    "merge_all output": (lambda it: soce.merge_all({}, output=it), "output", (None, ["x"])),
    "verify": (soce.verify, "directory", (None, ["a"], Module())),
    "diagnose": (soce.diagnose, "ingredients", ("abc", None, [Module()])),
    "read_recipes": (soce.read_recipes, "path", (None, ["a"], {"a": 1})),
    "read_selection": (soce.read_selection, "path", (None, ["a"])),
    "write_selection": (lambda it: soce.write_selection(it, "x.yaml"), "selection", ("x", None)),
    "open_run": (soce.open_run, "folder", (None, ["a"])),
    "publish_soup": (lambda it: soce.publish_soup(it, "x"), "result", (None, "run")),
    "write_card": (soce.write_card, "soup", (None, ["a"])),
    "read_tasks": (soce.read_tasks, "paths", (None, [None])),
    "search_soups": (lambda it: soce.search_soups(it, None, folder="x"), "selection", ("x.yaml", None)),
    "Pool": (lambda it: soce.Pool(it, experts=("a",)), "paths", (["a"], None)),
    "Pool experts": (lambda it: soce.Pool({"a": "x"}, experts=it), "experts", ("a",)),
}


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        pytest.param(call, name, value, id=f"{what}-{type(value).__name__}")
        for what, (call, name, values) in WRONG.items()
        for value in values
    ],
)
def test_a_wrong_type_is_one_clear_error(call: Callable[[Any], object], name: str, value: object) -> None:
    with pytest.raises(TypeError) as caught:
        call(value)
    message = str(caught.value)
    assert f"`{name}`" in message
    assert " must be " in message
    assert ", not " in message
    assert len(message) < 160
