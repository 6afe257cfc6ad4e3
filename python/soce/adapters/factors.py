"""The factors of a soup of adapters: side by side, which is exact, or cut to a rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from soce.adapters.adapter import Factors
    from soce.adapters.stored import StoredTensor

Part: TypeAlias = "tuple[Factors, Fraction]"
"""The factors of a module in one adapter, and the adapter's share of the soup."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a lower rank loses of a module, in squares of Frobenius norms."""

    lost: float
    whole: float

    @property
    def share(self) -> float:
        """The norm of what is lost, as a share of the norm of what the module had."""
        return float(np.sqrt(self.lost / self.whole)) if self.whole else 0.0


def side_by_side(parts: Sequence[Part]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return A and B whose product is the soup of a module: scaled A below each other, B side by side.

    Each A is multiplied by share × scale, in doubles; B is as it was.
    """
    a = [factors.a.read() * factors.scale.times(share) for factors, share in parts]
    return np.concatenate(a), np.concatenate([factors.b.read() for factors, _ in parts], axis=1)


def cut_to_rank(
    a: NDArray[np.float64], b: NDArray[np.float64], rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], Cut]:
    """Return the A and B of a rank whose product is nearest to that of these, and what is lost.

    The singular values are those of the product, which is never formed: both factors are brought to
    triangles first.

    Examples
    --------
    >>> a, b, cut = cut_to_rank(np.diag([3.0, 4.0]), np.eye(2), 1)
    >>> np.round(b @ a, 12).tolist(), cut.share
    ([[0.0, 0.0], [0.0, 4.0]], 0.6)
    """
    flat_a, flat_b = a.reshape(len(a), -1), np.moveaxis(b, 1, -1).reshape(-1, b.shape[1])
    q_b, r_b = np.linalg.qr(flat_b)
    q_a, r_a = np.linalg.qr(flat_a.T)
    u, values, v = np.linalg.svd(r_b @ r_a.T, full_matrices=False)
    roots = np.sqrt(values[:rank])
    squares = values**2
    new_a = (roots[:, None] * v[:rank]) @ q_a.T
    new_b = (q_b @ u[:, :rank]) * roots
    outer = np.moveaxis(new_b.reshape(b.shape[0], *b.shape[2:], len(roots)), -1, 1)
    cut = Cut(float(squares[rank:].sum()), float(squares.sum()))
    return new_a.reshape(len(roots), *a.shape[1:]), outer, cut


def mean_of(tensors: Sequence[tuple[StoredTensor, int]], whole: int) -> NDArray[np.float64]:
    """Return the weighted mean of tensors that adapters replace, each given with its part of the whole."""
    total: Any = sum(part * tensor.read() for tensor, part in tensors if part)
    mean: NDArray[np.float64] = total / whole
    return mean


def to_f32(values: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Return values rounded to F32, little-endian; None if one is too large."""
    with np.errstate(over="ignore"):
        rounded = values.astype("<f4")
    return rounded if np.isfinite(rounded).all() else None
