"""Run by the interpreter of vLLM's environment: answers of engines that become soups, against those of fresh ones.

Reads cases as JSON and writes what was found as JSON. vLLM is imported once.
"""

from __future__ import annotations

import gc
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

PROMPTS = [[1, *(5 + (7 * i + k) % 30 for i in range(48))] for k in range(3)]
"""Longer than a block of the cache, and with a beginning that two have in common."""


def start(path: str, case: dict[str, Any]) -> Any:
    from vllm import LLM

    return LLM(
        path,
        dtype=case["dtype"],
        max_model_len=128,
        max_num_seqs=4,
        block_size=32,
        enforce_eager=not case.get("compile"),
        tensor_parallel_size=case.get("ranks", 1),
        seed=0,
        generation_config="vllm",
        worker_extension_cls="soce.evaluate.engines.vllm.worker.SoceWorker",
    )


def stop(llm: Any) -> None:
    llm.llm_engine.engine_core.shutdown()
    del llm
    gc.collect()


def answers(llm: Any) -> list[Any]:
    """Return tokens and log-probabilities, in full precision."""
    from vllm import SamplingParams

    told: list[Any] = []
    prompts = [{"prompt_token_ids": tokens} for tokens in [*PROMPTS, [*PROMPTS[0][:40], 9, 8]]]
    for output in llm.generate(
        prompts, SamplingParams(temperature=0, max_tokens=8, logprobs=3), use_tqdm=False
    ):
        chosen = output.outputs[0]
        tops = [sorted((token, one.logprob.hex()) for token, one in step.items()) for step in chosen.logprobs]
        told.append([list(chosen.token_ids), tops])
    scored = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
    [output] = llm.generate(prompts[:1], scored, use_tqdm=False)
    return [*told, [next(iter(step.values())).logprob.hex() for step in output.prompt_logprobs[1:]]]


def call(llm: Any, method: str, **words: Any) -> dict[str, Any]:
    """Return what the workers answer: the first that failed, if one did."""
    told = llm.collective_rpc(method, kwargs={name: json.dumps(value) for name, value in words.items()})
    return next((answer for answer in told if answer["failure"] is not None), told[0])


def become(llm: Any, recipe: Any) -> dict[str, Any]:
    told = call(llm, "soce_become", recipe=recipe)
    llm.reset_prefix_cache()
    return told


def layerwise() -> Any:
    """Let no place of a tensor be found, meanwhile."""
    return patch("soce.evaluate.engines.vllm.weights.find_placement", lambda *_: None)


def run(case: dict[str, Any]) -> dict[str, Any]:
    fresh = {}
    for name, path in case["fresh"].items():
        llm = start(path, case)
        fresh[name] = answers(llm)
        stop(llm)
    found: dict[str, Any] = {"differ": len({json.dumps(one) for one in fresh.values()}), "steps": []}
    llm = start(case["ingredients"][0], case)
    with layerwise() if case.get("layerwise") else nullcontext():
        found["open"] = call(llm, "soce_open", ingredients=case["ingredients"], merge={})
    for name, recipe in case["steps"]:
        told = become(llm, recipe)
        heard = None if name == "nan" else answers(llm)  # that of a mixture counts for nothing
        same = [fresh_name for fresh_name, expected in fresh.items() if heard == expected]
        found["steps"].append({"name": name, "answers_as": same, **told})
    stop(llm)
    return found


if __name__ == "__main__":
    asked, told = map(Path, sys.argv[1:])
    found = {}
    for name, case in json.loads(asked.read_text()).items():
        found[name] = run(case)
        told.write_text(json.dumps(found))
