"""A base with an adapter on top, as files and as what they mean: every element in fractions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from pathlib import Path

from tests import reference
from tests.checkpoints import Tensors, write_file

from soce.adapters.on_base import Change

Tensor = tuple[str, list[int], bytes]
FACTORS = ("F32", "BF16", "F16")


def floats(
    random_: random.Random, shape: list[int], dtype: str, spread: int = 6, zeros: float = 0.0
) -> Tensor:
    """Return finite floats whose bits are all in use, within `spread` binades below one."""
    _, exponent, fraction = reference.FORMATS[dtype]
    middle = (1 << exponent - 1) - 1
    bits = [
        0
        if random_.random() < zeros
        else random_.getrandbits(1) * reference.sign(dtype)
        | (middle - 1 - random_.randrange(spread)) << fraction
        | random_.getrandbits(fraction)
        for _ in range(prod(shape))
    ]
    return dtype, shape, reference.pack(bits, dtype)


def fractions(tensor: Tensor) -> list[Fraction]:
    """Return the numbers of a tensor of finite floats."""
    dtype, _, data = tensor
    units = [reference.value(bits, dtype) for bits in reference.unpack(data, dtype)]
    assert None not in units
    return [Fraction(unit or 0, 2**-reference.UNIT) for unit in units]


def updated(weight: Tensor, a: Tensor, b: Tensor, scale: float, transposed: bool = False) -> list[Fraction]:
    """Return W + scale·B·A, from the definition."""
    rank = a[1][0]
    across, lines = prod(a[1][1:]), b[1][0]
    of_a, of_b, found = fractions(a), fractions(b), fractions(weight)
    for line in range(lines):
        for column in range(across):
            added = sum(of_b[line * rank + k] * of_a[k * across + column] for k in range(rank))
            found[column * lines + line if transposed else line * across + column] += Fraction(scale) * added
    return found


def mean(inputs: Sequence[Sequence[Fraction]], parts: Sequence[int], out: str) -> bytes:
    """Return the mean, rounded once; an exact zero is positive."""
    whole = sum(parts)
    bits = []
    for elements in zip(*inputs, strict=True):
        total = sum(part * element for part, element in zip(parts, elements, strict=True)) / whole
        total *= 2**-reference.UNIT
        bits.append(reference.rounded(total.numerator, total.denominator, out))
    return reference.pack(bits, out)


@dataclass
class Adapter:
    """An adapter's file, and what it changes in its base."""

    path: Path
    tensors: Tensors = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def add(self, name: str, a: Tensor, b: Tensor, scale: float, transposed: bool = False) -> None:
        """Add a product to a tensor."""
        names = f"{name}.lora_A", f"{name}.lora_B"
        self.tensors |= dict(zip(names, (a, b), strict=True))
        self.changes.append(
            {
                "ingredient": 0,
                "tensor": name,
                "path": str(self.path),
                "a": names[0],
                "b": names[1],
                "scale": scale,
                "transposed": transposed,
            }
        )

    def replace(self, name: str, tensor: Tensor) -> None:
        """Put another tensor in the place of one."""
        self.tensors[f"{name}.saved"] = tensor
        changed: Change = {
            "ingredient": 0,
            "tensor": name,
            "path": str(self.path),
            "replacement": f"{name}.saved",
        }
        self.changes.append(changed)

    def write(self) -> Adapter:
        """Write the file."""
        write_file(self.path, self.tensors)
        return self

    def on(self, ingredient: int) -> list[Change]:
        """Return what it changes in the ingredient of this number."""
        return [{**change, "ingredient": ingredient} for change in self.changes]
