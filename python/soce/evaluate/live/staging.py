"""Host memory that soups pass through on their way to a device, or to another dtype."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


class Staging:
    """Two buffers: while one is copied to a device, the next tensor is mixed into the other.

    Parameters
    ----------
    nbytes : int
        Of the largest tensor that passes through; 0 if none does.
    is_pinned : bool
        Whether the memory is pinned, as copies need that go on beside the processor's work.
    """

    def __init__(self, nbytes: int, *, is_pinned: bool) -> None:
        import torch

        count = 2 if is_pinned else 1  # a copy in this memory is over when it returns
        self.buffers = [
            torch.empty(nbytes, dtype=torch.uint8, pin_memory=is_pinned and nbytes > 0) for _ in range(count)
        ]
        self._turn: Iterator[int] = cycle(range(count))
        self._on_its_way: dict[int, torch.cuda.Event] = {}
        """Of each buffer that is being copied, what tells the end of it."""

    def take(self, nbytes: int) -> tuple[int, torch.Tensor]:
        """Return the next buffer's number and its first bytes, once what was in it has arrived."""
        number = next(self._turn)
        if (event := self._on_its_way.pop(number, None)) is not None:
            event.synchronize()
        return number, self.buffers[number][:nbytes]

    def send(self, number: int, mixed: torch.Tensor, live: torch.Tensor) -> None:
        """Copy a tensor that lies in a buffer to where it lives; on a CUDA device that may still go on."""
        import torch

        is_on_its_way = live.device.type == "cuda" and mixed.is_pinned()
        live.copy_(mixed, non_blocking=is_on_its_way)
        if is_on_its_way:
            self._on_its_way[number] = torch.cuda.current_stream(live.device).record_event()

    def arrive(self) -> None:
        """Wait until everything sent is where it lives."""
        while self._on_its_way:
            self._on_its_way.popitem()[1].synchronize()
