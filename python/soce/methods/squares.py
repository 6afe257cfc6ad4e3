"""Squares of the lengths and distances of ingredients, tensor by tensor: all that methods look at.

They are kept, so that a second method on the same ingredients reads nothing.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from soce.exceptions import CheckpointError, Problem
from soce.files.atomic import write_json
from soce.files.cache import cache_folder
from soce.files.digests import digest_of
from soce.files.hashing import SETTLED_NS
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from soce._core import Mixer

    OnProgress: TypeAlias = Callable[[int, int], object]
    """Called with values measured and values in all."""

FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_DEFINITION: Final = 1
"""Of the sums: another one where their bits change."""


def squares_of(
    mixer: Mixer,
    paths: Sequence[str],
    *,
    num_threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return for every tensor that is averaged |v_i|² and |v_i - v_j|² of all ingredients.

    Parameters
    ----------
    mixer : Mixer
    paths : sequence of str
        Where its ingredients lie, in its order.
    num_threads : int, optional
        As many as the machine offers otherwise.
    on_progress : callable, optional
        Called with values measured and values in all, after each tensor; raising from it stops the work.

    Returns
    -------
    mapping of tensor to array of shape (n(n+1)/2,)
        In the order (0, 0), (0, 1), …, (0, n-1), (1, 1), …; a pair (i, i) is the square of a length.

    Raises
    ------
    CheckpointError
        A tensor that is not finite.

    Notes
    -----
    What was measured stands in the user's cache, a small file for each set of ingredients, whatever their
    order. They are told apart by headers and by the states of their files, which is what is known of their
    content without reading it: device, inode, size and times of change, as of remembered digests.
    """
    kept = _Kept(mixer.states())
    known = kept.read()
    found: dict[str, NDArray[np.float64]] = {}
    wanted = {
        name: math.prod(shape)
        for name, dtype, shape in mixer.tensors()
        if dtype in FLOATS and mixer.giver(name) is None
    }
    whole = len(paths) * sum(size for name, size in wanted.items() if name not in known)
    done = 0
    for name, size in wanted.items():
        if name in known:
            found[name] = kept.in_order(known[name])
            continue
        found[name] = np.empty(kept.n_sums)
        counts = mixer.squares(name, found[name], num_threads=num_threads)
        refuse_non_finite(name, size, counts, paths)
        done += len(paths) * size
        if on_progress is not None:
            on_progress(done, whole)
    if found.keys() - known.keys():
        kept.write(known | {name: kept.sorted(sums) for name, sums in found.items()})
    return found


def filter_squares(
    mixer: Mixer, name: str, shape: Sequence[int], paths: Sequence[str], *, num_threads: int | None = None
) -> NDArray[np.float64]:
    """Return the same sums for each index of the first axis of one tensor: an array of as many rows.

    A tensor of fewer than two axes, or without elements, is one row. Raises what `squares_of` does. Nothing
    is kept: these are as many numbers as a model has rows.
    """
    filters = len(shape) > 1 and math.prod(shape) > 0
    found = np.empty((shape[0] if filters else 1, len(paths) * (len(paths) + 1) // 2))
    counts = mixer.squares(name, found, filters=filters, num_threads=num_threads)
    refuse_non_finite(name, math.prod(shape), counts, paths)
    return found


def refuse_non_finite(name: str, size: int, counts: Sequence[tuple[int, int]], paths: Sequence[str]) -> None:
    """Refuse a tensor with values that are not finite; `counts` has NaN and infinities of each ingredient."""
    problems = []
    for path, (nan, infinite) in zip(paths, counts, strict=True):
        if nan or infinite:
            values = f"{nan + infinite} of {counted(size, 'value')} are not finite"
            hint = "leave this ingredient out: a method has no coefficients for it"
            message = f"{values} ({nan} NaN, {infinite} infinite)"
            problems.append(Problem("checkpoint", path, name, message, hint))
    if problems:
        raise CheckpointError.of(problems)


class _Kept:
    """The file of some ingredients, which has them in an order of its own."""

    def __init__(self, states: Sequence[tuple[str, int]]) -> None:
        self._order = sorted(range(len(states)), key=lambda i: states[i][0])
        self._key = [_DEFINITION, *(states[i][0] for i in self._order)]
        self._last_change = max(changed for _, changed in states)
        places = {pair: at for at, pair in enumerate(combinations_with_replacement(range(len(states)), 2))}
        self.n_sums = len(places)
        # Place of each pair of the file among the mixer's.
        self._places = [
            places[min(pair), max(pair)] for pair in combinations_with_replacement(self._order, 2)
        ]

    @property
    def _path(self) -> Path:
        return cache_folder("squares") / f"{digest_of(self._key)}.json"

    def in_order(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums of the file in the mixer's order."""
        turned = np.empty_like(sums)
        turned[self._places] = sums
        return turned

    def sorted(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mixer's sums in the order of the file."""
        return sums[self._places]

    def read(self) -> dict[str, NDArray[np.float64]]:
        """Return what is known of these ingredients: nothing, if the file is not there or not whole."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            told = json.loads(self._path.read_bytes())
            if told["digest"] == digest_of([self._key, told["squares"]]):
                return {
                    name: np.array([float.fromhex(text) for text in texts])
                    for name, texts in told["squares"].items()
                }
        return {}

    def write(self, known: dict[str, NDArray[np.float64]]) -> None:
        """Keep what is known, unless an ingredient changed so recently that it may do so again unnoticed."""
        if time.time_ns() - self._last_change < SETTLED_NS:
            return
        squares = {name: [value.hex() for value in sums.tolist()] for name, sums in known.items()}
        with suppress(OSError):  # a cache that cannot be written costs time only
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"digest": digest_of([self._key, squares]), "squares": squares})
