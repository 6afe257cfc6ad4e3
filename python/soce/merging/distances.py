"""How far checkpoints lie from each other: cosines and distances of all parameters, each read once."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from soce.merging.ingredients import open_mixer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce._core import Mixer
    from soce.merging.options import OnProgress

INDEPENDENT = 0.1
"""Cosine below which matrices look independently initialised: then it is about 0.01, as small as chance."""

_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class TensorDistance:
    """How two checkpoints differ in one tensor."""

    tensor: str
    cosine: float | None
    """None if a norm is zero or overflows."""
    relative_distance: float | None
    """As in `Distance`."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How two checkpoints differ over the floating tensors that both have in one shape."""

    first: str
    second: str
    n_tensors: int
    n_elements: int
    n_unshared: int
    """Tensors that only one of them has, or that have another shape."""
    n_equal: int
    """Shared tensors whose values are all equal."""
    cosine: float | None
    """Of all shared parameters as one vector; None if there are none, or a norm is zero or overflows."""
    matrix_cosine: float | None
    """The same without tensors of one dimension: norms' gains begin at one in every training."""
    relative_distance: float | None
    """Norm of the difference, over the norm of the base; between ingredients over the root mean square of
    both norms, so that it does not depend on their order."""
    worst: tuple[TensorDistance, ...]
    """Tensors with the lowest cosines, ascending."""
    independent: tuple[str, ...]
    """Matrices with a cosine below `INDEPENDENT`, by name."""

    @property
    def is_equal(self) -> bool:
        """Whether they are the same model: the same tensors with the same values."""
        return self.n_unshared == 0 and self.n_equal == self.n_tensors > 0


@dataclass(frozen=True, slots=True)
class TaskVectors:
    """How alike two trainings of one base are."""

    first: str
    second: str
    cosine: float | None
    """Of (first - base) and (second - base) over the tensors that all three share."""


@dataclass(frozen=True, slots=True)
class NonFiniteTensor:
    """Values of one tensor that are not numbers; they count as zero in every distance."""

    path: str
    tensor: str
    nan: int
    infinite: int
    elements: int


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances between some checkpoints, and to their base."""

    pairs: tuple[Distance, ...]
    to_base: tuple[Distance, ...]
    """Of each ingredient; `first` is the base. Empty without one."""
    task_vectors: tuple[TaskVectors, ...]
    not_finite: tuple[NonFiniteTensor, ...]


def measure_distances(
    paths: Sequence[str],
    *,
    base: str | None = None,
    n_worst: int = 10,
    follow_links: bool = False,
    ignore_unreferenced: bool = False,
    on_progress: OnProgress | None = None,
) -> Distances:
    """Return how far checkpoints lie from each other and from their base; the options are `diagnose`'s.

    They need not have the same tensors. Every element counts: nothing is sampled. Of each tensor and pair
    a few sums are kept, which `Mixer.squares` defines to the bit; they are added with `math.fsum`, so no
    result depends on the order of `paths`.
    """
    everything = [*paths, *([] if base is None else [base])]
    mixers = [
        open_mixer([path], follow_links=follow_links, ignore_unreferenced=ignore_unreferenced)
        for path in everything
    ]
    sums = _Sums(mixers, n_paths=len(paths), on_progress=on_progress)
    pairs = list(combinations(range(len(paths)), 2))
    return Distances(
        pairs=tuple(sums.distance(i, j, everything, n_worst=n_worst) for i, j in pairs),
        to_base=tuple(
            sums.distance(i, len(paths), everything, n_worst=n_worst)
            for i in range(len(paths))
            if base is not None
        ),
        task_vectors=tuple(
            TaskVectors(paths[i], paths[j], _cosine(sums.tasks[i, j])) for i, j in pairs if base is not None
        ),
        not_finite=tuple(NonFiniteTensor(everything[bad[0]], *bad[1:]) for bad in sorted(sums.not_finite)),
    )


@dataclass(frozen=True, slots=True)
class _Squares:
    """Sums over one tensor of two checkpoints."""

    tensor: str
    elements: int
    is_matrix: bool
    first: float
    """Squares of the first's elements."""
    second: float
    apart: float
    """Squares of differences."""


