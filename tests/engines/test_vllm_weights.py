"""Workers of vLLM that become soups answer, bit for bit, as fresh engines on what a merge publishes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.engines.served_models import save_family, with_nan

from soce import Recipe, merge
from soce.evaluate.engines.process import link_soce
from soce.recipes.wire import recipe_to_json

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]

FAMILIES = [
    ("llama", "float32"),
    ("llama", "bfloat16"),
    ("llama-tied", "float32"),
    ("llama-tied", "bfloat16"),
    ("qwen2", "float32"),
    ("qwen2", "bfloat16"),
    ("mixtral", "float32"),
    ("mixtral", "bfloat16"),
]


def case_of(home: Path, kind: str, dtype: str, **more: Any) -> dict[str, Any]:
    """Return a case: orders in which three soups follow each other, refusals and failures between them."""
    first, second, third = save_family(home, kind, dtype)
    broken = with_nan(second, home / "broken")
    recipe = Recipe.of({first: "1/3", second: "5/12", third: "1/4"})
    merge(recipe, output=home / "soup")
    a, b, c = (recipe_to_json(one) for one in (Recipe.of({first: "1"}), Recipe.of({second: "1"}), recipe))
    nan = recipe_to_json(Recipe.of({first: "1/2", broken: "1/2"}))
    stranger = recipe_to_json(Recipe.of({str(home / "elsewhere"): "1"}))
    steps = [("A", a), ("B", b), ("C", c), ("A", a), ("C", c), ("stranger", stranger), ("nan", nan), ("B", b)]
    return {
        "dtype": dtype,
        "fresh": {"A": first, "B": second, "C": str(home / "soup")},
        "ingredients": [first, second, third, broken],
        "steps": steps,
        "broken": broken,
        **more,
    }


CASES = {f"{kind} {dtype}": (kind, dtype, {}) for kind, dtype in FAMILIES} | {
    "qwen2 layer by layer": ("qwen2", "float32", {"layerwise": True}),
    "mixtral layer by layer": ("mixtral", "bfloat16", {"layerwise": True}),
    "llama-tied compiled": ("llama-tied", "bfloat16", {"compile": True}),
}
if "SOCE_VLLM_CASES" in os.environ:  # some of them, where time is short
    CASES = {name: CASES[name] for name in os.environ["SOCE_VLLM_CASES"].split(",")}


@pytest.fixture(scope="module")
def found(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("vllm")
    cases = {
        name: case_of(home / name.replace(" ", "-"), kind, dtype, **more)
        for name, (kind, dtype, more) in CASES.items()
    }
    (home / "cases.json").write_text(json.dumps(cases))
    environment = {
        **os.environ,
        "PYTHONPATH": str(link_soce(home)),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "fork",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    program = Path(__file__).with_name("vllm_answers.py")
    subprocess.run(
        [vllm_python, str(program), str(home / "cases.json"), str(home / "found.json")],
        env=environment,
        check=True,
    )
    read: dict[str, Any] = json.loads((home / "found.json").read_text())
    for name, case in cases.items():
        read[name]["broken"] = case["broken"]
    return read


@pytest.mark.parametrize("name", CASES)
def test_every_soup_answers_as_a_fresh_engine_on_what_a_merge_publishes(
    found: dict[str, Any], name: str
) -> None:
    case = found[name]
    assert case["differ"] == 3, "the soups must be told apart by their answers"
    assert case["open"]["failure"] is None
    assert (case["open"]["loading"] == "layerwise") == ("layer by layer" in name)
    for step in case["steps"]:
        if step["name"] in "ABC":
            assert (step["failure"], step["answers_as"]) == (None, [step["name"]])


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_changes_nothing_and_what_fails_is_mended_by_the_next(
    found: dict[str, Any], name: str
) -> None:
    case = found[name]
    refused, failed, mended = case["steps"][-3:]
    assert (refused["failure"]["type"], refused["changed"], refused["answers_as"]) == (
        "RecipeError",
        False,
        ["C"],
    )
    assert (failed["failure"]["type"], failed["changed"]) == ("CheckpointError", True)
    [[_, path, tensor, message, _]] = failed["failure"]["problems"]
    assert (path, tensor) == (case["broken"], "model.layers.1.input_layernorm.weight")
    assert message == "has values that are not finite"
    assert (mended["failure"], mended["answers_as"]) == (None, ["B"])
