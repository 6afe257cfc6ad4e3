"""Hooks of mkdocs.yml: what soce's commands make of what is kept of real runs; pictures of docs/gallery.md.

There `<!-- picture: PAGE FIGURE -->` stands for a link to PAGE, with a figure of that report and its verdict,
or with a plot.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "python"))

from soce.report.build import build_report  # noqa: E402
from soce.report.document import Figure  # noqa: E402
from soce.report.figures.canvas import svg  # noqa: E402
from soce.report.page import NARROW  # noqa: E402
from soce.search.open import open_run  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

    from soce.report.report import Report

DATA: Final = ROOT / "docs" / "data"
KEPT: Final = {"report-demo": "demo-run", "report-study": "study-run", "report-strangers": "strangers-run"}
"""Pages by what `.ci/keep_run.py` has kept of a run."""
SMOLLM: Final = ROOT / "examples" / "smollm" / "results"
"""What is kept of the run of `examples/smollm`: no scores by item, so the page is what it wrote itself."""
TABLE: Final = "paper:flores36"
PLOT: Final = "flores36.png"
PICTURE: Final = re.compile(r"<!-- picture: (?P<page>[\w-]+) (?P<figure>[\w.-]+) -->")
REPORTS: Final[dict[str, Report]] = {}
"""Of this build, by page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make the reports, and the pages of other commands."""
    from mkdocs.structure.files import File

    made: dict[str, str | bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for page, kept in KEPT.items():
            run = _unpacked(DATA / f"{kept}.tar.xz", Path(folder) / page)
            REPORTS[page] = build_report(open_run(run))
            made[f"{page}.html"] = REPORTS[page].to_html()
        made["card-demo.md"] = _card(Path(folder) / "report-demo" / "soce-demo" / "soup")
        printed = _soce("analyze", TABLE, "--plot", f"{folder}/{PLOT}")
        made[PLOT] = (Path(folder) / PLOT).read_bytes()
    made["analysis-flores36.md"] = (
        "# A table of the paper\n\n"
        "Table 5 of the paper comes with soce, so one command repeats this. Lint comes first.\n"
        "[Score tables](score-tables.md) has every check, [Method](method.md) what follows for the paper.\n\n"
        f"```console\n$ soce analyze {TABLE} --plot {PLOT}\n{printed}```\n\n"
        f"![How the categories move together]({PLOT}){{ .sheet }}\n"
    )
    REPORTS["report-smollm"] = build_report(open_run(SMOLLM))
    made["report-smollm.md"] = (SMOLLM / "report.md").read_text(encoding="utf-8")
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Put pictures where a page asks for them."""
    return PICTURE.sub(lambda found: _picture(found["page"], found["figure"]), markdown)


def _picture(page: str, name: str) -> str:
    if name == PLOT:
        return f'<a class="picture" href="{page}.html"><img src="{PLOT}" alt="The plot" loading="lazy"></a>'
    report = REPORTS[page]
    figure = next(
        block
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Figure) and block.name == name
    )
    drawn = svg(
        figure.drawing,
        NARROW,
        name=f"{page}-{name}",
        title=figure.title,
        description=figure.description,
    )
    link = f'<a class="picture {report.tone}" href="{page}.html" title="{escape(report.title)}">'
    return f"{link}\n{drawn}\n<strong>{escape(report.verdict)}</strong>\n</a>"


def _unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as kept:
        kept.extractall(folder, filter="data")
    return next(folder.iterdir())


def _card(soup: Path) -> str:
    """Return the card as a page: a site unfolds what is in Markdown only if it is told so."""
    _soce("card", str(soup), "--quiet")
    text = (soup / "README.md").read_text(encoding="utf-8")
    return text.replace("<details>", '<details markdown="1">')


def _soce(*words: str) -> str:
    """Run a command of this source tree."""
    program = [sys.executable, "-c", "from soce.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "COLUMNS": "100"}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
