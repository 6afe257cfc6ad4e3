"""Tables have rows that are no models, and first columns that are no names."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.scores.table import ScoreTable
from soce.scores.tables.long import write_scores
from soce.selection.lint import lint_scores

ROWS = "a,50.0,30.0\nb,60.0,20.0\nc,70.0,25.0\n"


def read(folder: Path, text: str, **options: object) -> ScoreTable:
    path = folder / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return read_scores(path, options=ReadOptions(**options))


# Rows


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("Average,60.0,25.0", "a statistic"),
        ("AVG,60.0,25.0", "a statistic"),
        ("Mean (all models),60.0,25.0", "a statistic"),
        ("Std,8.2,4.1", "a statistic"),
        ("Std. dev.,8.2,4.1", "a statistic"),
        ("Standard deviation,8.2,4.1", "a statistic"),
        ("Stderr,4.7,2.4", "a statistic"),
        ("Median,60.0,25.0", "a statistic"),
        ("Best,70.0,30.0", "a statistic"),
        ("Max,70.0,30.0", "a statistic"),
        ("min,50.0,20.0", "a statistic"),
        ("Human,95.0,90.0", "a baseline"),
        ("Human performance,95.0,~90", "a baseline"),
        ("Human expert,95.0,90.0", "a baseline"),
        ("Random,25.0,0", "a baseline"),
        ("Random baseline,25.0,0", "a baseline"),
        ("Random guess,25.0,-", "a baseline"),
        ("Chance,25.0,0", "a baseline"),
        ("Majority class,25.0,0", "a baseline"),
        ("Majority vote,25.0,0", "a baseline"),
    ],
)
def test_rows_that_are_no_models_are_set_aside_and_named(tmp_path: Path, row: str, kind: str) -> None:
    table = read(tmp_path, f"model,math,code\n{ROWS}{row}\n")
    assert table.models == ("a", "b", "c")
    assert table.no_models == ((row.partition(",")[0], kind),)
    (finding,) = lint_scores(table).coded("S19")
    assert row.partition(",")[0] in finding.message


@pytest.mark.parametrize(
    "row",
    [
        "best,65.0,25.0",  # a checkpoint that lies between others
        "max,65.0,31.0",
        "best,75.0,35.0",  # a checkpoint that is better than the best of the others
        "random-merge,65.0,25.0",
        "human-aligned-7b,65.0,25.0",
        "baseline,65.0,25.0",
        "mean-teacher,65.0,25.0",
        "sd,65.0,25.0",
        "expert,65.0,25.0",
    ],
)
def test_models_that_are_called_alike_stay(tmp_path: Path, row: str) -> None:
    name = row.partition(",")[0]
    table = read(tmp_path, f"model,math,code\n{ROWS}{row}\n")
    assert (table.models, table.no_models) == (("a", "b", "c", name), ())
    told = [finding.models for finding in lint_scores(table).coded("S19")]
    assert told == ([(name,)] if name in {"best", "max"} else [])


def test_a_row_can_be_kept_as_a_model(tmp_path: Path) -> None:
    text = f"model,math,code\n{ROWS}Human,95,90\nRandom,25,0\n"
    table = read(tmp_path, text, keep_rows=("Human",))
    assert (table.models, table.no_models) == (("a", "b", "c", "Human"), (("Random", "a baseline"),))
    with pytest.raises(ScoreTableError, match="there is no model `Humn`"):
        read(tmp_path, text, keep_rows=("Humn",))


def test_a_row_that_was_set_aside_is_missed_with_the_way_to_keep_it(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,math,code\n{ROWS}Human,95,90\n")
    with pytest.raises(ScoreTableError, match="the row `Human` was set aside as a baseline") as caught:
        table.row("Human")
    assert caught.value.problems[0].hint is not None
    assert "--keep-row Human" in caught.value.problems[0].hint


def test_short_names_of_statistics_count_beside_another_one(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,math,code\n{ROWS}mean,60,25\nsd,8.2,4.1\n")
    assert [name for name, _ in table.no_models] == ["mean", "sd"]


def test_a_table_of_such_rows_only_is_one_of_models(tmp_path: Path) -> None:
    table = read(tmp_path, "model,math,code\nhuman,95,90\nrandom,25,0\n")
    assert (table.models, table.no_models) == (("human", "random"), ())


def test_an_average_twice_is_no_model_twice(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,math,code\n{ROWS}Average,60,25\nd,1,2\nAverage,1,2\n")
    assert table.models == ("a", "b", "c", "d")


# The column of the models


@pytest.mark.parametrize(
    ("head", "first"),
    [
        ("", ("0", "1", "2")),
        ("Unnamed: 0", ("0", "1", "2")),
        ("#", ("1", "2", "3")),
        ("rank", ("1", "1", "3")),
        ("index", ("7", "3", "9")),
        ("place", ("1", "2", "3")),
        ("whatever", ("0", "1", "2")),
        ("T", ("🟢", "🟢", "🔶")),
    ],
)
@pytest.mark.parametrize("named", ["Model", "model"])
def test_a_first_column_that_is_no_name_gives_way_to_the_model(
    tmp_path: Path, head: str, first: tuple[str, ...], named: str
) -> None:
    rows = [f"{count},{row}" for count, row in zip(first, ROWS.splitlines(), strict=True)]
    table = read(tmp_path, "\n".join([f"{head},{named},math,code", *rows, ""]))
    assert (table.models, table.categories) == (("a", "b", "c"), ("math", "code"))
    assert len(table.ignored) == 1


@pytest.mark.parametrize("named", ["name", "Model name", "checkpoint", "run", "System", "full_name", "who"])
def test_a_count_gives_way_to_any_column_of_names(tmp_path: Path, named: str) -> None:
    rows = [f"{place},{row}" for place, row in enumerate(ROWS.splitlines())]
    table = read(tmp_path, "\n".join([f",{named},math,code", *rows, ""]))
    assert (table.models, table.categories) == (("a", "b", "c"), ("math", "code"))


def test_names_are_preferred_to_other_text(tmp_path: Path) -> None:
    rows = ["0,https://x/1,Acme,a,50,30", "1,https://x/2,Initech,b,60,20", "2,https://x/3,Hooli,c,70,25"]
    table = read(tmp_path, "\n".join(["#,link,maker,checkpoint,math,code", *rows, ""]))
    assert table.models == ("a", "b", "c")


def test_an_index_of_names_without_a_head_names_the_models(tmp_path: Path) -> None:
    table = read(tmp_path, f",math,code\n{ROWS}")
    assert (table.models, table.categories) == (("a", "b", "c"), ("math", "code"))


def test_steps_name_the_models_where_nothing_else_does(tmp_path: Path) -> None:
    table = read(tmp_path, "step,math,code\n500,50,30\n1000,60,20\n1500,70,25\n")
    assert table.models == ("500", "1000", "1500")


def test_two_columns_of_names_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError, match="the first column is `run`, but there is also `model`"):
        read(tmp_path, "run,model,math\nr1,a,50\nr2,b,60\n")


# The same in long tables


def test_rows_of_long_tables_that_are_no_models_are_set_aside(tmp_path: Path) -> None:
    rows = [f"{model},{task},{10 * place}" for place, model in enumerate("abc", 1) for task in ("x", "y")]
    text = "\n".join(["model,category,score", *rows, "Human,x,95", "best,x,15", "best,y,15", ""])
    table = read(tmp_path, text)
    assert (table.models, table.no_models) == (("a", "b", "c", "best"), (("Human", "a baseline"),))
    assert read(tmp_path, text, keep_rows=("Human",)).models[-2:] == ("Human", "best")


def test_what_was_kept_as_a_model_stays_one_when_it_is_written(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,math,code\n{ROWS}Human,95,90\n", keep_rows=("Human",))
    write_scores(table, tmp_path / "long.csv")
    assert read_scores(tmp_path / "long.csv").digest == table.digest


def test_models_in_the_header_may_be_statistics_too(tmp_path: Path) -> None:
    table = read(
        tmp_path, "benchmark,llama-3-8b,qwen2-7b,Average\nmmlu,66.6,70.5,68.55\ngsm8k,79.6,82.3,80.95\n"
    )
    assert (table.models, table.no_models) == (("llama-3-8b", "qwen2-7b"), (("Average", "a statistic"),))
