"""Where each tensor of a checkpoint lies in a live model.

transformers renames tensors on load and fuses some (all experts of a mixture become one parameter), so names
do not tell. Placements are found by what transformers does and proved by bits, never read from its tables.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from soce.evaluate.live.loading import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from transformers import PreTrainedModel

    Stored = tuple[str, torch.dtype, list[int]]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of elements of a live tensor that is one whole tensor of the checkpoint, in its order."""

    tensor: str
    """Name in the checkpoint."""
    live: str
    """Name in the model's state dict."""
    start: int
    """First element."""
    count: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A checkpoint laid over a live model."""

    blocks: tuple[Block, ...]
    """They cover every element of the model's state dict once."""
    twins: Mapping[str, str]
    """Tensors that the checkpoint holds and the model ties to another: name → that other tensor's name."""


def find_placement(
    model: PreTrainedModel,
    live: dict[str, torch.Tensor],
    stored: Sequence[Stored],
    original: Callable[[str], torch.Tensor],
) -> Placement | None:
    """Return how a checkpoint lies in the model loaded from it; None if its elements are rearranged.

    `live` is its state dict, on any device; `stored` are name, dtype and shape of the checkpoint's tensors,
    and `original` returns one. A tensor of the same name and shape is in place if the model holds its very
    bits. All others are looked for after loading random numbers under their names, which are in place nowhere
    by accident.
    """
    homes = {name: (tensor.device, tensor.data_ptr(), tensor.numel()) for name, tensor in live.items()}
    owner: dict[tuple[torch.device, int, int], str] = {}
    blocks: list[Block] = []
    twins: dict[str, str] = {}
    rest: list[Stored] = []
    for name, dtype, shape in stored:
        tensor = live.get(name)
        fits = tensor is not None and list(tensor.shape) == shape and tensor.is_contiguous()
        if tensor is None or not fits or not same_bits(original(name).to(tensor.dtype), tensor.cpu()):
            rest.append((name, dtype, shape))
        elif homes[name] in owner and tensor.numel():
            twins[name] = owner[homes[name]]
        else:
            owner[homes[name]] = name
            blocks.append(Block(name, name, 0, tensor.numel()))
    uncovered = {homes[name]: name for name in reversed(live) if homes[name] not in owner}
    if not uncovered:
        return Placement(tuple(blocks), twins)
    if not all(live[name].is_contiguous() for name in uncovered.values()):
        return None
    in_place = {block.tensor: live[block.live].cpu() for block in blocks}
    in_place |= {name: live[name].cpu() for name in twins}
    fused = _fused(model, rest, sorted(uncovered.values()), in_place)
    return None if fused is None else Placement((*blocks, *fused), twins)


def _fused(
    model: PreTrainedModel,
    rest: Sequence[Stored],
    uncovered: Sequence[str],
    in_place: Mapping[str, torch.Tensor],
) -> list[Block] | None:
    """Return the blocks of `rest` that tile the live tensors `uncovered`, by loading random numbers."""
    import torch

    generator = torch.Generator().manual_seed(0)
    probes = {}
    for name, dtype, shape in rest:
        drawn = torch.randn if dtype.is_floating_point else partial(torch.randint, 0, 2)
        probes[name] = drawn(shape, generator=generator).to(dtype)
    converted = convert(model, {**in_place, **probes})
    by_start: dict[tuple[torch.dtype, bytes], list[str]] = defaultdict(list)
    for dtype in {converted[live].dtype for live in uncovered}:
        for name, probe in probes.items():
            first_bytes = _first_bytes(probe.reshape(-1).to(dtype))
            if len(first_bytes) == 8:  # others are too small to tell
                by_start[dtype, first_bytes].append(name)
    blocks: list[Block] = []
    for live in uncovered:
        flat, start = converted[live].reshape(-1), 0
        while start < flat.numel():  # tile by tile
            for name in by_start[flat.dtype, _first_bytes(flat[start:])]:
                probe = probes[name].reshape(-1)
                if same_bits(flat[start : start + probe.numel()], probe.to(flat.dtype)):
                    blocks.append(Block(name, live, start, probe.numel()))
                    start += probe.numel()
                    break
            else:
                return None
    return blocks if len({block.tensor for block in blocks}) == len(blocks) else None


def _first_bytes(flat: torch.Tensor) -> bytes:
    return bytes(_bytes(flat[:8])[:8].tolist())


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8)


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return whether two tensors are equal element by element, NaN and signs of zero included."""
    import torch

    same_size = first.numel() == second.numel() and first.dtype == second.dtype
    return same_size and torch.equal(_bytes(first), _bytes(second))
