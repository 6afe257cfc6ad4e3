"""The JSON schema of an experiment: made of the declarations, and of one mind with who reads the file."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from soce.cli.init import init
from soce.cli.options.experiment import keys_of
from soce.cli.run import run
from soce.exceptions import ExperimentError
from soce.experiment.reading import read_experiment
from soce.experiment.schema import SCHEMA

ROOT = Path(__file__).parents[2]
GOOD = """\
scores: {tables: [a.csv, b.csv], aggregates: {overall: [math, code]}, rename: {old: new}, transpose: false}
models: {math: path/math, code: org/code@main}
select: {rule: threshold, threshold: 0.2, population: math}
evaluate: {lm-eval: {gsm8k: math}, batch-size: 4}
report_on: {share: 1/2}
search:
merge: {dtype: bf16, take: {'lm_head.*': math}, copy-code: true}
output: run
"""
BAD = (
    "colour: red",
    "select: {treshold: 0.2}",
    "select: {threshold: high}",
    "select: {rule: best}",
    "select: none",
    "scores: {transpose: 3}",
    "scores: {columns: {a: b}}",
    "evaluate: {batch-size: 0}",
    "evaluate: {tasks: a.jsonl, function: 'm:f'}",
    "models: [a, b]",
    "merge: {copy-code: sometimes}",
    "search: {budget: many}",
    "output: [run]",
)


def check(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), json.loads(SCHEMA.read_text()))


def test_the_file_is_what_the_declarations_say() -> None:
    made = runpy.run_path(str(ROOT / ".ci" / "experiment_keys.py"))["schema"]()
    assert SCHEMA.read_text() == made, "`make keys` renews it"
    assert CliRunner().invoke(init, ["--schema"]).stdout == made
    jsonschema.Draft202012Validator.check_schema(json.loads(made))


def test_every_key_is_explained() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert tuple(schema["properties"]) == keys_of(run).top
    for section in schema["properties"].values():
        for one in section.get("anyOf", [section]):
            for name, value in one.get("properties", {}).items():
                assert name == "tables" or value["description"]


@pytest.mark.parametrize("text", [GOOD, "scores: a.csv\n", "models: models.yaml\n"])
def test_what_can_be_read_is_valid(text: str, tmp_path: Path) -> None:
    check(text)
    (tmp_path / "soce.yaml").write_text(text)
    read_experiment(tmp_path / "soce.yaml", (), keys_of(run, opens=False))


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused_is_not_valid(text: str, tmp_path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(text)
    (tmp_path / "soce.yaml").write_text(text)
    with pytest.raises(ExperimentError):
        read_experiment(tmp_path / "soce.yaml", (), keys_of(run, opens=False))
