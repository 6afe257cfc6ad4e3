"""Selection files: they read back equal, are recipe files of every soup, and refuse what cannot be right."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.boards import LARGE, board, complete, tables
from tests.checkpoints import directory, read_directory

from soce import Recipe, merge, merge_all, read_recipes
from soce.exceptions import OutputError, RecipeError, ScoreTableError
from soce.files.emit import n_values, quoted, to_json
from soce.scores.lint.findings import Finding
from soce.scores.origin import ScoreOrigin
from soce.scores.table import ScoreTable
from soce.selection.experts import Selection, select_experts
from soce.selection.file import SelectionFile, read_selection, write_selection
from soce.selection.options import SelectionOptions
from soce.selection.rules import Clusters, Explicit, Pairs, Rule, Threshold
from soce.selection.weights import WeightGrid

RULES: tuple[Rule, ...] = (
    Threshold(0.9),
    Threshold(0.25, signed=True),
    Pairs(2),
    Clusters(n_clusters=2),
    Clusters(min_correlation=0.3),
    Explicit(("c0", "c1")),
)
ODD = [
    "xLAM-2-70b-fc-r (FC)",
    "--candidate",
    "a: b",
    'it\'s "quoted"',
    "null",
    "true",
    "1e5",
    "0x10",
    "# none",
    "模型 1",
    "a, b",
    "{x}",
    "[1]",
    "*star",
    "&and",
    "!tag",
    "%percent",
    "@at",
    "`tick`",
    "a\\b",
    "a #b",
    "a\u2028b",
    "tab\tin",
    "\u200bzero",
    "\U0001f600",
    "org/model",
    "name",
    "path",
    "~",
    "-",
    "?",
    "long " * 300 + "end",
]


def table_of(models: list[str]) -> ScoreTable:
    """Return a table in which every model is best in one category."""
    columns = {
        f"c{place}": [float(row == place) + row / 100 for row in range(len(models))]
        for place in range(len(models))
    }
    return ScoreTable.of(columns, models=models)


def selection_of(models: list[str], **options: object) -> Selection:
    table = table_of(models)
    return select_experts(table, Explicit(table.categories), SelectionOptions(**options))  # type: ignore[arg-type]


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def parts_of(path: Path) -> list[tuple[int, ...]]:
    return [recipe.parts or () for _, recipe in read_recipes(path).recipes]


def lowest(grid: WeightGrid) -> list[tuple[int, ...]]:
    return [Recipe.of({str(place): part for place, part in enumerate(parts)}).parts or () for parts in grid]


# ---- round trip


@given(tables(), st.sampled_from(RULES), st.sampled_from([".yaml", ".json"]), st.sampled_from(["0.1", "1/4"]))
def test_a_selection_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, table: ScoreTable, rule: Rule, suffix: str, step: str
) -> None:
    try:
        selection = select_experts(table, rule, SelectionOptions(step=step, tie_within=0.5, min_items=3))
    except ScoreTableError:
        return
    path = tmp_path_factory.mktemp("selections") / f"selection{suffix}"
    write_selection(selection, path)
    read = read_selection(path)
    assert read.selection == selection
    assert read.grid == selection.grid
    assert read.objective == "mean"
    assert read.text == path.read_text(encoding="utf-8")
    assert tuple(ingredient.name for ingredient in read.ingredients) == selection.models
    assert parts_of(path) == lowest(selection.grid)
    again = path.with_name(f"again{suffix}")
    write_selection(read.selection, again)
    assert again.read_text().replace("again", "selection") == read.text


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_odd_names_survive(tmp_path: Path, suffix: str) -> None:
    for start in range(0, len(ODD), 8):
        selection = selection_of(ODD[start : start + 8])
        path = tmp_path / f"selection{start}{suffix}"
        write_selection(selection, path)
        assert read_selection(path).selection == selection
        assert parts_of(path) == lowest(selection.grid)
        recipe = read_recipes(path).recipes[0][1]
        assert tuple(ingredient.name for ingredient in recipe.ingredients) == selection.models


def test_findings_are_kept(tmp_path: Path) -> None:
    finding = Finding(
        "S01",
        "warning",
        "`a` repeats `b`",
        columns=("a",),
        details={"rows": 5, "share": 0.5, "why": "7", "x": [None, True]},
    )
    selection = replace(selection_of(["a", "b"]), findings=(finding,))
    write_selection(selection, tmp_path / "s.yaml")
    assert read_selection(tmp_path / "s.yaml").selection == selection


def small() -> ScoreTable:
    """Return three models that differ."""
    return ScoreTable.of({"c0": [1, 2, 4], "c1": [2, 1, 3], "c2": [4, 3, 1]}, models=["a", "b", "c"])


def test_the_origin_of_the_scores_is_kept(tmp_path: Path) -> None:
    origin = ScoreOrigin("other", {"c0": ("q1", "1e5", "null"), "c1": ()}, "0f")
    selection = select_experts(small().with_origin(origin), Pairs(2))
    write_selection(selection, tmp_path / "selection.yaml")
    assert read_selection(tmp_path / "selection.yaml").selection.origin == origin
    assert selection.to_json()["origin"] == {  # numbers, because ids may be many
        "kind": "measured",
        "stated": "other",
        "n_items": {"c0": 3, "c1": 0},
        "evaluator": "0f",
    }


def test_a_file_of_an_earlier_version_knows_no_origin(tmp_path: Path) -> None:
    selection = select_experts(small(), Pairs(2))
    write_selection(selection, tmp_path / "selection.json")
    content = json.loads((tmp_path / "selection.json").read_text())
    del content["selection"]["origin"]
    (tmp_path / "selection.json").write_text(json.dumps(content))
    assert read_selection(tmp_path / "selection.json").selection.origin.kind == "unknown"


def test_items_that_are_too_many_stay_unnamed(tmp_path: Path) -> None:
    many = ScoreOrigin(items={"c0": tuple(map(str, range(10_001)))})
    selection = select_experts(small().with_origin(many), Pairs(2))
    (note,) = [note for note in write_selection(selection, tmp_path / "s.yaml") if "too many" in note]
    assert "the items" in note
    assert read_selection(tmp_path / "s.yaml").selection.origin.kind == "unknown"


def test_a_selection_of_the_leaderboard_reads_back_equal(tmp_path: Path) -> None:
    table = board()
    selection = select_experts(
        table, Threshold(0.1), SelectionOptions(candidates=LARGE, population=complete(table))
    )
    notes = write_selection(selection, tmp_path / "s.yaml", dtype="bfloat16")
    assert notes == (
        "no path is known for `CoALM-70B`, `watt-tool-70B (FC)`, `xLAM-2-70b-fc-r (FC)`, "
        "`Functionary-Medium-v3.1 (FC)`: write it under `ingredients`",
    )
    assert f"# Note: {notes[0]}.\n" in (tmp_path / "s.yaml").read_text()
    read = read_selection(tmp_path / "s.yaml")
    assert (read.selection, read.dtype) == (selection, "BF16")
    assert len(read_recipes(tmp_path / "s.yaml").recipes) == 85


# ---- paths


def test_paths_are_written_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "models").mkdir()  # else `models/a` is a model of the Hub
    far = tmp_path / "elsewhere" / "c"
    notes = write_selection(
        selection_of(["a", "b", "c"]), "out/s.yaml", paths={"a": "models/a", "b": Path("out/b"), "c": far}
    )
    assert notes == ()
    text = Path("out/s.yaml").read_text()
    assert "  a: ../models/a\n" in text
    assert "  b: b\n" in text
    assert str(far) in text
    places = {
        i.name: os.path.abspath(i.path)  # noqa: PTH100 - links are kept
        for i in read_selection("out/s.yaml").ingredients
    }
    assert places == {"a": str(tmp_path / "models/a"), "b": str(tmp_path / "out/b"), "c": str(far)}


def test_a_changed_path_is_read(tmp_path: Path) -> None:
    write_selection(selection_of(["a", "b"]), tmp_path / "s.yaml")
    (tmp_path / "models").mkdir()
    edited(tmp_path / "s.yaml", "  a: a\n", "  a: models/a\n")
    read = read_selection(tmp_path / "s.yaml")
    assert {i.name: i.path for i in read.ingredients}["a"] == str(tmp_path / "models/a")


# ---- soups


def test_the_grid_is_made_as_it_is(tmp_path: Path) -> None:
    table = table_of(["math (FC)", "code", "chat"])
    paths = {
        "math (FC)": directory(tmp_path / "m", 1.0, 2.0),
        "code": directory(tmp_path / "k", -3.0, 5.0),
        "chat": directory(tmp_path / "c", 0.25, 1e-3),
    }
    selection = select_experts(table, Explicit(table.categories), SelectionOptions(step="1/4"))
    write_selection(selection, tmp_path / "s.yaml", paths=paths)
    merge_all(tmp_path / "s.yaml", output=tmp_path / "soups")
    made = sorted(path.name for path in (tmp_path / "soups").iterdir() if path.is_dir())
    assert made == ["1-1-1", "1-1-2", "1-2-1", "2-1-1"]
    parts = dict(zip(selection.models, (1, 2, 1), strict=True))
    merge({str(paths[model]): part for model, part in parts.items()}, output=tmp_path / "one")
    assert read_directory(tmp_path / "soups" / "1-2-1") == read_directory(tmp_path / "one")


def test_one_expert_is_one_recipe(tmp_path: Path) -> None:
    table = ScoreTable.of({"x": [1, 2], "y": [1, 2]}, models=["a", "b"])
    write_selection(select_experts(table, Explicit(("x", "y"))), tmp_path / "s.yaml")
    assert parts_of(tmp_path / "s.yaml") == [(1,)]
    assert read_selection(tmp_path / "s.yaml").selection.notes == ("one expert, no soup",)


def test_a_grid_that_is_too_large_is_left_to_the_search(tmp_path: Path) -> None:
    selection = selection_of([f"m{row:02}" for row in range(11)], step="1/20")
    notes = write_selection(selection, tmp_path / "s.yaml")
    assert "92379 points of the grid are too many" in notes[1]
    assert "\nrecipes:" not in (tmp_path / "s.yaml").read_text()
    assert read_selection(tmp_path / "s.yaml").grid.count == 92379
    with pytest.raises(RecipeError, match="there are no named recipes"):
        merge_all(tmp_path / "s.yaml", output=tmp_path / "soups")


def test_a_point_whose_name_would_be_too_long_is_numbered(tmp_path: Path) -> None:
    selection = selection_of([f"m{row:02}" for row in range(60)], step="1/60")
    write_selection(selection, tmp_path / "s.yaml")
    assert [name for name, _ in read_recipes(tmp_path / "s.yaml").recipes] == ["point-1"]
    assert parts_of(tmp_path / "s.yaml") == [(1,) * 60]


def test_values_are_counted_as_the_reader_counts_them() -> None:
    assert n_values({"a": [1, 2], "b": {"c": None}}) == 9
    assert quoted("a b") == "a b"
    assert json.loads(to_json({"a": 0.1})) == {"a": 0.1}


def test_a_selection_too_large_for_any_file(tmp_path: Path) -> None:
    selection = selection_of(["a", "b"])
    large = replace(selection, population=tuple(f"m{row}" for row in range(60_000)))
    with pytest.raises(ScoreTableError, match="a recipe file at most 50000"):
        write_selection(large, tmp_path / "s.yaml")
    assert not list(tmp_path.iterdir())


# ---- refusals


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("mine")
    with pytest.raises(OutputError, match="the file exists"):
        write_selection(selection_of(["a", "b"]), path)
    assert path.read_text() == "mine"
    write_selection(selection_of(["a", "b"]), path, overwrite=True)
    assert isinstance(read_selection(path), SelectionFile)
    assert [found.name for found in tmp_path.iterdir()] == ["s.yaml"]


def test_a_name_that_turns_up_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("mine")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises(OutputError, match="the file exists"):
        write_selection(selection_of(["a", "b"]), path)
    monkeypatch.undo()
    assert [found.name for found in tmp_path.iterdir()] == ["s.yaml"]
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"z": "p"}, "a path is given for `z`, which is no candidate"),
        ({"a": "p", "b": "./p"}, "`b` and `a` have the same path"),
        ({"a": ""}, "the path of `a` is not one: ``"),
        ({"a": "x\0y"}, "the path of `a` is not one"),
    ],
)
def test_paths_that_are_refused(tmp_path: Path, paths: dict[str, str], message: str) -> None:
    with pytest.raises(ScoreTableError) as caught:
        write_selection(selection_of(["a", "b"]), tmp_path / "s.yaml", paths=paths)
    text = caught.value.problems[0].message
    assert text.startswith(message) or text.replace("`a` and `b`", "`b` and `a`").startswith(message)
    assert not list(tmp_path.iterdir())


def test_names_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError, match="an ingredient cannot be named `equal`"):
        write_selection(selection_of(["a", "equal"]), tmp_path / "s.yaml")
    with pytest.raises(OutputError, match=r"named .yaml, .yml or .json"):
        write_selection(selection_of(["a", "b"]), tmp_path / "s.txt")
    with pytest.raises(RecipeError, match="not a dtype"):
        write_selection(selection_of(["a", "b"]), tmp_path / "s.yaml", dtype="f8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  format: 1", "  format: 2", "`format` is `2`, this version reads 1"),
        ("  format: 1\n", "", "`format` is missing, this version reads 1"),
        ("selection:", "selections:", "the file has no `selection`"),
        ("  kind: table", "  kind: [table]", "`selection.kind` must be a single value, not a list"),
        ("  kind: table", "  kynd: table", "unknown key `kynd` in `selection`"),
        ("  kind: table\n", "", "`selection.kind` is missing"),
        ("  kind: table", "  kind:", "`selection.kind` is empty"),
        (
            "    name: explicit",
            "    name: best",
            "`selection.rule` must be threshold, pairs, cluster or explicit, not",
        ),
        ("  min_overlap: 3", "  min_overlap: 3.5", "`selection.min_overlap` must be an integer, not `3.5`"),
        (
            "  missing: pairwise",
            "  missing: no",
            "`selection.missing` must be `pairwise` or `complete`, not `no`",
        ),
        (
            "    uniform: true",
            "    uniform: maybe",
            "`selection.grid.uniform` must be true or false, not `maybe`",
        ),
        (
            "    uniform: true",
            "    uniform: yes",
            "`selection.grid.uniform` must be true or false, not `yes`",
        ),
        ("    uniform: true", "    uniform: 1", "`selection.grid.uniform` must be true or false, not `1`"),
        (
            "    uniform: true",
            "    uniform: [1]",
            "`selection.grid.uniform` must be true or false, not a list",
        ),
        ("  tie_within: 0.0", "  tie_within: .inf", "`selection.tie_within` must be a number, not `.inf`"),
        (
            "  tie_within: 0.0",
            "  tie_within: 1e999",
            "`selection.tie_within` is `1e999`: input should be a finite number",
        ),
        ("    whole: 10", "    whole: 1", "2 experts do not fit on the grid"),
        ("    n_experts: 2", "    n_experts: 3", "the grid is one for 3 experts, there are 2"),
        ("  groups:", "  groups: 5\n  x:", "unknown key `x` in `selection`"),
        ("  a: a\n", "  c: a\n", "the ingredients are not the experts of the selection"),
        ("  a: a\n", "  a: b\n", "two recipes are named"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    write_selection(selection_of(["a", "b"]), path)
    edited(path, old, new)
    with pytest.raises(RecipeError) as caught:
        read_selection(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"`{path}`: ")


def test_a_recipe_file_is_no_selection(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("ingredients: {a: A}\n")
    with pytest.raises(RecipeError, match="the file has no `selection`"):
        read_selection(path)
    path.write_text("[1]")
    with pytest.raises(RecipeError, match="a selection file must be a mapping"):
        read_selection(path)


def test_the_recipe_reader_does_not_look_into_a_selection(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("ingredients: {a: A, b: B}\nselection: {anything: [1, {goes: null}]}\n")
    assert read_recipes(path).recipe.parts == (1, 1)
