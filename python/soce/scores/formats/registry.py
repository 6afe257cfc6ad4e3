"""The formats of score files: what each is called, what it is, and who reads it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from soce.scores.paper import PAPER_TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import ScoreTable


class Reader(Protocol):
    """The module of a format that is known by its content."""

    def recognise(self, path: Path) -> bool:
        """Whether a file, or something in a directory, is of this format."""

    def read(self, path: Path, options: ReadOptions) -> ScoreTable:
        """Return the table of a file or directory."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of score files."""

    help: str
    """What it is, in one line."""
    module: str | None = None
    """Its `Reader` in this folder, imported when a path may be of it; None: read otherwise."""
    options: tuple[str, ...] = ()
    """Fields of `ReadOptions` that only some formats look at, this one among them."""

    @property
    def reader(self) -> Reader | None:
        """Who recognises and reads it."""
        if self.module is None:
            return None
        return cast("Reader", importlib.import_module(f"soce.scores.formats.{self.module}"))


_CELLS: Final = ("delimiter", "decimal", "sheet")
_RESULTS: Final = ("metric", "level")

FORMATS: Final[dict[str, Format]] = {
    "wide": Format(
        "CSV, TSV, JSON, Parquet, Excel or Markdown: a row for each model, a column for each category",
        options=("transpose", *_CELLS),
    ),
    "transposed": Format(
        "the same with a row for each category, such as OpenCompass' summary_*.csv",
        options=("transpose", "metric", "split", *_CELLS),
    ),
    "long": Format(
        "CSV, TSV, JSON, Parquet, Excel or Markdown: model, category, score in columns; n, stderr, split",
        options=("split", "metric", *_CELLS),
    ),
    "lm-eval": Format("lm-evaluation-harness: results_*.json, or a directory of them", "lm_eval", _RESULTS),
    "bfcl": Format("BFCL leaderboard: a directory of data_*.csv, or one of them", "bfcl_board"),
    "bfcl-scores": Format("BFCL evaluation: a score/ directory of BFCL_v*_score.json", "bfcl_scores"),
    "lighteval": Format("lighteval: results_*.json, or a directory of them", "lighteval", _RESULTS),
    "inspect": Format(
        "inspect_ai: a log (.eval or .json), or a directory of them", "inspect_ai", (*_RESULTS, "reducer")
    ),
    "paper": Format(f"a table of the paper, as `paper:NAME`: {', '.join(PAPER_TABLES)}"),
}
"""Every format by the name that `ReadOptions.format` and `ScoreTable.kind` have for it."""

NAME_THE_FORMAT: Final = (
    f"name the format with `--format`: {', '.join(name for name in FORMATS if name != 'paper')}"
)
"""Hint beside a source whose format is not known."""
