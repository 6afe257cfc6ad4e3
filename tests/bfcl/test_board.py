"""Our checks and objectives against BFCL's own command and tables, on the same results."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.bfcl.stand_ins import BFCL_PYTHON, needs_bfcl

from soce.evaluate.bfcl.categories import CATEGORIES, GROUPS, N_ITEMS, weights_of
from soce.evaluate.bfcl.process import _copy_program
from soce.scores.bfcl import BOARDS, FILES
from soce.scores.formats.options import ReadOptions
from soce.scores.objective import Formula, Weighted
from soce.scores.read import read_scores

pytestmark = [pytest.mark.bfcl, needs_bfcl]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with results, BFCL's scores of them, and ours."""
    folder = tmp_path_factory.mktemp("bfcl")
    _copy_program(folder)
    shutil.copyfile(Path(__file__).with_name("bfcl_commands.py"), folder / "bfcl_commands.py")
    for name in ("facts", "results", "board", "ours"):
        done = subprocess.run(
            [BFCL_PYTHON, "bfcl_commands.py", name],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "BFCL_PROJECT_ROOT": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def told(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def test_categories_groups_and_counts_are_those_of_bfcl(folder: Path) -> None:
    facts = told(folder, "facts")
    assert facts["items"] == N_ITEMS
    assert {*facts["items"]} == {*CATEGORIES}
    assert {name: {*members} for name, members in facts["groups"].items()} == {
        name: {*members} for name, members in GROUPS.items()
    }


def test_every_item_of_22_categories_is_scored_as_by_bfcls_own_command(folder: Path) -> None:
    ours = told(folder, "ours")
    assert len(ours) == 22
    options = ReadOptions(items=True, format="bfcl-scores")
    table = read_scores(folder / "score", options=options)
    (model,) = table.models
    assert {name: dict(found) for name, found in table.outcomes[model].items()} == ours
    shares = {name: sum(found.values()) / len(found) for name, found in ours.items()}
    assert all(0.3 < share < 0.8 for share in shares.values()), shares  # what was spoilt, and little else


def test_objectives_are_the_overall_accuracies_that_bfcl_prints(folder: Path) -> None:
    ours = told(folder, "ours")
    shares = {name: sum(found.values()) / len(found) for name, found in ours.items()}
    for name in FILES:
        with (folder / "score" / f"data_{name}.csv").open() as file:
            (row,) = csv.DictReader(file)
        forms = {
            header: form for header in row if (form := BOARDS["v4"].aggregate(f"{name}/{header}")) is not None
        }
        assert forms
        for header, form in forms.items():
            exact = sum(float(weight) * shares[leaf] for leaf, weight in form.items())
            assert f"{exact * 100:.2f}%" == row[header], header
        if name == "overall":
            overall = row["Overall Acc"]
    table = read_scores(folder / "score", options=ReadOptions(format="bfcl-scores"))
    (value,) = Formula("bfcl-v4").values(table)
    assert f"{value * 100:.2f}%" == overall
    # Without what cannot be scored, the weights order models as the board does, which counts it as 0.
    weights = weights_of("v4")
    (part,) = Weighted(weights, source="weights.yaml").values(table)
    assert part == pytest.approx(
        sum(float(weight) * shares[name] for name, weight in weights.items()) / float(sum(weights.values()))
    )
