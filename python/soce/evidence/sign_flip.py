"""The stratified sign-flip test of a weighted difference: exact where that is feasible, else seeded draws."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import fsum, gcd, lcm
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.evaluate.evaluation import refuse
from soce.evidence.per_item import paired_differences
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from soce.evaluate.evaluation import Evaluation

    Steps = Counter[int]

_WHOLE: Final = 1 << 52
"""No sum of steps is larger, so that sums of floats that hold them are exact in any order."""
_MAX_BITS: Final = 512
"""Of a common denominator: a larger one never fits."""
_MAX_SUMS: Final = 1 << 17
"""Different sums for which the distribution is computed; beyond, signs are drawn."""
_CELLS: Final = 1_000_000
"""Bytes of signs in a block of draws, which take 8 MB."""


@dataclass(frozen=True, slots=True)
class SignFlip(Plain):
    """The two-sided p-value of a weighted difference of two models on the same items."""

    p: float
    draws: int
    """How many assignments of signs were drawn; 0 if all were counted."""
    seed: int
    TOLD = ("is_exact",)

    @property
    def is_exact(self) -> bool:
        """Whether all assignments of signs were counted."""
        return self.draws == 0


def sign_flip(
    first: Evaluation,
    second: Evaluation,
    *,
    weights: Mapping[str, Fraction],
    draws: int = 10_000,
    seed: int = 0,
) -> SignFlip:
    """Return the sign-flip test of the sum of weight times difference of the scores.

    If it were all the same which of the two models an outcome comes from, every item's difference would be as
    likely with the other sign. p is the share of all assignments of signs under which the weighted sum of
    category means is at least as far from 0 as it is: the difference that `paired_interval` tells, and not
    that of items pooled over categories. With outcomes of 0 and 1 and every item of the same weight, this is
    McNemar's exact test. Where a score is no mean of outcomes, the linearised values of
    `soce.evidence.per_item` change signs, and the test is approximate.

    Sums are compared exactly, as integers over a common denominator. Where there is none that fits, items'
    shares of the sum are rounded to a 2^-52nd of the largest possible sum, and sums that rounding may have
    told apart count as equal. Where there are too many different sums to count, signs are drawn, and
    p = (1 + count) / (1 + draws). Either way p depends neither on the order of items nor on the processor.
    """
    if draws < 1:
        refuse(f"the number of draws is {draws}", "give 10000")
    steps, slack = _steps(first, second, weights)
    observed = abs(sum(step * times for step, times in steps.items())) - slack
    sizes: Steps = Counter()
    for step, times in steps.items():
        sizes[abs(step)] += times
    distribution = _distribution(sizes)
    if distribution is not None:
        sums, chances = distribution
        p = min(1.0, fsum(chances[np.abs(sums) >= observed]))
        return SignFlip(p, 0, seed)
    at_least = _count_drawn(sizes, observed, draws, seed)
    return SignFlip((1 + at_least) / (1 + draws), draws, seed)


def _steps(first: Evaluation, second: Evaluation, weights: Mapping[str, Fraction]) -> tuple[Steps, int]:
    """Return how often an item moves the difference by how many units, and what rounding may hide."""
    shares: Counter[Fraction] = Counter()
    for category, weight in weights.items():
        if weight:
            differences = paired_differences(first, second, category)
            of_one = weight / differences.total()
            for size, times in differences.items():
                if size:
                    shares[of_one * size] += times
    unit = _common_unit(shares)
    if unit is not None:
        steps = Counter({int(share / unit): times for share, times in shares.items()})
        if sum(abs(step) * times for step, times in steps.items()) <= _WHOLE:
            return steps, 0
    rounded = [(float(share), times) for share, times in shares.items()]
    largest = fsum(abs(share) * times for share, times in rounded)
    steps = Counter()
    for share, times in rounded:
        steps[round(share / largest * _WHOLE)] += times
    # A step is off by half a unit at most, and all floats together by one: twice that for two sums.
    return steps, shares.total() + 2


def _common_unit(shares: Iterable[Fraction]) -> Fraction | None:
    """Return the largest number of which all are multiples; None if it is too small to be of use."""
    numerator, denominator = 0, 1
    for share in shares:
        numerator, denominator = gcd(numerator, share.numerator), lcm(denominator, share.denominator)
        if denominator.bit_length() > _MAX_BITS:
            return None
    return Fraction(numerator or 1, denominator)


def _distribution(sizes: Steps) -> tuple[np.ndarray, np.ndarray] | None:
    """Return all sums of steps with random signs, and their chances; None if there are too many."""
    sums: np.ndarray = np.zeros(1, dtype=np.int64)
    chances: np.ndarray = np.ones(1)
    for size, times in sorted(sizes.items()):
        if len(sums) * (times + 1) > _MAX_SUMS:
            return None
        moves = size * (2 * np.arange(times + 1) - times)
        every = np.add.outer(sums, moves).ravel()
        sums, places = np.unique(every, return_inverse=True)
        chances = np.bincount(places, np.multiply.outer(chances, _fair(times)).ravel())
    return sums, chances


def _fair(times: int) -> list[float]:
    """Return the chance of 0, 1, … heads in so many throws of a coin, each correctly rounded."""
    ways, chances = 1, []
    for heads in range(times + 1):
        chances.append(ways / (1 << times))
        ways = ways * (times - heads) // (heads + 1)
    return chances


def _count_drawn(sizes: Steps, observed: int, draws: int, seed: int) -> int:
    """Return how many of so many sums of steps with random signs are at least as far from 0 as observed."""
    steps = np.array([size for size, times in sorted(sizes.items()) for _ in range(times)], dtype=float)
    # What the eight signs in a byte add, for all bytes and every eight steps: integers, in whatever order.
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # (256, 8)
    added = np.pad(steps, (0, -len(steps) % 8)).reshape(-1, 8) @ bits.T  # (n_bytes, 256)
    rng, total, places = np.random.default_rng(seed), steps.sum(), np.arange(len(added))
    block, count = max(1, _CELLS // len(added)), 0
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = np.frombuffer(rng.bytes(rows * len(added)), dtype=np.uint8).reshape(rows, -1)
        sums = added[places, drawn].sum(axis=1)
        count += int((np.abs(2 * sums - total) >= observed).sum())
    return count
