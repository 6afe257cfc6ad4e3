"""Memory that the ranks of one machine share, in which each mixes a part of what all of them need.

A rank takes columns of some tensors, which cannot be mixed alone. If each mixed such tensors whole, a machine
would read and mix them once for every rank.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from soce.evaluate.evaluation import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.evaluate.live.mixing import SoupMixer
    from soce.recipes.rows import Mix

_ALIGNMENT: Final = 4096
"""Elements, so that no two ranks write into one page or cache line."""


class Sharing:
    """The ranks of a tensor-parallel group on one machine, or a rank alone.

    Every rank calls `mix` for the same tensors in the same order, then `end`; one that fails calls `fail`
    instead of what it does not come to, which makes the others fail where they are.
    """

    def __init__(self, group: Any, rank: int, count: int) -> None:
        self._group = group
        self.rank = rank
        self.count = count
        self._memory: torch.Tensor | None = None
        self._calls = 0

    @classmethod
    def of_ranks(cls) -> Sharing:
        """Return the sharing of the tensor-parallel group that this worker is of."""
        from vllm.distributed.parallel_state import get_tp_group

        group = get_tp_group()
        return cls(group.cpu_group, group.rank_in_group, group.world_size)

    def reserve(self, names: list[str], nbytes: int) -> bool:
        """Reserve memory for the largest of some tensors, twice; False if the ranks cannot share it.

        They cannot if they are on several machines, or need different tensors.
        """
        if self.count == 1 or not self._agree_on((names, nbytes, _machine())):
            return False
        size, page = 2 * nbytes, os.sysconf("SC_PAGE_SIZE")
        descriptor = os.memfd_create("soce") if self.rank == 0 else -1  # which no crash leaves behind
        if self.rank == 0:
            os.ftruncate(descriptor, size + page)
        [path] = self._broadcast([f"/proc/{os.getpid()}/fd/{descriptor}"])
        try:
            self._memory = torch.from_file(path, shared=True, size=size, dtype=torch.uint8)
        except (OSError, RuntimeError):
            self._memory = None
        is_shared = self._agree_on(self._memory is not None) and self._memory is not None
        if descriptor >= 0:
            os.close(descriptor)
        return is_shared

    def mix(self, mixer: SoupMixer, name: str, row: Mix, dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor of the soup, flat, that every rank has mixed its part of.

        It stays until the call after the next. Halves take turns, so that no rank overwrites what another
        still reads: none comes to the next but one before all have come to the next.
        """
        assert self._memory is not None
        size = mixer.size(name)
        half = self._memory.numel() // 2
        whole = self._memory[half * (self._calls % 2) :][:size].view(dtype)
        self._calls += 1
        part = -(-whole.numel() // self.count // _ALIGNMENT) * _ALIGNMENT
        first, last = (min(part * rank, whole.numel()) for rank in (self.rank, self.rank + 1))
        if first < last:
            mixer.mix(name, row, whole[first:last], start=first)
        self._meet(has_failed=False)
        return whole

    def end(self) -> None:
        """Return when every rank has come here; raises if one failed."""
        if self._memory is not None:
            self._meet(has_failed=False)

    def fail(self) -> None:
        """Tell the others, wherever they are, that this rank failed."""
        if self._memory is not None:
            self._meet(has_failed=True)

    def guarded(self, act: Callable[[], None]) -> None:
        """Do something that calls `mix`, such that all ranks succeed or none does."""
        self._calls = 0  # ranks that failed did not come equally far
        try:
            act()
        except _OtherRankError:
            refuse("another rank failed")
        except BaseException:
            self.fail()
            raise
        try:
            self.end()
        except _OtherRankError:
            refuse("another rank failed")

    def _meet(self, *, has_failed: bool) -> None:
        failed = torch.tensor([int(has_failed)])
        torch.distributed.all_reduce(failed, torch.distributed.ReduceOp.MAX, group=self._group)
        if failed.item() and not has_failed:
            raise _OtherRankError

    def _agree_on(self, value: object) -> bool:
        """Return whether every rank has the same value, none of them false."""
        values: list[object] = [None] * self.count
        torch.distributed.all_gather_object(values, value, group=self._group)
        return bool(value) and all(other == value for other in values)

    def _broadcast(self, values: list[str]) -> list[str]:
        source = torch.distributed.get_global_rank(self._group, 0)
        torch.distributed.broadcast_object_list(values, src=source, group=self._group)
        return values


class _OtherRankError(Exception):
    """Raised in a rank because another failed."""


def _machine() -> str:
    """Return what tells this boot of this machine, and its view of processes, from others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
