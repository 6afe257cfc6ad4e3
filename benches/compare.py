"""Compare a soup with the exact weighted mean of its BF16 ingredients, before its time is looked at.

    python benches/compare.py OUT A B C --parts 5 2 3 [--every 8]

Every tensor must be there, with its shape and dtype; one block of a million elements in `--every` is
compared with the mean computed in integers' worth of float64 and rounded once. Prints a JSON object.
"""

import argparse
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of one tensor lie."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def read(self, start: int, count: int) -> NDArray[np.uint16]:
        return np.fromfile(self.path, "<u2", count, offset=self.offset + 2 * start)

    @property
    def elements(self) -> int:
        product = 1
        for side in self.shape:
            product *= side
        return product


def places(folder: Path) -> dict[str, Place]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (n,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(n))
        header.pop("__metadata__", None)
        for name, info in header.items():
            found[name] = Place(path, 8 + n + info["data_offsets"][0], info["dtype"], tuple(info["shape"]))
    return found


def widen(bits: NDArray[np.uint16]) -> NDArray[np.float64]:
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def exact_mean(inputs: list[NDArray[np.uint16]], parts: list[int]) -> NDArray[np.uint16]:
    """Return the BF16 bits of the mean, rounded once, ties to even.

    Exact for the checkpoints of this folder: products of 8-bit numbers with small parts, whose exponents
    lie close enough for a float64 to hold their sum; a quotient by the whole that is no tie stays clear of
    one by more than a float64's error. Sums below BF16's normal range do not occur in them.
    """
    total = np.zeros(len(inputs[0]))
    for bits, part in zip(inputs, parts, strict=True):
        total += part * widen(bits)
    wide = (total / sum(parts)).view(np.uint64)
    dropped = np.uint64(45)  # float64 has 52 fraction bits, BF16 has 7
    rounded = wide + np.uint64((1 << 44) - 1) + ((wide >> dropped) & np.uint64(1))
    kept = ((rounded >> dropped) << dropped).view(np.float64).astype(np.float32)
    return (kept.view(np.uint32) >> 16).astype(np.uint16)


def order(bits: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Return ordinals of the values: neighbours differ by one."""
    value = bits.astype(np.int32)
    return np.where(value & 0x8000, -(value & 0x7FFF), value)


def compare(out: Path, ingredients: list[Path], parts: list[int], every: int) -> dict[str, object]:
    sources = [places(folder) for folder in ingredients]
    got = places(out)
    expected = set(sources[0])
    wrong_form = [
        name
        for name in sorted(expected & set(got))
        if (got[name].dtype, got[name].shape) != (sources[0][name].dtype, sources[0][name].shape)
    ]
    compared = wrong = worst = number = 0
    for name in sorted(expected & set(got) - set(wrong_form)):
        n = got[name].elements
        for start in range(0, n, BLOCK):
            number += 1
            if number % every and n > BLOCK:
                continue
            count = min(BLOCK, n - start)
            mean = exact_mean([source[name].read(start, count) for source in sources], parts)
            distance = np.abs(order(got[name].read(start, count)) - order(mean))
            compared += count
            wrong += int(np.count_nonzero(distance))
            worst = max(worst, int(distance.max()))
    return {
        "tensors": len(got),
        "lost": sorted(expected - set(got)),
        "added": sorted(set(got) - expected),
        "wrong_form": wrong_form,
        "elements_compared": compared,
        "elements_wrong": wrong,
        "worst_ulp": worst,
        "files": len(list(out.glob("*.safetensors"))),
        "config": (out / "config.json").exists(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("ingredients", type=Path, nargs="+")
    parser.add_argument("--parts", type=int, nargs="+", required=True)
    parser.add_argument("--every", type=int, default=8)
    arguments = parser.parse_args()
    print(json.dumps(compare(arguments.out, arguments.ingredients, arguments.parts, arguments.every)))


if __name__ == "__main__":
    main()
