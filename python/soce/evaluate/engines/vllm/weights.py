"""The weights of one worker of vLLM, which become those of any soup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.evaluate.live.mixing import SoupMixer, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from soce.evaluate.live.mixing import Row
    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe


class LiveWeights:
    """The model of one worker, and the ingredients that it becomes soups of."""

    def __init__(self, worker: Any, ingredients: Sequence[str], merge: MergeOptions) -> None:  # noqa: ANN401 - vLLM's
        self._worker = worker
        self._mixer = SoupMixer(ingredients, merge)

    def describe(self) -> dict[str, Any]:
        """Return what is known of the ingredients, as JSON."""
        return {
            "bytes": sum(map(self._mixer.size, self._mixer.tensors)),
            "warnings": list(self._mixer.warnings),
        }

    def rows(self, recipe: Recipe) -> dict[str, Row]:
        """Return the mix of every tensor; raises RecipeError, and nothing was changed."""
        return self._mixer.rows(recipe)

    def set(self, rows: Mapping[str, Row]) -> None:
        """Take the weights of a soup; after an error they are a mixture, until this succeeds."""
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.reload import (
            finalize_layerwise_reload,
            initialize_layerwise_reload,
        )

        model, config = self._worker.model_runner.get_model(), self._worker.model_config
        with set_current_vllm_config(self._worker.vllm_config):
            initialize_layerwise_reload(model)
            try:
                model.load_weights(self._mixed(rows))
            finally:  # layers that are left on the meta device could never be loaded again
                finalize_layerwise_reload(model, config)
            for layer in model.modules():  # a tied head is left as it was packed for the CPU before
                if hasattr(layer, "cpu_linear") and hasattr(layer, "tie_weights"):
                    layer.quant_method.process_weights_after_loading(layer)

    def _mixed(self, rows: Mapping[str, Row]) -> Iterator[tuple[str, torch.Tensor]]:
        import torch

        for name, (_, shape) in self._mixer.tensors.items():
            # Fresh memory for each: the loader keeps it until a layer is whole (qkv waits for q, k and v).
            tensor = torch.empty(shape, dtype=torch_dtype(self._mixer.published(name)))
            self._mixer.mix(name, rows[name], tensor)
            yield name, tensor
