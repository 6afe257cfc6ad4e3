"""Programs that tell items apart: searches choose on some of the items and report on the others, with intervals."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory

from soce.cli.report import report
from soce.cli.search import search
from soce.cli.select import select
from soce.scores import bfcl
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.search.open import open_run
from soce.selection.file import read_selection

LEAVES = {version: list(board.overall) for version, board in bfcl.BOARDS.items()}
N_ITEMS = 12
READ_CHECKPOINT = """
import hashlib, json, struct, sys
from pathlib import Path

checkpoint, output = map(Path, sys.argv[1:3])
content = (checkpoint / "model.safetensors").read_bytes()
first, _ = struct.unpack("<2f", content[8 + struct.unpack("<Q", content[:8])[0] :])


def solves(item):
    # Some items want a small value, the others a large one: the best soup lies between.
    draw = hashlib.sha256(item.encode()).digest()
    return first < 0.6 + draw[0] / 100 if draw[1] % 2 else first > 1.6 - draw[0] / 100
"""
BFCL = (
    READ_CHECKPOINT
    + f"""
LEAVES, N_ITEMS = {LEAVES}, {N_ITEMS}
"""
    + """
version, with_results = sys.argv[3], len(sys.argv) < 5
for leaf in LEAVES[version]:
    ids = [f"{leaf}_{i}-{i}-0" if leaf.startswith("live") else f"{leaf}_{i}" for i in range(N_ITEMS)]
    failed = [item for item in ids if not solves(item)]
    right = N_ITEMS - len(failed)
    head = {"accuracy": right / N_ITEMS, "correct_count": right, "total_count": N_ITEMS}
    files = {"score": [head, *({"id": item, "valid": False} for item in failed)]}
    if with_results:
        files["result"] = [{"id": item, "result": "f()"} for item in ids]
    for kind, lines in files.items():
        path = output / kind / "handler" / f"BFCL_{version}_{leaf}_{kind}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\\n" for line in lines))
"""
)
TABLE = (
    READ_CHECKPOINT
    + """
