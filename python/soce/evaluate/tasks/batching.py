"""Rows of unequal length, run in batches that shrink when memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from soce.evaluate.evaluation import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    T = TypeVar("T")
    R = TypeVar("R")

LARGEST: Final = 64
"""Rows of the first batch tried."""

BUDGET_BYTES: Final = 1 << 30
"""What one batch may take. A fixed number and not a share of the free memory, because in BF16 the last bits
of a score may depend on how rows are batched."""

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


class Batches:
    """Runs rows longest first.

    Parameters
    ----------
    size : int, optional
        Rows of a batch; as many as `LARGEST` and `BUDGET_BYTES` allow otherwise. Halved whenever memory
        runs out, and it stays so.

    Attributes
    ----------
    notes : list of str
        What was done about memory that ran out.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size or LARGEST
        self.fixed = size is not None
        self.notes: list[str] = []

    def run(
        self,
        rows: Sequence[T],
        *,
        length: Callable[[T], int],
        cost: Callable[[list[T]], int],
        work: Callable[[list[T]], list[R]],
        on_done: Callable[[list[T]], object],
    ) -> list[R]:
        """Return what `work` returns for every row, in the order of `rows`.

        `length` is what rows are sorted by, so that those of one batch need little padding; `cost` the bytes
        that a batch takes. `work` takes a batch and returns one result per row, after which `on_done` is
        called with the batch. Raises EvaluationError if memory runs out for a single row.
        """
        order = sorted(range(len(rows)), key=lambda i: (-length(rows[i]), i))
        results: dict[int, R] = {}
        while len(results) < len(rows):
            start = len(results)
            numbers = order[start : start + self.size]
            batch = [rows[i] for i in numbers]
            while not self.fixed and len(batch) > 1 and cost(batch) > BUDGET_BYTES:
                batch = batch[: len(batch) // 2]
            try:
                results |= zip(numbers, work(batch), strict=False)  # a smaller batch is the first of them
            except (RuntimeError, MemoryError) as error:
                if not isinstance(error, MemoryError) and not any(word in str(error) for word in _WORDS):
                    raise
                failure = error.with_traceback(None)  # the frames hold the batch's tensors
            else:
                on_done(batch)
                continue
            self._shrink(len(batch), length(batch[0]), failure)
        return [results[i] for i in range(len(rows))]

    def _shrink(self, rows: int, length: int, failure: Exception) -> None:
        import torch

        if rows == 1:
            message = f"memory runs out for a single row of {length} tokens"
            hint = "give a smaller `max_length`, a smaller `compute_dtype`, or a device with more memory"
            refuse(message, hint, cause=failure)
        self.size = rows // 2
        self.notes.append(f"memory ran out with {rows} rows in a batch; the batch size is now {self.size}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def padded(
    rows: Sequence[Sequence[int]], *, left: bool, pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, padded on one side to the longest row."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        inside = slice(longest - len(row), None) if left else slice(len(row))
        ids[i, inside] = torch.tensor(row)
        mask[i, inside] = 1
    return ids.to(device), mask.to(device)
