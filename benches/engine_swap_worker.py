"""Run by the interpreter of vLLM's environment: times ways in which vLLM's workers can become a soup.

    python benches/engine_swap_worker.py SPECIFICATION RESULT

One engine, whose workers take the same soups in turn by every way. `mixing once` is what nothing can beat
that mixes at all: each tensor of the soup once, by all threads, into memory that is there already.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from soce.evaluate.engines.vllm.direct import DirectLoading
from soce.evaluate.engines.vllm.layerwise import load_layerwise
from soce.evaluate.engines.vllm.sharing import Sharing
from soce.evaluate.engines.vllm.weights import LiveWeights
from soce.evaluate.engines.vllm.worker import SoceWorker
from soce.evaluate.live.mixing import torch_dtype
from soce.merging.options import MergeOptions
from soce.recipes.wire import recipe_from_json


class BenchWorker(SoceWorker):
    """A worker that can be told which way to take."""

    def bench_open(self, ingredients: str) -> dict[str, Any]:
        self.soce_weights = LiveWeights(self, json.loads(ingredients), MergeOptions())
        weights = self.soce_weights
        direct = weights._direct
        assert direct is not None
        slots = [slot for _, own in [*direct._in_place, *direct._packed] for slot in own]
        group = direct._sharing
        alone = Sharing(group._group, 0, 1)
        self.bench_own = DirectLoading(weights._model, weights._mixer, slots, alone)
        return weights.describe()

    def bench_mix(self, recipe: str) -> float:
        import torch

        mixer = self.soce_weights._mixer
        rows = mixer.rows(recipe_from_json(json.loads(recipe)))
        largest = max(map(mixer.size, mixer.tensors))
        room = torch.zeros(largest, dtype=torch.uint8)
        begin = time.perf_counter()
        for name in mixer.tensors:
            mixer.mix(name, rows[name], room[: mixer.size(name)].view(torch_dtype(mixer.published(name))))
        return time.perf_counter() - begin

    def bench_set(self, recipe: str, way: str) -> float:
        import torch

        weights = self.soce_weights
        config = self.model_config  # type: ignore[attr-defined]
        rows = weights.rows(recipe_from_json(json.loads(recipe)))
        begin = time.perf_counter()
        with weights._configured(), torch.no_grad():
            if way == "layer by layer":
                load_layerwise(weights._model, config, weights._mixer, rows)
            else:
                direct = self.bench_own if way == "direct, alone" else weights._direct
                assert direct is not None
                direct.load(rows, config.dtype)
        return time.perf_counter() - begin


def run(specification: dict[str, Any]) -> dict[str, Any]:
    from vllm import LLM

    begin = time.perf_counter()
    ingredients, ranks = specification["ingredients"], specification["ranks"]
    llm = LLM(
        ingredients[0],
        dtype="auto",
        max_model_len=512,
        max_num_seqs=4,
        enforce_eager=True,
        skip_tokenizer_init=True,
        tensor_parallel_size=ranks,
        worker_extension_cls="engine_swap_worker.BenchWorker",
    )
    seconds: dict[str, list[float]] = {}
    started = time.perf_counter() - begin
    opened = llm.collective_rpc("bench_open", kwargs={"ingredients": json.dumps(ingredients)})
    ways = ["layer by layer", "direct, alone", *(["direct, shared"] if ranks > 1 else [])]
    for i, recipe in enumerate(specification["recipes"]):
        text = json.dumps(recipe)
        told = (
            {"mixing once": llm.collective_rpc("bench_mix", kwargs={"recipe": text})[0]} if ranks == 1 else {}
        )
        for way in ways:
            begin = time.perf_counter()
            llm.collective_rpc("bench_set", kwargs={"recipe": text, "way": way})
            told[way] = time.perf_counter() - begin
        if i:  # in the first round pages are touched, and tensors found finite, for the first time
            for way, taken in told.items():
                seconds.setdefault(way, []).append(taken)
    first = statistics.median(seconds["mixing once"]) if ranks == 1 else None
    return {
        "ranks": ranks,
        "opened": opened[0],
        "start_in_process": started,
        "load_average": os.getloadavg(),
        "seconds": seconds,
        "median": {way: statistics.median(taken) for way, taken in seconds.items()},
        "ratio": {way: statistics.median(taken) / first for way, taken in seconds.items()} if first else {},
    }


if __name__ == "__main__":
    result = run(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1))
