"""The one safetensors file of an adapter: its header as the core reads it, its numbers as they are.

The core averages tensors of models; an adapter is small, and its factors need matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

import soce._core as _core
from soce.exceptions import CheckpointError, Problem, UnsupportedDtypeError
from soce.files.atomic import named

if TYPE_CHECKING:
    from typing import Any, BinaryIO, NoReturn

    import numpy as np
    from numpy.typing import NDArray

SIZES: Final = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of an element of each dtype that adapters are trained in."""


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
    found = {}
    for name, dtype, shape, begin in _core.header(path):
        if dtype not in SIZES:
            message = f"its dtype is `{dtype}`; adapters are read in {', '.join(SIZES)}"
            hint = "save the adapter in float32 or bfloat16"
            raise UnsupportedDtypeError.of([Problem("unsupported_dtype", path, name, message, hint)])
        found[name] = StoredTensor(path, name, dtype, tuple(shape), begin)
    return found


def _whole(file: BinaryIO | Any, length: int) -> bytes:  # noqa: ANN401 - a raw file
    """Return as many bytes as there are, up to `length`: one call may read less."""
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _refuse(path: str, message: str, tensor: str | None = None, hint: str | None = None) -> NoReturn:
    raise CheckpointError.of([Problem("checkpoint", path, tensor, message, hint)])
