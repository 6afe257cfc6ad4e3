"""Squares of the lengths and distances of ingredients, tensor by tensor: all that methods look at."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import CheckpointError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from soce._core import Mixer

_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_AT_ONCE: Final = 1 << 18


def squares_of(mixer: Mixer, paths: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
    """Return for every tensor that is averaged |v_i|² and |v_i - v_j|² of all ingredients.

    Parameters
    ----------
    mixer : Mixer
    paths : sequence of str
        Where its ingredients lie, in its order.

    Returns
    -------
    mapping of tensor to array of shape (n(n+1)/2,)
        In the order (0, 0), (0, 1), …, (0, n-1), (1, 1), …; a pair (i, i) is the square of a length.

    Raises
    ------
    CheckpointError
        A tensor that is not finite.
    """
    wanted = [one for one in mixer.tensors() if one[1] in _FLOATS and mixer.giver(one[0]) is None]
    return {name: _of_tensor(mixer, name, math.prod(shape), paths) for name, _, shape in wanted}


def _of_tensor(mixer: Mixer, name: str, size: int, paths: Sequence[str]) -> NDArray[np.float64]:
    pairs = list(combinations_with_replacement(range(len(paths)), 2))
    sums: list[list[float]] = [[] for _ in pairs]
    for start in range(0, size, _AT_ONCE):
        count = min(_AT_ONCE, size - start)
        parts = [_part(mixer, name, i, paths, slice(start, start + count)) for i in range(len(paths))]
        for place, (i, j) in enumerate(pairs):
            difference = parts[i] if i == j else parts[i] - parts[j]
            sums[place].append(float(difference @ difference))
    return np.array([math.fsum(found) for found in sums])


def _part(
    mixer: Mixer, name: str, ingredient: int, paths: Sequence[str], where: slice
) -> NDArray[np.float64]:
    part = np.empty(where.stop - where.start)
    only = [int(i == ingredient) for i in range(len(paths))]
    mixer.mix(name, only, 1, part, dtype="F64", start=where.start)
    if not np.isfinite(part).all():
        raise CheckpointError.of([Problem("checkpoint", paths[ingredient], name, "is not finite", None)])
    return part
