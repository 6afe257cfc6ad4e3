"""The sample of wins and losses in a report, with what was said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.browser import PROGRAM, WHY_NOT, browser
from tests.report_runs import make_run
from tests.speakers import Speaker, write_tasks

from soce.report.build import build_report
from soce.report.document import Quotes
from soce.report.report import Report
from soce.search.open import open_run

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytest.importorskip("optuna")

MODELS = ("ash", "birch", "cedar", "elm")


class LongWinded(Speaker):
    """Its right answers are as long as its wrong ones."""

    def says(self, name: str, item: str, answer: str) -> str:
        return f"{super().says(name, item, answer)}\n" * 40


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("spoken")
    tasks = write_tasks(folder / "tasks.jsonl")
    make_run(folder / "run", MODELS, kitchen=Speaker(MODELS, 3, tasks))
    return folder / "run", tasks


def report_of(spoken: tuple[Path, Path], *, told: bool = True) -> Report:
    return build_report(open_run(spoken[0]), tasks=[str(spoken[1])] if told else [])


def quotes(report: Report) -> list[Quotes]:
    return [block for block in report.section("answers").blocks if isinstance(block, Quotes)]


def test_a_sample_is_shown_with_what_was_asked_and_said(spoken: tuple[Path, Path]) -> None:
    report = report_of(spoken)
    found = quotes(report)
    assert [one.verdict for one in found[:3]] == ["won from every ingredient"] * 3
    assert {one.tone for one in found[3:]} == {"bad"}
    for one in found:
        asked = {quote.name: quote.text for quote in one.asked}
        assert asked["prompt"].startswith(one.title.split("/")[0])
        soup, best, *_ = one.said
        assert (soup.is_soup, soup.name, best.remark.split(",")[0]) == (True, "soce", "best ingredient")
        assert (soup.is_right, best.is_right) == (one.tone == "good", one.tone == "bad")
        assert (soup.text == asked["wanted"]) == soup.is_right
    data = report.section("answers").data
    assert (len(data["won"]), len(data["lost"])) == (3, len(found) - 3)
    assert json.loads(report.text("json"))["sections"][7]["blocks"][1]["said"][0]["name"] == "soce"


def test_experts_are_named_where_the_category_is_theirs(spoken: tuple[Path, Path]) -> None:
    selection = open_run(spoken[0]).selection
    assert selection is not None
    for one in quotes(report_of(spoken)):
        category = one.title.split("/")[0]
        named = {quote.name for quote in one.said if f"expert of {category}" in quote.remark}
        assert named == {expert.model for expert in selection.experts if category in expert.categories}


def test_the_same_run_gives_the_same_sample(spoken: tuple[Path, Path]) -> None:
    assert quotes(report_of(spoken)) == quotes(report_of(spoken))


def test_no_text_is_markup(spoken: tuple[Path, Path]) -> None:
    report = report_of(spoken)
    for text in (report.to_html(), report.to_markdown()):
        assert "\x1b" not in text
        assert "<i>" not in text
    assert "&lt;i&gt;ash&lt;/i&gt; says" in report.to_html()
    assert "\\<i\\>ash\\</i\\> says" in report.to_markdown()


def test_long_texts_are_folded(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    make_run(tmp_path / "run", MODELS, kitchen=LongWinded(MODELS, 3, tasks), publishes=False)
    report = build_report(open_run(tmp_path / "run"), tasks=[str(tasks)])
    folded = [quote for one in quotes(report) for quote in one.said if quote.excerpt is not None]
    assert folded
    assert all(len(quote.excerpt or "") < 330 for quote in folded)
    assert all(len(quote.text) > 280 or quote.text.count("\n") >= 8 for quote in folded)
    assert report.to_html().count('<details class="long">') == len(folded)


def test_without_the_tasks_prompts_are_digests(spoken: tuple[Path, Path]) -> None:
    asked = [one.asked for one in quotes(report_of(spoken, told=False))]
    assert all(len(one) == 1 and one[0].text.startswith("of digest ") for one in asked)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    silent = Speaker(MODELS, 3, tasks, speaks=False)
    make_run(tmp_path / "silent", MODELS, kitchen=silent, publishes=False)
    section = build_report(open_run(tmp_path / "silent")).section("answers")
    assert section.data["n_won"] > 0
    (why,) = section.missing
    assert why.startswith("What was said to them: the evaluator hands no answers over")
    make_run(tmp_path / "one", MODELS, 1, kitchen=Speaker(MODELS, 1, tasks), publishes=False)
    (why,) = build_report(open_run(tmp_path / "one")).section("answers").missing
    assert why == "A sample of items: the soup is its one ingredient."


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
@pytest.mark.parametrize("width", [1200, 390, 320])
def test_the_page_fits_and_unfolds(tmp_path: Path, width: int) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    make_run(tmp_path / "run", MODELS, kitchen=LongWinded(MODELS, 3, tasks), publishes=False)
    page = build_report(open_run(tmp_path / "run"), tasks=[str(tasks)]).write(tmp_path / "report.html")
    heights = "[...document.querySelectorAll('.quotes')].map((one) => one.getBoundingClientRect().height)"
    with browser() as window:
        window.show(width)
        window.open(page)
        before = window.run(heights)
        assert window.run("document.documentElement.scrollWidth") <= width
        window.run("document.querySelectorAll('.long').forEach((one) => { one.open = true; })")
        after = window.run(heights)
        assert all(tall > short for tall, short in zip(after, before, strict=True))
        assert window.run("document.documentElement.scrollWidth") <= width
        assert window.complaints == []
