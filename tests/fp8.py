"""FP8 checkpoints as their writers make them, and what they mean: codes times scales, in fractions."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from math import inf, nan, prod

from tests import reference
from tests.checkpoints import Tensors, bf16

# name: (bits of the exponent field, bits of the fraction field, whether there are infinities)
CODES = {"F8_E4M3": (4, 3, False), "F8_E5M2": (5, 2, True)}
SCALES = ("F32", "BF16", "F16", "F8_E8M0")


def code_value(code: int, dtype: str) -> Fraction | float:
    """Return the number that a code stands for; NaN and infinities as floats."""
    exponent_bits, fraction_bits, has_infinities = CODES[dtype]
    fraction = code & ((1 << fraction_bits) - 1)
    exponent = code >> fraction_bits & ((1 << exponent_bits) - 1)
    sign = -1 if code & 0x80 else 1
    bias = (1 << exponent_bits - 1) - 1
    if exponent == (1 << exponent_bits) - 1:
        if has_infinities:
            return nan if fraction else sign * inf
        if fraction == (1 << fraction_bits) - 1:
            return nan
    integer = fraction if exponent == 0 else fraction | 1 << fraction_bits
    return sign * integer * Fraction(2) ** (max(exponent, 1) - bias - fraction_bits)


def scale_value(bits: int, dtype: str) -> Fraction | float:
    """Return the number that the bits of a scale stand for."""
    if dtype == "F8_E8M0":
        return nan if bits == 255 else Fraction(2) ** (bits - 127)
    units = reference.value(bits, dtype)
    if units is not None:
        return Fraction(units) / 2**-reference.UNIT
    is_nan = bits & (reference.sign(dtype) - 1) > reference.infinity(dtype)
    return nan if is_nan else (-inf if bits & reference.sign(dtype) else inf)


def product(code: int, codes: str, bits: int, scales: str) -> float:
    """Return code times scale, which F64 holds exactly."""
    a, b = code_value(code, codes), scale_value(bits, scales)
    negative = bool(code & 0x80) != (scales != "F8_E8M0" and bool(bits & reference.sign(scales)))
    if isinstance(a, float) or isinstance(b, float):
        return float(a) * float(b)
    if a * b == 0:
        return -0.0 if negative else 0.0
    value = float(a * b)
    assert Fraction(value) == a * b
    return value


def unpacked(data: bytes, dtype: str) -> Sequence[int]:
    """Return the bits of every scale."""
    return tuple(data) if dtype == "F8_E8M0" else reference.unpack(data, dtype)


def values(
    codes: tuple[str, list[int], bytes], scales: tuple[str, list[int], bytes], block: list[int]
) -> bytes:
    """Return the F64 values of a tensor of codes, in blocks that share a scale, from the definition."""
    dtype, shape, data = codes
    outer, lines, columns = [1] * (3 - len(shape)) + shape
    down, across = -(-lines // block[0]), -(-columns // block[1])
    found = unpacked(scales[2], scales[0])
    out = []
    for o in range(outer):
        for line in range(lines):
            for column in range(columns):
                code = data[(o * lines + line) * columns + column]
                scale = found[((o * down) + line // block[0]) * across + column // block[1]]
                out.append(product(code, dtype, scale, scales[0]))
    return struct.pack(f"<{len(out)}d", *out)


def codes(random_: random.Random, shape: list[int], dtype: str = "F8_E4M3") -> tuple[str, list[int], bytes]:
    """Return finite codes drawn at random."""
    finite = [code for code in range(256) if isinstance(code_value(code, dtype), Fraction)]
    return dtype, shape, bytes(random_.choice(finite) for _ in range(prod(shape)))


def scales(random_: random.Random, shape: list[int], dtype: str = "F32") -> tuple[str, list[int], bytes]:
    """Return awkward positive scales: all their bits in use."""
    count = prod(shape)
    if dtype == "F8_E8M0":
        return dtype, shape, bytes(random_.randrange(110, 123) for _ in range(count))
    _, exponent, fraction = reference.FORMATS[dtype]
    middle = (1 << exponent - 1) - 1
    bits = [
        (middle - 4 - random_.randrange(9)) << fraction | random_.getrandbits(fraction) | 1
        for _ in range(count)
    ]
    return dtype, shape, reference.pack(bits, dtype)


def config(**declared: object) -> dict[str, object]:
    """Return the config of a model whose codes are declared so."""
    return {"model_type": "test", "torch_dtype": "bfloat16", "quantization_config": declared}


def deepseek(seed: int, shape: list[int], block: list[int], dtype: str = "F32") -> Tensors:
    """Return a tensor in blocks with `weight_scale_inv`, and one that is not quantised."""
    random_ = random.Random(seed)
    grid = [*shape[:-2], *(-(-n // b) for n, b in zip(shape[-2:], block, strict=True))]
    return {
        "model.up.weight": codes(random_, shape),
        "model.up.weight_scale_inv": scales(random_, grid, dtype),
        "model.norm.weight": ("BF16", [4], bf16(*(random_.randrange(-9, 9) / 8 for _ in range(4)))),
    }
