"""Adam on a few numbers: what a fit remembers from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Adam:
    """Free numbers and their moments after some steps, in float64 (Kingma and Ba 2015).

    Neither paper decays weights, so this is AdamW too.
    """

    free: Array
    first: Array
    second: Array
    steps: int = 0

    @classmethod
    def at(cls, start: float, shape: tuple[int, int]) -> Self:
        """Begin with all numbers equal."""
        return cls(np.full(shape, start), np.zeros(shape), np.zeros(shape))

    def step(self, gradient: Array, rate: float) -> Adam:
        """Return what follows a gradient."""
        steps = self.steps + 1
        first = _BETAS[0] * self.first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * self.second + (1 - _BETAS[1]) * gradient * gradient
        size = first / (1 - _BETAS[0] ** steps)
        scale = np.sqrt(second / (1 - _BETAS[1] ** steps)) + _EPSILON
        return Adam(self.free - rate * size / scale, first, second, steps)

    def to_json(self) -> dict[str, object]:
        """Return all of it, of which no bit is lost."""
        held = {"free": self.free, "first": self.first, "second": self.second}
        return {"steps": self.steps, **{name: array.tolist() for name, array in held.items()}}

    @classmethod
    def from_json(cls, data: Any, shape: tuple[int, int]) -> Self:  # noqa: ANN401 - whatever a file holds
        """Return what `to_json` told; raises ValueError, KeyError or TypeError for anything else."""
        free, first, second = (np.array(data[name], dtype=np.float64) for name in ("free", "first", "second"))
        if any(array.shape != shape or not np.isfinite(array).all() for array in (free, first, second)):
            message = f"expected finite arrays of shape {shape}"
            raise ValueError(message)
        return cls(free, first, second, int(data["steps"]))
