"""Tables that several tests choose experts from: the paper's rows, the leaderboard and its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from tests.shared_data import shared_data

from soce.scores.formats import bfcl_board
from soce.scores.formats.options import ReadOptions
from soce.scores.paper import paper_table
from soce.scores.table import ScoreTable

LARGE = ("xLAM-2-70b-fc-r (FC)", "CoALM-70B", "watt-tool-70B (FC)", "Functionary-Medium-v3.1 (FC)")
SMALL = ("xLAM-2-8b-fc-r (FC)", "ToolACE-2-8B (FC)", "watt-tool-8B (FC)", "BitAgent-8B", "CoALM-8B")
SHORT = {
    "xLAM-2-70b-fc-r (FC)": "xLAM",
    "xLAM-2-8b-fc-r (FC)": "xLAM",
    "xLAM-8b-fc-r (FC)": "xLAM",
    "xLAM-70b-fc-r (FC)": "xLAM",
    "CoALM-70B": "CoALM",
    "CoALM-8B": "CoALM",
    "watt-tool-70B (FC)": "watt",
    "watt-tool-8B (FC)": "watt",
    "Functionary-Medium-v3.1 (FC)": "Functionary",
    "ToolACE-2-8B (FC)": "ToolACE",
    "BitAgent-8B": "BitAgent",
}


def flores() -> ScoreTable:
    """Return rows 1 to 5 of the paper's Table 5."""
    return paper_table("flores36").take(models=["1", "2", "3", "4", "5"])


@cache
def _board(path: Path) -> ScoreTable:
    return bfcl_board.read(path, ReadOptions())


def board(name: str = "bfcl/2025-04-30") -> ScoreTable:
    """Return a leaderboard of a folder, or of one file; skips where it is not there."""
    return _board(shared_data(name))


def complete(table: ScoreTable) -> list[str]:
    """Return the models that have every category: method.md's population A."""
    holes = np.isnan(table.oriented()).any(axis=1)
    return [model for model, hole in zip(table.models, holes, strict=True) if not hole]


def as_categories(table: ScoreTable, columns: Sequence[str]) -> ScoreTable:
    """Return a table of these columns, all of them categories."""
    taken = table.take(columns=columns)
    return taken.with_columns([replace(column, role="category", parts=()) for column in taken.columns])


def short(models: Sequence[str]) -> set[str]:
    """Return the paper's names."""
    return {SHORT[model] for model in models}


@st.composite
def tables(draw: st.DrawFn, *, holes: bool = True) -> ScoreTable:
    """Return small tables with ties, holes and constant columns; every model has a score."""
    n_models, n_categories = draw(st.integers(3, 7)), draw(st.integers(2, 6))
    score = st.integers(0, 8).map(lambda eighths: eighths / 8)
    cell = st.one_of(score, score, score, st.none()) if holes else score
    columns = {
        f"c{place}": draw(st.lists(cell, min_size=n_models, max_size=n_models))
        for place in range(n_categories)
    }
    columns["c0"] = [0.5 if value is None else value for value in columns["c0"]]
    return ScoreTable.of(columns, models=[f"m{row}" for row in range(n_models)], scale="unit")
