"""The report in a real browser: it fetches nothing, complains of nothing, and can be read in every theme and width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import PROGRAM, WHY_NOT, Page, browser
from tests.report_runs import Kitchen, make_run

from soce.report.build import build_report
from soce.search.open import open_run

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytest.importorskip("optuna")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

VIEWS = [(1280, False), (1280, True), (760, False), (390, False), (390, True), (320, False)]
NAMES = ("<b>ash</b>", "birch" + "-of-the-north" * 4, "長い名前のモデル", "<script>alert(1)</script>")
LAYOUT = """
(() => {
  const found = [];
  for (const svg of document.querySelectorAll(".drawing svg")) {
    if (svg.getClientRects().length === 0) continue;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    boxes.forEach((box, i) => {
      if (box.left < frame.left - 2 || box.right > frame.right + 2 ||
          box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        found.push(`cut: ${texts[i].textContent}`);
      for (let j = 0; j < i; j++) {
        const other = boxes[j];
        const width = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const height = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (width > 1.5 && height > 5) found.push(`overlap: ${texts[i].textContent} / ${texts[j].textContent}`);
      }
    });
  }
  return found;
})()
"""
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = (name) => {
    const value = getComputedStyle(document.documentElement).getPropertyValue(name);
    canvas.fillStyle = value; canvas.fillRect(0, 0, 1, 1);
    const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return Object.fromEntries([
    ["ink", "paper"], ["soft", "paper"], ["soft", "back"], ["soft", "faint"], ["soup", "paper"],
    ["good", "paper"], ["bad", "paper"], ["open", "paper"], ["ink", "positive"], ["ink", "negative"],
  ].map(([one, other]) => [`${one} on ${other}`, ratio(`--${one}`, `--${other}`)]));
})()
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a plain report and one with names that are long, foreign or hostile."""
    folder = tmp_path_factory.mktemp("reports")
    make_run(folder / "plain")
    make_run(
        folder / "names", NAMES, 3, kitchen=Kitchen(NAMES, 3, categories=[f"{name} tasks" for name in NAMES])
    )
    return {
        name: build_report(open_run(folder / name)).write(folder / f"{name}.html")
        for name in ("plain", "names")
    }


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


@pytest.mark.parametrize("name", ["plain", "names"])
def test_nothing_is_fetched_and_nothing_complains(reports: dict[str, Path], page: Page, name: str) -> None:
    for width, dark in VIEWS:
        page.show(width, dark=dark)
        page.open(reports[name])
        assert page.complaints == []
        assert page.requests == [reports[name].absolute().as_uri()]
        assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelectorAll('section').length") == 14


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "names"])
@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_no_label_is_cut_or_covered(
    reports: dict[str, Path], page: Page, name: str, width: int, dark: bool
) -> None:
    page.show(width, dark=dark)
    page.open(reports[name])
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.run(LAYOUT) == []
    assert page.run("document.documentElement.scrollWidth") <= width
    # One drawing of each figure, and the reader of a screen gets one as well.
    shown = page.run(
        "[...document.querySelectorAll('.drawing svg')].filter((x) => x.getClientRects().length).length"
    )
    assert shown == page.run("document.querySelectorAll('.drawing').length") == 7


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(reports: dict[str, Path], page: Page, dark: bool) -> None:
    page.show(1280, dark=dark)
    page.open(reports["plain"])
    found: dict[str, float] = page.run(CONTRAST)
    assert len(found) == 10
    for pair, ratio in found.items():
        assert ratio >= 4.5, pair


@pytest.mark.slow
def test_the_theme_follows_the_system_until_it_is_chosen_by_keyboard(
    reports: dict[str, Path], page: Page
) -> None:
    def paper() -> Any:
        return page.run("getComputedStyle(document.querySelector('main')).backgroundColor")

    papers = {}
    for dark in (False, True):
        page.show(1280, dark=dark)
        page.open(reports["plain"])
        page.run("localStorage.clear()")
        page.open(reports["plain"])
        papers[dark] = paper()
        assert page.run("document.getElementById('theme').getAttribute('aria-pressed')") == str(dark).lower()
    assert papers[False] != papers[True]
    page.press("Tab", code=9)
    assert page.run("document.activeElement.textContent") == "Skip to the content"
    page.press("Tab", code=9)
    assert page.run("document.activeElement.id") == "theme"
    page.press("Enter", code=13)
    assert paper() == papers[False]
    page.open(reports["plain"])
    assert paper() == papers[False]
    page.run("localStorage.clear()")


@pytest.mark.slow
def test_everything_is_reached_by_keyboard_and_has_a_name(reports: dict[str, Path], page: Page) -> None:
    page.show(390)
    page.open(reports["plain"])
    stops = page.run(
        "[...document.querySelectorAll('a, button, summary, [tabindex=\"0\"]')]"
        ".filter((one) => one.checkVisibility()).length"
    )
    seen = []
    for _ in range(stops):
        page.press("Tab", code=9)
        seen.append(page.run("document.activeElement.tagName"))
    assert {"A", "BUTTON", "SUMMARY", "DIV"} <= set(seen)
    assert "BODY" not in seen
    nameless = """
    [...document.querySelectorAll('[role=img], [role=region], section, table')].filter((one) =>
      !(one.getAttribute('aria-labelledby') || '').split(' ').some((id) => document.getElementById(id)?.textContent)
    ).length
    """
    assert page.run(nameless) == 0
    assert page.run("document.querySelectorAll('h1').length") == 1
    assert page.run("document.documentElement.lang") == "en"


@pytest.mark.slow
def test_paper_shows_what_was_folded_and_is_light(
    reports: dict[str, Path], page: Page, tmp_path: Path
) -> None:
    page.show(1280, dark=True)
    page.open(reports["plain"])
    folded = page.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 2
    page.run(
        "window.opened = 0; window.addEventListener('beforeprint', () => "
        "{ window.opened = document.querySelectorAll('details[open]').length; })"
    )
    assert page.paper(tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert page.run("window.opened") == folded
    assert page.run("document.querySelectorAll('details:not([open])').length") == folded
    page.show(1280, dark=True, media="print")
    assert (
        page.run("getComputedStyle(document.querySelector('main')).backgroundColor") == "rgb(255, 255, 255)"
    )


@pytest.mark.slow
def test_the_page_is_whole_without_scripts(reports: dict[str, Path], page: Page, tmp_path: Path) -> None:
    text = reports["plain"].read_text()
    start = text.index("<script>")
    (tmp_path / "quiet.html").write_text(text[:start] + text[text.index("</script>") + 9 :])
    page.show(1280, dark=True)
    page.open(tmp_path / "quiet.html")
    assert page.complaints == []
    assert page.run("document.getElementById('theme').getClientRects().length") == 0
    assert page.run("getComputedStyle(document.querySelector('main')).backgroundColor") == "rgb(25, 26, 29)"
