"""vLLM over its socket, with two ranks: what it becomes, what it refuses, and how it goes on after a failure."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.engines.patched_modules import patch_module
from tests.engines.served_models import save_family, with_nan

from soce import Recipe
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.engines.vllm.engine import VllmEngine
from soce.evaluate.engines.watchdog import descendants
from soce.exceptions import CheckpointError, EngineLostError, EvaluationError, RecipeError

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine

# While a file is there, the first rank that comes to pack a layer has no memory for it, and takes the file away.
WITHOUT_MEMORY = """
pack = module._pack

def without_memory(layer):
    try:
        os.unlink({file!r})
    except FileNotFoundError:
        return pack(layer)
    layer.quant_method.process_weights_after_loading = full
    try:
        return pack(layer)
    finally:
        del layer.quant_method.process_weights_after_loading

def full(layer):
    raise module.torch.OutOfMemoryError("CUDA out of memory")

module._pack = without_memory
"""


class Served(NamedTuple):
    """An engine, its ingredients, and the file with which it has no memory."""

    engine: VllmEngine
    first: str
    second: str
    third: str
    broken: str
    switch: Path

    def become(self, **parts: str) -> None:
        self.engine.become(Recipe.of({getattr(self, name): part for name, part in parts.items()}))

    def answer(self) -> Any:
        assert self.engine.socket is not None
        body = {"model": "soup", "prompt": [1, 7, 9, 11, 5], "max_tokens": 8, "temperature": 0, "logprobs": 2}
        status, told = ask(self.engine.socket, "/v1/completions", body)
        assert status == 200, told
        return told["choices"][0]["logprobs"]


@pytest.fixture(scope="module")
def served(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("models")
    paths = save_family(home, "llama-tied", "bfloat16", count=3)
    paths.append(with_nan(paths[1], home / "broken"))
    words = ("--enforce-eager", "--max-model-len", "128", "--tensor-parallel-size", "2")
    with pytest.MonkeyPatch.context() as patch:
        (home / "switched").mkdir()
        program = WITHOUT_MEMORY.format(file=str(home / "full"))
        patch_module(home / "switched", "soce.evaluate.engines.vllm.direct", program)
        patch.setenv("PYTHONPATH", str(home / "switched"))
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")  # no rank imports everything again
        engine = VllmEngine(paths, EngineOptions(python=vllm_python, arguments=words))
        engine.start()
        try:
            engine.open(paths)
            yield Served(engine, *paths, home / "full")
        finally:
            engine.close()


def test_an_engine_of_two_ranks_goes_on_after_what_it_refuses_and_what_fails(served: Served) -> None:
    start = served.answer()
    served.become(second="1")
    other = served.answer()
    served.become(first="1/2", second="1/2")
    half = served.answer()
    served.become(first="1")
    assert served.answer() == start
    assert start != other != half != start

    with pytest.raises(RecipeError, match="is not an ingredient"):
        served.engine.become(Recipe.of({"elsewhere": "1"}))
    assert served.answer() == start  # it was resumed
    served.engine.check()

    # No rank is left in doubt by one that fails: this one's ingredient is cut while it is mapped.
    file = Path(served.second, "model.safetensors")
    kept = file.read_bytes()
    os.truncate(file, 2000)
    with pytest.raises((EvaluationError, ValueError)) as failed:
        served.become(first="1/2", second="1/2")
    assert not isinstance(failed.value, EngineLostError)
    file.write_bytes(kept)
    with pytest.raises(
        CheckpointError, match=r"changed since it was opened: .*\n.* start a server"
    ) as failed:
        served.become(second="1")  # what is there now may be anything
    assert failed.value.path == str(file)
    served.become(first="1")
    assert served.answer() == start


def test_a_value_that_is_none_in_the_middle_of_a_change_is_mended_by_the_next(served: Served) -> None:
    served.become(first="1")
    start = served.answer()
    with pytest.raises(CheckpointError, match="has values that are not finite") as failed:
        served.become(first="1/2", broken="1/2")
    assert failed.value.path == served.broken
    served.become(first="1")
    assert served.answer() == start


def test_a_rank_without_memory_in_the_middle_of_a_change_is_mended_by_the_next(served: Served) -> None:
    served.become(third="1")
    other = served.answer()
    served.switch.touch()
    with pytest.raises(
        EvaluationError, match=r"OutOfMemoryError: CUDA out of memory|another rank failed"
    ) as no:
        served.become(first="1")
    assert not isinstance(no.value, EngineLostError)
    assert not served.switch.exists()
    served.engine.check()
    served.become(third="1")
    assert served.answer() == other


def test_a_rank_that_is_killed_loses_the_engine_and_leaves_nothing(served: Served) -> None:
    ranks = [process for process in descendants(os.getpid()) if _title(process).startswith(b"VLLM::Worker")]
    assert len(ranks) == 2
    os.kill(ranks[0], signal.SIGKILL)
    with pytest.raises(EngineLostError, match="vLLM"):
        keep_asking(served)
    with pytest.raises(EngineLostError, match="vLLM"):
        served.engine.check()
    started = descendants(os.getpid())
    served.engine.close()
    assert not started & descendants(os.getpid())
    with pytest.raises(EngineLostError, match="not running"):
        served.engine.check()


def keep_asking(served: Served) -> None:
    """Ask for a soup until the engine notices what happened to it."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        served.become(third="1")
        time.sleep(0.1)


def _title(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
