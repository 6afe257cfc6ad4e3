"""Where each tensor of a checkpoint ends up in a model of vLLM.

Names do not tell: loaders fuse, pad, cut a rank's share and rename. So the model's own `load_weights` runs
once on tensors without memory, and what it copies where is recorded. A model whose loaders do more than copy
has no placement.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from soce.evaluate.evaluation import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """Which elements of a tensor's memory something is."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    start: int

    @property
    def count(self) -> int:
        """How many elements it has."""
        return prod(self.size)

    @property
    def is_run(self) -> bool:
        """Whether its elements follow each other in memory."""
        expected = 1
        for size, stride in zip(reversed(self.size), reversed(self.stride), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @classmethod
    def within(cls, part: torch.Tensor, whole: torch.Tensor) -> View:
        """Return which elements of a tensor another one is, that shares its memory."""
        start = part.storage_offset() - whole.storage_offset()
        return cls(tuple(part.shape), tuple(part.stride()), int(start))

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return these elements of a tensor."""
        return tensor.as_strided(self.size, self.stride, tensor.storage_offset() + self.start)


@dataclass(frozen=True, slots=True)
class Copied:
    """Elements of a checkpoint's tensor that are copied into a parameter."""

    tensor: str
    source: View
    target: View


@dataclass(slots=True)
class Slot:
    """A parameter or buffer of a layer, in the form in which it is loaded, and what is loaded into it."""

    layer: torch.nn.Module
    name: str
    loaded: torch.Tensor
    """As it is while it is loaded, mostly without memory."""
    live: torch.Tensor | None
    """What the layer holds under this name when it computes."""
    copies: list[Copied] = field(default_factory=list)
    fills: list[tuple[float, View]] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether every element is loaded, or filled, once."""
        times = torch.zeros(self.loaded.numel(), dtype=torch.uint8)
        for view in [*(copied.target for copied in self.copies), *(view for _, view in self.fills)]:
            view.of(times).add_(1)
        return bool((times == 1).all())

    def check_kept(self) -> None:
        """Raise if the layer holds something else than what was to be loaded."""
        held = getattr(self.layer, self.name, None)
        if held is None or _memory(held) != _memory(self.loaded):
            raise _RearrangedError(self._shown("is replaced while it is loaded"))

    def note(
        self, part: torch.Tensor, operator: Any, value: Any, tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """Note what an operator does to a part of it."""
        target, name = View.within(part, self.loaded), None
        if isinstance(value, torch.Tensor):
            memory = _memory(value)
            name = next((name for name, tensor in tensors.items() if _memory(tensor) == memory), None)
        if operator is torch.ops.aten.copy_.default and name is not None and value.shape == part.shape:
            self.copies.append(Copied(name, View.within(value, tensors[name]), target))
        elif operator is torch.ops.aten.fill_.Scalar:
            self.fills.append((value, target))
        elif operator is torch.ops.aten.zero_.default:
            self.fills.append((0.0, target))
        elif part.numel():
            raise _RearrangedError(self._shown(f"is loaded by {operator}"))

    def _shown(self, what: str) -> str:
        return f"`{self.name}` of {type(self.layer).__name__} {what}"


class _RearrangedError(Exception):
    """A loader does something else than copying."""


def find_placement(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[Slot] | None:
    """Return what `load_weights` fills, layer by layer; None if it does more than copy.

    `tensors` are those of the checkpoint, on torch's meta device. The model is left as it was.
    """
    try:
        with _ready_to_load(model) as slots:
            with _Recorder(slots, tensors):
                model.load_weights(tensors.items())  # type: ignore[operator] # vLLM's models have it
            for slot in slots:
                slot.check_kept()
    except Exception as error:  # loaders may fail in any way on tensors without values
        _log.warning("soups are loaded layer by layer, which is slower: %s", told(error))
        return None
    return [slot for slot in slots if slot.copies]


@contextmanager
def _ready_to_load(model: torch.nn.Module) -> Iterator[list[Slot]]:
    """Give every layer the parameters that loaders expect, without memory, and then its own back."""
    from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
    from vllm.model_executor.model_loader.reload.meta import restore_layer_on_meta
    from vllm.model_executor.model_loader.reload.utils import get_layer_params_buffers, get_layer_tensors

    held = [
        (layer, get_layer_params_buffers(layer), set(layer._non_persistent_buffers_set))
        for layer in model.modules()
    ]
    slots = []
    try:
        for layer, (parameters, buffers), _ in held:
            restore_layer_on_meta(layer, get_layerwise_info(layer))
            own = parameters | buffers
            slots += [
                Slot(layer, name, tensor, own.get(name)) for name, tensor in get_layer_tensors(layer).items()
            ]
        yield slots
    finally:
        for layer, (parameters, buffers), fleeting in held:
            for name in get_layer_tensors(layer):
                delattr(layer, name)
            for name, parameter in parameters.items():
                layer.register_parameter(name, parameter)
            for name, buffer in buffers.items():
                layer.register_buffer(name, buffer, persistent=name not in fleeting)


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Where this is active, copies into slots are noted instead of done."""

    def __init__(self, slots: list[Slot], tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._slots = {_memory(slot.loaded): slot for slot in slots}
        self._tensors = tensors

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what torch would, unless it changes a slot."""
        slot = self._slots.get(_memory(args[0])) if args and isinstance(args[0], torch.Tensor) else None
        if slot is None or not func._schema.is_mutable:
            return func(*args, **(kwargs or {}))
        slot.note(args[0], func, args[1] if args[1:] else None, self._tensors)
        return args[0]
