"""Checkpoints for the soak: of real architectures, with values whose exact means plain float64 arithmetic gives.

Every value of a tensor is an integer times one power of two, and so is every sum of parts times values: as long as it
has at most 53 bits it is exact in float64. One division then gives the mean to 53 bits, and rounding that once more
gives what rounding the exact mean gives: to lie so near to the middle between two values of the output that the two
differ, a quotient would need a denominator larger than any whole used here.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests import reference

BITS = {"BF16": 8, "F16": 11, "F32": 24, "F64": 30}
WIDTH = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8, "I64": 8}
LARGEST_WHOLE = 1 << 12
BLOCK = 1 << 18
"""Elements looked at together: the soak itself must need little memory."""

Shapes = dict[str, tuple[int, ...]]

_SAVE = """
import json, sys
from pathlib import Path
from safetensors import safe_open
from tests import models
home = Path(sys.argv[1])
for kind in models.MODELS:
    (path,) = models.save(home / kind, kind, "float32", range(1))
    with safe_open(path / "model.safetensors", "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    (home / f"{kind}.json").write_text(json.dumps({"config": json.loads((path / "config.json").read_text()), "shapes": shapes}))
"""


@dataclass(frozen=True)
class Architecture:
    """Names and shapes of a model's tensors, and its config."""

    name: str
    config: Mapping[str, object]
    shapes: Shapes


def transformers_architectures(home: Path) -> list[Architecture]:
    """Return what transformers saves of the models that the tests know; made by a process of its own, for its memory."""
    home.mkdir()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SAVE, str(home)], check=True, stdout=subprocess.DEVNULL
    )
    found = []
    for file in sorted(home.glob("*.json")):
        made = json.loads(file.read_text())
        shapes = {name: tuple(shape) for name, shape in made["shapes"].items()}
        found.append(Architecture(file.stem, made["config"], shapes))
    return found


def plain_architecture(name: str, hidden: int, layers: int, vocabulary: int) -> Architecture:
    """Return a decoder as most are, with any sizes, a scalar and an empty tensor."""
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{prefix}.self_attn.{part}.weight"] = (hidden, hidden)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (3 * hidden, hidden)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (hidden, 3 * hidden)
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
    shapes |= {"model.scale": (), "model.nothing": (0, hidden), "model.norm.weight": (hidden,)}
    return Architecture(name, {"model_type": "test", "hidden_size": hidden}, shapes)


def write(
    path: Path, architecture: Architecture, dtypes: Sequence[str], shards: int, chance: random.Random
) -> Path:
    """Write an ingredient with random values, its tensors in random order over random shards."""
    path.mkdir(parents=True)
    names = list(architecture.shapes)
    chance.shuffle(names)
    cuts = sorted(chance.sample(range(1, len(names)), min(shards, len(names)) - 1))
    parts = [names[a:b] for a, b in zip([0, *cuts], [*cuts, len(names)], strict=True)]
    generator = np.random.default_rng(chance.getrandbits(64))
    weight_map = {}
    for n, part in enumerate(parts, 1):
        file = "model.safetensors" if len(parts) == 1 else f"model-{n:05}-of-{len(parts):05}.safetensors"
        typed = {name: chance.choice(dtypes) for name in part}
        extra = {"position_ids": ("I64", (16,))} if n == 1 else {}
        _write_file(
            path / file, {name: (typed[name], architecture.shapes[name]) for name in part} | extra, generator
        )
        weight_map |= dict.fromkeys([*part, *extra], file)
    if len(parts) > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text(json.dumps(architecture.config))
    return path


def _write_file(
    path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]], generator: np.random.Generator
) -> None:
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTH[dtype] * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, (dtype, shape) in tensors.items():
            left = int(np.prod(shape, dtype=np.int64))
            if dtype == "I64":
                file.write(np.arange(left, dtype="<i8").tobytes())
                continue
            while left > 0:
                count = min(left, BLOCK)
                limit = 1 << BITS[dtype]
                values = generator.integers(1 - limit, limit, count).astype(np.float64) / limit
                file.write(packed(values * 2.0 ** scale(name), dtype))
                left -= count


