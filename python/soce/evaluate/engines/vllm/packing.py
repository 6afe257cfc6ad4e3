"""What vLLM packs at its start, packed again for a soup.

By itself vLLM 0.32 does not pack again, on a CPU and in its own `reload_weights` as well, the head that is
tied to an embedding and the experts of a mixture: old weights would answer silently.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future


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


@contextmanager
def packing() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield what has packing done, on a CPU beside what is mixed next: one piece waits for the one before.

    By one thread: oneDNN gains little from more, and OpenMP's spin between its calls, on cores that mixing
    needs. Mixing and packing SmolLM2-135M in turn took 2.0 times mixing it alone with one thread of OpenMP,
    2.2 with two, beside each other 1.9 (`benches/engine_swap.py`).
    """
    if torch.accelerator.is_available():  # whose streams and devices are a thread's own
        yield lambda piece: piece()
        return
    threads = torch.get_num_threads()
    last: Future[None] | None = None

    def pack(piece: Callable[[], None]) -> None:
        nonlocal last
        if last is not None:
            last.result()
        last = packer.submit(torch.no_grad()(piece))

    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as packer:
            yield pack
            if last is not None:
                last.result()
    finally:
        torch.set_num_threads(threads)  # for threads to come, which take the number set last
