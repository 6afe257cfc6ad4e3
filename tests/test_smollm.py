"""The data of examples/smollm: answers that are right, and nothing evaluated that was trained on."""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from tests.report_runs import make_run

from soce.experiment.schema import SCHEMA

FOLDER = Path(__file__).parent.parent / "examples" / "smollm"
MODULES = ("calls", "words", "data", "train", "candidates", "results")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of the example, which import each other by plain names as a script's do."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


def called(answer: str) -> list[tuple[str, dict[str, object]]]:
    """Return the calls of an answer, as Python reads them."""
    tree = ast.parse(answer, mode="eval").body
    assert isinstance(tree, ast.List)
    found = []
    for call in tree.elts:
        assert isinstance(call, ast.Call)
        arguments = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        found.append((ast.unparse(call.func), arguments))
    return found


def check_call(documented: dict[str, Any], name: str, arguments: dict[str, Any]) -> None:
    """Assert that a call is one of the function."""
    assert name == documented["name"]
    parameters = documented["parameters"]
    types = {"string": str, "integer": int, "float": float, "boolean": bool, "array": list}
    assert {*parameters["required"]} <= arguments.keys() <= parameters["properties"].keys()
    for key, value in arguments.items():
        assert type(value) is types[parameters["properties"][key]["type"]], (name, key)
        assert value in parameters["properties"][key].get("enum", [value])


def test_one_call_answers_a_question_of_one(example: dict[str, ModuleType]) -> None:
    calls = example["calls"]
    functions = calls.read_functions()
    for number in range(3 * len(functions)):
        question = calls.ask_one(functions, 0, number)
        ((name, arguments),) = called(question.answer)
        (documented,) = question.functions
        check_call(documented, name, arguments)
        assert "{" not in question.text
        assert question == calls.ask_one(functions, 0, number)
        said = [str(value) for value in arguments.values() if type(value) in {str, int}]
        assert all(value in question.text for value in said), question.text


def test_several_calls_answer_a_question_of_several(example: dict[str, ModuleType]) -> None:
    calls = example["calls"]
    functions = calls.read_functions()
    for number in range(3 * len(functions)):
        question = calls.ask_several(functions, 0, number)
        documented = {one["name"]: one for one in question.functions}
        found = called(question.answer)
        assert len({json.dumps(one) for one in found}) == len(found)
        assert {name for name, _ in found} == documented.keys()
        for name, arguments in found:
            check_call(documented[name], name, arguments)


def test_no_function_is_there_for_a_question_in_vain(example: dict[str, ModuleType]) -> None:
    calls = example["calls"]
    functions = calls.read_functions()
    for number in range(2 * len(functions)):
        question = calls.ask_in_vain(functions, 0, number)
        assert question.functions[0]["name"] != functions[number % len(functions)]["name"]
        assert question.answer == calls.REFUSAL
        with pytest.raises(SyntaxError):  # so that BFCL reads no call out of it
            ast.parse(f"[{question.answer}]")


def test_word_problems_are_solved_rightly_and_no_numbers_are_on_both_sides(
    example: dict[str, ModuleType],
) -> None:
    words = example["words"]
    sides = [[*islice(words.problems(0, evaluated=evaluated), 120)] for evaluated in (False, True)]
    for problem in (*sides[0], *sides[1]):
        first, second, last = problem.solution.removesuffix(".").split(". ")
        assert all(eval(left) == int(right) for left, right in (s.split(" = ") for s in (first, second)))
        assert last == f"The answer is {problem.answer}"
        assert second.endswith(f"= {problem.answer}")
        assert problem.answer >= 0
    numbers = [{problem.numbers for problem in side} for side in sides]
    assert [len(one) for one in numbers] == [120, 120]
    assert not numbers[0] & numbers[1]


def item(name: str, question: str, *functions: str, length: int = 10) -> dict[str, Any]:
    return {
        "id": name,
        "question": question,
        "functions": [*functions],
        "messages": [{"role": "user", "content": "x" * length}],
        "calls": [],
    }


