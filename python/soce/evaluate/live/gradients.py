"""What the gradient of a loss has in common with the differences of ingredients, tensor by tensor.

Ingredients are not in memory: a gradient is taken at the mixed model, and as soon as that of one tensor is
there it is multiplied with what the ingredients' files hold, and let go.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from soce.evaluate.live.placement import Block

    Products = Callable[[str, torch.Tensor], NDArray[np.float64]]
    """From the name of a tensor and its flat gradient on the CPU."""


@contextmanager
def products_taken(
    model: PreTrainedModel, blocks: Sequence[Block], products: Products
) -> Iterator[Mapping[str, NDArray[np.float64]]]:
    """Give a mapping that each backward pass inside adds to: tensor → the products of its gradient.

    Parameters that lie in `blocks` want gradients meanwhile; no gradient stays in memory.
    """
    import torch

    found: dict[str, NDArray[np.float64]] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    held: dict[torch.nn.Parameter, list[Block]] = defaultdict(list)
    for block in blocks:
        if block.live in parameters:  # not so a buffer
            held[parameters[block.live]].append(block)

    def take(parameter: torch.Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        assert gradient is not None
        flat = gradient.detach().reshape(-1).cpu()
        for block in held[parameter]:  # type: ignore[index]
            sums = products(block.tensor, flat[block.start : block.start + block.count])
            found[block.tensor] = found[block.tensor] + sums if block.tensor in found else sums

    hooks = []
    try:
        for parameter in held:
            parameter.requires_grad_(True)  # noqa: FBT003 - torch's signature
            hooks.append(parameter.register_post_accumulate_grad_hook(take))  # type: ignore[no-untyped-call]
        with torch.enable_grad():
            yield found
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in held:
            parameter.requires_grad_(False)  # noqa: FBT003 - torch's signature
            parameter.grad = None
