"""What vLLM packs at its start and does not pack again by itself: without this, old weights answer silently.

Seen in vLLM 0.32 on a CPU, for its own `reload_weights` as well: the head that is tied to an embedding, and
the experts of a mixture.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def forget_packed_experts(layer: Any) -> None:
    """Have the experts of a layer set up and packed as at the start, when it is processed after loading.

    Otherwise vLLM copies what was loaded into the memory of what was packed.
    """
    from vllm.model_executor.layers.fused_moe.modular_kernel import FusedMoEExperts

    method: Any = getattr(layer, "quant_method", None)
    experts = getattr(getattr(method, "moe_kernel", None), "fused_experts", None)
    pack = getattr(type(experts), "process_weights_after_loading", None)
    if experts is not None and pack is not FusedMoEExperts.process_weights_after_loading:
        method.moe_kernel = None


def packed_beside(model: Any) -> list[Any]:
    """Return the layers that the CPU packs beside a parameter, which stays.

    An embedding that a head is tied to is packed too, but only the head computes with that.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    users: defaultdict[int, list[Any]] = defaultdict(list)
    linear = [layer for layer in model.modules() if hasattr(layer, "cpu_linear")]
    found = [layer for layer in linear if layer.weight.numel()]
    for layer in found:
        users[id(layer.weight)].append(layer)

    def is_only_looked_up(layer: Any) -> bool:
        is_tied = any(isinstance(one, ParallelLMHead) for one in users[id(layer.weight)])
        return type(layer) is VocabParallelEmbedding and is_tied

    return [layer for layer in found if not is_only_looked_up(layer)]


def pack_beside(layers: list[Any]) -> None:
    """Pack layers again, whose parameters hold other values now."""
    for layer in layers:
        layer.quant_method.process_weights_after_loading(layer)
