"""The documentation says what the commands print and what the boards give."""

from __future__ import annotations

import csv
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.boards import LARGE, as_categories, board, flores
from tests.shared_data import shared_data

from soce.cli.analyze import analyze
from soce.cli.select import select
from soce.selection.correlation import correlate_categories

ROOT = Path(__file__).parent.parent
CONSOLE = re.compile(r"```console\n\$ (?P<command>.*)\n(?P<output>[^`]*(?:`(?!``)[^`]*)*)```")


def test_the_worked_example_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "bfcl-example.md").read_text()
    (tmp_path / "board").symlink_to(shared_data("bfcl/2025-04-30"))
    models = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert models is not None
    (tmp_path / "models.yaml").write_text(models[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    found = list(CONSOLE.finditer(page))
    assert len(found) == 4
    for block in found:
        program, name, *arguments = shlex.split(block["command"])
        assert program == "soce"
        result = CliRunner().invoke({"analyze": analyze, "select": select}[name], arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.rstrip("\n") == block["output"].rstrip("\n")
    assert (tmp_path / "selection.yaml").exists()


FIGURE_1 = ("live/Live Overall Acc", "multi_turn_base")


def test_the_pair_of_figure_1_depends_on_the_population() -> None:
    whole = board()
    table = as_categories(whole, FIGURE_1)
    with (shared_data("bfcl/2025-04-30") / "data_overall.csv").open(newline="") as file:
        open_weights = [row["Model"] for row in csv.DictReader(file) if row["License"] != "Proprietary"]
    place = whole.place("overall/Overall Acc")
    scored = [model for model in whole.models if whole.score(model, "overall/Overall Acc") >= 0]
    ranked = sorted(scored, key=lambda model: -whole.values[whole.row(model), place])
    found = [
        correlate_categories(table, population=population).rho[0, 1]
        for population in (None, open_weights, ranked[:30], LARGE)
    ]
    figures = [f"{rho:.2f}" for rho in found]
    assert figures == ["0.53", "0.50", "-0.46", "0.34"]
    sentence = (
        "is {} on the board of 2025-04-30, {} over its models with open weights, {} over its best 30, "
        "and {} over the four 70B candidates"
    )
    page = (ROOT / "docs" / "method.md").read_text().replace("\N{MINUS SIGN}", "-")
    assert sentence.format(*figures) in page


def test_the_pair_of_figure_1_on_every_board() -> None:
    found = [
        correlate_categories(as_categories(board(f"bfcl/{date}"), FIGURE_1)).rho[0, 1]
        for date in ("2025-04-14", "2025-04-30", "2025-06-14", "2025-12-16")
    ]
    figures = [f"{rho:.2f}" for rho in found]
    assert figures == ["0.49", "0.53", "0.53", "0.47"]
    page = (ROOT / "docs" / "method.md").read_text()
    assert "{}, {}, {} and {} on the four boards".format(*figures) in page.replace("\n", " ")


def test_the_range_of_the_multi_turn_categories_in_the_worked_example() -> None:
    whole = board()
    found = correlate_categories(
        as_categories(whole, [name for name in whole.categories if name.startswith("multi_turn")])
    )
    values = [pair.rho for pair in found.pairs()]
    assert f"({min(values):.2f} to {max(values):.2f})" in (ROOT / "docs" / "bfcl-example.md").read_text()


def test_thresholds_saturate_where_the_page_says() -> None:
    page = (ROOT / "docs" / "method.md").read_text().replace("\n", " ")
    values = [correlate_categories(table).saturation for table in (board(), flores())]
    assert None not in values
    assert [f"{value:.2f}" for value in values] == ["0.13", "0.09"]
    assert "0.13 for the 17 categories of BFCL v3, 0.09 for the 36 of FLORES over the five" in page


def test_changelog_and_citation_are_of_this_version() -> None:
    """Or nothing was released since: what comes next stands above it."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    released = re.findall(r"^## \[(\d.*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text()
    cited = re.findall(r"^(?:version|date-released): (\S+)$", citation, re.MULTILINE)
    assert released[0] == (version, cited[1])
    assert cited[0] == version
