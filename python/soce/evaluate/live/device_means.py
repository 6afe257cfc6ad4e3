"""Exact weighted means where the tensors lie, on any device of torch: in F64, or not at all.

A value of BF16 or F16 is an integer of few bits times a power of two. As long as the exponents of all that
is added are close enough, F64 holds every product and every sum of them exactly. The quotient is then rounded
twice, to F64 and to the dtype, which is the same as once: it lies on the border between two values of the
dtype or further from it than F64 rounds. `Exponents.allow` says whether both hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

_CHUNK: Final = 1 << 21
"""Elements at once: three tensors of F64 that a large device's cache holds, and few enough calls."""
_F64_BITS: Final = 53
_F64_EXPONENT: Final = 0x7FF0000000000000


@dataclass(frozen=True, slots=True)
class _Format:
    """A floating-point dtype of 16 bits."""

    fraction: int
    """Bits of the field."""
    largest: int
    """The exponent of its largest binade; that of the least normal number is one minus this."""

    @property
    def not_finite(self) -> int:
        """The field of the exponent in infinities and NaN."""
        return 2 * self.largest + 1


FORMATS: Final = {"BF16": _Format(7, 127), "F16": _Format(10, 15)}
"""The dtypes that means are computed of, as safetensors calls them."""


@dataclass(frozen=True, slots=True)
class Exponents:
    """How far apart the values are that some tensors of one shape and dtype hold in the same places."""

    dtype: str
    """One of `FORMATS`."""
    spread: int
    """The most that the exponents of two numbers in one place differ by, zeros left out."""
    top: int
    """The largest field of an exponent."""

    @classmethod
    def of(cls, tensors: Sequence[torch.Tensor], dtype: str) -> Exponents:
        """Look at flat tensors once; waits for their device."""
        import torch

        form, found = FORMATS[dtype], []
        for start in range(0, tensors[0].numel(), _CHUNK):
            top = low = None
            for tensor in tensors:
                magnitude = tensor[start : start + _CHUNK].view(torch.int16) & 0x7FFF
                field = (magnitude >> form.fraction).clamp_min_(1)  # subnormal numbers have the least's
                above = field.masked_fill(magnitude == 0, form.not_finite)
                top = field if top is None else torch.maximum(top, field)
                low = above if low is None else torch.minimum(low, above)
            assert top is not None
            assert low is not None
            found.append(torch.stack([(top - low).amax(), top.amax()]))
        spread, top_field = torch.stack(found).amax(0).tolist()
        return cls(dtype, max(0, spread), top_field)

    def allow(self, numerators: Sequence[int], whole: int) -> bool:
        """Return whether `write_mean` of these tensors is exact, and no result too large for the dtype."""
        form, size = FORMATS[self.dtype], sum(map(abs, numerators))
        # Sums are below 2^(fraction + 1 + spread + bits of the size) units of the least number. Two bits
        # more, and a quotient that is not on a border is further from it than F64 rounds.
        needed = form.fraction + 1 + self.spread + max(size, whole).bit_length() + 2
        growth = ((size - 1) // whole).bit_length()
        is_small = self.top - form.largest + 1 + growth <= form.largest
        return needed <= _F64_BITS and self.top < form.not_finite and is_small


def write_mean(
    tensors: Sequence[torch.Tensor], dtype: str, numerators: Sequence[int], whole: int, target: torch.Tensor
) -> None:
    """Write the weighted mean of flat tensors of a dtype, rounded to it once, into another on their device.

    If the target is of another dtype, the means are then cast to that. Only for tensors whose `Exponents`
    allow it.
    """
    import torch

    form = FORMATS[dtype]
    own = tensors[0].dtype
    # In a tensor: torch multiplies with the reciprocal of a number, which would round once more.
    divisor = torch.tensor(float(whole), dtype=torch.float64, device=target.device)
    for start in range(0, target.numel(), _CHUNK):
        run = slice(start, start + _CHUNK)
        total = tensors[0][run].double().mul_(numerators[0])
        for tensor, numerator in zip(tensors[1:], numerators[1:], strict=True):
            total.add_(tensor[run], alpha=numerator)
        total.div_(divisor)
        # Half as much again as a power of two that leaves F64 just the dtype's bits: adding it rounds to the
        # nearest, to even on a border, and taking it off is exact.
        border = (total.view(torch.int64) & _F64_EXPONENT).view(torch.float64)
        border.clamp_min_(2.0 ** (1 - form.largest)).mul_(1.5 * 2.0 ** (_F64_BITS - 1 - form.fraction))
        rounded = (total + border).sub_(border).copysign_(total)
        target[run].copy_(rounded if target.dtype == own else rounded.to(own))
