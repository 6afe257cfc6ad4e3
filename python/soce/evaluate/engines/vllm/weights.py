"""The weights of one worker of vLLM, which become those of any soup."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from soce.evaluate.engines.vllm.direct import DirectLoading
from soce.evaluate.engines.vllm.layerwise import load_layerwise
from soce.evaluate.engines.vllm.placement import find_placement
from soce.evaluate.engines.vllm.sharing import Sharing
from soce.evaluate.live.mixing import SoupMixer, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe
    from soce.recipes.rows import Mix


class LiveWeights:
    """The model of one worker, and the ingredients that it becomes soups of.

    At first it holds the first ingredient.
    """

    def __init__(self, worker: Any, ingredients: Sequence[str], merge: MergeOptions) -> None:
        self._worker = worker
        self._model = worker.model_runner.get_model()
        if merge.num_threads is None:
            share = len(_cores()) // worker.parallel_config.local_world_size
            merge = replace(merge, num_threads=max(1, share))
        self._mixer = SoupMixer(ingredients, merge)
        self._direct: DirectLoading | None = None
        outlines = {
            name: torch.empty(shape, dtype=torch_dtype(self._mixer.published(name)), device="meta")
            for name, (_, shape) in self._mixer.tensors.items()
        }
        with self._configured():
            slots = find_placement(self._model, outlines)
        if slots is not None:
            self._direct = DirectLoading(self._model, self._mixer, slots, Sharing.of_ranks())

    def describe(self) -> dict[str, Any]:
        """Return what is known of the ingredients and of how they are loaded, as JSON."""
        return {
            "bytes": sum(map(self._mixer.size, self._mixer.tensors)),
            "warnings": list(self._mixer.warnings),
            "loading": "layerwise" if self._direct is None else self._direct.describe(),
        }

    def rows(self, recipe: Recipe) -> dict[str, Mix]:
        """Return the mix of every tensor; raises RecipeError or EvaluationError, and nothing was changed."""
        rows = self._mixer.rows(recipe)
        if self._direct is not None:
            self._direct.check(rows)
        return rows

    def set(self, rows: Mapping[str, Mix]) -> None:
        """Take the weights of a soup; after an error they are a mixture, until this succeeds."""
        with self._configured(), torch.no_grad(), _on_all_cores():
            if self._direct is None:
                load_layerwise(self._model, self._worker.model_config, self._mixer, rows)
            else:
                self._direct.load(rows, self._worker.model_config.dtype)
        self._worker.model_runner.reset_encoder_cache()
        self._worker.model_runner.reset_mm_cache()

    def _configured(self) -> Any:
        from vllm.config import set_current_vllm_config

        return set_current_vllm_config(self._worker.vllm_config)


def _cores() -> set[int]:
    """Return the cores that this machine lends to vLLM, which binds a worker to some of them."""
    if not hasattr(os, "sched_getaffinity"):  # macOS binds nobody
        return set(range(os.cpu_count() or 1))
    return os.sched_getaffinity(0) | os.sched_getaffinity(os.getppid())


@contextmanager
def _on_all_cores() -> Iterator[None]:
    """Let the threads that are started meanwhile run on every core: nobody else needs them, requests wait."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _cores())
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
