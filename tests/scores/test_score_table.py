"""The score table as a notebook shows it."""

from __future__ import annotations

import numpy as np

from soce.scores.table import Column, ScoreTable


def test_notebooks_show_scores_with_escaped_names() -> None:
    table = ScoreTable.of({"<b>": [0.5, None], "k\x1b": [1, 2]}, models=["<script>", "n"])
    html = table._repr_html_()
    assert "2 models × 2 categories, 0 aggregates" in html
    assert html.count("<tr") == 3
    assert ">0.5</td>" in html
    assert "nan" not in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "k\\u{1b}" in html


def test_notebooks_show_the_beginning_of_a_large_table() -> None:
    columns = tuple(Column(f"c{place}") for place in range(50))
    html = ScoreTable(tuple(f"m{row}" for row in range(60)), columns, np.ones((60, 50)))._repr_html_()
    assert html.count("<tr") == 42  # the head, 40 models and a row of dots
    assert "60 models × 50 categories, 0 aggregates" in html