def test_items_train_only_if_nothing_evaluated_is_like_them(example: dict[str, ModuleType]) -> None:
    data = example["data"]
    evaluated = [item("parallel_0", "a?", "f", "g")]
    wheel = [
        item("live_simple_1-0-0", "b?", "h"),
        item("live_simple_2-0-0", "a?", "i"),
        item("live_simple_3-0-0", "c?", "g", "j"),
        item("live_simple_4-0-0", "d?", "k", length=9999),
        item("live_multiple_5-0-0", "e?", "l"),
    ]
    found = data.training_items(wheel, evaluated, ("live_simple",))
    assert [one["id"] for one in found] == ["live_simple_1-0-0"]
    with pytest.raises(ValueError, match="rename"):
        data.refuse_shared_functions([item("ours", "z?", "g")], evaluated)


def test_the_same_items_are_evaluated_in_whatever_order_they_come(example: dict[str, ModuleType]) -> None:
    data = example["data"]
    wheel = [item(f"irrelevance_{i}", f"{i}?", length=2000 + i) for i in range(300)]
    found = data.evaluated_items(wheel)["irrelevance"]
    assert found == data.evaluated_items(wheel[::-1])["irrelevance"]
    assert len(found) <= data.N_EVALUATED
    assert all(data.length_of(one) <= data.LONGEST["irrelevance"] for one in found)


def test_an_answer_is_the_first_of_what_bfcl_takes(example: dict[str, ModuleType]) -> None:
    truth = [{"f.g": {"a": [[1, 2]], "b": ["", "x"], "c": [{"d": ["y", "z"], "e": [""]}]}}, {"h": {}}]
    assert example["data"].answer_of(truth) == "[f.g(a=[1, 2], c={'d': 'y'}), h()]"


def test_its_experiment_is_one_and_names_every_candidate(example: dict[str, ModuleType]) -> None:
    experiment = yaml.safe_load((FOLDER / "soce.yaml").read_text())
    jsonschema.validate(experiment, json.loads(SCHEMA.read_text()))
    candidates = example["candidates"].CANDIDATES
    assert experiment["models"] == {name: f"candidates/{name}" for name in candidates}
    assert {*experiment["evaluate"]["bfcl"].split(",")} == {*example["data"].LONGEST}


def test_results_tell_every_item_of_every_arm_and_no_path(
    example: dict[str, ModuleType], tmp_path: Path
) -> None:
    soce = Path(sys.executable).with_name("soce")
    if not soce.exists():
        pytest.skip("soce is not installed beside this Python")
    result = make_run(tmp_path / "run")
    assert result is not None
    (tmp_path / "data").mkdir()
    (tmp_path / "soce.yaml").write_text(f"output: {tmp_path}/run\n")
    (tmp_path / "data" / example["data"].BFCL_ITEMS).write_text("{}\n")
    kept = tmp_path / "results"
    example["results"].keep_results(tmp_path, kept, soce)
    assert (kept / "soce.yaml").read_text() == "output: run\n"
    assert all(str(tmp_path) not in path.read_text() for path in kept.iterdir())
    assert "## " in (kept / "report.md").read_text()
    header, *lines = [line.split(",") for line in (kept / "outcomes.csv").read_text().splitlines()]
    assert header == ["items", "category", "item", *(arm.label for arm in result.arms)]
    reported = [line for line in lines if line[0] == "report"]
    assert len(reported) == result.best.report.n_items
    assert {one for line in reported for one in line[3:]} == {"0", "1"}


@pytest.mark.bfcl
def test_the_wheel_gives_every_family_its_items_and_none_of_those_evaluated(
    example: dict[str, ModuleType], tmp_path: Path
) -> None:
    python = Path(os.environ.get("SOCE_BFCL_PYTHON", Path.home() / ".cache/soce/bfcl/bin/python"))
    if not python.exists():
        pytest.skip(f"there is no environment of BFCL at {python}")
    data = example["data"]
    data.make_data(tmp_path, python, 0)
    ids = json.loads((tmp_path / data.BFCL_ITEMS).read_text())
    assert {name: len(found) for name, found in ids.items()} == dict.fromkeys(data.LONGEST, data.N_EVALUATED)
    trained = set()
    for family in data.FAMILIES:
        lines = (tmp_path / f"{family}.jsonl").read_text().splitlines()
        assert len(lines) == data.N_TRAINING
        trained |= {json.loads(line)["messages"][-1]["content"] for line in lines}
    evaluated = {
        json.loads(line)["messages"][-1]["content"]
        for line in (tmp_path / data.TASKS).read_text().splitlines()
    }
    assert len(evaluated) == data.N_EVALUATED
    assert not trained & evaluated
