"""Free numbers and the coefficients that they stand for, with what a gradient in one is in the other.

Both kinds need of a tensor's gradient G only its inner products with differences of ingredients. Arrays have
a row for each tensor, or a single one, and a column for each expert.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class FreeNumbers(Protocol):
    """One way to write coefficients as free numbers."""

    @property
    def start(self) -> float:
        """What every free number is at first."""

    def values(self, free: Array) -> Array:
        """Return the coefficients of the experts."""

    def gradient(self, free: Array, products: Array) -> Array:
        """Return the gradient in the free numbers; `products` are those of G with the differences."""

    def exact(self, values: Sequence[float]) -> tuple[Fraction, ...]:
        """Return the coefficients of one row as fractions; at the end that of a base, if there is one."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """Weights that are positive and sum to 1: learned soup.

    `products` may be of differences to anything that all experts share: a number that is added to all of a
    row cancels.
    """

    start: float = 0.0

    def values(self, free: Array) -> Array:
        """Return the weights."""
        raised = np.exp(free - free.max(axis=1, keepdims=True))
        found: Array = raised / raised.sum(axis=1, keepdims=True)
        return found

    def gradient(self, free: Array, products: Array) -> Array:
        """Return weight times what the product is above the weighted mean of all."""
        weights = self.values(free)
        mean = (weights * products).sum(axis=1, keepdims=True)
        found: Array = weights * (products - mean)
        return found

    def exact(self, values: Sequence[float]) -> tuple[Fraction, ...]:
        """Return weights that sum to 1 exactly."""
        terms = [Fraction(value) for value in values]
        return tuple(term / sum(terms) for term in terms)


@dataclass(frozen=True, slots=True)
class Clamped:
    """Coefficients of differences to a base, in 0 to 1: AdaMerging. `products` are of these differences."""

    start: float = 0.3

    def values(self, free: Array) -> Array:
        """Return what is between 0 and 1, and the nearer end of the others."""
        return np.clip(free, 0.0, 1.0)

    def gradient(self, free: Array, products: Array) -> Array:
        """Return the products; zero outside of 0 to 1."""
        return np.where((free >= 0) & (free <= 1), products, 0.0)

    def exact(self, values: Sequence[float]) -> tuple[Fraction, ...]:
        """Return the coefficients, then what they leave to the base."""
        terms = [Fraction(value) for value in values]
        return (*terms, 1 - sum(terms, Fraction(0)))
