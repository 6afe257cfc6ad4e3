"""Soups mixed straight into the parameters of a model of vLLM.

A parameter that holds, bit for bit, what was loaded into it is *in place*: a tensor is mixed into its
elements, or into a buffer from which they are copied if they are on another device, of another dtype or in
columns. The others were packed after loading. Their layer is made ready to load again, mixed into, and packed
by vLLM as at its start; so is a head that is packed beside the embedding it is tied to.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from soce.evaluate.engines.vllm.packing import forget_packed_experts, pack_beside, packed_beside, packing
from soce.evaluate.evaluation import refuse
from soce.evaluate.live.mixing import torch_dtype
from soce.evaluate.live.placement import same_bits
from soce.evaluate.live.staging import Staging
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soce.evaluate.engines.vllm.placement import Copied, Slot, View
    from soce.evaluate.engines.vllm.sharing import Sharing
    from soce.evaluate.live.mixing import SoupMixer
    from soce.recipes.rows import Mix


class DirectLoading:
    """A model, and for each of its layers where its parameters come from.

    The model holds the first of the mixer's ingredients. Memory besides it: the largest tensor that is not
    mixed in place, twice that for CUDA, and two layers, one that is packed while the next is mixed.
    """

    def __init__(self, model: torch.nn.Module, mixer: SoupMixer, slots: list[Slot], sharing: Sharing) -> None:
        self._mixer = mixer
        self._sharing = sharing
        layers = [(layer, list(own)) for layer, own in groupby(slots, key=lambda slot: slot.layer)]
        self._in_place = [(layer, own) for layer, own in layers if all(map(self._is_in_place, own))]
        direct = {id(layer) for layer, _ in self._in_place}
        self._packed = [(layer, own) for layer, own in layers if id(layer) not in direct]
        for _, own in self._packed:
            for slot in own:
                if not slot.is_whole:
                    refuse(f"vLLM leaves a part of `{slot.name}` unloaded")
        again = {id(layer) for layer, _ in self._packed}
        self._beside = [layer for layer in packed_beside(model) if id(layer) not in again]
        self._attention = _deferred_attention(model)
        self._twins = self._find_twins()
        columns = [one for slot in slots for one in slot.copies if not one.source.is_run]
        wide = dict.fromkeys(one.tensor for one in columns)
        largest = max((mixer.size(name) for name in wide), default=0)
        self._is_shared = sharing.reserve([one.tensor for one in columns], largest)
        self._staging = Staging(is_pinned=torch.cuda.is_available())

    def describe(self) -> dict[str, Any]:
        """Return how many layers are loaded in which way, as JSON."""
        return {
            "in_place": len(self._in_place),
            "packed": len(self._packed),
            "packed_beside": len(self._beside),
            "shared": self._is_shared,
        }

    def check(self, rows: Mapping[str, Mix]) -> None:
        """Refuse a recipe that mixes differently what vLLM keeps once."""
        for twin, name in self._twins.items():
            if rows[twin] != rows[name]:
                which = f"`{shown(twin)}` and `{shown(name)}`"
                refuse(f"the recipe mixes {which} differently, but vLLM ties them", "match both at once")

    def load(self, rows: Mapping[str, Mix], dtype: torch.dtype) -> None:
        """Take a soup's weights in every rank; after an error it must succeed before anything counts."""
        self._sharing.guarded(lambda: self._load(rows, dtype))

    def _load(self, rows: Mapping[str, Mix], dtype: torch.dtype) -> None:
        for _, own in self._in_place:
            for slot in own:
                assert slot.live is not None
                self._fill(slot, slot.live.data, rows)
        with packing() as pack:
            for layer, own in self._packed:
                with _packed_again_after_errors(layer):  # also where packing the one before failed
                    self._mix_unpacked(layer, own, rows)
                    self._staging.arrive()  # another thread packs it
                    pack(partial(_pack, layer))
        self._staging.arrive()
        pack_beside(self._beside)
        for layer in self._attention:  # some keep what follows from other layers' weights
            layer.process_weights_after_loading(dtype)

    def _mix_unpacked(self, layer: Any, own: list[Slot], rows: Mapping[str, Mix]) -> None:
        """Make a layer as it was before it was packed, and mix into it."""
        from vllm.model_executor.model_loader.reload import layerwise
        from vllm.model_executor.model_loader.reload.meta import materialize_layer, restore_layer_on_meta
        from vllm.model_executor.model_loader.reload.utils import get_layer_params_buffers

        info = layerwise.get_layerwise_info(layer)
        info.kernel_tensors = get_layer_params_buffers(layer)
        info.kernel_non_persistent_buffers = set(layer._non_persistent_buffers_set)
        restore_layer_on_meta(layer, info)
        materialize_layer(layer, info)
        layer.__dict__.pop("_already_called_process_weights_after_loading", None)
        forget_packed_experts(layer)
        for slot in own:
            self._fill(slot, getattr(layer, slot.name).data, rows)

    def _fill(self, slot: Slot, parameter: torch.Tensor, rows: Mapping[str, Mix]) -> None:
        for value, view in slot.fills:
            view.of(parameter).fill_(value)
        for copied in slot.copies:
            target, row = copied.target.of(parameter), rows[copied.tensor]
            dtype = torch_dtype(self._mixer.published(copied.tensor))
            if not copied.source.is_run and self._is_shared:
                whole = self._sharing.mix(self._mixer, copied.tensor, row, dtype)
                target.copy_(copied.source.of(whole))
            elif not copied.source.is_run:
                number, whole = self._staging.take(self._mixer.size(copied.tensor) // dtype.itemsize, dtype)
                self._mixer.mix(copied.tensor, row, whole)
                self._staging.send(number, copied.source.of(whole), target)
            elif copied.target.is_run and target.dtype == dtype and target.device.type == "cpu":
                self._mixer.mix(copied.tensor, row, target, start=copied.source.start)
            else:
                number, run = self._staging.take(copied.source.count, dtype)
                self._mixer.mix(copied.tensor, row, run, start=copied.source.start)
                self._staging.send(number, run.view(copied.source.size), target)

    def _is_in_place(self, slot: Slot) -> bool:
        """Return whether a layer computes with what was loaded as it was: the first ingredient's bits."""
        live = slot.live
        if live is None or live.shape != slot.loaded.shape or live.stride() != slot.loaded.stride():
            return False
        return all(same_bits(one.target.of(live).cpu(), self._first(one, live.dtype)) for one in slot.copies)

    def _first(self, copied: Copied, dtype: torch.dtype) -> torch.Tensor:
        """Return what vLLM loaded of the first ingredient, in the dtype of a parameter."""
        published = torch_dtype(self._mixer.published(copied.tensor))
        original = self._mixer.loaded(copied.tensor).reshape(-1).to(published)
        return copied.source.of(original).to(dtype)

    def _find_twins(self) -> dict[str, str]:
        """Return tensors that share memory with another, which all ingredients must hold equal."""
        homes: dict[tuple[int, View], str] = {}
        twins = {}
        for slot in (slot for _, own in self._in_place for slot in own):
            assert slot.live is not None
            for copied in slot.copies:
                name = homes.setdefault((slot.live.data_ptr(), copied.target), copied.tensor)
                if name != copied.tensor:
                    twins[copied.tensor] = name
        for twin, name in twins.items():
            for i, path in enumerate(self._mixer.paths):
                if not same_bits(self._mixer.original(name, i), self._mixer.original(twin, i)):
                    message = f"is not `{shown(name)}` although vLLM ties them"
                    hint = "untie the first ingredient: its config says that head and embedding are one"
                    refuse(message, hint, path, tensor=twin)
        return twins


def _pack(layer: Any) -> None:
    """Have vLLM pack a layer into the memory that it computes with."""
    from vllm.model_executor.model_loader.reload import layerwise

    info = layerwise.get_layerwise_info(layer)
    with _packed_again_after_errors(layer):
        method = getattr(layer, "quant_method", None)
        if method is not None:
            method.process_weights_after_loading(layer)
            if hasattr(layer, "update_param_tp_status"):
                layer.update_param_tp_status()
        layerwise._copy_and_restore_kernel_tensors(layer, info)
    info.reset()


@contextmanager
def _packed_again_after_errors(layer: Any) -> Iterator[None]:
    """Give a layer back what it computed with, whatever that is worth, if it cannot be loaded."""
    from vllm.model_executor.model_loader.reload import layerwise

    try:
        yield
    except BaseException:
        info = layerwise.get_layerwise_info(layer)
        if info.kernel_tensors is not None:  # or it has them
            layerwise._place_kernel_tensors(layer, info)
            info.reset()
        raise


def _deferred_attention(model: torch.nn.Module) -> list[Any]:
    from vllm.model_executor.layers.attention import is_deferred_attention_layer

    return [layer for layer in model.modules() if is_deferred_attention_layer(layer)]
