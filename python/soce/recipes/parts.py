"""Weights, sizes and dtypes, read exactly from text. No float ever holds a weight."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import floor, gcd, lcm
from operator import index
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.exceptions import Problem, RecipeError, shown
from soce.files.numbers import HOW_TO_WRITE, MAX_DIGITS, exact_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

Weight: TypeAlias = "str | int | Fraction | Decimal"

MAX_PARTS: Final = 1 << 20
"""Most parts of a recipe in lowest terms; the core's limit (docs/numerics.md)."""

NEGATIVE_HINT: Final = (
    "an average needs weights of zero or more; other sums of models (not of adapters) are rows with "
    "`numerators` and `whole` in a recipe file"
)


def refuse(message: str, hint: str | None = None, path: str | None = None) -> NoReturn:
    """Raise a `RecipeError` of one problem."""
    raise RecipeError.of([Problem("recipe", path, None, message, hint)])


def parse_weight(text: str, *, signed: bool = False) -> Fraction:
    """Return the exact value of a weight; see `exact_number` for how it may be written."""
    try:
        return exact_number(text, signed=signed)
    except ValueError as reason:
        hint = NEGATIVE_HINT if str(reason) == "is negative" else HOW_TO_WRITE
        refuse(f"weight `{shown(text)}` {reason}", hint)


def parse_integer(text: str) -> int:
    """Return a numerator or a whole: a signed integer of at most 18 digits."""
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text, re.ASCII) is None:
        refuse(f"`{shown(text)}` is not an integer", "numerators and whole are integers such as -1 or 3")
    return int(text)


def exact_weight(value: Weight, *, signed: bool = False) -> Fraction:
    """Return a weight given from Python as the fraction it is; a float is refused: 0.1 is not one tenth."""
    if isinstance(value, str):
        return parse_weight(value, signed=signed)
    if isinstance(value, bool):
        refuse(f"weight {value} is a truth value, not a number", HOW_TO_WRITE)
    if isinstance(value, Decimal) and not (
        value.is_finite()
        and abs(value.adjusted()) <= MAX_DIGITS
        and len(value.as_tuple().digits) <= MAX_DIGITS
    ):
        refuse(f"weight {shown(str(value))} is not a number that can be parts of a whole", HOW_TO_WRITE)
    if isinstance(value, float):
        message = f"weight {value!r} is a float, and floats are not exact"
        hint = f'pass the text "{value!r}", an int, a Fraction or a Decimal'
        refuse(f"{message}: {value!r} may not be what it prints as", hint)
    try:
        return Fraction(value if isinstance(value, Fraction | Decimal) else index(value))
    except TypeError:
        hint = "pass a str, an int, a Fraction or a Decimal"
        refuse(f"weight of type {type(value).__name__} is not exact", hint)


def check_not_negative(weights: Sequence[Fraction]) -> None:
    """Refuse a negative weight."""
    for weight in weights:
        if weight < 0:
            refuse(f"weight {shown(str(weight))} is negative", NEGATIVE_HINT)


def over_their_sum(weights: Sequence[Fraction]) -> list[Fraction]:
    """Return weights divided by their sum, which `normalize` asks for; raises RecipeError if it is 0."""
    total = sum(weights, Fraction(0))
    if not total:
        refuse("`normalize` divides by the sum of the weights, which is 0", "leave `normalize` out")
    return [weight / total for weight in weights]


def refuse_zeros() -> NoReturn:
    """Refuse weights of which none is more than zero."""
    hint = "give at least one ingredient a weight greater than zero"
    refuse("the weights of all ingredients are zero", hint)


