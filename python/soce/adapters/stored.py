"""The one safetensors file of an adapter: its header read strictly, its numbers as they are.

The core reads checkpoints of models; an adapter is small, and its factors need matrix products.
"""

from __future__ import annotations

import json
import os
import stat
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from soce.exceptions import CheckpointError, Problem, UnsupportedDtypeError, shown
from soce.files.atomic import named
from soce.files.parsing import no_constant, unique_keys

if TYPE_CHECKING:
    from typing import Any, BinaryIO, NoReturn

    import numpy as np
    from numpy.typing import NDArray

SIZES: Final = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of an element of each dtype that adapters are trained in."""
_LONGEST_HEADER: Final = 100_000_000
_MOST_DIMENSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of an adapter's file."""

    path: str
    name: str
    """As the file has it."""
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Where it begins in the file."""

    @property
    def size(self) -> int:
        """Its bytes."""
        return prod(self.shape) * SIZES[self.dtype]

    def read(self) -> NDArray[np.float64]:
        """Return its elements, which a double holds exactly; NaN and infinities are refused."""
        import numpy as np

        with named(self.path), open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered
            file.seek(self.begin)
            content = _whole(file, self.size)
        if len(content) < self.size:
            _refuse(self.path, "the file became shorter while it was read", self.name)
        if self.dtype == "BF16":
            held = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            held = np.frombuffer(content, "<f4" if self.dtype == "F32" else "<f2")
        if not np.isfinite(held).all():
            self.refuse("it holds NaN or infinities")
        return held.astype(np.float64).reshape(self.shape)

    def refuse(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise what is wrong with it."""
        _refuse(self.path, message, self.name, hint)


def read_header(path: str) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file, in the order in which they lie in it.

    Raises
    ------
    CheckpointError
        The header is malformed, or the tensors do not fill the file without gap and overlap.
    UnsupportedDtypeError
        A tensor is of a dtype that no factors are trained in.
    """
    with named(path), open(path, "rb", buffering=0, opener=_regular) as file:
        size = os.fstat(file.fileno()).st_size
        start = _whole(file, 8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(_LONGEST_HEADER, size - 8):
            _refuse(path, f"not a safetensors file: a header of {length} bytes in a file of {size}")
        text = _whole(file, length)
    try:
        header = json.loads(text, parse_constant=no_constant, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as damage:
        _refuse(path, f"its header is not valid JSON: {shown(str(damage))}")
    if not isinstance(header, dict):
        _refuse(path, "its header is no JSON object")
    header.pop("__metadata__", None)
    found = [_entry(path, name, entry, 8 + length) for name, entry in header.items()]
    end = 8 + length
    for tensor in (in_order := sorted(found, key=lambda one: (one.begin, one.size))):
        if tensor.begin != end:
            tensor.refuse(f"it begins at byte {tensor.begin}, where {end} was expected")
        end += tensor.size
    if end != size:
        _refuse(path, f"its tensors end at byte {end}, the file at {size}", None, "fetch or copy it again")
    return {tensor.name: tensor for tensor in in_order}


def _regular(path: str, flags: int) -> int:
    """Open without waiting for a pipe, and refuse what is no file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        _refuse(path, "not a regular file")
    return descriptor


def _whole(file: BinaryIO | Any, length: int) -> bytes:  # noqa: ANN401 - a raw file
    """Return as many bytes as there are, up to `length`: one call may read less."""
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _entry(path: str, name: str, entry: object, data: int) -> StoredTensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(path, "its entry in the header has not dtype, shape and data_offsets", name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if (
        not _are_counts(shape)
        or len(shape) > _MOST_DIMENSIONS
        or not _are_counts(offsets)
        or len(offsets) != 2
    ):
        _refuse(path, "its shape or its place is no list of counts", name)
    if dtype not in SIZES:
        message = f"its dtype is `{shown(str(dtype))}`; adapters are read in {', '.join(SIZES)}"
        problem = Problem("unsupported_dtype", path, name, message, "save the adapter in float32 or bfloat16")
        raise UnsupportedDtypeError.of([problem])
    tensor = StoredTensor(path, name, dtype, tuple(shape), data + offsets[0])
    if offsets[1] - offsets[0] != tensor.size:
        _refuse(path, f"shape {shape} needs {tensor.size} bytes, got {offsets[1] - offsets[0]}", name)
    return tensor


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 48 for one in value)


def _refuse(path: str, message: str, tensor: str | None = None, hint: str | None = None) -> NoReturn:
    raise CheckpointError.of([Problem("checkpoint", path, tensor, message, hint)])
