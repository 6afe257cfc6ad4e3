"""The live model as far as it is known without its weights: what would be scored, and what it would take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import named_device, require_torch
from soce.evaluate.live.soup_model import SoupModel
from soce.merging.options import MergeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    import torch

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.devices import DeviceMap, MaxMemory
    from soce.recipes.model import Recipe


class ModelOutline(SoupModel):
    """A `SoupModel` whose model has no memory: evaluators say of it what they would score, and as whom.

    It takes what a `SoupModel` takes, refuses what is wrong with headers and config, and has the same
    `identity`. It can be no soup.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        *,
        device: str = "auto",
        compute_dtype: str | None = None,
        model_class: str | None = None,
        merge: MergeOptions = MergeOptions(),
        device_map: DeviceMap | None = None,
        max_memory: MaxMemory | None = None,
    ) -> None:
        require_torch()
        dtype = self._begin(ingredients, merge, compute_dtype)
        self.model = self._outline(model_class, dtype)
        if device_map is None and max_memory is None:
            self._devices = (named_device(device),)
        else:
            self._placed(self.model, device, device_map, max_memory)
        self._live = self.model.state_dict()

    @property
    def device(self) -> torch.device:
        """Where the model would live, or the first of the devices that it would compute on."""
        return self._devices[0]

    def set(self, recipe: Recipe, *, on_progress: OnProgress | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse to be a soup."""
        refuse("the model is here without its weights, and cannot be scored")

    @property
    def memory_bytes(self) -> int:
        """What parameters and buffers would take there; batches take more."""
        held = [*self.model.parameters(), *self.model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    @property
    def device_bytes(self) -> int | None:
        """How much memory its devices have; None if nobody says."""
        each = [_memory_of(device) for device in self._devices]
        return None if None in each else sum(size or 0 for size in each)


def _memory_of(device: torch.device) -> int | None:
    import torch

    if device.type == "cuda" and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if device.type == "cpu" else None