def scale(name: str) -> int:
    """Return the power of two that all values of a tensor have, in every ingredient."""
    return len(name) % 9 - 4


def packed(values: np.ndarray, dtype: str) -> bytes:
    """Return float64 values as bytes of a dtype, rounded once, to nearest even; shape (n,)."""
    if dtype != "BF16":
        return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()
    bits = values.view(np.uint64)
    dropped = np.uint64(45)  # of 52 fraction bits, BF16 keeps 7
    odd = (bits >> dropped) & np.uint64(1)
    bits = (bits + odd + np.uint64((1 << 44) - 1)) >> dropped << dropped
    return (bits.view(np.float64).astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


def unpacked(data: bytes, dtype: str) -> np.ndarray:
    """Return the values of bytes as float64; shape (n,)."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).astype(np.float64)


@dataclass(frozen=True)
class Place:
    """Where a tensor lies."""

    file: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first element and number of elements of every block."""
        elements = int(np.prod(self.shape, dtype=np.int64))
        for first in range(0, elements, BLOCK):
            yield first, min(BLOCK, elements - first)

    def read(self, first: int, count: int) -> bytes:
        """Return the bytes of some elements."""
        with self.file.open("rb") as file:
            file.seek(self.offset + first * WIDTH[self.dtype])
            return file.read(count * WIDTH[self.dtype])


def places(path: Path) -> dict[str, Place]:
    """Return where every tensor of a checkpoint lies."""
    found = {}
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin = 8 + length + entry["data_offsets"][0]
            found[name] = Place(file, begin, entry["dtype"], tuple(entry["shape"]))
    return found


def differences(
    soup: Path, ingredients: Sequence[Path], parts: Sequence[int], dtype: str | None, chance: random.Random
) -> list[str]:
    """Return what is wrong with a soup, bit for bit; `dtype` is the one asked for."""
    found, columns = places(soup), [places(path) for path in ingredients]
    if set(found) != set(columns[0]):
        return [f"tensors missing or too many: {sorted(set(found) ^ set(columns[0]))[:3]}"]
    wrong = []
    for name, place in found.items():
        sources = [column[name] for column in columns]
        expected_dtype = "I64" if sources[0].dtype == "I64" else dtype or sources[0].dtype
        if (place.dtype, place.shape) != (expected_dtype, sources[0].shape):
            wrong.append(f"`{name}`: {place.dtype} {place.shape}, not {expected_dtype} {sources[0].shape}")
            continue
        for first, count in place.blocks():
            inputs = [source.read(first, count) for source in sources]
            got = place.read(first, count)
            if place.dtype == "I64":
                expected = inputs[0]
            else:
                values = [unpacked(data, s.dtype) for data, s in zip(inputs, sources, strict=True)]
                total = sum(part * value for part, value in zip(parts, values, strict=True))
                expected = packed(np.asarray(total / sum(parts)), place.dtype)
            if got != expected:
                wrong.append(f"`{name}`: elements {first} to {first + count} differ")
                break
            if place.dtype != "I64" and chance.random() < 0.02:
                wrong += sampled(name, place, sources, parts, inputs, got, chance)
    return wrong


def sampled(
    name: str,
    place: Place,
    sources: Sequence[Place],
    parts: Sequence[int],
    inputs: Sequence[bytes],
    got: bytes,
    chance: random.Random,
) -> list[str]:
    """Compare some elements of a block with the definition in integers."""
    width = WIDTH[place.dtype]
    for i in chance.sample(range(len(got) // width), min(8, len(got) // width)):
        one = [
            (source.dtype, data[i * WIDTH[source.dtype] :][: WIDTH[source.dtype]])
            for source, data in zip(sources, inputs, strict=True)
        ]
        if reference.soup(one, parts, sum(parts), place.dtype) != got[i * width :][:width]:
            return [f"`{name}`: an element is not the reference's"]
    return []