def to_parts(weights: Sequence[Fraction]) -> tuple[int, ...]:
    """Return integer parts in the same proportions, in lowest terms; their sum is the whole.

    Proportions that need more than `MAX_PARTS` parts are rounded, see `rounded_parts`.

    Examples
    --------
    >>> to_parts([Fraction("0.5"), Fraction("0.2"), Fraction("0.3")])
    (5, 2, 3)
    >>> to_parts([Fraction("0.3333333"), Fraction("0.6666667")])
    (349525, 699051)
    """
    check_not_negative(weights)
    if not any(weights):
        refuse_zeros()
    unit = lcm(*(weight.denominator for weight in weights))
    parts = _reduced([weight.numerator * (unit // weight.denominator) for weight in weights])
    return parts if sum(parts) <= MAX_PARTS else rounded_parts(parts)


def rounded_parts(parts: Sequence[int]) -> tuple[int, ...]:
    """Return at most `MAX_PARTS` parts in the proportions of many more, by the largest remainder.

    Equal parts stay equal, so that the result does not depend on an order: where the last of the `MAX_PARTS`
    would have to be dealt out among equals, they are left out of the whole.

    Examples
    --------
    >>> rounded_parts([10**9, 10**9, 10**9 + 1])
    (349525, 349525, 349526)
    """
    total = sum(parts)
    shares = [divmod(part * MAX_PARTS, total) for part in parts]
    kept = [share for share, _ in shares]
    left = MAX_PARTS - sum(kept)
    for remainder in sorted({remainder for _, remainder in shares}, reverse=True):
        places = [i for i, share in enumerate(shares) if share[1] == remainder]
        if len(places) > left:
            break
        left -= len(places)
        for i in places:
            kept[i] += 1
    if any(part and not one for part, one in zip(parts, kept, strict=True)):
        least = min(part for part in parts if part)
        message = f"a weight is too small a part of their sum: {float(Fraction(least, total)):.2g}"
        refuse(message, f"leave it out, or give it 1/{MAX_PARTS} of the sum or more")
    return _reduced(kept)


def _reduced(parts: Sequence[int]) -> tuple[int, ...]:
    divisor = gcd(*parts)
    return tuple(part // divisor for part in parts)


def weight_text(weight: Fraction) -> str:
    """Return a weight as a decimal where it is one, else as a fraction.

    Examples
    --------
    >>> weight_text(Fraction("0.30")), weight_text(Fraction(1, 3)), weight_text(Fraction(2))
    ('0.3', '1/3', '2')
    """
    decimal = Decimal(weight.numerator) / Decimal(weight.denominator)
    return f"{decimal:f}" if Fraction(decimal) == weight else str(weight)


def lowest_terms(numerators: Sequence[int], whole: int) -> tuple[tuple[int, ...], int]:
    """Return signed numerators over their whole, reduced."""
    if whole < 1:
        refuse(f"whole {whole} is not positive")
    if not any(numerators):
        refuse("all numerators are zero", "give at least one ingredient a numerator other than zero")
    reduced, whole = reduced_terms(numerators, whole)
    count = max(sum(map(abs, reduced)), whole)
    if count > MAX_PARTS:
        many = str(count) if count < 10**18 else "more than 10^18"
        hint = "write smaller integers, or `weights` for an average: those are rounded"
        refuse(f"the row has {many} parts in lowest terms, at most {MAX_PARTS} are possible", hint)
    return reduced, whole


def reduced_terms(numerators: Sequence[int], whole: int) -> tuple[tuple[int, ...], int]:
    """Return signed numerators over their whole without their common divisor, however many they are."""
    divisor = gcd(whole, *numerators)
    return tuple(numerator // divisor for numerator in numerators), whole // divisor


def signed_parts(coefficients: Sequence[Fraction], names: Sequence[str]) -> tuple[tuple[int, ...], int]:
    """Return numerators and whole of coefficients of any sign, of at most `MAX_PARTS` parts.

    They are exact where that is possible. Else the whole is the largest power of two that leaves room, and
    numerators are rounded by the largest remainder, so that their sum is kept; of equal remainders the first
    by name wins, so that no order of ingredients changes a bit.

    Examples
    --------
    >>> signed_parts([Fraction("1.5"), Fraction("-0.5")], ["a", "b"])
    ((3, -1), 2)
    >>> signed_parts([Fraction(2**0.5), Fraction(0)], ["a", "b"])
    ((741455, 0), 524288)
    """
    whole = lcm(*(one.denominator for one in coefficients))
    numerators = tuple(one.numerator * (whole // one.denominator) for one in coefficients)
    if max(whole, sum(map(abs, numerators))) <= MAX_PARTS:
        return reduced_terms(numerators, whole)
    whole = MAX_PARTS
    while whole and not sum(map(abs, numerators := _rounded(coefficients, names, whole))) <= MAX_PARTS:
        whole //= 2
    if not whole:
        largest = max(map(abs, coefficients))
        refuse(
            f"a coefficient of {float(largest):.2g} is too large", f"at most {MAX_PARTS} parts are possible"
        )
    if not any(numerators):
        refuse("all coefficients are too small to be parts", f"the smallest part is 1/{MAX_PARTS}")
    return reduced_terms(numerators, whole)


def _rounded(coefficients: Sequence[Fraction], names: Sequence[str], whole: int) -> tuple[int, ...]:
    scaled = [one * whole for one in coefficients]
    kept = [floor(one) for one in scaled]
    left = round(sum(scaled)) - sum(kept)
    order = sorted(range(len(kept)), key=lambda i: (kept[i] - scaled[i], names[i]))
    for i in order[:left]:
        kept[i] += 1
    return tuple(kept)


_UNITS: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}


def parse_size(text: str) -> int:
    """Return a number of bytes written as ``5GB``, ``500MB``, ``2GiB`` or plain bytes.

    Examples
    --------
    >>> parse_size("1.5GB"), parse_size("2GiB"), parse_size("4096")
    (1500000000, 2147483648, 4096)
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", text.strip(), re.ASCII)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        refuse(f"size `{shown(text)}` is not a number of bytes", "write 5GB, 500MB, 2GiB or plain bytes")
    size = Fraction(match[1]) * unit
    if size.denominator != 1 or size < 1:
        refuse(f"size `{shown(text)}` is not a whole, positive number of bytes")
    if size >= 1 << 63:
        refuse(f"size `{shown(text)}` is too large")
    return int(size)


DTYPES: Final = {
    "F64": ("f64", "fp64", "float64", "double"),
    "F32": ("f32", "fp32", "float32", "float"),
    "F16": ("f16", "fp16", "float16", "half"),
    "BF16": ("bf16", "bfloat16"),
}
TORCH_DTYPES: Final = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
HOLDS: Final = {
    "F64": frozenset({"F64", "F32", "F16", "BF16"}),
    "F32": frozenset({"F32", "F16", "BF16"}),
    "F16": frozenset({"F16"}),
    "BF16": frozenset({"BF16"}),
}
"""Which dtypes each of them holds exactly."""


def parse_dtype(text: str) -> str:
    """Return the safetensors name of an output dtype.

    Examples
    --------
    >>> parse_dtype("bfloat16"), parse_dtype("f32"), parse_dtype("torch.float16")
    ('BF16', 'F32', 'F16')
    """
    wanted = text.strip().lower().removeprefix("torch.")
    for name, aliases in DTYPES.items():
        if wanted in aliases:
            return name
    refuse(
        f"`{shown(text)}` is not a dtype soce writes",
        "use f64, f32, f16 or bf16 (float64, float32, float16, bfloat16)",
    )


def weights_text(soup: Mapping[str, int]) -> str:
    """Return weights as people read them.

    Examples
    --------
    >>> weights_text({"a": 5, "b": 0, "c": 3})
    '5/8 a + 3/8 c'
    """
    whole = sum(soup.values())
    return " + ".join(f"{part}/{whole} {shown(name)}" for name, part in soup.items() if part)
