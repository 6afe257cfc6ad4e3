"""vLLM over its socket, with two ranks: what it becomes, what it refuses, and how it goes on after a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.served_models import save_family

from soce import Recipe
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.engines.vllm.engine import VllmEngine
from soce.exceptions import EngineLostError, EvaluationError, RecipeError

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine


@pytest.fixture(scope="module")
def served(
    vllm_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VllmEngine, list[str]]]:
    paths = save_family(tmp_path_factory.mktemp("models"), "llama-tied", "bfloat16", count=2)
    words = ("--enforce-eager", "--max-model-len", "128", "--tensor-parallel-size", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")  # no rank imports everything again
        engine = VllmEngine(paths, EngineOptions(python=vllm_python, arguments=words))
        engine.start()
        try:
            engine.open(paths)
            yield engine, paths
        finally:
            engine.close()


def answer(engine: VllmEngine) -> Any:
    assert engine.socket is not None
    body = {"model": "soup", "prompt": [1, 7, 9, 11, 5], "max_tokens": 8, "temperature": 0, "logprobs": 2}
    status, told = ask(engine.socket, "/v1/completions", body)
    assert status == 200, told
    return told["choices"][0]["logprobs"]


def test_an_engine_of_two_ranks_goes_on_after_what_it_refuses_and_what_fails(
    served: tuple[VllmEngine, list[str]],
) -> None:
    engine, (first, second) = served
    start = answer(engine)
    engine.become(Recipe.of({second: "1"}))
    other = answer(engine)
    engine.become(Recipe.of({first: "1/2", second: "1/2"}))
    half = answer(engine)
    engine.become(Recipe.of({first: "1"}))
    assert answer(engine) == start
    assert start != other != half != start

    with pytest.raises(RecipeError, match="is not an ingredient"):
        engine.become(Recipe.of({"elsewhere": "1"}))
    assert answer(engine) == start  # it was resumed
    engine.check()

    # No rank is left in doubt by one that fails: this one's ingredient is cut while it is mapped.
    file = Path(second, "model.safetensors")
    kept = file.read_bytes()
    os.truncate(file, 2000)
    with pytest.raises((EvaluationError, OSError, ValueError)) as failed:
        engine.become(Recipe.of({first: "1/2", second: "1/2"}))
    assert not isinstance(failed.value, EngineLostError)
    file.write_bytes(kept)
    engine.become(Recipe.of({first: "1"}))
    assert answer(engine) == start
