"""README and docs quote one run of the demo, the one that is kept, and no number of it is from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from soce.report.build import build_report

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"(?<![\w.])[+\-−]?\d+\.\d+")
TOLD = {"0.5", "0.2", "3.11"}
"""No results: the demo's threshold, the value of an option, a version of Python."""
ABOUT_THE_DEMO = {
    "README.md": ("## Two commands", "## Install"),
    "docs/index.md": ("# A tour", None),
    "docs/demo.md": ("# The demo", "## Methods on the same models"),
}
"""Where pages speak of the demo's results."""


@pytest.fixture(scope="module")
def quote_demo() -> ModuleType:
    path = ROOT / ".ci" / "quote_demo.py"
    spec = importlib.util.spec_from_file_location("quote_demo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_quoted_is_what_this_version_says_of_the_kept_run(quote_demo: ModuleType) -> None:
    with quote_demo.kept_run() as run:
        quoted = ""
        for page in quote_demo.PAGES:
            text = page.read_text(encoding="utf-8")
            assert text == quote_demo.renewed(page, run), f"{page.name}: `make quotes` renews it"
            quoted += text
        assert quote_demo.SCORES.read_text() == (run.folder / "scores.csv").read_text()
        for name in quote_demo.quotes(run):
            assert f"<!-- demo:begin {name} -->" in quoted
        assert run.settings["machine"] in quoted
        assert run.settings["machine"] in build_report(run).to_markdown().replace("\\", "")


def test_the_picture_shows_the_kept_run(quote_demo: ModuleType) -> None:
    """All that is written and told in it; strokes are matplotlib's, and differ between its versions."""

    def told(text: str) -> list[str]:
        return [words for element in ET.fromstring(text).iter() if (words := (element.text or "").strip())]

    with quote_demo.kept_run() as run:
        drawn = quote_demo.picture(run)
    there = told(quote_demo.PICTURE.read_text(encoding="utf-8"))
    assert there == told(drawn), "`make quotes` renews it"
    assert {"soce", "63.16", "mean, held out (%)"} <= set(there)


@pytest.mark.parametrize("name", ABOUT_THE_DEMO)
def test_no_result_of_a_demo_stands_outside_the_quotes(name: str, quote_demo: ModuleType) -> None:
    begin, end = ABOUT_THE_DEMO[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text[text.index(begin) : None if end is None else text.index(end)]
    text = quote_demo.CONSOLE.sub("", quote_demo.QUOTE.sub("", text))
    assert set(NUMBER.findall(text)) <= TOLD
