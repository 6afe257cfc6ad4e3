"""Renew what README and docs quote of the demo: `.ci/quote_demo.py`.

All of it is of one run, the one that `.ci/keep_run.py` has kept, in the words of this version. A quote
stands between `<!-- demo:begin NAME -->` and `<!-- demo:end -->`; tests compare pages with what this writes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "python"))

from soce.cli.text.demo import demo_lines  # noqa: E402
from soce.report import sentences  # noqa: E402
from soce.report.build import build_report  # noqa: E402
from soce.report.cells import Unit, relative, weights  # noqa: E402
from soce.report.document import Figure  # noqa: E402
from soce.report.figures.canvas import svg  # noqa: E402
from soce.report.markdown import code, table  # noqa: E402
from soce.report.page import WIDE  # noqa: E402
from soce.search.open import open_run  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.search.result import SearchResult
    from soce.search.run import Run

KEPT: Final = ROOT / "docs" / "data" / "demo-run.tar.xz"
SCORES: Final = ROOT / "docs" / "data" / "demo-scores.csv"
PICTURE: Final = ROOT / "docs" / "assets" / "demo-arms.svg"
PAGES: Final = tuple(ROOT / name for name in ("README.md", "docs/index.md", "docs/demo.md", "docs/report.md"))
QUOTE: Final = re.compile(
    r"(?P<begin><!-- demo:begin (?P<name>\w+) -->\n)(?P<text>.*?)(?P<end><!-- demo:end -->)", re.DOTALL
)
CONSOLE: Final = re.compile(
    r"(?P<begin>```console\n\$ (?P<command>soce \w+ docs/data/demo-scores\.csv[^\n]*)\n)"
    r"(?P<text>.*?)(?P<end>```)",
    re.DOTALL,
)


@contextmanager
def kept_run() -> Iterator[Run]:
    """Yield the run that was kept."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(KEPT) as archive:
        archive.extractall(folder, filter="data")
        yield open_run(Path(folder) / "soce-demo")


def printed(run: Run) -> list[str]:
    """Return what `soce demo` prints of the run."""
    assert run.result is not None
    assert run.settings is not None
    return demo_lines(run.result, run.settings["machine"])


def quotes(run: Run) -> dict[str, str]:
    """Return every quote by its name."""
    result, settings = run.result, run.settings
    assert result is not None
    assert settings is not None
    made = run.manifest["run"] if run.manifest else {}
    made_by = f"`soce demo --seed {settings['seed']}` of soce {made['soce']}, Python {made['python']}"
    return {
        "printed": _fenced(printed(run)),
        "excerpt": _fenced(_excerpt(printed(run), result)),
        "machine": f"{made_by}, trained on {code(settings['machine'])}.",
        "table": _table(result),
        "words": _words(result),
    }


def renewed(page: Path, run: Run) -> str:
    """Return a page with its quotes as they should be."""
    found = quotes(run)
    return QUOTE.sub(
        lambda one: f"{one['begin']}\n{found[one['name']]}\n\n{one['end']}", page.read_text(encoding="utf-8")
    )


def picture(run: Run) -> str:
    """Return the report's figure of every arm as a file, light or dark as the reader's system is."""
    (figure,) = (
        block
        for block in build_report(run).section("result").blocks
        if isinstance(block, Figure) and block.name == "arms"
    )
    drawn = svg(figure.drawing, WIDE, name="arms", title=figure.title, description=figure.description)
    style = files("soce.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"--paper: .*?(?=\n  --good)", style, re.DOTALL)[:2]
    own = (
        f":root {{ {' '.join(light.split())} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {' '.join(dark.split())} }} }}\n"
        "svg { background: var(--paper); font-family: system-ui, sans-serif }"
    )
    height = figure.drawing.height(WIDE)
    size = f'width="{WIDE}" height="{height:g}"'
    return (
        drawn.replace("<svg ", f"<svg {size} ", 1).replace("<title", f"<style>\n{own}\n</style><title", 1)
        + "\n"
    )


def _excerpt(lines: list[str], result: SearchResult) -> list[str]:
    """Return the printed lines of the best single model and of the soups, and the verdict."""
    wanted = {arm.label for arm in result.arms if arm.kind != "single"} | {result.best_single_report}
    ends = [place for place, line in enumerate(lines) if not line]
    arms = next(place for place, line in enumerate(lines) if line.startswith("  arm "))
    until = next(place for place in ends if place > arms)
    rows = [line for line in lines[arms + 1 : until] if line.split()[0].removesuffix(":") in wanted]
    rows = [line for line in rows if ": " not in line or line.startswith(f"  {result.best.label}:")]
    minus = next(place for place, line in enumerate(lines) if line.startswith(f"  {result.best.label} minus"))
    best = next(line for line in lines[minus:] if " (best) " in line)
    return [lines[arms], *rows, "", lines[minus], best, *lines[ends[-1] :]]


def _table(result: SearchResult) -> str:
    """Return every arm, and the differences of the soups with their intervals."""
    unit = Unit(result.scale)
    arms = [
        [code(arm.label), unit.score(arm.selection.value).text, unit.score(arm.report.value).text]
        for arm in result.arms
    ]
    soups = {arm.label for arm in result.arms if arm.kind != "single"}
    rivals = soups | {result.best_single_report, result.best_single_selection}
    differences = [
        [
            f"{code(one.first)} − {code(one.second)}",
            unit.difference(one.difference).text,
            relative(one.relative_percent).text,
            unit.interval(one.interval).text,
        ]
        for one in result.comparisons
        if one.first in soups and one.second in rivals
    ]
    chosen = f"{code(result.best.label)} is {weights(result.best.parts).text}."
    return "\n".join(
        [
            *table(["arm", "to choose on (%)", "held out (%)"], arms, "lrr"),
            "",
            chosen,
            "",
            *table(["difference, held out", "points", "relative", "95 % interval"], differences, "lrrr"),
        ]
    )


def _words(result: SearchResult) -> str:
    said = (f"{result.verdict}.", sentences.of_the_weights(result), sentences.of_the_experts(result))
    return "\n".join(f"- {one}" for one in said if one is not None)


def _fenced(lines: list[str]) -> str:
    return "\n".join(["```text", *lines, "```"])


def _printed_by(line: str) -> str:
    program, *words = shlex.split(line)
    there = {**os.environ, "COLUMNS": "100"}
    command = [str(Path(sys.executable).with_name(program)), *words]
    return subprocess.run(command, cwd=ROOT, env=there, check=True, stdout=subprocess.PIPE).stdout.decode()


def main() -> None:
    """Rewrite the pages."""
    with kept_run() as run:
        SCORES.write_bytes((run.folder / "scores.csv").read_bytes())
        PICTURE.write_text(picture(run), encoding="utf-8")
        for page in PAGES:
            text = renewed(page, run)
            text = CONSOLE.sub(lambda one: one["begin"] + _printed_by(one["command"]) + one["end"], text)
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
