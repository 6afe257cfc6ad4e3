"""What is kept of a run: configuration, table, per-item outcomes and the report; no weights."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from data import BFCL_ITEMS

from soce.search.open import open_run

if TYPE_CHECKING:
    from soce.search.run import ItemSet


def keep_results(folder: Path, results: Path, soce: Path) -> None:
    """Write what a finished run in FOLDER's `run/` says to a folder in the repository, without its paths."""
    run = folder / "run"
    results.mkdir(exist_ok=True)
    report = subprocess.run(
        [str(soce), "report", "run", "--output", "-", "--format", "markdown"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=folder,
    )
    (results / "report.md").write_text(_without_paths(report.stdout, folder))
    for path in (
        *(folder / "soce.yaml", folder / "data" / BFCL_ITEMS),
        *(run / "scores.csv", run / "selection.yaml", run / "search" / "result.json"),
    ):
        (results / path.name).write_text(_without_paths(path.read_text(), folder))
    _keep_outcomes(run, results / "outcomes.csv")


def _without_paths(text: str, folder: Path) -> str:
    """Return a text with paths as they are seen from FOLDER and from the user's home."""
    return text.replace(f"{folder}/", "").replace(str(Path.home()), "~")


def _keep_outcomes(run: Path, path: Path) -> None:
    """Write what every arm made of every item: a line for each item, a column for each arm."""
    sides: tuple[ItemSet, ...] = ("selection", "report")
    found = open_run(run)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        arms = [*found.evaluations()]
        writer.writerow(["items", "category", "item", *arms])
        for side in sides:
            evaluations = [one.items or {} for one in found.evaluations(on=side).values()]
            for category, outcomes in evaluations[0].items():
                for item in outcomes:
                    writer.writerow(
                        [side, category, item, *(f"{one[category][item]:g}" for one in evaluations)]
                    )
