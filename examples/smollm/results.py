"""What is kept of a run: configuration, table, per-item outcomes and the report; no weights."""

from __future__ import annotations

import csv
import shutil
import subprocess
from typing import TYPE_CHECKING

from data import BFCL_ITEMS

from soce.search.open import open_run

if TYPE_CHECKING:
    from pathlib import Path

    from soce.search.run import ItemSet


def keep_results(folder: Path, results: Path, soce: Path) -> None:
    """Copy what a finished run says from FOLDER's `run/` to a folder in the repository."""
    run = folder / "run"
    results.mkdir(exist_ok=True)
    for path in (
        folder / "soce.yaml",
        folder / "data" / BFCL_ITEMS,
        run / "scores.csv",
        run / "selection.yaml",
    ):
        shutil.copyfile(path, results / path.name)
    shutil.copyfile(run / "search" / "result.json", results / "result.json")
    _keep_outcomes(run, results / "outcomes.csv")
    report = [str(soce), "report", str(run), "--output", str(results / "report.md")]
    subprocess.run(report, check=True, cwd=folder)


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