class _Sums:
    """One pass over all checkpoints; the last one, if it is not among the first `n_paths`, is the base."""

    def __init__(self, mixers: Sequence[Mixer], *, n_paths: int, on_progress: OnProgress | None) -> None:
        self._mixers = mixers
        self._n_paths = n_paths
        self._held = [
            {name: (dtype, tuple(shape)) for name, dtype, shape in mixer.tensors() if dtype in _FLOATS}
            for mixer in mixers
        ]
        self.pairs: dict[tuple[int, int], list[_Squares]] = defaultdict(list)
        self.tasks: dict[tuple[int, int], list[_Squares]] = defaultdict(list)
        """Those of the differences from the base."""
        self.not_finite: list[tuple[int, str, int, int, int]] = []
        self._on_progress = on_progress
        self._done = 0
        self._whole = sum(
            math.prod(shape) * _FLOATS[dtype] for held in self._held for dtype, shape in held.values()
        )
        for name in sorted({name for held in self._held for name in held}):
            shapes = defaultdict(list)
            for i, held in enumerate(self._held):
                if name in held:
                    shapes[held[name][1]].append(i)
            for shape, members in shapes.items():
                self._add(name, shape, members)

    def _add(self, name: str, shape: tuple[int, ...], members: list[int]) -> None:
        """Add one tensor of the checkpoints that have it in this shape."""
        elements = math.prod(shape)
        places = list(combinations_with_replacement(members, 2))
        sums = np.empty(len(places))
        first, *beside = (self._mixers[i] for i in members)
        counts = first.squares(name, sums, beside=beside)
        squares = dict(zip(places, sums.tolist(), strict=True))
        bad = zip(members, counts, strict=True)
        self.not_finite += [(i, name, *count, elements) for i, count in bad if any(count)]
        self._done += sum(elements * _FLOATS[self._held[i][name][0]] for i in members)
        if self._on_progress is not None:
            self._on_progress(self._done, self._whole)
        if not elements:
            return
        is_matrix = sum(size > 1 for size in shape) > 1
        for i, j in combinations(members, 2):
            row = _Squares(name, elements, is_matrix, squares[i, i], squares[j, j], squares[i, j])
            self.pairs[i, j].append(row)
        base = self._n_paths
        if members[-1] == base:
            for i, j in combinations(members[:-1], 2):
                row = _Squares(name, elements, is_matrix, squares[i, base], squares[j, base], squares[i, j])
                self.tasks[i, j].append(row)

    def distance(self, i: int, j: int, paths: Sequence[str], *, n_worst: int) -> Distance:
        """Return the distance of the checkpoints at two places, `i` before `j`; the base is named first."""
        to_base = j == self._n_paths
        empty = sum(
            0 in shape and self._held[j].get(name, (None, None))[1] == shape
            for name, (_, shape) in self._held[i].items()
        )
        rows = self.pairs[i, j]
        distances = [
            TensorDistance(row.tensor, _cosine([row]), _relative([row], to_second=to_base)) for row in rows
        ]
        known = [(found.cosine, found.tensor, found) for found in distances if found.cosine is not None]
        return Distance(
            *((paths[j], paths[i]) if to_base else (paths[i], paths[j])),
            n_tensors=len(rows) + empty,
            n_elements=sum(row.elements for row in rows),
            n_unshared=len(self._held[i]) + len(self._held[j]) - 2 * (len(rows) + empty),
            n_equal=sum(row.apart == 0 for row in rows) + empty,
            cosine=_cosine(rows),
            matrix_cosine=_cosine([row for row in rows if row.is_matrix]),
            relative_distance=_relative(rows, to_second=to_base),
            worst=tuple(found for _, _, found in nsmallest(n_worst, known, key=lambda entry: entry[:2])),
            independent=tuple(
                found.tensor
                for row, found in zip(rows, distances, strict=True)
                if row.is_matrix and found.cosine is not None and found.cosine < INDEPENDENT
            ),
        )


def _fsum(values: list[float]) -> float:
    """Return the exact sum, rounded; not finite if it overflows or a value is not."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.inf


def _cosine(rows: Sequence[_Squares]) -> float | None:
    first, second = (_fsum([getattr(row, key) for row in rows]) for key in ("first", "second"))
    both = _fsum([part for row in rows for part in (row.first, row.second, -row.apart)]) / 2
    norms = math.sqrt(first) * math.sqrt(second)
    if not (math.isfinite(norms) and math.isfinite(both)) or norms == 0:
        return None
    # Equal vectors have 1 and not its neighbour.
    return 1.0 if all(row.apart == 0 for row in rows) else max(-1.0, min(1.0, both / norms))


def _relative(rows: Sequence[_Squares], *, to_second: bool) -> float | None:
    first, second, apart = (
        _fsum([getattr(row, key) for row in rows]) for key in ("first", "second", "apart")
    )
    whole = second if to_second else (first + second) / 2
    if not (math.isfinite(whole) and math.isfinite(apart)) or whole == 0:
        return None
    return math.sqrt(apart) / math.sqrt(whole)
