"""The documentation site is built without warnings, has every public name and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.browser import PROGRAM, WHY_NOT, browser

import soce

ROOT = Path(__file__).parent.parent
LOADED = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?\b(?:href|src)=["']?((?:https?:)?//[^"'\s>]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return target


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    anchors = set(re.findall(r'id="(soce\.[\w.]+)"', text))
    names = {f"{soce._HOMES[name]}.{name}" for name in soce.__all__ if name != "__version__"}
    assert names <= anchors, names - anchors


def test_the_gallery_shows_soups_that_are_better_and_soups_that_are_not(site: Path) -> None:
    page = (site / "gallery.html").read_text()
    shown = re.findall(r'<a class="picture (\w+)" href="([\w-]+\.html)"', page)
    assert {tone for tone, _ in shown} == {"good", "bad"}
    for tone, target in shown:
        verdict = "beats" if tone == "good" else "does not beat"
        assert f"The soup {verdict} the best single model" in (site / target).read_text()
    assert page.count("<svg xmlns") >= len(shown)
    assert "<!-- picture" not in page
    for path in site.glob("report-*.html"):
        assert f'href="{path.name}"' in page


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
def test_the_search_works_from_a_disk(site: Path) -> None:
    found = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.href)"
    with browser() as page:
        page.show(1280)
        page.open(site / "start" / "table.html")
        page.run("box = document.querySelector('.md-search__input'); box.focus(); box.value = 'shapley'")
        page.run("box.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}))")
        deadline = time.monotonic() + 60
        while not (links := page.run(found)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (site / "analyses.html").as_uri() in {
            link.partition("?")[0].partition("#")[0] for link in links
        }
        assert page.complaints == []
        assert all(request.startswith(("file:", "about:", "data:")) for request in page.requests)


def test_the_report_of_the_demo_is_a_page_of_the_site(site: Path) -> None:
    page = (site / "report-demo.html").read_text()
    assert page.count("<section ") == 14
    assert "<code>soce demo</code>, seed 0" in page
    assert "Unfinished" not in page
    assert "/soce-demo" not in page  # the place where it was made
    assert 'href="report-demo.html"' in (site / "demo.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        canonical = re.sub(r'<link rel="(?:canonical|next|prev)"[^>]*>', "", page.read_text())
        assert LOADED.findall(canonical) == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_links_lead_to_pages_of_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'<a [^>]*href="([^"#:]+)(?:#[^"]*)?"', page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(site)}: {target}"
