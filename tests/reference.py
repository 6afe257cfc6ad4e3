"""What a soup is, in Python integers: slow, short, and written without a look at the Rust code.

A float of any format is an integer number of units of 2^-1074, the least subnormal of F64. Sums and products of such
integers are exact, so nothing here ever rounds but `rounded`, which rounds once, and `sum_by_definition`, where sums of F64
are rounded in an order that is part of the contract.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# name: (struct code of its bits, bits of the exponent field, bits of the fraction field)
FORMATS = {"F16": ("H", 5, 10), "BF16": ("H", 8, 7), "F32": ("I", 8, 23), "F64": ("Q", 11, 52)}
UNIT = -1074


def infinity(dtype: str) -> int:
    """Return the bits of positive infinity."""
    _, exponent, fraction = FORMATS[dtype]
    return ((1 << exponent) - 1) << fraction


def sign(dtype: str) -> int:
    """Return the sign bit."""
    _, exponent, fraction = FORMATS[dtype]
    return 1 << (exponent + fraction)


def canonical_nan(dtype: str) -> int:
    """Return the bits of the positive quiet NaN without payload."""
    return infinity(dtype) | 1 << (FORMATS[dtype][2] - 1)


def least_exponent(dtype: str) -> int:
    """Return e of the least subnormal 2^e."""
    _, exponent, fraction = FORMATS[dtype]
    return 2 - (1 << (exponent - 1)) - fraction


@lru_cache(maxsize=1 << 19)
def value(bits: int, dtype: str) -> int | None:
    """Return the value in units of 2^-1074, or None for NaN and infinities."""
    fraction = FORMATS[dtype][2]
    magnitude = bits & (sign(dtype) - 1)
    if magnitude >= infinity(dtype):
        return None
    field, rest = magnitude >> fraction, magnitude & ((1 << fraction) - 1)
    integer = rest if field == 0 else (rest | 1 << fraction) << (field - 1)
    units = integer << (least_exponent(dtype) - UNIT)
    return -units if bits & sign(dtype) else units


def rounded(numerator: int, denominator: int, dtype: str) -> int:
    """Return the bits nearest to numerator/denominator units, the even ones of two that are equally near."""
    fraction = FORMATS[dtype][2]
    # In least subnormals of the output format; then in as many of them as the last bit kept is worth.
    denominator <<= least_exponent(dtype) - UNIT
    size = abs(numerator)
    exceeds = max(0, (size // denominator).bit_length() - (fraction + 1))
    whole, rest = divmod(size, denominator << exceeds)
    twice = 2 * rest - (denominator << exceeds)
    whole += twice > 0 or (twice == 0 and whole & 1)
    magnitude = min(whole + (exceeds << fraction), infinity(dtype))
    return magnitude | (sign(dtype) if numerator < 0 else 0)


def mean(bits: Sequence[int], dtypes: Sequence[str], numerators: Sequence[int], whole: int, out: str) -> int:
    """Return the bits of round(sum of numerator * x / whole) for one element of every ingredient."""
    used = [(b, d, n) for b, d, n in zip(bits, dtypes, numerators, strict=True) if n]
    if len(used) == 1 and used[0][1:] == (out, whole):
        return used[0][0]
    total, signs, infinities = 0, set(), set()
    for b, d, n in used:
        negative = bool(b & sign(d)) != (n < 0)
        units = value(b, d)
        if units is not None:
            total += n * units
            signs.add(negative)
        elif b & (sign(d) - 1) > infinity(d):
            return canonical_nan(out)
        else:
            infinities.add(negative)
    if infinities:
        if len(infinities) == 2:
            return canonical_nan(out)
        return infinity(out) | (sign(out) if True in infinities else 0)
    if total == 0:
        return sign(out) if signs == {True} else 0
    return rounded(total, whole, out)


def unpack(data: bytes, dtype: str) -> tuple[int, ...]:
    """Return the bits of every element of little-endian data."""
    code = FORMATS[dtype][0]
    return struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)


def pack(bits: Sequence[int], dtype: str) -> bytes:
    """Return little-endian data."""
    return struct.pack(f"<{len(bits)}{FORMATS[dtype][0]}", *bits)


def soup(
    inputs: Sequence[tuple[str, bytes]], numerators: Sequence[int], whole: int, out: str | None = None
) -> bytes:
    """Return the soup of one tensor: inputs are (dtype, data), the output dtype is the first one's by default."""
    dtypes = [dtype for dtype, _ in inputs]
    out = out or dtypes[0]
    columns = zip(*(unpack(data, dtype) for dtype, data in inputs), strict=True)
    return pack([mean(column, dtypes, numerators, whole, out) for column in columns], out)


def sum_by_definition(terms: NDArray[np.float64]) -> float:
    """Return the sum that docs/numerics.md defines: 16 lanes, blocks of 4096 elements, neighbours added."""
    level = []
    for start in range(0, len(terms), 4096):
        block = terms[start : start + 4096]
        lanes = np.zeros(16)
        for row in np.pad(block, (0, -len(block) % 16)).reshape(-1, 16):
            lanes += row
        while len(lanes) > 1:
            lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
        level.append(float(lanes[0]))
    while len(level) > 1:
        level = [sum(level[k + 1 : k + 2], level[k]) for k in range(0, len(level), 2)]
    return level[0] if level else 0.0
