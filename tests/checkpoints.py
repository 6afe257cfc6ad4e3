"""Tiny checkpoints for tests, written without any library, and recipes over them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path

from soce import Recipe
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1, "BOOL": 1}
SIZES |= dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0"), 1)

Tensors = dict[str, tuple[str, list[int], bytes]]


def write_file(path: Path, tensors: Tensors) -> Path:
    """Write one safetensors file: name -> (dtype, shape, little-endian bytes)."""
    header, end = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        assert len(data) == SIZES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))
    return path


def sparse(path: Path, dtype: str, elements: int, tensors: int = 4) -> Path:
    """Write a checkpoint of zeros that takes no room on the disk."""
    each = SIZES[dtype] * (elements // tensors)
    header = {
        f"w{i}": {"dtype": dtype, "shape": [elements // tensors], "data_offsets": [i * each, (i + 1) * each]}
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.mkdir(parents=True)
    with (path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + each * tensors)
    return path


def read_file(path: Path) -> Tensors:
    """Return what `write_file` wrote."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length :]
    return {k: (v["dtype"], v["shape"], data[slice(*v["data_offsets"])]) for k, v in header.items()}


def read_directory(path: Path) -> Tensors:
    """Return the tensors of every shard in a directory."""
    return {
        name: tensor
        for shard in sorted(path.glob("*.safetensors"))
        for name, tensor in read_file(shard).items()
    }


def shards(path: Path) -> dict[str, bytes]:
    """Return name and bytes of every shard in a directory."""
    return {shard.name: shard.read_bytes() for shard in sorted(path.glob("*.safetensors"))}


def checkpoint(path: Path, *files: Tensors, config: dict[str, object] | None = None) -> Path:
    """Write a checkpoint with one shard per argument, with an index if there are several, and a config."""
    count = len(files)
    weight_map = {}
    for i, tensors in enumerate(files, 1):
        name = "model.safetensors" if count == 1 else f"model-{i:05}-of-{count:05}.safetensors"
        write_file(path / name, tensors)
        weight_map |= dict.fromkeys(tensors, name)
    if count > 1:
        size = sum(len(data) for tensors in files for _, _, data in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text(json.dumps({"model_type": "test"} if config is None else config))
    return path


def row(paths: Sequence[Path], numerators: Sequence[int], whole: int) -> Recipe:
    """Return the recipe of a sum of numerator times ingredient, over the whole, for every tensor."""
    ingredients = tuple(Ingredient(str(path), None) for path in paths)
    return Recipe(ingredients, (Row("*", tuple(numerators), whole),))


def state_of(path: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return size, mode, time of change and bytes of every file under a path."""
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    stats = [(file, file.stat()) for file in files]
    return {str(f): (s.st_size, s.st_mode, s.st_mtime_ns, f.read_bytes()) for f, s in stats}


def f32(*values: float) -> bytes:
    """Return F32 bytes."""
    return struct.pack(f"<{len(values)}f", *values)


def bf16(*values: float) -> bytes:
    """Return BF16 bytes of values that BF16 holds."""
    return b"".join(struct.pack("<f", value)[2:] for value in values)


def directory(path: Path, *values: float, dtype: str = "F32") -> Path:
    """Write a checkpoint of one tensor `w` with a config."""
    data = {"F32": f32, "BF16": bf16}[dtype](*values)
    write_file(path / "model.safetensors", {"w": (dtype, [len(values)], data)})
    (path / "config.json").write_text('{"model_type": "test"}\n')
    return path
