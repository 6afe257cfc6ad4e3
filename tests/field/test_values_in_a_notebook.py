"""What a notebook shows of values: one line each, whatever their size; and their data frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.checkpoints import directory
from tests.landscapes import CATEGORIES, Landscape, pool

import soce
from soce.evaluate.evaluation import Evaluation
from soce.search.options import SearchOptions
from soce.search.result import SearchResult
from soce.search.soups import search_soups

TABLE = soce.read_scores("paper:flores36")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    folder = tmp_path_factory.mktemp("search")
    return search_soups(pool(folder), Landscape(), folder=folder / "run", options=SearchOptions())


def test_reprs_are_one_short_line(tmp_path: Path, found: SearchResult) -> None:
    selection = soce.select_experts(TABLE, soce.Threshold(0.05))
    soce.write_selection(selection, tmp_path / "s.yaml")
    ingredients = [str(directory(tmp_path / name, float(place), 2.0)) for place, name in enumerate("ab")]
    written = soce.merge(ingredients, output=tmp_path / "soup")
    values = [
        (TABLE, "6 models × 36 categories"),
        (soce.lint_scores(TABLE), "S07"),
        (soce.correlate_categories(TABLE), "36 categories over 6 models"),
        (selection, f"of 36 categories by {selection.rule}"),
        (soce.read_selection(tmp_path / "s.yaml"), "s.yaml"),
        (soce.Recipe.of(["a", "b"]), "1/2 a, 1/2 b"),
        (soce.Recipe.of([f"m{i}" for i in range(40)]), "36 more"),
        (Evaluation.of_items({f"c{i}": {"x": 1} for i in range(40)}), "c0 1, c1 1, c2 1 and 37 more"),
        (found, found.verdict),
        (written, "soup"),
        (soce.verify(tmp_path / "soup"), "0 findings"),
        (soce.diagnose(ingredients), "soupable"),
        (soce.open_run(tmp_path_of(found, tmp_path)), "lacks"),
    ]
    for value, words in values:
        text = repr(value)
        assert text.startswith(f"{type(value).__name__}(")
        assert words in text
        assert "\n" not in text
        assert len(text) < 300


def tmp_path_of(found: SearchResult, folder: Path) -> Path:
    """Return a folder that an interrupted search left."""
    search_soups(pool(folder), Landscape(), folder=folder / "run", options=SearchOptions())
    (folder / "run" / "result.json").unlink()
    return folder / "run"


def test_names_are_escaped() -> None:
    assert "\x1b" not in repr(soce.Recipe.of(["a\x1b[2J", "b"]))


def test_the_frame_of_a_table() -> None:
    frame = TABLE.to_frame()
    assert (frame.index.name, frame.loc["SoCE", "eng_spa"]) == ("model", 32.06)
    assert frame.dtypes.eq("float64").all()


def test_the_frame_of_correlations() -> None:
    frame = soce.correlate_categories(TABLE).to_frame()
    assert frame.index.name == "category"
    assert list(frame.index) == list(frame.columns) == list(TABLE.categories)


def test_the_frame_of_a_selection() -> None:
    selection = soce.select_experts(TABLE, soce.Threshold(0.05))
    frame = selection.to_frame()
    assert frame.index.name == "category"
    assert list(frame.columns) == [
        "weakest", "winner", "expert", "score", "tied_with", "runner_up", "margin", "margin_stderr"
    ]  # fmt: skip
    assert frame["expert"].max() == len(selection.experts)
    assert frame["weakest"].lt(0.05).all()


def test_the_frame_of_an_evaluation() -> None:
    frame = Evaluation.of_items({"math": {"x": 1, "y": 0}, "code": {"z": 1}}).to_frame()
    assert (frame.index.name, list(frame.columns)) == ("category", ["score", "n", "stderr"])
    assert frame["score"].to_dict() == {"math": 0.5, "code": 1.0}


def test_the_frame_of_a_search_is_of_numbers(found: SearchResult) -> None:
    frame = found.to_frame()
    assert frame.index.name == "arm"
    assert list(frame.index) == [arm.label for arm in found.arms]
    best = found.arm(found.best_single_report)
    assert frame.loc[best.label, "difference"] == 0
    assert frame["report"].iloc[-1] == found.best.report.value
    assert frame["difference"].iloc[-1] == pytest.approx(found.against_best.difference)
    numbers = frame[["selection", "report", "difference", "relative_percent"]]
    assert all(pd.api.types.is_float_dtype(kind) for kind in numbers.dtypes)
    assert set(CATEGORIES) <= set(best.report.categories)
