"""How likely a live model finds the end of a text, and how many rows it is asked about at once."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.inference import Likelihood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.encoding import Request

    T = TypeVar("T")
    R = TypeVar("R")


@dataclass(slots=True)
class _Row:
    """One input with everything that is asked about it."""

    tokens: tuple[int, ...]
    asked: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Requests' numbers → last tokens; each is predicted at as many last positions of the input."""

    @property
    def most(self) -> int:
        """How many of the last positions are asked about."""
        return max(map(len, self.asked.values()))


class ForwardPasses:
    """Asks a live causal model, many requests at once; `batches.notes` tell of memory that ran out."""

    def __init__(self, soup: SoupModel, batches: Batches) -> None:
        self._soup = soup
        self._batches = batches

    def likelihoods(self, requests: Sequence[Request], on_done: Callable[[int], object]) -> list[Likelihood]:
        """Return one likelihood per request; `on_done` is called with the number of requests of every batch.

        Logits are turned into logarithms of probabilities in float32 and added in float64. Rows are padded on
        the right, where a causal model does not look. Requests that differ in the last token only share one.
        """
        model = self._soup.model
        rows: dict[tuple[int, ...], _Row] = {}
        for number, request in enumerate(requests):
            given = request.tokens[:-1]
            rows.setdefault(given, _Row(given)).asked[number] = request.tokens[-request.scored :]
        keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 1 << 16))
        # Logits in the model's dtype, the same in float32, and the buffer of their sums of exponentials.
        position_bytes = vocabulary * (model.dtype.itemsize + 8)

        def n_last(batch: list[_Row]) -> int:
            """Return how many last positions of the longest row reach back to every scored token."""
            longest = max(len(row.tokens) for row in batch)
            return longest - min(len(row.tokens) - row.most for row in batch) if keeps_last else longest

        answers = self._batches.run(
            list(rows.values()),
            length=lambda row: len(row.tokens),
            cost=lambda batch: position_bytes * len(batch) * n_last(batch),
            work=lambda batch: _answers(self._soup, batch, n_last(batch), keeps_last=keeps_last),
            on_done=lambda batch: on_done(sum(len(row.asked) for row in batch)),
        )
        found = {number: answer for row in answers for number, answer in row.items()}
        return [found[number] for number in range(len(requests))]


def _answers(
    soup: SoupModel, batch: Sequence[_Row], n_last: int, *, keeps_last: bool
) -> list[dict[int, Likelihood]]:
    import torch

    ids, mask = padded([row.tokens for row in batch], left=False, pad=0, device=soup.device)
    options: dict[str, Any] = {"logits_to_keep": n_last} if keeps_last else {}
    with torch.inference_mode():
        output = soup.model(input_ids=ids, attention_mask=mask, use_cache=False, **options)
        sums, greedy = [], []
        for row, logits in zip(batch, output.logits, strict=True):  # (n_last, words)
            end = len(row.tokens) - (ids.shape[1] - n_last)
            scores = logits[end - row.most : end].float()  # (most, words)
            totals, best = scores.logsumexp(-1), scores.argmax(-1)
            for asked in row.asked.values():
                targets = torch.tensor(asked, device=scores.device)
                last = slice(row.most - len(asked), row.most)
                chosen = scores[last].gather(-1, targets[:, None])[:, 0]
                sums.append((chosen - totals[last]).double().sum())
                greedy.append((best[last] == targets).all())
        logs, hits = torch.stack(sums).tolist(), torch.stack(greedy).tolist()
    flat = iter([Likelihood(log, hit and not math.isnan(log)) for log, hit in zip(logs, hits, strict=True)])
    return [dict(zip(row.asked, flat, strict=False)) for row in batch]  # the numbers run out first


LARGEST: Final = 64
"""Rows of the first batch tried."""

BUDGET_BYTES: Final = 1 << 30
"""What one batch may take: no share of the free memory, because in BF16 batches may change a score's bits."""

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


class Batches:
    """Runs rows longest first, `size` at once, or as many as `LARGEST` and `BUDGET_BYTES` allow.

    The size is halved whenever memory runs out, and it stays so; `notes` tell.
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
        """Return what `work` returns for every row of a batch, in the order of `rows`.

        `length` is what rows are sorted by, so that those of one batch need little padding; `cost` the bytes
        that a batch takes; `on_done` is called with each batch that is done.
        """
        order = sorted(range(len(rows)), key=lambda i: -length(rows[i]))
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
