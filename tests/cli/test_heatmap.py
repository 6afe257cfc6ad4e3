"""The heatmap in a terminal: same characters with and without colour, and something that fits at every width."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from soce.cli.text.heatmap import heatmap, heatmap_text
from soce.scores.table import ScoreTable
from soce.selection.correlation import Correlation, correlate_categories


def correlation(names: list[str], *, n_models: int = 9) -> Correlation:
    random = np.random.default_rng(2)
    columns = {name: random.random(n_models).tolist() for name in names}
    return correlate_categories(ScoreTable.of(columns, models=[f"m{n}" for n in range(n_models)]))


def printed(found: Correlation, *, width: int, **options: object) -> str:
    file = io.StringIO()
    Console(file=file, width=width, **options).print(heatmap(found, width=width))  # type: ignore[arg-type]
    return file.getvalue()


def test_numbers_are_rho_in_clustered_order() -> None:
    columns = {"a": [1, 2, 3, 4], "b": [1, 3, 2, 4], "z": [4, 3, 2, 1], "flat": [5, 5, 5, 5]}
    found = correlate_categories(ScoreTable.of(columns, models=list("wxyz")))
    assert printed(found, width=100).splitlines() == [
        "          1   2   3   4",
        "1 z       — -80 -99   ·",
        "2 b     -80   —  80   ·",
        "3 a     -99  80   —   ·",
        "4 flat    ·   ·   ·   —",
        "ρ × 100 of 4 categories over 4 models, cut at 99, clustered. |ρ| < 0.95 cannot be told from 0 at",
        "5 %. · is undefined.",
    ]


@pytest.mark.parametrize("n_categories", [2, 17, 40, 120])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(n_categories: int, width: int) -> None:
    lines = printed(correlation([f"category {n}" for n in range(n_categories)]), width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert not any(line.endswith("…") for line in lines[-3:])


def test_narrow_cells_keep_numbers_apart() -> None:
    found = correlation([f"a category with number {n}" for n in range(17)])
    wide, narrow = printed(found, width=120), printed(found, width=80)
    assert len(wide.splitlines()) == len(narrow.splitlines()) - 1  # the caption takes two lines
    numbers = [int(number) for number in wide.splitlines()[1].split()[6:] if number != "—"]
    row = narrow.splitlines()[1]
    assert [int(row[place : place + 3]) for place in range(len(row) - 48, len(row), 3)] == numbers


def test_what_does_not_fit_is_shown_as_clusters_and_says_so() -> None:
    text = printed(correlation([f"c{n:03}" for n in range(120)]), width=80)
    lines = text.splitlines()
    assert len(lines) == 1 + 12 + 2
    assert "120 categories do not fit into 80 columns: mean ρ × 100 between and within 12" in text
    assert "…" in lines[1]


def test_colour_adds_no_character_and_is_left_out_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    found = correlation(["a", "b", "c"])
    plain = printed(found, width=80)
    assert "\x1b" not in plain
    for system in ("truecolor", "256", "standard"):
        coloured = printed(found, width=80, force_terminal=True, color_system=system)
        assert "\x1b[" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    without = printed(found, width=80, force_terminal=True, color_system="truecolor")
    assert "38;" not in without
    assert "48;" not in without


def test_text_for_stdout_is_plain_and_as_wide_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    found = correlation([f"c{n:03}" for n in range(30)])
    monkeypatch.setenv("COLUMNS", "150")
    assert heatmap_text(found) == heatmap(found, width=150).plain
    monkeypatch.setenv("COLUMNS", "80")
    assert "do not fit into 80 columns" in " ".join(heatmap_text(found).split())


def test_names_cannot_move_the_cursor_and_wide_ones_stay_in_line() -> None:
    text = printed(correlation(["\x1b[2J", "[bold]x[/bold]", "语言模型", "a" * 60]), width=80)
    assert "\x1b" not in text
    assert "\\u{1b}[2J" in text
    assert "[bold]x[/bold]" in text
    assert len({cell_len(line) for line in text.splitlines()[:5]}) == 1


def test_nothing_defined_and_too_much_for_the_width() -> None:
    columns = {f"c{n:03}": [float(n)] * 4 for n in range(90)}
    found = correlate_categories(ScoreTable.of(columns, models=list("wxyz")))
    assert printed(found, width=60).strip() == "no two categories have a defined correlation"
