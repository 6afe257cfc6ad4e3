"""Ingredients that stay on the model's devices beside it, where they fit: the next soup is mixed there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soce.evaluate.live.device_means import FORMATS, Exponents, write_mean
from soce.recipes.rows import is_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from soce.evaluate.live.mixing import SoupMixer
    from soce.recipes.rows import Mix


def room_on(device: torch.device) -> int:
    """Return the bytes of a device that nobody has needed so far, less a quarter of all; none on the CPU.

    An evaluation may need more than those before it did: answers may be longer.
    """
    import torch

    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    had_once = torch.cuda.max_memory_reserved(device) - torch.cuda.memory_reserved(device)
    return max(0, free - had_once - total // 4)


@dataclass(slots=True)
class Residents:
    """Tensors of ingredients on the devices of a model's, each brought there when a mix first takes it.

    None has to leave again for another, so a mix of ingredients that came too late goes through host memory.
    Nor has what is on the host already, or one ingredient alone.
    """

    mixer: SoupMixer
    room: dict[torch.device, int]
    """Bytes that are left for them."""
    _held: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)
    """By name and ingredient, flat."""
    _exponents: dict[tuple[str, tuple[int, ...]], Exponents] = field(default_factory=dict)

    @classmethod
    def beside(cls, mixer: SoupMixer, live: Iterable[torch.Tensor]) -> Residents:
        """Return none yet, with the room on each device of a model's tensors as it is now."""
        return cls(mixer, {device: room_on(device) for device in {tensor.device for tensor in live}})

    @property
    def nbytes(self) -> int:
        """What they take of all devices."""
        return sum(tensor.nbytes for tensor in self._held.values())

    def mix(self, name: str, mix: Mix, live: torch.Tensor) -> bool:
        """Write a tensor of a soup into its run of live elements; False if that is not to be done here."""
        if not is_plain(mix):
            return False
        numerators, whole = mix
        taken = tuple(i for i, numerator in enumerate(numerators) if numerator)
        dtype = self.mixer.published(name)
        if len(taken) < 2 or dtype not in FORMATS or not self.mixer.holds_as_published(name, taken):
            return False
        if not live.numel() or not self._hold(name, taken, live.device):
            return False
        tensors = [self._held[name, i] for i in taken]
        key = name, taken
        if key not in self._exponents:
            self._exponents[key] = Exponents.of(tensors, dtype)
        parts = [numerators[i] for i in taken]
        if not self._exponents[key].allow(parts, whole):
            return False
        write_mean(tensors, dtype, parts, whole, live)
        return True

    def _hold(self, name: str, taken: tuple[int, ...], device: torch.device) -> bool:
        """Have a tensor of each of these ingredients on a device; False if there is no room for all."""
        missing = [i for i in taken if (name, i) not in self._held]
        nbytes = len(missing) * self.mixer.size(name)
        if nbytes > self.room.get(device, 0):
            return False
        for i in missing:
            self._held[name, i] = self.mixer.original(name, i).reshape(-1).to(device)
        if missing:
            self.room[device] -= nbytes
        return True
