"""Whole soups through vLLM's own reload: slower, but for every model that it can reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.vllm.packing import forget_packed_experts, pack_beside, packed_beside
from soce.evaluate.live.mixing import torch_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from soce.evaluate.live.mixing import SoupMixer
    from soce.recipes.rows import Mix


def load_layerwise(model: Any, config: Any, mixer: SoupMixer, rows: Mapping[str, Mix]) -> None:
    """Load a soup into a model of vLLM, layer by layer; after an error it can be loaded again."""
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    for layer in model.modules():
        forget_packed_experts(layer)
    initialize_layerwise_reload(model)
    try:
        model.load_weights(_mixed(mixer, rows))
    finally:  # layers that are left on the meta device could never be loaded again
        finalize_layerwise_reload(model, config)
    pack_beside(packed_beside(model))


def _mixed(mixer: SoupMixer, rows: Mapping[str, Mix]) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for name, (_, shape) in mixer.tensors.items():
        # Fresh memory for each: the loader keeps it until a layer is whole (qkv waits for q, k and v).
        tensor = torch.empty(shape, dtype=torch_dtype(mixer.published(name)))
        mixer.mix(name, rows[name], tensor)
        yield name, tensor
