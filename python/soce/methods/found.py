"""What a method finds for one tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.methods.geometry import Vectors
    from soce.recipes.methods import Method


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The coefficients of the ingredients of one tensor; a base has what is left of 1."""

    values: tuple[Fraction, ...]
    """Exact where they are known exactly, else the fraction that a float is."""
    told: Mapping[str, float] = field(default_factory=dict)
    """Numbers that they are made of, for the plan and the manifest."""
    remark: str = ""
    """A kind of exception that was made, counted over the tensors."""

    @classmethod
    def of_floats(cls, values: Sequence[float], told: Mapping[str, float]) -> Coefficients:
        """Return what floats say."""
        return cls(tuple(map(Fraction, values)), told)


Finder: TypeAlias = "Callable[[Sequence[Fraction], Vectors, Method], Coefficients]"
"""From weights as the method takes them, and the tensor of each ingredient (of a method with a base its
difference to it), to coefficients."""