rows = [f"{c},{i},{int(solves(c + str(i)))}" for c in ("math", "code") for i in range(40)]
(output / "items.csv").write_text("category,item,score\\n" + "\\n".join(rows) + "\\n")
"""
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with checkpoints a to d."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate("abcd"):
        directory(tmp_path / name, float(place), 2.0)
    (tmp_path / "models.yaml").write_text("".join(f"{name}: {name}\n" for name in "abcd"))
    return tmp_path


def run(command: object, *arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def search_with(program: str, scores: str, *arguments: object) -> Result:
    Path("score.py").write_text(program)
    command = " ".join([sys.executable, "score.py", "{checkpoint}", "{output}", *map(str, arguments)])
    return run(
        *(search, "selection.yaml", "--models", "models.yaml", "--evaluator-command", command),
        *("--evaluator-scores", scores, "-o", "run"),
    )


def select_here(tables: list[str], categories: list[str], *arguments: str) -> None:
    """Select by the best models of some categories, on a coarse grid."""
    rule = ["--rule", "explicit", *(f"--category={name}" for name in categories), "--step", "0.25"]
    found = run(select, *tables, "--models", "models.yaml", *rule, *arguments, "-o", "selection.yaml")
    assert found.exit_code == 0, found.stderr


def selection_of_folders(here: Path, version: bfcl.Version = "v3", *, has_results: bool = False) -> None:
    """Select from a score directory of all leaves, in which models solve so many of 100 items."""
    values = {"a": 60, "b": 40, "c": 61, "d": 50}
    first, second = LEAVES[version][:2]
    for model, right in values.items():
        for leaf in LEAVES[version]:
            mine = right + (7 if (leaf == first) == (model == "a") else 0)
            ids = [f"{leaf}_{i}-{i}-0" if leaf.startswith("live") else f"{leaf}_{i}" for i in range(100)]
            head = {"accuracy": mine / 100, "correct_count": mine, "total_count": 100}
            files = {"score": [head, *({"id": item} for item in ids[mine:])] if has_results else [head]}
            if has_results:
                files["result"] = [{"id": item} for item in ids]
            for kind, lines in files.items():
                path = here / "board" / kind / model / f"BFCL_{version}_{leaf}_{kind}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    select_here(["board"], [first, second], "--objective", f"bfcl-{version}")


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_search_by_bfcl_folders_holds_items_out_and_has_intervals(
    here: Path, version: bfcl.Version
) -> None:
    selection_of_folders(here, version)
    found = search_with(BFCL, "{output}/score", version)
    assert found.exit_code == 0, found.stderr
    told = " ".join(found.stdout.split())
    assert "95 % interval [" in told
    assert "optimistic" not in told
    opened = open_run(here / "run")
    chosen_on, reported_on = opened.items("selection"), opened.items("report")
    assert chosen_on is not None
    assert reported_on is not None
    assert {leaf: len(ids) for leaf, ids in reported_on.items()} == dict.fromkeys(
        LEAVES[version], N_ITEMS // 2
    )
    assert all(set(ids).isdisjoint(chosen_on[leaf]) for leaf, ids in reported_on.items())
    # What every arm was told is the board's formula over one half of the items, as its files have them.
    assert opened.result is not None
    board = bfcl.BOARDS[version].overall
    for arm in opened.result.arms:
        (score,) = (here / "run").rglob(f"{arm.recipe.id}-*/output/score")
        outcomes = read_scores(score, options=ReadOptions(items=True)).outcomes["handler"]
        for items, told_of in ((chosen_on, arm.selection), (reported_on, arm.report)):
            value = Fraction(0)
            for leaf, ids in items.items():
                value += board[leaf] * Fraction(
                    sum(map(int, (outcomes[leaf][item] for item in ids))), len(ids)
                )
            assert told_of.value == pytest.approx(float(value))


def test_a_search_that_is_repeated_finds_its_items_again(here: Path) -> None:
    selection_of_folders(here)
    first = search_with(BFCL, "{output}/score", "v3")
    again = search_with(BFCL, "{output}/score", "v3")
    assert "0 evaluations in this run" in again.stderr
    assert again.stdout == first.stdout
    page = run(report, "run", "--output", "-", "--format", "markdown")
    assert page.exit_code == 0, page.stderr


def test_without_result_files_the_search_says_what_to_leave(here: Path) -> None:
    selection_of_folders(here)
    found = search_with(BFCL, "{output}/score", "v3", "without")
    assert found.exit_code == 0, found.stderr
    told = " ".join(found.stdout.split())
    assert "selected and reported on the same items: optimistic" in told
    assert told.count("no outcomes by item in") == 1
    assert "leave them in the same place below `result`, beside the directory of scores" in told


@pytest.mark.parametrize("has_results", [True, False])
def test_a_selection_knows_the_items_that_its_scores_stand_on(here: Path, has_results: bool) -> None:
    selection_of_folders(here, has_results=has_results)
    origin = read_selection(here / "selection.yaml").selection.origin
    if not has_results:  # 100 items of each leaf are all of `java` only, and not all failures are listed
        assert origin.kind == "unknown"
        return
    assert origin.kind == "items"
    assert origin.items is not None
    assert origin.items.keys() == {*LEAVES["v3"]}
    assert set(origin.items["live_simple"]) == {f"live_simple_{i}-{i}-0" for i in range(100)}


def test_experts_of_the_same_folders_were_chosen_on_the_reported_items(here: Path) -> None:
    Path("score.py").write_text(BFCL)
    for name in "abcd":  # the candidates, by the program that scores soups
        (here / "board" / name).mkdir(parents=True)
        subprocess.run([sys.executable, "score.py", name, here / "board" / name, "v3"], check=True)
    tables = [f"{name}=board/{name}/score" for name in "abcd"]
    select_here(tables, ["simple", "java"], "--objective", "bfcl-v3")
    found = search_with(BFCL, "{output}/score", "v3")
    assert found.exit_code == 0, found.stderr
    n_reported = len(LEAVES["v3"]) * N_ITEMS // 2
    told = f"the scores that chose the experts stand on {n_reported} of the {n_reported} reported items"
    assert told in " ".join(found.stdout.split())
    assert json.loads((here / "run" / "result.json").read_text())["experts_saw"] == "these items"


def test_a_table_of_items_is_the_simplest_way_to_tell_them_apart(here: Path) -> None:
    (here / "scores.csv").write_text("model,math,code\na,60,50\nb,40,62\nc,41,66\nd,55,61\n")
    select_here(["scores.csv"], ["math", "code"])
    found = search_with(TABLE, "{output}/items.csv")
    assert found.exit_code == 0, found.stderr
    result = json.loads((here / "run" / "result.json").read_text())
    assert result["split"]["held_out"] == {"math": 20, "code": 20}
    assert "95 % interval [" in " ".join(found.stdout.split())
