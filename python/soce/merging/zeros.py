"""Zeros of ingredients and soups: whether models were pruned by one mask, and what a soup keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce._core import Mixer, matches
from soce.exceptions import IncompatibleError, Problem, shown
from soce.files.plain import Plain
from soce.files.words import counted, in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from soce.merging.options import MergeOptions
    from soce.recipes.rows import Mix, Row

    Mask: TypeAlias = "NDArray[np.bool_]"

_BLOCK: Final = 1 << 20
"""Elements that are looked at together: memory does not grow with a tensor."""
_LISTED: Final = 20
_SIGN: Final = 0x8000


@dataclass(frozen=True, slots=True)
class TensorZeros(Plain):
    """How many elements of a tensor are zero, of either sign."""

    tensor: str
    size: int
    """Elements."""
    ingredients: Mapping[str, int]
    """Ingredient → its zeros."""
    shared: int
    """Elements that are zero in all of them."""
    outputs: tuple[int, ...]
    """Zeros of each soup."""

    @property
    def is_one_mask(self) -> bool:
        """Whether all ingredients are zero in the same places."""
        return set(self.ingredients.values()) == {self.shared}


def count_zeros(
    mixer: Mixer,
    ingredients: Sequence[str | None],
    tables: Sequence[Sequence[Row]],
    planned: Sequence[Mapping[str, Any]],
    options: MergeOptions,
) -> tuple[TensorZeros, ...]:
    """Return the zeros of every tensor that is averaged, in one read, block by block.

    Parameters
    ----------
    mixer : Mixer
    ingredients : sequence of str or None
        What each of the mixer's is called; None: it only gives tensors, and has no say.
    tables : sequence of tables
        The rows of each soup over all of the mixer's ingredients, of which those with a part are looked at.
    planned : sequence of mappings
        The tensors of a plan.
    options : MergeOptions

    Raises
    ------
    IncompatibleError
        Zeros in different places, if `MergeOptions.require_same_mask` refuses them.
    """
    dtypes = {one["name"]: one["dtype"] for one in planned if one["fate"] == "averaged"}
    columns = {
        name: place
        for place, name in enumerate(ingredients)
        if name is not None and any(row.numerators[place] for table in tables for row in table)
    }
    found, threads = [], options.num_threads
    for name, _, shape in mixer.tensors():
        if name not in dtypes or mixer.giver(name) is not None:
            continue
        mixes = [next((row.mix for row in table if matches(row.pattern, name)), None) for table in tables]
        zeros = dict.fromkeys(columns, 0)
        shared, outputs = 0, [0] * len(tables)
        for run in _blocks(prod(shape)):
            same: Mask | None = None
            for one, column in columns.items():  # in F64, where no number is rounded to zero
                alone = tuple(int(place == column) for place in range(len(ingredients)))
                mask = _zeros(mixer, name, (alone, 1), run, held="F64", threads=threads)
                zeros[one] += int(mask.sum())
                same = mask if same is None else same & mask
            shared += 0 if same is None else int(same.sum())
            for soup, mix in enumerate(mixes):
                if mix is not None:
                    mask = _zeros(mixer, name, mix, run, held=dtypes[name], threads=threads)
                    outputs[soup] += int(mask.sum())
        found.append(TensorZeros(name, prod(shape), zeros, shared, tuple(outputs)))
    if options.require_same_mask:
        _check_one_mask(found)
    return tuple(found)


def _check_one_mask(found: Sequence[TensorZeros]) -> None:
    """Raise IncompatibleError for every tensor whose ingredients are zero in different places."""
    differing = [one for one in found if not one.is_one_mask]
    hint = "prune them by one mask, or leave `--require-same-mask` out: the soup is zero where all are"
    problems = []
    for one in differing[:_LISTED]:
        counts = in_words([f"{zeros} in `{shown(name)}`" for name, zeros in one.ingredients.items()])
        message = f"zeros are in different places: {counts}, of which {one.shared} are shared"
        problems.append(Problem("incompatible", None, one.tensor, message, hint))
    if (more := len(differing) - _LISTED) > 0:
        told = f"and so are those of {counted(more, 'more tensor')}"
        problems.append(Problem("incompatible", None, None, told, hint))
    if problems:
        raise IncompatibleError.of(problems)


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, _BLOCK):
        yield start, min(_BLOCK, size - start)


def _zeros(
    mixer: Mixer, name: str, mix: Mix, run: tuple[int, int], *, held: str, threads: int | None
) -> Mask:
    """Return which elements of a run of a mix are zero, in the dtype that they are held in."""
    import numpy as np

    kinds = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    (numerators, whole), (start, count) = mix, run
    out = np.empty(count, dtype=kinds[held])
    mixer.mix(name, numerators, whole, out, dtype=held, start=start, num_threads=threads)
    if held == "BF16":  # numpy does not know it: what is left without the sign
        out &= _SIGN - 1
    zero: Mask = out == 0
    return zero
