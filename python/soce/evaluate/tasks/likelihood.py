"""How likely a model finds the end of a sequence of tokens, given its beginning."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
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
    asked: list[tuple[int, ...]] = field(default_factory=list)
    """Ends of the sequences; each is predicted at as many last positions of the input."""

    @property
    def kept(self) -> int:
        return max(map(len, self.asked))


def likelihoods(
    model: PreTrainedModel,
    requests: Sequence[Request],
    *,
    batches: Batches,
    on_done: Callable[[int], object],
) -> list[Likelihood]:
    """Return one likelihood per request.

    Parameters
    ----------
    model : PreTrainedModel
        Causal; its logits are turned into logarithms of probabilities in float32 and added in float64.
    requests : sequence of Request
    batches : Batches
    on_done : callable
        Called with the number of requests of every batch done.

    Notes
    -----
    Rows are padded on the right, where a causal model does not look. Requests that differ in the last token
    only, as choices of one token do, share a row.
    """
    import torch

    rows: dict[tuple[int, ...], _Row] = {}
    where: list[tuple[int, int]] = []
    places: dict[tuple[int, ...], int] = {}
    for request in requests:
        given = request.tokens[:-1]
        row = rows.setdefault(given, _Row(given))
        where.append((places.setdefault(given, len(places)), len(row.asked)))
        row.asked.append(request.tokens[-request.scored :])
    keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters
    vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 1 << 16))
    # Logits in the model's dtype, the same in float32, and the buffer of their sums of exponentials.
    position_bytes = vocabulary * (model.dtype.itemsize + 8)

    def kept(batch: list[_Row]) -> int:
        """Return how many last positions of the longest row reach back to every scored token."""
        longest = max(len(row.tokens) for row in batch)
        return longest - min(len(row.tokens) - row.kept for row in batch) if keeps_last else longest

    def work(batch: list[_Row]) -> list[list[Likelihood]]:
        with torch.inference_mode():
            return _answers(model, batch, kept(batch), keeps_last=keeps_last)

    answers = batches.run(
        list(rows.values()),
        length=lambda row: len(row.tokens),
        cost=lambda batch: position_bytes * len(batch) * kept(batch),
        work=work,
        on_done=lambda batch: on_done(sum(len(row.asked) for row in batch)),
    )
    return [answers[row][place] for row, place in where]


def _answers(
    model: PreTrainedModel, batch: Sequence[_Row], kept: int, *, keeps_last: bool
) -> list[list[Likelihood]]:
    import torch

    ids, mask = padded([row.tokens for row in batch], left=False, pad=0, device=model.device)
    longest = ids.shape[1]
    options: dict[str, Any] = {"logits_to_keep": kept} if keeps_last else {}
    logits = model(
        input_ids=ids, attention_mask=mask, use_cache=False, **options
    ).logits  # (rows, kept, words)
    sums, greedy = [], []
    for row, found in zip(batch, logits, strict=True):
        end = len(row.tokens) - (longest - kept)
        scores = found[end - row.kept : end].float()  # (kept, words)
        totals, best = scores.logsumexp(-1), scores.argmax(-1)
        for asked in row.asked:
            targets = torch.tensor(asked, device=scores.device)
            last = slice(row.kept - len(asked), row.kept)
            chosen = scores[last].gather(-1, targets[:, None])[:, 0]
            sums.append((chosen - totals[last]).double().sum())
            greedy.append((best[last] == targets).all())
    logs, hits = torch.stack(sums).tolist(), torch.stack(greedy).tolist()
    flat = [Likelihood(log, hit and not math.isnan(log)) for log, hit in zip(logs, hits, strict=True)]
    answers, start = [], 0
    for row in batch:
        answers.append(flat[start : start + len(row.asked)])
        start += len(row.asked)
    return answers


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
