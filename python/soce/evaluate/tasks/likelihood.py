"""How likely a model finds the end of a sequence of tokens, given its beginning."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from soce.evaluate.tasks.batching import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

    from soce.evaluate.tasks.batching import Batches


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens, of which the last ones are scored and all others are given."""

    tokens: tuple[int, ...]
    scored: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The answer to a request."""

    log: float
    """Sum of the natural logarithms of the scored tokens' probabilities; NaN if the model gave NaN."""
    greedy: bool
    """Whether every scored token is the likeliest one."""


@dataclass(slots=True)
class _Row:
    """One input with everything that is asked about it."""

    tokens: tuple[int, ...]
    requests: list[int] = field(default_factory=list)
    """Their numbers."""
    asked: list[tuple[int, ...]] = field(default_factory=list)
    """Their last tokens; each is predicted at as many last positions of the input."""

    @property
    def most(self) -> int:
        """How many of the last positions are asked about."""
        return max(map(len, self.asked))


def likelihoods(
    model: PreTrainedModel,
    requests: Sequence[Request],
    *,
    batches: Batches,
    on_done: Callable[[int], object],
) -> list[Likelihood]:
    """Return one likelihood per request; `on_done` is called with the number of requests of every batch.

    Logits are turned into logarithms of probabilities in float32 and added in float64. Rows are padded on the
    right, where a causal model does not look. Requests that differ in the last token only, as choices of one
    token do, share a row.
    """
    import torch

    rows: dict[tuple[int, ...], _Row] = {}
    for number, request in enumerate(requests):
        given = request.tokens[:-1]
        row = rows.setdefault(given, _Row(given))
        row.requests.append(number)
        row.asked.append(request.tokens[-request.scored :])
    keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters
    vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 1 << 16))
    # Logits in the model's dtype, the same in float32, and the buffer of their sums of exponentials.
    position_bytes = vocabulary * (model.dtype.itemsize + 8)

    def n_last(batch: list[_Row]) -> int:
        """Return how many last positions of the longest row reach back to every scored token."""
        longest = max(len(row.tokens) for row in batch)
        return longest - min(len(row.tokens) - row.most for row in batch) if keeps_last else longest

    def work(batch: list[_Row]) -> list[list[Likelihood]]:
        with torch.inference_mode():
            return _answers(model, batch, n_last(batch), keeps_last=keeps_last)

    answers = batches.run(
        list(rows.values()),
        length=lambda row: len(row.tokens),
        cost=lambda batch: position_bytes * len(batch) * n_last(batch),
        work=work,
        on_done=lambda batch: on_done(sum(len(row.asked) for row in batch)),
    )
    found = {
        number: answer
        for row, held in zip(rows.values(), answers, strict=True)
        for number, answer in zip(row.requests, held, strict=True)
    }
    return [found[number] for number in range(len(requests))]


def _answers(
    model: PreTrainedModel, batch: Sequence[_Row], n_last: int, *, keeps_last: bool
) -> list[list[Likelihood]]:
    import torch

    ids, mask = padded([row.tokens for row in batch], left=False, pad=0, device=model.device)
    options: dict[str, Any] = {"logits_to_keep": n_last} if keeps_last else {}
    output = model(input_ids=ids, attention_mask=mask, use_cache=False, **options)
    sums, greedy = [], []
    for row, logits in zip(batch, output.logits, strict=True):  # (n_last, words)
        end = len(row.tokens) - (ids.shape[1] - n_last)
        scores = logits[end - row.most : end].float()  # (most, words)
        totals, best = scores.logsumexp(-1), scores.argmax(-1)
        for asked in row.asked:
            targets = torch.tensor(asked, device=scores.device)
            last = slice(row.most - len(asked), row.most)
            chosen = scores[last].gather(-1, targets[:, None])[:, 0]
            sums.append((chosen - totals[last]).double().sum())
            greedy.append((best[last] == targets).all())
    logs, hits = torch.stack(sums).tolist(), torch.stack(greedy).tolist()
    flat = iter([Likelihood(log, hit and not math.isnan(log)) for log, hit in zip(logs, hits, strict=True)])
    return [list(islice(flat, len(row.asked))) for row in batch]


def rolling(tokens: Sequence[int], *, start: int, max_length: int) -> list[Request]:
    """Return requests that together score every one of `tokens` once.

    A text longer than the window is cut into windows; the first token of each is scored after the last one of
    the window before it only, the first of all after `start`. The last window is filled from the left.
    """
    requests = []
    for begin in range(0, len(tokens), max_length):
        end = min(begin + max_length, len(tokens))
        given = max(0, end - max_length)
        before = (start,) if given == 0 else (tokens[given - 1],)
        requests.append(Request((*before, *tokens[given:end]), end - begin))
    return requests
