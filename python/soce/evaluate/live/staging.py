"""Host memory that soups pass through on their way to a device, or to another dtype."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


class Staging:
    """Two buffers: while one is copied to a device, the next tensor is mixed into the other.

    Each is as large as the largest tensor that has passed through it.

    Parameters
    ----------
    is_pinned : bool
        Whether the memory is pinned, as copies need that go on beside the processor's work. One buffer does
        where they do not: a copy in this memory is over when it returns.
    """

    def __init__(self, *, is_pinned: bool) -> None:
        import torch

        count = 2 if is_pinned else 1
        self._is_pinned = is_pinned
        self.buffers = [torch.empty(0, dtype=torch.uint8)] * count
        self._turn: Iterator[int] = cycle(range(count))
        self._on_its_way: dict[int, torch.cuda.Event] = {}
        """Of each buffer that is being copied, what tells the end of it."""

    def take(self, count: int, dtype: torch.dtype) -> tuple[int, torch.Tensor]:
        """Return the next buffer's number and room in it, once what was there has arrived."""
        import torch

        number, nbytes = next(self._turn), count * dtype.itemsize
        if (event := self._on_its_way.pop(number, None)) is not None:
            event.synchronize()
        if self.buffers[number].numel() < nbytes:
            self.buffers[number] = torch.empty(nbytes, dtype=torch.uint8, pin_memory=self._is_pinned)
        return number, self.buffers[number][:nbytes].view(dtype)

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
