"""Publishing what a search found: into a new place, over itself, and over what is there already."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import state_of
from tests.landscapes import Landscape, pool, search_with

import soce
from soce.exceptions import OutputError
from soce.merging.options import MergeOptions
from soce.report.publish import check_publishable, publish_soup
from soce.search.result import SearchResult

pytest.importorskip("optuna")
pytest.importorskip("huggingface_hub")


@pytest.fixture
def result(tmp_path: Path) -> SearchResult:
    return search_with(pool(tmp_path, "ab"), Landscape(), folder=tmp_path / "search")


def dtypes(soup: Path) -> set[str]:
    tensors = json.loads((soup / "soce.json").read_text())["result"]["tensors"]
    return {one["dtype"] for one in tensors.values()}


def test_a_soup_that_is_there_is_left_as_it_is(tmp_path: Path, result: SearchResult) -> None:
    soup = tmp_path / "soup"
    first = publish_soup(result, soup)
    assert first.report is not None
    before = state_of(soup)
    (found,) = dtypes(soup)
    for dtype in (None, found, found.lower()):  # said or not, it is the dtype that it has
        again = publish_soup(result, soup, options=MergeOptions(dtype=dtype))
        assert again.report is None
        assert again.card is not None
        assert state_of(soup).keys() == before.keys()
    assert dtypes(soup) == {found}


def test_the_same_soup_in_another_dtype_is_another_one(tmp_path: Path, result: SearchResult) -> None:
    soup, other = tmp_path / "soup", MergeOptions(dtype="bf16")
    publish_soup(result, soup)
    (found,) = dtypes(soup)
    with pytest.raises(OutputError, match=rf"it holds this soup in other dtypes \({found}\)"):
        publish_soup(result, soup, options=other)
    assert dtypes(soup) == {found}
    replaced = publish_soup(result, soup, options=MergeOptions(dtype="bf16", overwrite=True))
    assert replaced.report is not None
    assert dtypes(soup) == {"BF16"}
    assert publish_soup(result, soup, options=other).report is None
    with pytest.raises(OutputError, match=r"it holds this soup in other dtypes \(BF16\)"):
        publish_soup(result, soup)
    assert soce.verify(soup).ok


def test_another_soup_is_replaced_only_if_asked(tmp_path: Path, result: SearchResult) -> None:
    soup = tmp_path / "soup"
    soce.merge([str(tmp_path / "a"), str(tmp_path / "b")], output=soup, options=MergeOptions(sync=False))
    with pytest.raises(OutputError, match="it holds another soup"):
        publish_soup(result, soup)
    assert publish_soup(result, soup, options=MergeOptions(overwrite=True)).report is not None
    manifest = json.loads((soup / "soce.json").read_text())
    assert manifest["run"]["notes"]["best"]["parts"] == result.best.to_json()["parts"]
    assert "ranked" not in manifest["run"]["notes"]


def test_the_same_parts_with_something_else_to_say_are_told_apart(
    tmp_path: Path, result: SearchResult
) -> None:
    soup = tmp_path / "soup"
    publish_soup(result, soup)
    restated = replace(result, experts_saw="stated")
    with pytest.raises(OutputError, match="it holds a soup of these parts with another result"):
        publish_soup(restated, soup)
    assert publish_soup(restated, soup, options=MergeOptions(overwrite=True)).report is not None


def test_what_is_known_before_a_search_is_said_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_publishable(tmp_path / "soup")
    with pytest.raises(OutputError, match="it exists and is no soup"):
        check_publishable(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(OutputError, match=r"(?s)needs huggingface_hub.*pip install 'soce\[hub\]'"):
        check_publishable(tmp_path / "soup")


def test_the_soup_of_an_earlier_question_is_replaced(tmp_path: Path) -> None:
    def ask(**options: Any) -> SearchResult:
        return search_with(
            pool(tmp_path), Landscape(n_items=20), folder=tmp_path / "run", draws=50, **options
        )

    soup, run = tmp_path / "soup", tmp_path / "run"
    first = ask(strategy="greedy")
    publish_soup(first, soup, run=run)
    other = ask(strategy="greedy", objective="column:math")
    with pytest.raises(OutputError, match="it holds a"):
        publish_soup(other, soup)
    assert publish_soup(other, soup, run=run).report is not None
    back = ask(strategy="greedy")
    assert publish_soup(back, soup, run=run).report is not None
    assert publish_soup(first, soup, run=run).report is None, "it is the same soup"
    soce.merge([str(tmp_path / "a"), str(tmp_path / "b")], output=tmp_path / "mine")
    with pytest.raises(OutputError, match="it holds another soup"):
        publish_soup(back, tmp_path / "mine", run=run)
