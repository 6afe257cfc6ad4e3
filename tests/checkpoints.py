"""Tiny checkpoints for tests, written without any library."""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1}


def write_file(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
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


def read_file(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Return what `write_file` wrote."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length :]
    return {k: (v["dtype"], v["shape"], data[slice(*v["data_offsets"])]) for k, v in header.items()}


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
