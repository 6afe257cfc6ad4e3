"""Every command that reads a table says what was set aside, read as something else, or taken from names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from soce.cli.analyze import analyze
from soce.cli.select import select

TABLE = """Model,mmlu,mmlu_stderr,gsm8k,WER,Params,likes,step,runtime,shots,downloads,size,#Params
a,51.2,0.5,40.1,11.2,7,12,500,10.5,5,1,7B,7
b,49.8,0.5,33.2,14.2,13,1,1000,11.5,5,2,13B,13
c,53.4,0.5,20.2,8.7,7,3,1500,12.5,5,3,7B,7
d,55.1,0.5,60.2,9.5,70,4,2000,13.5,5,4,70B,70
Human,95,,99,1,,,,,,,,
"""
ASIDE = ("Params", "likes", "step", "runtime", "shots", "downloads", "size", "#Params")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (analyze, ("t.csv",)),
        (select, ("t.csv", "--threshold", "0.5")),
        (select, ("t.csv", "--sweep")),
        (select, ("t.csv", "--threshold", "0.5", "--json")),
    ],
)
def test_all_that_was_decided_is_said_once_within_80_columns(command, arguments) -> None:
    found = CliRunner().invoke(command, arguments)
    assert found.exit_code == 0
    where = found.stdout if command is analyze else found.stderr
    told = " ".join(where.split())
    assert all(f"`{name}`" in told for name in (*ASIDE, "mmlu_stderr", "Human", "WER"))
    assert told.count("left out as no scores") == told.count("smaller is better in `WER`") == 1
    lines = where.split("correlation over")[0].splitlines()
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.usefixtures("here")
def test_json_has_all_of_it() -> None:
    table = json.loads(CliRunner().invoke(analyze, ["t.csv", "--json"]).stdout)["table"]
    assert {one["column"] for one in table["ignored"]} == {*ASIDE}
    assert table["read_as"] == [{"column": "mmlu_stderr", "what": "standard errors", "of": "mmlu"}]
    assert table["no_models"] == [{"row": "Human", "reason": "a baseline"}]
    assert [one["name"] for one in table["columns"] if one["direction"] == "name"] == ["WER"]


def test_a_second_table_is_spoken_of_by_its_name(here: Path) -> None:
    (here / "report.csv").write_text(
        "Model,mmlu,gsm8k,WER,Votes\na,1,2,3,4\nb,2,3,4,5\nc,5,1,2,3\nd,4,5,1,9\n"
    )
    found = CliRunner().invoke(select, ["t.csv", "--threshold", "0.5", "--report-scores", "report.csv"])
    assert "`report.csv`: S14: 1 column left out as no scores: `Votes`" in " ".join(found.stderr.split())


@pytest.mark.usefixtures("here")
def test_a_candidate_that_was_set_aside_is_refused_with_the_way_to_keep_it() -> None:
    arguments = ["t.csv", "-c", "a", "-c", "Human", "--threshold", "0.9"]
    for named in (arguments, [*arguments[:-3], "Human=path", "--threshold", "0.9"]):
        found = CliRunner().invoke(select, named)
        assert found.exit_code == 1
        assert "`--keep-row Human`" in found.stderr
    assert CliRunner().invoke(select, [*arguments, "--keep-row", "Human"]).exit_code == 0


@pytest.mark.usefixtures("here")
def test_options_override_names() -> None:
    arguments = ["t.csv", "--json", "--columns", "mmlu,likes,WER", "--higher-is-better", "WER"]
    table = json.loads(CliRunner().invoke(analyze, arguments).stdout)["table"]
    assert table["categories"] == ["mmlu", "WER", "likes"]
    assert [one["higher_is_better"] for one in table["columns"] if one["name"] == "WER"] == [True]
